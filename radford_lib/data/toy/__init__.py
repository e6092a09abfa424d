"""Toy worlds: made from a seed, always there, their ground truth known."""
