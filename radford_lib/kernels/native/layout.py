"""Weights and tables as the C++ kernels read them: units in panels, see ``sequence.h``."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from radford_lib.kernels.native.build import library


class Packed(NamedTuple):
    """The cell's tensors in panels, without the last two an LSTM's, and where they lie."""

    hidden: int
    addresses: dict[str, int]
    table_zx: Tensor  # (panels, 256, 4, width)
    w_z: Tensor  # (panels, 4, H, width)
    table_mx: Tensor | None  # (panels, 256, 1, width)
    w_m: Tensor | None  # (panels, 1, H, width)


def addresses(tensors: Mapping[str, Tensor | None]) -> dict[str, int]:
    """Where each tensor's data begins."""
    return {name: t.data_ptr() for name, t in tensors.items() if t is not None}


def panel_width() -> int:
    """Units to a panel on this machine."""
    return int(library().radford_panel())


@torch.no_grad()
def pack(
    table_zx: Tensor, w_z: Tensor, table_mx: Tensor | None = None, w_m: Tensor | None = None
) -> Packed:
    """Lay out table_zx (256, 4H), w_z (H, 4H), table_mx (256, H) and w_m (H, H), float32."""
    hidden = len(w_z)
    zx, z = _table(table_zx, hidden), _weights(w_z, hidden)
    mx = None if table_mx is None else _table(table_mx, hidden)
    m = None if w_m is None else _weights(w_m, hidden)
    where = addresses({"table_zx": zx, "w_z": z, "table_mx": mx, "w_m": m})
    return Packed(hidden, where, zx, z, mx, m)


@torch.no_grad()
def pack_transposed(w: Tensor) -> Tensor:
    """w (H, G) as the backward pass multiplies by it: (panels, G, width)."""
    return _in_panels(w.t(), len(w)).squeeze(1).permute(1, 0, 2).contiguous()


def unpack_table(panels: Tensor, hidden: int) -> Tensor:
    """(panels, 256, G, width) -> (256, G H), a tensor of its own."""
    units = panels.permute(1, 2, 0, 3).flatten(2)[..., :hidden]
    return units.reshape(len(units), -1).clone()


def _table(table: Tensor, hidden: int) -> Tensor:
    return _in_panels(table, hidden).permute(2, 0, 1, 3).contiguous()


def _weights(w: Tensor, hidden: int) -> Tensor:
    return _in_panels(w, hidden).permute(2, 1, 0, 3).contiguous()


def _in_panels(x: Tensor, hidden: int) -> Tensor:
    """x (R, G H) -> (R, G, panels, width), with zeros for the units that fill the last panel."""
    groups = x.reshape(len(x), -1, hidden)
    missing = -hidden % panel_width()
    if missing:
        groups = F.pad(groups, (0, missing))
    return groups.unflatten(2, (-1, panel_width()))
