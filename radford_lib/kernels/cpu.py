"""The CPU backend of the recurrences: compiled kernels where they can be had, else torch's own.

``RADFORD_CPU_KERNELS`` forces one of the two levels: ``native`` or ``torch``.
"""

import functools
import os
import sys

import torch
from torch import Tensor

from radford_lib.errors import RadfordError, UsageError
from radford_lib.kernels import sequence_cpu
from radford_lib.kernels.native import sequence as native
from radford_lib.kernels.native.build import library

LEVELS = ("native", "torch")


def run(
    bytes: Tensor,
    table_zx: Tensor,
    w_z: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor | None = None,
    table_mx: Tensor | None = None,
    w_m: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the recurrence; with ``table_mx`` and ``w_m`` the mLSTM, without them the LSTM.

    Shapes and results are those of :func:`radford_lib.kernels.mlstm.mlstm`; errors are also those
    of ``choose_level``.
    """
    compiled = runs_native(table_zx, w_z, h0, c0, table_mx, w_m)
    function = native.run if compiled else sequence_cpu.run
    return function(bytes, table_zx, w_z, h0, c0, lengths, table_mx, w_m)


def runs_native(*tensors: Tensor | None) -> bool:
    """Whether the compiled kernels run on these: float32, on the CPU, where they can be had."""
    given = [t for t in tensors if t is not None]
    fit = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in given)
    return fit and choose_level()[0] == "native"


def choose_level() -> tuple[str, str]:
    """The level that float32 tensors get, and why.

    Raises ``UsageError`` where ``RADFORD_CPU_KERNELS`` names none, and ``RadfordError`` where it
    asks for kernels that cannot be built.
    """
    asked = os.environ.get("RADFORD_CPU_KERNELS", "")
    if asked not in ("", *LEVELS):
        raise UsageError(f"RADFORD_CPU_KERNELS is {asked!r}: it must be one of {', '.join(LEVELS)}")
    if asked:
        if asked == "native":
            library()
        return asked, "RADFORD_CPU_KERNELS asks for it"
    if not sys.platform.startswith("linux"):
        return "torch", "the compiled kernels are tuned for Linux machines"
    obstacle = _obstacle()
    return ("native", "it could be compiled") if obstacle is None else ("torch", obstacle)


@functools.cache
def _obstacle() -> str | None:
    """Why there are no compiled kernels, said on stderr as well; None if there are."""
    try:
        library()
    except RadfordError as error:
        print(
            f"the CPU kernels run as torch operations, somewhat slower: {error} "
            "(RADFORD_CPU_KERNELS=torch silences this)",
            file=sys.stderr,
        )
        return str(error)
    return None
