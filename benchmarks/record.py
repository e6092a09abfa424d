"""``radford bench``: run benchmarks, print their tables, keep their rows with where they come from.

A benchmark is a module here with ``run(device, quick) -> rows`` and ``as_text(rows) -> str``. A
failed row holds ``error``, and costs the others nothing.
"""

import importlib
import json
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import torch

from radford_lib.book import provenance
from radford_lib.book.layout import Book
from radford_lib.errors import RadfordError, UsageError
from radford_lib.files import atomic_path

SEED = 0


def bench(book: Book, kind: str, device: str | None, quick: bool, out: Path | None) -> None:
    """Run benchmark ``kind``, print its table and write its rows to ``out``.

    device: ``cpu`` or ``cuda``; None is a GPU where there is one.
    Without ``out`` they go to benchmarks/results/, unless ``quick``, whose numbers say nothing.
    Raises ``RadfordError`` where there is no such device, where ``out`` cannot be written (before
    anything is measured) and, at the end, where a row failed.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise RadfordError("no CUDA device here: run with --device cpu")
    if out is None and not quick:
        out = book.root / "benchmarks" / "results" / f"{kind}-{slug(device)}.json"
    if out is not None and out.is_dir():
        raise UsageError(f"--out {out} is a folder: name a file in it")
    module = importlib.import_module(f"benchmarks.{kind}")
    torch.manual_seed(SEED)
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(out)) if out is not None else None
        origin = where_from(book, device, quick)
        rows = module.run(device, quick)
        click.echo(module.as_text(rows))
        if temporary is not None:
            values = {"kind": kind, "provenance": origin, "rows": rows}
            temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    if out is not None:
        click.echo(f"kept in {out}")
    failed = [row for row in rows if "error" in row]
    if failed:
        raise RadfordError(f"{len(failed)} of {len(rows)} rows failed: {failed[0]['error']}")


def where_from(book: Book, device: str, quick: bool) -> dict[str, Any]:
    """Code, machine and settings of a run."""
    return {
        # its own results, this very file among them, are no change of the code
        **provenance.commit(book, "radford_lib", "benchmarks", ":(exclude)benchmarks/results"),
        "device": device,
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "processor": provenance.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": provenance.versions(),
        "date": provenance.now(),
        "seed": SEED,
        "quick": quick,
    }


def slug(device: str) -> str:
    """``cpu``, or the GPU's name in small letters and hyphens."""
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
