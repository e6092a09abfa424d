"""Check and time the library's GPU kernels in one call, within a time limit.

``python -m benchmarks.h200_kernels --out DIR --limit SECONDS`` runs rows of jobs one after another,
writes each into ``DIR/h200_kernels.json`` as soon as it is there, and prints a short table last. A
row that does not fit into what is left of the limit is left out; the next call with the same file
goes on from there (``--resume`` names a file of an earlier call; rows of another card are not
taken over). A job is a function from :class:`Settings` to rows, listed in ``_jobs``: append to it.

``--device cpu --quick`` walks the same way at toy sizes with interpreted kernels.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Where and how large."""

    device: str
    quick: bool


@dataclass(frozen=True)
class Row:
    """One measurement: ``run`` returns JSON values; ``seconds`` is about what it takes.

    ``line`` makes the short table's text of these values and the ceilings. ``again``: to be run in
    each call, because what it leaves behind is not in the file.
    """

    key: str
    run: Callable[[], dict[str, Any]]
    line: Callable[[dict[str, Any], dict[str, float]], str]
    seconds: float = 5.0
    again: bool = False


@dataclass
class Report:
    """What has been found so far, in a file."""

    path: Path
    card: str
    ceilings: dict[str, float] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load(self, path: Path) -> None:
        """Take over the rows of an earlier call on the same card that did not fail."""
        if not path.exists():
            return
        earlier = json.loads(path.read_text())
        if earlier["card"] != self.card:
            print(f"{path}: its rows are those of {earlier['card']}, not taken over")
            return
        self.rows |= {key: row for key, row in earlier["rows"].items() if "error" not in row}

    def save(self) -> None:
        values = {"card": self.card, "ceilings": self.ceilings, "rows": self.rows}
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(values, indent=1))
        temporary.replace(self.path)


def _jobs() -> dict[str, Callable[[Settings], list[Row]]]:
    from benchmarks import dcgan, mlstm_gpu

    return {
        "check": mlstm_gpu.check_rows,
        "mlstm": mlstm_gpu.training_rows,
        "tune": mlstm_gpu.tune_rows,
        "peers": mlstm_gpu.peer_rows,
        "dcgan": dcgan.kernel_rows,
    }


def _measure_ceilings(settings: Settings) -> dict[str, float]:
    from benchmarks.gpu_timing import copy_ceiling, gemm_ceiling

    if settings.quick:
        return {
            "gemm_flops": gemm_ceiling(settings.device, 256),
            "copy_bytes": copy_ceiling(settings.device, 2**24),
        }
    return {
        "gemm_flops": gemm_ceiling(settings.device),
        "copy_bytes": copy_ceiling(settings.device),
    }


def _run(row: Row, report: Report) -> None:
    started = time.perf_counter()
    try:
        values = row.run()
    except Exception as error:
        # one row that fails, for want of memory say, must not cost the others
        traceback.print_exc()
        values = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    values["row_seconds"] = round(time.perf_counter() - started, 2)
    report.rows[row.key] = values
    report.save()
    print(f"{_line(row, report)}  [{values['row_seconds']} s]", flush=True)


def _line(row: Row, report: Report) -> str:
    values = report.rows.get(row.key)
    if values is None:
        return f"{row.key:46s} left out: no time"
    if "error" in values:
        return f"{row.key:46s} FAILED {values['error'].splitlines()[0][:90]}"
    return f"{row.key:46s} {row.line(values, report.ceilings)}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results")
    parser.add_argument("--limit", type=float, default=540.0, help="seconds for the whole call")
    parser.add_argument("--only", default="", help="jobs, comma-separated; all without it")
    parser.add_argument("--resume", type=Path, help="results of an earlier call")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    return parser.parse_args()


def main() -> int:
    """Run what was asked for; 1 where a row failed or a check did not hold."""
    started = time.perf_counter()
    arguments = _arguments()
    if arguments.device == "cpu":
        os.environ.setdefault("TRITON_INTERPRET", "1")
    import torch

    settings = Settings(arguments.device, arguments.quick)
    jobs = _jobs()
    names = [name for name in arguments.only.split(",") if name] or list(jobs)
    if unknown := set(names) - set(jobs):
        print(f"unknown job {', '.join(sorted(unknown))}: choose from {', '.join(jobs)}")
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    card = torch.cuda.get_device_name() if settings.device == "cuda" else "cpu"
    report = Report(arguments.out / "h200_kernels.json", f"{card}, torch {torch.__version__}")
    for path in (arguments.resume, report.path):
        if path is not None:
            report.load(path)
    report.ceilings = _measure_ceilings(settings)
    rows: list[Row] = []
    for name in names:
        rows += jobs[name](settings)
    for row in rows:
        if row.key in report.rows and not row.again:
            continue
        if time.perf_counter() - started + row.seconds < arguments.limit:
            _run(row, report)
    report.save()
    print(
        f"\n{report.card}: {report.ceilings['gemm_flops'] / 1e12:.0f} TFLOP/s bfloat16 product, "
        f"{report.ceilings['copy_bytes'] / 1e12:.2f} TB/s copy, "
        f"{time.perf_counter() - started:.0f} s"
    )
    for row in rows:
        print(_line(row, report))
    found = [report.rows.get(row.key, {}) for row in rows]
    return int(any("error" in values or values.get("ok") is False for values in found))


if __name__ == "__main__":
    sys.exit(main())
