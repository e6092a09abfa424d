"""Fused operations, each with a reference implementation that defines it and faster ones."""
