"""Nearest neighbours by Euclidean distance, in blocks of one matrix product each."""

import numpy as np

from radford_lib.errors import RadfordError


def nearest(
    query: np.ndarray, base: np.ndarray, *, block: int = 1024, leave_one_out: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Index into ``base`` of each query's nearest row, and the distance to it, (Q,) each.

    query: (Q, F), base: (N, F) float32. ``leave_one_out``: query and base are the same rows, and
    none counts as its own neighbour. Raises ``RadfordError`` where the widths differ.
    """
    if query.ndim != 2 or base.ndim != 2 or query.shape[1] != base.shape[1] or not len(base):
        raise RadfordError(f"no neighbours of {query.shape} in {base.shape}: both must be (N, F)")
    squares = np.einsum("nf,nf->n", base, base)
    index = np.empty(len(query), np.int64)
    for start in range(0, len(query), block):
        rows = query[start : start + block]
        distance = squares - 2 * (rows @ base.T)  # up to each row's own square
        if leave_one_out:
            distance[np.arange(len(rows)), np.arange(start, start + len(rows))] = np.inf
        index[start : start + block] = distance.argmin(1)
    # the expansion above loses digits for close pairs: measure the winners again
    return index, np.sqrt(np.square(query - base[index]).sum(1))
