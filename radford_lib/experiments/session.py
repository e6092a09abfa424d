"""One call of an experiment: its time limit, how far it has come, what it hands back.

An experiment is a list of stages. A stage that is done is not done again by the next call, one that
does not fit into what is left of the limit is left out, and one that trains goes on from its
checkpoint. Everything lies in the work folder, which stays on the machine; what is to be brought
back is copied to the out folder after every stage: few files, none of them large.
"""

import argparse
import json
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from radford_lib import weights
from radford_lib.book import provenance
from radford_lib.book.layout import Book
from radford_lib.book.results import result_entry
from radford_lib.errors import RadfordError, UsageError
from radford_lib.files import atomic_path, sha256_tree, write_text

# What a lent machine gives back: files, bytes of one, bytes of all; the script's log is one of them
FILES, FILE_BYTES, ALL_BYTES = 8, 16 << 20, 64 << 20
PROFILE = "h200"
NOT_PARAMETERS = ("out", "work", "resume", "limit", "device")


class Unfinished(Exception):
    """Time is up before a stage is done; the next call goes on with it. Says how far it came."""


@dataclass(frozen=True)
class Stage:
    """One piece of an experiment: ``run`` does it and returns its line of the table.

    It is begun only where ``seconds`` are left.
    """

    key: str
    run: Callable[[], str]
    seconds: float = 5.0


def common_arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser of what every experiment takes."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of what comes back")
    parser.add_argument("--work", type=Path, default=Path("runs/h200"), help="what stays there")
    parser.add_argument("--limit", type=float, default=540.0, help="seconds for the whole call")
    parser.add_argument("--resume", type=Path, help="NAME.json of an earlier call: done stages")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="toy data and sizes: a rehearsal")
    parser.add_argument("--packs", action="store_true", help="a rehearsal on some of the real data")
    parser.add_argument("--seed", type=int, default=0)
    return parser


class Session:
    """What one call knows. ``state`` is JSON and survives it, as do ``metrics``, rows by run."""

    def __init__(
        self, name: str, arguments: argparse.Namespace, started: float, sizes: Any = None
    ) -> None:
        self.name, self.quick, self.seed = name, bool(arguments.quick), int(arguments.seed)
        self.device, self.out = str(arguments.device), Path(arguments.out)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("there is no GPU here: --device cpu --quick rehearses without one")
        self.folder = Path(arguments.work) / (f"{name}-quick" if self.quick else name)
        self.files = self.folder / "files"
        self._started, self._limit = started, float(arguments.limit)
        card = torch.cuda.get_device_name() if self.device == "cuda" else provenance.machine()
        self.state: dict[str, Any] = {
            "run": name, "quick": self.quick, "card": card, "seconds": 0.0,
            "parameters": parameters_of(arguments, sizes),
            "stages": {}, "values": {}, "records": {}, "weights": {},
        }  # fmt: skip
        self.metrics: dict[str, list[dict[str, Any]]] = {}
        self.progress = sys.stderr.isatty()
        self._take_over(self.files / f"{name}.json", own=True)
        if arguments.resume is not None:
            self._take_over(arguments.resume, own=False)
        self._before = self.state["seconds"]
        self._commit = provenance.commit(Book.here())
        own = Path(__file__).parent
        self._code = {
            "code_sha256": sha256_tree(sorted(own.glob("*.py")), own),
            "library_sha256": provenance.library_sha256(),
        }

    def _take_over(self, path: Path, own: bool) -> None:
        """What earlier calls have done, on this machine or, by their JSON alone, on another."""
        if not path.is_file():
            if own:
                return
            raise UsageError(f"--resume: there is no {path}")
        same = ("run", "quick", "card", "parameters")
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            different = [key for key in same if earlier[key] != self.state[key]]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no record of a run") from error
        if different:
            said = ", ".join(f"{key} {earlier[key]}" for key in different)
            print(f"{path} is of {said}: its stages are not taken over", flush=True)
            return
        self.state |= {key: value for key, value in earlier.items() if key not in same}
        lines = path.with_suffix(".jsonl")
        for row in map(json.loads, lines.read_text().splitlines() if lines.is_file() else ()):
            self.metrics.setdefault(row.pop("run"), []).append(row)
        if not own:
            # its weights came back with it and are not here
            self.state["weights"] = {}

    def left(self) -> float:
        """Seconds before the limit."""
        return self._limit - (time.perf_counter() - self._started)

    def deadline(self, reserve: float = 0.0) -> float:
        """When training has to stop, as ``time.perf_counter`` has it, with time to save."""
        saving = min(15.0, 0.1 * self._limit)
        return self._started + self._limit - saving - (0 if self.quick else reserve)

    def checkpoint(self, label: str, fingerprint: str) -> Path:
        """Folder of a training run's checkpoint; ``fingerprint`` tells what would not continue."""
        return self.folder / "checkpoints" / f"{label}-{fingerprint}"

    def record(self, chapter: str, item: str, metric: str, value: Any, **about: Any) -> None:
        """Keep one result under the name of ``chapter``: see ``book.results.result_entry``."""
        entry = result_entry(item, metric, value, seed=self.seed, **about)
        records = self.state["records"]
        record = records.setdefault(chapter, {"chapter": chapter, "results": {}, "figures": {}})
        record["results"][entry["key"]] = entry

    def keep_weights(self, name: str, module: nn.Module, card: Mapping[str, Any]) -> None:
        """Write a network's shards to what comes back, its card to the record."""
        about = {
            "seed": self.seed, "device": self.state["card"], **self._commit,
        }  # fmt: skip
        self.state["weights"][name] = weights.pack(name, module, {**about, **card}, self.files)

    def keep_images(self, name: str, images: np.ndarray) -> None:
        """Add uint8 images (N, H, W, C) to the one file of samples that comes back."""
        path = self.files / f"{self.name}-samples.safetensors"
        kept = load_file(path) if path.is_file() else {}
        with atomic_path(path) as temporary:
            save_file({**kept, name: np.ascontiguousarray(images)}, temporary)

    def save(self) -> None:
        """Write the state and the metrics, and copy what has changed to the out folder."""
        spent = time.perf_counter() - self._started
        self.state["seconds"] = round(self._before + spent, 1)
        for record in self.state["records"].values():
            record["provenance"] = self._provenance(record["results"].values())
        text = json.dumps(self.state, indent=1, ensure_ascii=False)
        write_text(self.files / f"{self.name}.json", text + "\n")
        rows = [{"run": run, **row} for run, found in self.metrics.items() for row in found]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write_text(self.files / f"{self.name}.jsonl", lines)
        self.out.mkdir(parents=True, exist_ok=True)
        for path in self.files.iterdir():
            target = self.out / path.name
            if not target.exists() or target.stat().st_mtime_ns != path.stat().st_mtime_ns:
                shutil.copy2(path, target)

    def _provenance(self, entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        data = {
            (one["name"], one["split"], one["sha256"]): one
            for entry in entries
            for one in entry.get("data", [])
        }
        return {
            "profile": PROFILE,
            "parameters": self.state["parameters"],
            "seed": self.seed,
            "data": list(data.values()),
            **self._code,
            "device": self.state["card"],
            "threads": torch.get_num_threads(),
            "seconds": self.state["seconds"],
            "date": provenance.now(),
            "versions": provenance.versions(),
            **self._commit,
        }

    def run(self, stages: Iterable[Stage]) -> int:
        """Do the stages that are not done while there is time, then print the short table.

        Returns the exit code: 1 where a stage failed, else 0.
        """
        lines: dict[str, str] = {}
        failed, is_over = 0, False
        stages = list(stages)
        for stage in stages:
            if stage.key in self.state["stages"]:
                lines[stage.key] = self.state["stages"][stage.key]["line"]
                continue
            if is_over or self.left() < (0.1 if self.quick else stage.seconds):
                lines[stage.key] = "left out: no time"
                continue
            lines[stage.key] = self._do(stage)
            failed += lines[stage.key].startswith("FAILED")
            is_over = lines[stage.key].startswith("unfinished")
            print(f"{stage.key:32s} {lines[stage.key]}", flush=True)
        self.save()
        print(f"\n{self.name}, {self.state['card']}, {self.state['seconds']:.0f} s in all")
        for stage in stages:
            print(f"{stage.key:32s} {lines[stage.key]}")
        for problem in too_much(self.out):
            print(problem)
        return int(failed > 0)

    def _do(self, stage: Stage) -> str:
        began = time.perf_counter()
        try:
            line = stage.run()
        except Unfinished as error:
            line = f"unfinished: {error}; call again"
        except Exception as error:
            # one stage that fails must not cost the others
            traceback.print_exc()
            line = f"FAILED {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        else:
            seconds = round(time.perf_counter() - began, 2)
            self.state["stages"][stage.key] = {"line": line, "seconds": seconds}
        self.save()
        return line


def parameters_of(arguments: argparse.Namespace, sizes: Any) -> dict[str, Any]:
    """What was asked for, and the dataclass ``sizes``, without what decides no result; as JSON."""
    asked = {key: value for key, value in vars(arguments).items() if key not in NOT_PARAMETERS}
    found: dict[str, Any] = json.loads(json.dumps(asked | (asdict(sizes) if sizes else {})))
    return found


def too_much(out: Path) -> list[str]:
    """What of the out folder a lent machine would not give back."""
    sizes = {path.name: path.stat().st_size for path in out.iterdir() if path.is_file()}
    found = [
        f"{name} is over {FILE_BYTES >> 20} MiB" for name, n in sizes.items() if n > FILE_BYTES
    ]
    if len(sizes) > FILES or sum(sizes.values()) > ALL_BYTES:
        found.append(f"{out} has {len(sizes)} files, {sum(sizes.values()) / 2**20:.0f} MiB in all")
    return found


def main(build: Callable[[], tuple[Session, list[Stage]]]) -> int:
    """Make a session and its stages and run them; what the user can mend is one line."""
    try:
        session, stages = build()
        return session.run(stages)
    except RadfordError as error:
        print(f"Error: {error}")
        return error.exit_code
