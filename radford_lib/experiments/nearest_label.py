"""The label of the nearest example so far, of examples that arrive in batches without end."""

import torch
from torch import Tensor

QUERIES = 4096  # compared at a time


class NearestLabel:
    """For each query (Q, F) the label of the nearest of all rows that were added.

    ``distance``: (Q,) squared distance without the query's own square; ``label``: (Q,) int64, -1
    before anything was added. On the device of ``query``, in float32.
    """

    def __init__(self, query: Tensor) -> None:
        self.query = query
        self.distance = torch.full((len(query),), torch.inf, device=query.device)
        self.label = torch.full((len(query),), -1, dtype=torch.int64, device=query.device)

    def add(self, rows: Tensor, labels: Tensor) -> None:
        """Compare with rows (N, F) of ``labels`` (N,): one product of matrices for some queries."""
        rows, labels = rows.float(), labels.to(self.label.device)
        squares = rows.square().sum(1)  # (N,)
        for start in range(0, len(self.query), QUERIES):
            part = slice(start, start + QUERIES)
            distance = torch.addmm(squares, self.query[part], rows.T, alpha=-2)  # (q, N)
            least, which = distance.min(1)
            is_nearer = least < self.distance[part]
            self.distance[part] = torch.where(is_nearer, least, self.distance[part])
            self.label[part] = torch.where(is_nearer, labels[which], self.label[part])
