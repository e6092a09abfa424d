"""Fused operations, each with a reference implementation that defines it and faster ones."""

from radford_lib.kernels.grouped_batch_norm import grouped_batch_norm_act

__all__ = ["grouped_batch_norm_act"]
