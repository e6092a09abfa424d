"""Write ``.npy`` files piece by piece: a full disk is an error, not a crash of a memory map."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from radford_lib.errors import RadfordError


def write_npy(path: Path, shape: tuple[int, ...], chunks: Iterable[np.ndarray]) -> None:
    """Write a uint8 array of ``shape`` from chunks along its first dimension.

    Raises ``RadfordError`` where the chunks do not add up to ``shape``, ``OSError`` where the disk
    cannot take them.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    rows = 0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            rows += len(chunk)
            if chunk.dtype != np.uint8 or chunk.shape[1:] != shape[1:] or rows > shape[0]:
                break
            file.write(np.ascontiguousarray(chunk).data)
        else:
            if rows == shape[0]:
                return
    raise RadfordError(
        f"the source does not hold the {shape[0]} arrays of {shape[1:]} it announces"
    )
