r"""The multiplicative LSTM over a sequence of bytes (Krause et al. 2016; Radford et al. 2017).

With byte :math:`x_t`, as in the released ``encoder.py`` (gate order i, f, o, u; no forget bias):

.. math::

    m_t &= T^{mx}[x_t] \odot (h_{t-1} W^{mh}) \\
    i, f, o, u &= \sigma, \sigma, \sigma, \tanh\,(T^{zx}[x_t] + m_t W^{zm}) \\
    c_t &= f \odot c_{t-1} + i \odot u, \qquad h_t = o \odot \tanh c_t

A byte has 256 values, so what it contributes is a row of a table, :math:`T^{mx} = E W^{mx}` and
:math:`T^{zx} = E W^{x} + b`: the input products cost 256 rows an update, not one for each byte.
"""

import importlib.util

import torch
from torch import Tensor

from radford_lib.errors import UsageError
from radford_lib.kernels import cpu, triton_interpreter

BACKENDS = ("auto", "reference", "cpu", "triton")


def mlstm(
    bytes: Tensor,
    table_mx: Tensor,
    table_zx: Tensor,
    w_mh: Tensor,
    w_zm: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the mLSTM over a window of bytes.

    bytes: (T, B) int64 in 0..255; table_mx: (256, H); table_zx: (256, 4H); w_mh: (H, H);
    w_zm: (H, 4H); h0, c0: (B, H), the state to start from. lengths: (B,) int64, if given:
    from step ``lengths[b]`` on, sequence b keeps its state.
    Products are made in the type of h0, in which h comes back; other tensors may have a wider one,
    c0 above all: bfloat16 products want a float32 cell state, and float32 weights and tables.
    Returns h (T, B, H), h_T (B, H) and c_T (B, H); differentiable in every float tensor.
    ``backend`` is "reference" (any device and type; the definition), "cpu", "triton" or "auto".
    Raises ``UsageError`` for shapes that do not fit and for a backend that is unknown or cannot.
    """
    hidden = w_zm.shape[0]
    check_sequence(bytes, table_zx, w_zm, h0, c0, lengths)
    if table_mx.shape != (256, hidden) or w_mh.shape != (hidden, hidden):
        raise UsageError(
            f"mlstm: table_mx {tuple(table_mx.shape)}, w_mh {tuple(w_mh.shape)} and "
            f"w_zm {tuple(w_zm.shape)} must be (256, H), (H, H) and (H, 4H)"
        )
    chosen, _ = choose_backend(h0.device, h0.dtype, backend)
    if chosen == "cpu":
        return cpu.run(bytes, table_zx, w_zm, h0, c0, lengths, table_mx, w_mh)
    if chosen == "triton":
        from radford_lib.kernels import sequence_triton  # imports triton

        return sequence_triton.run(bytes, table_zx, w_zm, h0, c0, lengths, table_mx, w_mh)
    return _reference(bytes, table_mx, table_zx, w_mh, w_zm, h0, c0, lengths)


def _reference(
    bytes: Tensor,
    table_mx: Tensor,
    table_zx: Tensor,
    w_mh: Tensor,
    w_zm: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    h, c, outputs = h0, c0, []
    w_mh, w_zm = w_mh.to(h.dtype), w_zm.to(h.dtype)
    for t, x in enumerate(bytes):
        m = (table_mx[x] * (h @ w_mh)).to(h.dtype)
        h, c = lstm_step(table_zx[x] + m @ w_zm, h, c, None if lengths is None else t < lengths)
        outputs.append(h)
    return torch.stack(outputs), h, c


def lstm_step(z: Tensor, h: Tensor, c: Tensor, alive: Tensor | None) -> tuple[Tensor, Tensor]:
    """One LSTM update from pre-activations z (B, 4H); rows not ``alive`` (B,) keep h and c."""
    i, f, o, u = z.chunk(4, dim=1)
    c_new = f.sigmoid() * c + i.sigmoid() * u.tanh()
    h_new = (o.sigmoid() * c_new.tanh()).to(h.dtype)
    if alive is None:
        return h_new, c_new
    alive = alive[:, None]
    return torch.where(alive, h_new, h), torch.where(alive, c_new, c)


def choose_backend(
    device: torch.device | str, dtype: torch.dtype, backend: str = "auto"
) -> tuple[str, str]:
    """The backend that will run, and why. Raises ``UsageError`` where ``backend`` cannot."""
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}: choose from {', '.join(BACKENDS)}")
    kind = torch.device(device).type
    if backend == "cpu" and kind != "cpu":
        raise UsageError(f"backend 'cpu' needs tensors on the CPU, these are on {kind!r}")
    obstacle = _obstacle_to_triton(torch.device(device), dtype)
    if backend == "triton" and obstacle:
        raise UsageError(f"backend 'triton' {obstacle}")
    if backend != "auto":
        return backend, "it was asked for"
    if kind == "cpu" and dtype == torch.float32:
        return "cpu", "float32 tensors on the CPU"
    name = str(dtype).removeprefix("torch.")
    if kind == "cuda" and dtype == torch.bfloat16:
        if obstacle is None:
            return "triton", "bfloat16 tensors on CUDA"
        return "reference", f"backend 'triton' {obstacle}"
    return "reference", f"no faster backend for {name} on {kind!r}"


def _obstacle_to_triton(device: torch.device, dtype: torch.dtype) -> str | None:
    """What backend 'triton' lacks for such tensors, as the rest of a sentence; None if nothing."""
    if dtype not in (torch.float32, torch.bfloat16):
        return f"computes in float32 and bfloat16, not in {str(dtype).removeprefix('torch.')}"
    if importlib.util.find_spec("triton") is None:
        return "needs Triton, which is not installed (on Linux: pip install triton)"
    if triton_interpreter.interpreting():
        return None
    if device.type != "cuda" or not torch.cuda.is_available():
        return "needs a CUDA device, or TRITON_INTERPRET=1 to try its kernels slowly on the CPU"
    if torch.cuda.get_device_capability(device) < (9, 0):
        return "has its tiles cut for Hopper GPUs and later ones"
    return None


def explain_backend(
    device: torch.device | str, dtype: torch.dtype = torch.float32, backend: str = "auto"
) -> str:
    """One line for a reader: which backend runs such tensors, and why."""
    chosen, why = choose_backend(device, dtype, backend)
    if chosen == "cpu" and dtype == torch.float32:
        level, reason = cpu.choose_level()
        why += f"; {level} kernels: {reason}"
    return f"{chosen}: {why}"


def check_sequence(
    bytes: Tensor, table_zx: Tensor, w_z: Tensor, h0: Tensor, c0: Tensor, lengths: Tensor | None
) -> None:
    """Raise ``UsageError`` unless the arguments common to mLSTM and LSTM fit together."""
    hidden = w_z.shape[0]
    if bytes.ndim != 2 or bytes.shape[0] == 0 or bytes.dtype != torch.int64:
        raise UsageError(
            f"bytes must be (T, B) int64 with T >= 1, not {tuple(bytes.shape)} {bytes.dtype}"
        )
    batch = bytes.shape[1]
    if h0.shape != (batch, hidden) or c0.shape != (batch, hidden):
        raise UsageError(
            f"the state must be two tensors ({batch}, {hidden}), "
            f"not {tuple(h0.shape)} and {tuple(c0.shape)}"
        )
    if table_zx.shape != (256, 4 * hidden) or w_z.shape[1] != 4 * hidden:
        raise UsageError(
            f"table_zx {tuple(table_zx.shape)} and the recurrent matrix {tuple(w_z.shape)} "
            f"must be (256, 4H) and (H, 4H)"
        )
    if lengths is not None and lengths.shape != (batch,):
        raise UsageError(f"lengths must be ({batch},), not {tuple(lengths.shape)}")
