"""Training steps of a byte mLSTM: what each way of writing them reaches.

    radford bench mlstm [--device cpu|cuda] [--quick]

What is compared on a CPU, what counts as work and what as the ceiling:
``radford_lib.machine_room.ladder``. On a GPU: ``benchmarks.mlstm_gpu``, in bfloat16.
"""

import argparse
from typing import Any

import torch

from benchmarks.gpu_timing import gemm_ceiling
from benchmarks.h200_kernels import Settings
from benchmarks.table import as_table
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

    ``quick`` rehearses it in seconds, at a size that says nothing.
    """
    if device != "cpu":
        return gpu_rows(device, quick)
    sampling = {"rounds": 2, "sample_seconds": 0.1, "wait_seconds": 0} if quick else {"rounds": 9}
    threads_before = torch.get_num_threads()
    rows = []
    for threads in sorted({1, threads_before}):
        for size in SIZES_QUICK if quick else SIZES:
            rows += cpu_table(*size, threads, compiled=size == SIZES[0], **sampling)
    torch.set_num_threads(threads_before)
    return rows


def gpu_rows(device: str, quick: bool) -> list[dict[str, Any]]:
    """One row for each whole update, the library's and others', that ``mlstm_gpu`` knows."""
    from benchmarks import mlstm_gpu  # which needs Triton

    settings = Settings(device, quick)
    ceiling = gemm_ceiling(device, 256 if quick else 8192)
    rows = []
    for job in (*mlstm_gpu.training_rows(settings), *mlstm_gpu.peer_rows(settings)):
        row: dict[str, Any] = {"candidate": job.key, "ceiling_gflops": ceiling / 1e9}
        try:
            found = job.run()
        except Exception as error:  # one that does not fit must not cost the others
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            rows.append(row | {"error": why, "note": f"failed: {why}"})
            continue
        if "bytes_per_s" in found:
            rows.append(
                row
                | {
                    "ms": 1e3 * found["seconds"],
                    "bytes_per_second": found["bytes_per_s"],
                    "gflops": found["flops"] / 1e9,
                    "share_of_ceiling": found["flops"] / ceiling,
                }
            )
    return rows


def as_text(rows: list[dict[str, Any]]) -> str:
    """The rows as tables, one for each size and number of threads."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        about = "H {hidden}, B {batch}, T {window}, {threads} threads"
        tables.setdefault(about.format(**row) if "hidden" in row else "GPU", []).append(row)
    lines: list[str] = []
    for about, found in tables.items():
        ceiling = found[0].get("ceiling_gflops", float("nan"))
        lines += ["", f"{about}; ceiling {ceiling:.1f} GFLOP/s", *as_table(found, COLUMNS)]
    return "\n".join(lines).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(as_text(run(arguments.device, arguments.quick)))


if __name__ == "__main__":
    main()
