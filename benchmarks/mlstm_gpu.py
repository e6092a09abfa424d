"""Jobs of :mod:`benchmarks.h200_kernels` for the mLSTM: checks, training speed, tiles, peers."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks import mlstm_peers
from benchmarks.gpu_timing import median_seconds, recorded
from benchmarks.h200_kernels import Row, Settings
from radford_lib.kernels import sequence_triton
from radford_lib.kernels.lstm import lstm
from radford_lib.kernels.mlstm import mlstm
from radford_lib.kernels.triton_tiles import Tile, Tiles, tiles_for, with_options
from radford_lib.models.language_model import ByteLanguageModel
from radford_lib.training.graphed import GraphedUpdates

# H, B, T and the bytes per second that are wanted
TRAINING = (
    (4096, 128, 256, 0.80e6),
    (4096, 512, 256, 1.0e6),
    (2048, 256, 256, 2.7e6),
    (1024, 256, 256, None),
    (1024, 128, 256, None),
    (512, 512, 256, None),
    (512, 128, 256, None),
)
QUICK_TRAINING = ((16, 4, 2, None),)
PEERS = ((4096, 128, 256), (1024, 128, 256))
QUICK_PEERS = ((16, 4, 3),)
# what the kernels can do beside their table
OPTIONS: dict[str, Callable[[Tiles], Tiles]] = {
    "": lambda tiles: tiles,
    " tma": lambda tiles: with_options(tiles, tma=True),
    " overlap": lambda tiles: with_options(tiles, overlap=True),
    " tma overlap": lambda tiles: with_options(tiles, tma=True, overlap=True),
}
# tiles that may be faster than the table's, for the step's four products
CANDIDATES = {
    (4096, 128): {
        "product": (Tile(128, 64, 64, 2, 8, 4), Tile(64, 64, 128, 1, 4, 4)),
        "gates": (Tile(128, 64, 64, 2, 8, 4), Tile(64, 64, 64, 1, 4, 4)),
        "gates_back": (Tile(128, 64, 64, 2, 8, 4), Tile(64, 64, 128, 1, 8, 4)),
        "product_back": (Tile(128, 256, 64, 8, 8, 3), Tile(128, 64, 64, 2, 8, 4)),
    },
    (4096, 512): {
        "product": (Tile(128, 256, 64, 2, 8, 3),),
        "gates": (Tile(128, 32, 64, 1, 8, 4),),
        "gates_back": (Tile(128, 256, 64, 2, 8, 3), Tile(128, 64, 64, 1, 8, 4)),
        "product_back": (Tile(128, 128, 64, 1, 8, 4), Tile(128, 128, 64, 2, 8, 4)),
    },
    (2048, 256): {
        "product": (Tile(128, 64, 64, 2, 8, 4), Tile(64, 64, 128, 1, 4, 4)),
        "gates": (Tile(64, 64, 64, 1, 4, 4),),
        "gates_back": (Tile(128, 64, 64, 2, 8, 4), Tile(64, 64, 128, 1, 8, 4)),
        "product_back": (Tile(128, 64, 64, 2, 8, 4), Tile(128, 256, 64, 8, 8, 3)),
    },
}


# --- checks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A window to check; lengths cut it short; ``options`` are the kernels' own."""

    cell: str
    steps: int
    batch: int
    hidden: int
    dtype: torch.dtype
    options: str = ""
    lengths: bool = False

    @property
    def key(self) -> str:
        size = f"T{self.steps} B{self.batch} H{self.hidden}"
        lengths = " lengths" if self.lengths else ""
        return f"check {self.cell} {size} {str(self.dtype)[6:]}{lengths}{self.options}"

    @property
    def tiles(self) -> Tiles:
        return OPTIONS[self.options](tiles_for(self.hidden, self.batch, self.dtype.itemsize))


def _cases(settings: Settings) -> list[Case]:
    single, low = torch.float32, torch.bfloat16
    if settings.quick:
        return [
            Case("mlstm", 2, 5, 12, single, lengths=True),
            Case("mlstm", 2, 5, 16, low),
            Case("lstm", 2, 5, 16, low),
        ]
    cases = [
        Case("mlstm", 3, 17, 40, single, lengths=True),
        Case("lstm", 3, 130, 200, single),
        Case("mlstm", 257, 64, 512, low),
    ]
    # every class of tiles: sizes that fit it and, but for the first, sizes that do not
    sizes = ((24, 256), (33, 200), (256, 1024), (200, 1400), (128, 4096), (512, 2048), (300, 4000))
    cases += [Case("mlstm", 3, b, h, low, o) for b, h in sizes for o in ("", " tma overlap")]
    cases.append(Case("mlstm", 5, 17, 36, low, lengths=True))
    cases.append(Case("lstm", 3, 128, 1024, low, " tma overlap"))
    return cases


def check_rows(settings: Settings) -> list[Row]:
    """Kernels against float64 over odd sizes, state and lengths; a graph against its steps."""
    cases = _cases(settings)
    windows = [(c.cell, c.batch, c.hidden, c.dtype, c.tiles) for c in cases]
    rows = [_compile_row("check", settings, windows)]
    rows += [Row(c.key, lambda c=c: _check(settings, c), _check_line, 4.0) for c in cases]
    if settings.device == "cuda":
        for option in ("", " tma overlap"):
            key = f"check graph replay == eager{option}"
            rows.append(Row(key, lambda o=option: _check_graph(o), _check_line, 10.0))
    return rows


def _check(settings: Settings, case: Case) -> dict[str, Any]:
    window = Window(settings.device, case.cell, case.steps, case.batch, case.hidden, case.lengths)
    exact = [t.detach().double().requires_grad_() for t in window.tensors]
    expected = window.outputs_and_gradients(window.reference(exact, torch.float64), exact)
    fused = [
        window.outputs_and_gradients(window.fused(case.dtype, case.tiles), window.tensors)
        for _ in range(2)
    ]
    unfused = window.outputs_and_gradients(
        window.reference(window.tensors, case.dtype), window.tensors
    )
    found = [_error(a, b) for a, b in zip(fused[0], expected, strict=True)]
    allowed = [_error(a, b) for a, b in zip(unfused, expected, strict=True)]
    relative = max(a / max(b, 1e-7) for a, b in zip(found, allowed, strict=True))
    if case.dtype == torch.float32:
        good = max(found) < 1e-5
    else:
        # twice what unfused steps of this type lose, and the rounding of the stored gates; an
        # interpreter truncates where a GPU rounds
        coarser = 1 if settings.device == "cuda" else 2
        pairs = zip(found, allowed, strict=True)
        good = all(a <= coarser * (2 * b + 2**-8) for a, b in pairs)
    same = all(torch.equal(a, b) for a, b in zip(*fused, strict=True))
    return {
        "worst_error": max(found),
        "worst_unfused": max(allowed),
        "worst_ratio": relative,
        "bitwise_repeatable": same,
        "ok": bool(good and same),
    }


def _check_line(values: dict[str, Any], ceilings: dict[str, float]) -> str:
    text = "ok " if values["ok"] else "NOT OK "
    if "worst_error" not in values:
        return text
    return (
        f"{text} error {values['worst_error']:.1e}, {values['worst_ratio']:.2f} of unfused"
        f"{'' if values['bitwise_repeatable'] else ', NOT REPEATABLE'}"
    )


def _check_graph(option: str) -> dict[str, Any]:
    runs = []
    for graph in (False, True):
        with _tiles(option):
            updates = _updates("cuda", 512, 64, 16, graph=graph)
            _fill(updates, 16, 64, times=8)
        runs.append((updates.read()[0], [p.clone() for p in updates.model.parameters()]))
    (losses, weights), (recorded_losses, recorded_weights) = runs
    same = all(torch.equal(a, b) for a, b in zip(weights, recorded_weights, strict=True))
    return {"losses": losses, "ok": losses == recorded_losses and same}


# --- training speed ----------------------------------------------------------------------------


def training_rows(settings: Settings) -> list[Row]:
    """Whole updates as the trainer runs them, and where the time of a step goes."""
    sizes = QUICK_TRAINING if settings.quick else TRAINING
    rows = []
    for option in ("",) if settings.quick else OPTIONS:
        windows = [
            ("mlstm", batch, hidden, torch.bfloat16, OPTIONS[option](tiles_for(hidden, batch, 2)))
            for hidden, batch, _, _ in sizes
        ]
        rows.append(_compile_row(f"training{option}", settings, windows))
        for hidden, batch, window, wanted in sizes:
            size = (hidden, batch, window)
            rows.append(
                Row(
                    f"train H{hidden} B{batch} T{window}{option}",
                    lambda s=size, o=option, w=wanted: _train(settings, *s, o, w),
                    _train_line,
                    8.0,
                )
            )
        if option in ("", " tma overlap"):
            rows += [
                Row(
                    f"steps H{hidden} B{batch}{option}",
                    lambda s=(hidden, batch, window), o=option: _steps(settings, *s, o),
                    _steps_line,
                    5.0,
                )
                for hidden, batch, window, _ in sizes
            ]
    return rows


def _train(
    settings: Settings,
    hidden: int,
    batch: int,
    window: int,
    option: str,
    wanted: float | None,
) -> dict[str, Any]:
    with _tiles(option):
        updates = _updates(settings.device, hidden, batch, window)
        _fill(updates, window, batch, times=3)
        inputs, targets = (torch.randint(0, 256, (window, batch)) for _ in range(2))
        seconds = median_seconds(lambda: updates.update(inputs, targets, 1e-4), settings.device)
    return _rate(seconds, hidden, batch, window, 10) | {
        "wanted_bytes_per_s": wanted,
        "loss": updates.read()[0][-1],
    }


def _rate(seconds: float, hidden: int, batch: int, window: int, products: int) -> dict[str, Any]:
    """``products`` H^2 multiply-adds a byte and direction, twice as many FLOP, and the output."""
    flops = 3 * (products * hidden**2 + 512 * hidden)
    return {
        "seconds": seconds,
        "bytes_per_s": batch * window / seconds,
        "us_per_step": 1e6 * seconds / window,
        "flops": flops * batch * window / seconds,
    }


def _train_line(values: dict[str, Any], ceilings: dict[str, float]) -> str:
    wanted = values.get("wanted_bytes_per_s")
    verdict = ""
    if wanted:
        verdict = "  reached" if values["bytes_per_s"] >= wanted else "  BELOW"
        verdict += f" {wanted / 1e6:.2f}"
    return (
        f"{values['bytes_per_s'] / 1e6:7.3f} M bytes/s {values['us_per_step']:8.1f} us/step "
        f"{100 * values['flops'] / ceilings['gemm_flops']:5.1f} % of the product's ceiling{verdict}"
    )


def _steps(settings: Settings, hidden: int, batch: int, steps: int, option: str) -> dict[str, Any]:
    """Microseconds a step: kernels forward, kernels backward, the products left to the end."""
    window = Window(settings.device, "mlstm", steps, batch, hidden)
    tiles = OPTIONS[option](tiles_for(hidden, batch, 2))
    forward, whole = window.seconds(tiles)
    one_hot = torch.zeros(steps * batch, 256, device=settings.device, dtype=torch.bfloat16)
    h, dz = (one_hot.new_empty(len(one_hot), n * hidden).normal_() for n in (1, 4))

    def at_the_end() -> None:
        for a, b in ((h, dz), (h, h), (one_hot, dz), (one_hot, h)):
            sequence_triton._sum_of_outer(a, b)

    end = median_seconds(recorded(at_the_end, settings.device), settings.device)
    per_step = 1e6 / steps
    return {
        "forward_us": forward * per_step,
        "backward_us": (whole - forward - end) * per_step,
        "end_us": end * per_step,
    }


def _steps_line(values: dict[str, Any], ceilings: dict[str, float]) -> str:
    return (
        f"{values['forward_us']:8.1f} us forward {values['backward_us']:8.1f} us backward "
        f"{values['end_us']:8.1f} us products at the end, a step"
    )


# --- tiles -------------------------------------------------------------------------------------


def tune_rows(settings: Settings) -> list[Row]:
    """A step, forward and backward, with one product's tile exchanged for a candidate."""
    sizes: dict[tuple[int, int], Any] = CANDIDATES
    if settings.quick:
        sizes = {(16, 4): {"gates": (Tile(16, 16, 16, 1, 4, 2),)}}
    variants = []
    for (hidden, batch), candidates in sizes.items():
        table = tiles_for(hidden, batch, 2)
        found = [("table", table)]
        for name, tiles in candidates.items():
            found += [(f"{name} {_name(t)}", table._replace(**{name: t})) for t in tiles]
        variants += [
            (hidden, batch, f"{label}{option}", change(tiles))
            for label, tiles in found
            for option, change in OPTIONS.items()
            if label == "table" or option in ("", " tma overlap")
        ]
    windows = [("mlstm", b, h, torch.bfloat16, tiles) for h, b, _, tiles in variants]
    rows = [_compile_row("tiles", settings, windows)]
    for hidden, batch, label, tiles in variants:
        rows.append(
            Row(
                f"tune H{hidden} B{batch} {label}",
                lambda h=hidden, b=batch, t=tiles: _tune(settings, h, b, t),
                _tune_line,
                3.0,
            )
        )
    return rows


def _name(tile: Tile) -> str:
    return f"{tile.rows}x{tile.units}x{tile.depth}/{tile.split}"


def _tune(settings: Settings, hidden: int, batch: int, tiles: Tiles) -> dict[str, Any]:
    steps = 2 if settings.quick else 64
    forward, whole = Window(settings.device, "mlstm", steps, batch, hidden).seconds(tiles)
    return {
        "tiles": [list(tile) for tile in tiles],
        "forward_us": 1e6 * forward / steps,
        "rest_us": 1e6 * (whole - forward) / steps,
    }


def _tune_line(values: dict[str, Any], ceilings: dict[str, float]) -> str:
    return f"{values['forward_us']:8.1f} us forward {values['rest_us']:8.1f} us the rest, a step"


# --- peers -------------------------------------------------------------------------------------


def peer_rows(settings: Settings) -> list[Row]:
    """Others' ways of training the same sizes, and the steps from them to ours."""
    rows = []
    for size in QUICK_PEERS if settings.quick else PEERS:
        name = "H{} B{} T{}".format(*size)
        for label, run, seconds in (
            ("cell by cell", _cell_by_cell, 10.0),
            ("cuDNN LSTM bfloat16", lambda s, *a: _library_lstm(s, torch.bfloat16, *a), 8.0),
            ("cuDNN LSTM float16", lambda s, *a: _library_lstm(s, torch.float16, *a), 8.0),
            ("tables, autograd", _autograd, 12.0),
            ("one function, library ops", lambda s, *a: _one_function(s, False, *a), 10.0),
            ("one function, library ops, graph", lambda s, *a: _one_function(s, True, *a), 12.0),
            ("cell by cell, torch.compile", _compiled_cell, 90.0),
        ):
            rows.append(
                Row(
                    f"peer {name} {label}",
                    lambda run=run, size=size: run(settings, *size),
                    _train_line,
                    seconds,
                )
            )
    return rows


def _peer(
    settings: Settings, net: Any, size: tuple[int, int, int], products: int
) -> dict[str, Any]:
    hidden, batch, window = size
    inputs, targets = (
        torch.randint(0, 256, (window, batch), device=settings.device) for _ in range(2)
    )
    update = mlstm_peers.update_of(net, inputs, targets)
    seconds = median_seconds(update, settings.device, repeats=3)
    del net, update
    _free()
    return _rate(seconds, hidden, batch, window, products)


def _cell_by_cell(settings: Settings, *size: int) -> dict[str, Any]:
    net = mlstm_peers.CellByCell(size[0]).to(settings.device, torch.bfloat16)
    return _peer(settings, net, size, 10)


def _compiled_cell(settings: Settings, *size: int) -> dict[str, Any]:
    net = mlstm_peers.CellByCell(size[0]).to(settings.device, torch.bfloat16)
    if settings.device == "cuda":
        net.step = torch.compile(net.one_step)
    return _peer(settings, net, size, 10)


def _library_lstm(settings: Settings, dtype: torch.dtype, *size: int) -> dict[str, Any]:
    dtype = dtype if settings.device == "cuda" else torch.float32
    net = mlstm_peers.LibraryLSTM(size[0]).to(settings.device, dtype)
    return _peer(settings, net, size, 8)


def _autograd(settings: Settings, *size: int) -> dict[str, Any]:
    hidden, batch, window = size
    updates = _updates(settings.device, *size, graph=False, backend="reference")
    return _timed_updates(settings, updates, hidden, batch, window)


def _one_function(settings: Settings, graph: bool, *size: int) -> dict[str, Any]:
    hidden, batch, window = size
    with patch.object(sequence_triton, "_Steps", mlstm_peers.LibrarySteps):
        updates = _updates(settings.device, *size, graph=graph and settings.device == "cuda")
        return _timed_updates(settings, updates, hidden, batch, window)


def _timed_updates(
    settings: Settings, updates: GraphedUpdates, hidden: int, batch: int, window: int
) -> dict[str, Any]:
    _fill(updates, window, batch, times=3)
    inputs, targets = (torch.randint(0, 256, (window, batch)) for _ in range(2))
    seconds = median_seconds(
        lambda: updates.update(inputs, targets, 1e-4), settings.device, repeats=3, warm_up=1
    )
    return _rate(seconds, hidden, batch, window, 10)


# --- shared ------------------------------------------------------------------------------------


class Window:
    """Random bytes, weights and state for one call of a recurrence on ``device``."""

    def __init__(
        self, device: str, cell: str, steps: int, batch: int, hidden: int, lengths: bool = False
    ) -> None:
        generator = torch.Generator(device).manual_seed(steps + batch + hidden)

        def normal(*shape: int, scale: float = 1.0) -> Tensor:
            values = torch.randn(shape, generator=generator, device=device) * scale
            return values.requires_grad_()

        self.cell, self.device = cell, device
        self.bytes = torch.randint(0, 256, (steps, batch), generator=generator, device=device)
        self.lengths = None
        if lengths:
            self.lengths = torch.arange(batch, device=device) % (steps + 1)
        scale = hidden**-0.5
        state = [normal(batch, hidden), normal(batch, hidden)]
        tables = [normal(256, 4 * hidden)]
        weights = [normal(hidden, 4 * hidden, scale=scale)]
        if cell == "mlstm":
            tables = [normal(256, hidden), *tables]
            weights = [normal(hidden, hidden, scale=scale), *weights]
        self.tensors = [*tables, *weights, *state]
        self.projections = [
            torch.randn(shape, generator=generator, device=device, dtype=torch.float64)
            for shape in ((steps, batch, hidden), (batch, hidden), (batch, hidden))
        ]

    def reference(self, tensors: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
        *weights, h0, c0 = tensors
        function = mlstm if self.cell == "mlstm" else lstm
        return function(
            self.bytes, *weights, h0.to(dtype), c0, lengths=self.lengths, backend="reference"
        )

    def fused(self, dtype: torch.dtype, tiles: Tiles) -> tuple[Tensor, ...]:
        table_mx = w_m = None
        if self.cell == "mlstm":
            table_mx, table_zx, w_m, w_z, h0, c0 = self.tensors
        else:
            table_zx, w_z, h0, c0 = self.tensors
        return sequence_triton.run(
            self.bytes, table_zx, w_z, h0.to(dtype), c0, self.lengths, table_mx, w_m, tiles
        )

    def outputs_and_gradients(
        self, outputs: tuple[Tensor, ...], tensors: list[Tensor]
    ) -> list[Tensor]:
        loss = sum((o.double() * p).sum() for o, p in zip(outputs, self.projections, strict=True))
        return [*(o.detach() for o in outputs), *torch.autograd.grad(loss, tensors)]

    def seconds(self, tiles: Tiles) -> tuple[float, float]:
        """A bfloat16 window forward, keeping activations, and the same with its gradients."""
        *weights, h0, c0 = self.tensors
        h0, c0 = h0.detach().bfloat16(), c0.detach()
        table_mx, table_zx, w_m, w_z = weights
        arguments = (self.bytes, table_zx, w_z, h0, c0, None, table_mx, w_m, tiles)
        lengths = self.bytes.new_full((len(h0),), len(self.bytes))
        inner = (self.bytes, table_zx, w_z, h0, c0, lengths, table_mx, w_m, tiles)
        grad_h = torch.randn_like(h0.expand(len(self.bytes), *h0.shape))

        def forward() -> Any:
            with torch.no_grad():
                return sequence_triton._forward(*inner, keep=True)

        def whole() -> Any:
            h, _, _ = sequence_triton.run(*arguments)
            return torch.autograd.grad(h, weights, grad_h)

        found = []
        for function in (forward, whole):
            function()
            found.append(median_seconds(recorded(function, self.device), self.device))
            _free()
        return found[0], found[1]


def _compile_row(name: str, settings: Settings, windows: list[tuple[Any, ...]]) -> Row:
    """Compile what the rows after it need, side by side; windows: (cell, B, H, dtype, tiles)."""
    distinct = list(dict.fromkeys(windows))

    def run() -> dict[str, Any]:
        if settings.device == "cuda":
            compile_kernels(distinct, settings.device)
        return {"windows": len(distinct)}

    def line(values: dict[str, Any], ceilings: dict[str, float]) -> str:
        return f"kernels for {values['windows']} windows in {values['row_seconds']} s"

    return Row(f"compile for {name}", run, line, 30.0, again=True)


def compile_kernels(windows: list[tuple[Any, ...]], device: str) -> None:
    """Compile the kernels of steps of (cell, B, H, dtype, tiles), several at a time; run none."""
    from triton import AsyncCompileMode
    from triton.runtime.jit import KernelInterface

    def only_compile(kernel: Any, grid: Any) -> Any:
        return lambda *values, **options: kernel.warmup(*values, grid=grid, **options)

    with (
        ThreadPoolExecutor(12) as pool,
        AsyncCompileMode(pool),
        patch.object(KernelInterface, "__getitem__", only_compile),
    ):
        for cell, batch, hidden, dtype, tiles in windows:
            h, gates = (torch.empty(batch, n * hidden, device=device, dtype=dtype) for n in (1, 4))
            w_m, w_z = (h.new_empty(n * hidden, hidden) for n in (1, 4))
            table, table_z = (torch.empty(256, n * hidden, device=device) for n in (1, 4))
            x = torch.empty(batch, dtype=torch.int64, device=device)
            c = torch.empty(batch, hidden, device=device)
            steps = sequence_triton._Steps(batch, hidden, h, x, tiles)
            steps.gates(h, w_z, x, table_z, 1, h, c, gates, h, c)
            if cell == "mlstm":
                steps.product(h, w_m, x, table, h, h)
                steps.product_back(gates, w_z, x, table, h, h, h)
                steps.gates_back(h, w_m, 1, h, c, gates, c, c, c, gates)
            else:
                steps.gates_back(gates, w_z, 1, h, c, gates, c, c, c, gates)


@contextmanager
def _tiles(option: str) -> Iterator[None]:
    """The table's tiles with an option, for all that runs inside."""
    changed = OPTIONS[option]
    with patch.object(sequence_triton, "tiles_for", lambda *size: changed(tiles_for(*size))):
        yield


def _updates(
    device: str,
    hidden: int,
    batch: int,
    window: int,
    graph: bool = True,
    backend: str = "triton",
) -> GraphedUpdates:
    _free()
    model = ByteLanguageModel(hidden=hidden).to(device)
    return GraphedUpdates(
        model,
        batch=batch,
        window=window,
        clip=1.0,
        dtype=torch.bfloat16,
        capacity=64,
        graph=graph and device == "cuda",
        backend=backend,
    )


def _fill(updates: GraphedUpdates, window: int, batch: int, times: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(times):
        both = torch.randint(0, 256, (window + 1, batch), generator=generator)
        updates.update(both[:-1], both[1:], 1e-3)


def _error(found: Tensor, expected: Tensor) -> float:
    """RMS of the error over RMS of the expected value."""
    error = (found.double() - expected).square().mean().sqrt()
    return float(error / expected.square().mean().sqrt().clamp_min(1e-30))


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
