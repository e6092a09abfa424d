"""The whole DCGAN step, D's update and G's, ours beside others' in one run; and its batch norm.

``radford bench dcgan`` prints a table and keeps the rows; ``python -m benchmarks.dcgan`` has
options of its own. Peers are timed in turns and their medians given, with images/s, FLOP/s by the
count of what the step must compute, and the share of the matrix product's rate of the same run.
What ``torch.compile`` takes is given apart; on a CPU it is only tried with ``--compile``.
"""

import argparse
import functools
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import dcgan_norm
from benchmarks.dcgan_peers import COMPILED_PEERS, CPU_PEERS, GPU_PEERS, Peer, PlainTrainer
from benchmarks.gpu_timing import copy_ceiling, gemm_ceiling
from benchmarks.h200_kernels import Row, Settings
from radford_lib.data.image_set import ImageSet
from radford_lib.machine_room.dcgan_bounds import step_flops
from radford_lib.machine_room.timing import interleave
from radford_lib.models.dcgan import find_shape
from radford_lib.training.distributed import Ranks
from radford_lib.training.gan import GanConfig, convolution_search, start
from radford_lib.training.gan_data import Batches
from radford_lib.training.gan_step import Updates

OURS = "ours"
GPU_SAMPLING = {"rounds": 7, "sample_seconds": 0.1, "wait_seconds": 0}
Rows = list[dict[str, Any]]
Job = Callable[[], Rows]


def our_step(shape: str, width: int, batch: int, device: str) -> tuple[Callable[[], None], float]:
    """Our D and G update on images drawn from a set, and the seconds that the first ones took."""
    found, started = find_shape(shape), time.perf_counter()
    ranks = Ranks(0, 1, device)
    config = GanConfig(shape=shape, width=width, batch=batch, schedule="sequential")
    size = (8 * batch, found.size, found.size, found.channels)
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    images = ImageSet(images=pixels, name="noise", split="train", toy=True, sha256="noise")
    updates = Updates("sequential", batch, start(config, ranks), Batches(images, batch, 0, ranks))
    for _ in range(5):  # the fourth is recorded
        updates.run()
    return updates.run, time.perf_counter() - started


def step_rows(
    shape: str, width: int, batch: int, device: str, peers: dict[str, Peer], gemm_flops: float,
    **sampling: Any,
) -> Rows:  # fmt: skip
    """One row for each way to train; a peer that fails says why."""
    steps: dict[str, Callable[[], object]] = {}
    first: dict[str, float] = {}
    failed: Rows = []
    with convolution_search():
        for name, peer in peers.items():
            try:
                steps[name], first[name] = PlainTrainer(peer, shape, width, batch, device).ready()
            except Exception as error:  # one that does not compile must not cost the others
                traceback.print_exc()
                failed.append({"peer": name, "error": f"{type(error).__name__}: {error}"[:300]})
        steps[OURS], first[OURS] = our_step(shape, width, batch, device)
        timings = interleave(steps, device=device, **sampling)
    seconds = {name: timing.median for name, timing in timings.items()}
    labels = {"what": "step", "shape": shape, "width": width, "batch": batch}
    flops = step_flops(shape, width) * batch
    return [
        labels
        | {
            "peer": name, "ms": value * 1e3, "images_per_s": batch / value,
            "tflop_per_s": flops / value / 1e12, "share_of_gemm": flops / value / gemm_flops,
            "against_ours": timings[OURS].times_faster_than(timings[name]),
            "first_steps_s": first[name],
        }
        for name, value in seconds.items()
    ] + [labels | row for row in failed]  # fmt: skip


def gpu_jobs(device: str, quick: bool, gemm: float, copy: float) -> dict[str, Job]:
    """What is measured on a GPU, the most wanted first."""
    few = {name: GPU_PEERS[name] for name in ("eager bf16, NHWC", "bf16 NHWC, graph")}

    def steps(shape: str, width: int, batch: int, peers: dict[str, Peer]) -> Job:
        return lambda: step_rows(shape, width, batch, device, peers, gemm, **GPU_SAMPLING)

    jobs: dict[str, Job] = {
        "lsun64 128": steps("lsun64", 128, 128, GPU_PEERS),
        "batch norm 128": lambda: dcgan_norm.rows(
            128, dcgan_norm.LAYERS, torch.bfloat16, device, copy
        ),
    }
    if quick:
        return jobs
    jobs["lsun64 128 compiled"] = steps("lsun64", 128, 128, COMPILED_PEERS)
    jobs["slabs"] = lambda: dcgan_norm.slab_rows(512, device, copy)
    for shape, width in (("lsun64", 128), ("imagenet32", 128), ("svhn32", 64)):
        for batch in (128, 256, 512):
            if (shape, batch) != ("lsun64", 128):
                jobs[f"{shape} {batch}"] = steps(shape, width, batch, few)
    jobs["batch norm 512"] = lambda: dcgan_norm.rows(
        512, dcgan_norm.LAYERS[:4], torch.bfloat16, device, copy
    )
    jobs["batch norm 128 compiled"] = lambda: dcgan_norm.rows(
        128, dcgan_norm.LAYERS, torch.bfloat16, device, copy, compiled=True
    )
    return jobs


def cpu_jobs(quick: bool, compiled: bool, gemm: float, copy: float) -> dict[str, Job]:
    """What is measured on a CPU, in float32."""
    peers = dict(CPU_PEERS)
    if compiled:
        peers["channels last, compiled"] = Peer(channels_last=True, compiled="default")

    def steps(width: int, batch: int, **sampling: Any) -> Job:
        return lambda: step_rows("svhn32", width, batch, "cpu", peers, gemm, **sampling)

    if quick:
        return {
            "svhn32 4": steps(4, 8, rounds=2, sample_seconds=0, wait_seconds=0),
            "batch norm": lambda: dcgan_norm.rows(
                4, [(16, 4, 2)], torch.float32, "cpu", copy, most_sets=2
            ),
        }
    return {
        "svhn32 32": steps(32, 32, rounds=9),
        "svhn32 64": steps(64, 128, rounds=5),
        "batch norm": lambda: dcgan_norm.rows(
            32, [(32, 16, 1), (64, 8, 1), (64, 8, 2), (128, 4, 2)], torch.float32, "cpu", copy
        ),
    }


@functools.cache
def ceilings(device: str, quick: bool) -> tuple[float, float]:
    """FLOP/s of a matrix product in the type that is trained in, bytes/s of a copy: the best."""
    if device != "cpu":
        torch.set_float32_matmul_precision("high")  # TF32 for peers, as convolutions have it
        return gemm_ceiling(device), copy_ceiling(device)
    size, copied = (256, 1 << 24) if quick else (1536, 1 << 27)
    return (
        max(gemm_ceiling(device, size, torch.float32) for _ in range(3)),
        max(copy_ceiling(device, copied) for _ in range(3)),
    )


def all_jobs(device: str, quick: bool, compiled: bool = False) -> dict[str, Job]:
    """What is measured on ``device``, by name."""
    gemm, copy = ceilings(device, quick)
    if device == "cpu":
        return cpu_jobs(quick, compiled, gemm, copy)
    return gpu_jobs(device, quick, gemm, copy)


def kernel_rows(settings: Settings) -> list[Row]:
    """The same as rows of :mod:`benchmarks.h200_kernels`, each a table of its own."""

    def table(values: dict[str, Any], _: dict[str, float]) -> str:
        return "\n".join(["", *(f"  {line(row)}" for row in values["rows"])])

    def measured(job: Job) -> dict[str, Any]:
        return {"rows": job()}

    return [
        Row(f"dcgan {key}", functools.partial(measured, job), table, seconds(key))
        for key, job in all_jobs(settings.device, settings.quick).items()
    ]


def seconds(key: str) -> float:
    """About what a job takes, compilation included."""
    return 240.0 if "lsun64" in key and "compiled" in key else 60.0 if "lsun64" in key else 30.0


def run(
    device: str, quick: bool, *, compiled: bool = False, limit: float = 540.0, only: str = ""
) -> Rows:
    """Every row, in order; those that do not begin within ``limit`` seconds are left out."""
    started = time.perf_counter()
    is_gpu = device != "cpu"
    gemm, copy = ceilings(device, quick)
    name = f"{torch.cuda.get_device_name() if is_gpu else 'cpu'}, torch {torch.__version__}"
    rows: Rows = [
        {"what": "machine", "peer": name, "tflop_per_s": gemm / 1e12, "gb_per_s": copy / 1e9}
    ]
    report(line(rows[0]))
    for key, job in all_jobs(device, quick, compiled).items():
        if only not in key or time.perf_counter() - started > limit:
            continue
        begun = time.perf_counter()
        try:
            found = job()
        except Exception as error:  # nor must one size that does not fit cost the others
            traceback.print_exc()
            found = [{"what": key, "peer": "", "error": f"{type(error).__name__}: {error}"[:300]}]
        rows += found
        report(as_text(found))
        report(f"# {key}: {time.perf_counter() - begun:.1f} s")
        if is_gpu:
            torch.cuda.empty_cache()
    return rows


def report(text: str) -> None:
    """Show what has been measured so far beside the table, which comes at the end."""
    print(text, file=sys.stderr, flush=True)


def as_text(rows: Rows) -> str:
    """The rows as one table."""
    return "\n".join(map(line, rows))


def line(row: dict[str, Any]) -> str:
    """A row of the printed table."""
    where = row.get("layer") or " ".join(
        str(row[k]) for k in ("shape", "width", "batch") if k in row
    )
    text = f"{row['what']:11s}{where:26s}{row['peer']:34s}"
    if "error" in row:
        return f"{text}FAILED {row['error'].splitlines()[0]}"
    for name, pattern in (
        ("ms", "{:9.3f} ms"), ("images_per_s", "{:9.0f} img/s"), ("tflop_per_s", "{:8.2f} TFLOP/s"),
        ("share_of_gemm", "{:5.0%} of GEMM"), ("gb_per_s", "{:8.1f} GB/s"),
        ("share_of_copy", "{:5.0%} of copy"), ("against_ours", "{:6.2f} x ours"),
        ("first_steps_s", "first {:.1f} s"),
    ):  # fmt: skip
        if name in row:
            text += " " + pattern.format(row[name])
    return text


def main() -> int:
    """Print the table; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="the first few rows, or toy sizes")
    parser.add_argument("--compile", action="store_true", help="torch.compile on a CPU too")
    parser.add_argument("--limit", type=float, default=540.0, help="seconds to begin rows in")
    parser.add_argument("--only", default="", help="jobs with this in their name")
    parser.add_argument("--out", type=Path, help="file for the rows as JSON")
    given = parser.parse_args()
    rows = run(
        given.device, given.quick, compiled=given.compile, limit=given.limit, only=given.only
    )
    print(as_text(rows))
    if given.out is not None:
        given.out.write_text(json.dumps(rows, indent=1))
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
