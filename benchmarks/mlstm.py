"""Training steps of a byte mLSTM on a CPU: what each way of writing them reaches.

    python -m benchmarks.mlstm --device cpu [--quick]

What is compared, what counts as work and what as the ceiling: ``radford_lib.machine_room.ladder``.
"""

import argparse
from collections.abc import Iterable
from typing import Any

import torch

from radford_lib.machine_room.ladder import cpu_table

COLUMNS = {
    "candidate": "{}",
    "ms": "{:.1f}",
    "bytes_per_second": "{:.0f}",
    "gflops": "{:.1f}",
    "share_of_ceiling": "{:.1%}",
    "times_naive": "{:.2f}",
    "first_step_seconds": "{:.1f}",
    "memory_mb": "{:.0f}",
    "quiet_rounds": "{}",
}
SIZES = ((512, 64, 64), (256, 32, 256), (1024, 32, 64))  # hidden, batch, window
SIZES_QUICK = ((64, 8, 16),)


def run(device: str, quick: bool) -> list[dict[str, Any]]:
    """The whole benchmark: one row for each size, number of threads and candidate.

    ``quick`` rehearses it in seconds, at a size that says nothing. Raises ``ValueError`` for a
    device that is no CPU.
    """
    if device != "cpu":
        raise ValueError(f"this benchmark is of the CPU, not of {device!r}")
    sampling = {"rounds": 2, "sample_seconds": 0.1, "wait_seconds": 0} if quick else {"rounds": 9}
    threads_before = torch.get_num_threads()
    rows = []
    for threads in sorted({1, threads_before}):
        for size in SIZES_QUICK if quick else SIZES:
            rows += cpu_table(*size, threads, compiled=size == SIZES[0], **sampling)
    torch.set_num_threads(threads_before)
    return rows


def as_text(rows: list[dict[str, Any]]) -> str:
    """The rows as tables, one for each size and number of threads."""
    widths = [26, *(max(len(name), 8) for name in list(COLUMNS)[1:])]
    lines, heading = [], ""
    for row in rows:
        about = "H {hidden}, B {batch}, T {window}, {threads} threads".format(**row)
        if about != heading:
            heading = about
            ceiling = row.get("ceiling_gflops", float("nan"))
            lines += ["", f"{about}; ceiling {ceiling:.1f} GFLOP/s", _line(COLUMNS, widths)]
        cells = [form.format(row[name]) if name in row else "-" for name, form in COLUMNS.items()]
        lines.append(f"{_line(cells, widths)}  {row.get('note', '')}".rstrip())
    return "\n".join(lines).strip()


def _line(cells: Iterable[str], widths: list[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(as_text(run(arguments.device, arguments.quick)))


if __name__ == "__main__":
    main()
