"""Features of any size, read as float32 blocks: what the probes' solvers multiply with."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch

# Elements of X in a block. On a processor what a block is cast to stays in its cache; a GPU wants
# few, large products. One buffer serves all blocks: fresh ones of that size cost page faults.
_ELEMENTS = {"cpu": 1 << 22, "cuda": 1 << 26}
_FLUSH = 4096  # rows summed in float32 before they join a float64 sum
_PANEL = 512  # columns of a symmetric product at a time


class Rows:
    """Rows of (N, F) features on a device; they keep their own type and are cast block by block.

    D columns in all: the features, and with ``bias`` a last one of ones that is never stored.
    Products are float32, summed in float64 where the sums are long; ``exact`` ones are float64.
    ``passes`` counts how often all rows were read.
    """

    def __init__(
        self, x: np.ndarray | torch.Tensor, device: str | torch.device | None, bias: bool = True
    ) -> None:
        if isinstance(x, np.ndarray):
            x = as_tensor(x)
        self.device = find_device(device)
        self.x = x.to(self.device)
        self.bias = bias
        self.columns = x.shape[1] + bias
        elements = _ELEMENTS.get(self.device.type, _ELEMENTS["cuda"])
        self.height = max(1, min(len(x), elements // x.shape[1]))
        self.passes = 0
        self._buffers: dict[torch.dtype, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.x)

    def blocks(self, dtype: torch.dtype = torch.float32) -> Iterator[tuple[slice, torch.Tensor]]:
        """Slices of the rows and their features in ``dtype``; the next block overwrites them."""
        self.passes += 1
        for start in range(0, len(self.x), self.height):
            rows = slice(start, start + self.height)
            yield rows, self._cast(self.x[rows], dtype)

    def _cast(self, block: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if block.dtype == dtype:
            return block
        if dtype not in self._buffers:
            shape = (self.height, self.x.shape[1])
            self._buffers[dtype] = torch.empty(shape, dtype=dtype, device=self.device)
        return self._buffers[dtype][: len(block)].copy_(block)

    def times(self, w: torch.Tensor, exact: bool = False) -> torch.Tensor:
        """X w: (D, P) -> (N, P) float64."""
        dtype = torch.float64 if exact else torch.float32
        columns = _as_rows(w, dtype)
        return torch.cat([self._product(b, columns).double() for _, b in self.blocks(dtype)])

    def transposed_times(self, r: torch.Tensor, exact: bool = False) -> torch.Tensor:
        """X^T r: (N, P) -> (D, P) float64."""
        dtype = torch.float64 if exact else torch.float32
        total = _Sum((r.shape[1], self.columns), dtype, self.device)
        for rows, block in self.blocks(dtype):
            self._add_transposed(total, block, r[rows].to(dtype))
        return total.result().T

    def gram_times(self, v: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        """X^T (scale * (X v)) in one pass: (D, P), (N, P) -> (D, P) float64."""
        columns = _as_rows(v, torch.float32)
        total = _Sum(columns.shape, torch.float32, self.device)
        for rows, block in self.blocks():
            z = self._product(block, columns)
            self._add_transposed(total, block, z if scale is None else z.mul_(scale[rows]))
        return total.result().T

    def weighted_gram(self, features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """X^T diag(weight) X of M - 1 of the features and the bias, its last row: (M, M) float64.

        features: (M - 1,) int64; weight: (N,), none negative.
        """
        size = len(features) + 1
        root = weight.sqrt().float()[:, None]
        total = _Sum((size, size), torch.float32, self.device)
        for rows, block in self.blocks():
            scaled = torch.empty(len(block), size, dtype=torch.float32, device=self.device)
            torch.mul(block[:, features], root[rows], out=scaled[:, :-1])
            scaled[:, -1:] = root[rows]
            for start in range(0, size, _PANEL):  # the upper triangle is enough
                end = start + _PANEL
                total.part[start:end, start:].addmm_(scaled[:, start:end].T, scaled[:, start:])
            total.added(len(block))
        upper = total.result().triu_()
        return upper + upper.triu(1).T

    def _product(self, block: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """block w, for w as rows (P, D)."""
        if not self.bias:
            return block @ columns.T
        return torch.addmm(columns[:, -1], block, columns[:, :-1].T)

    def _add_transposed(self, total: "_Sum", block: torch.Tensor, r: torch.Tensor) -> None:
        """Add (block^T r)^T to ``total`` (P, D)."""
        features = block.shape[1]
        total.part[:, :features].addmm_(r.T, block)
        if self.bias:
            total.part[:, features] += r.sum(0)
        total.added(len(block))


def _as_rows(w: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(D, P) as (P, D): a processor multiplies a few columns faster where each is contiguous."""
    return w.T.to(dtype).contiguous()


class _Sum:
    """A sum over blocks of rows: ``part`` is added to for short sums, and joins a float64 sum."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self.part = torch.zeros(*shape, dtype=dtype, device=device)
        self.total = torch.zeros(*shape, dtype=torch.float64, device=device)
        self.rows = 0

    def added(self, rows: int) -> None:
        """Note that ``part`` has grown by so many rows."""
        self.rows += rows
        if self.rows >= _FLUSH:
            self.total += self.part
            self.part.zero_()
            self.rows = 0

    def result(self) -> torch.Tensor:
        return self.total.add_(self.part)


def margins(
    weights: np.ndarray,
    intercept: np.ndarray,
    x: np.ndarray,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """x weights^T + intercept in one pass: (P, F), (P,), (N, F) -> (N, P) float64."""
    data = Rows(x, device)
    w = np.column_stack([weights, intercept]).T
    with full_float32():
        return data.times(torch.from_numpy(w).to(data.device)).cpu().numpy()


def as_tensor(x: np.ndarray) -> torch.Tensor:
    """(N, F) float16 or float32 features as a tensor, uncopied if contiguous, else as float32.

    Memory-mapped and other read-only arrays are not copied either: nothing here writes to them.
    """
    if x.dtype not in (np.float16, np.float32):
        x = x.astype(np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(x))


def find_device(device: str | torch.device | None) -> torch.device:
    """The named device; for None the GPU where there is one."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Matrix products in true float32, whatever training has chosen: TF32 would void a gap."""
    matmul = torch.backends.cuda.matmul
    # PyTorch 2.9 renamed the switch, and refuses the old name once the new one has been used
    renamed = hasattr(matmul, "fp32_precision")
    name, exact = ("fp32_precision", "ieee") if renamed else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        with torch.inference_mode():
            yield
    finally:
        setattr(matmul, name, before)
