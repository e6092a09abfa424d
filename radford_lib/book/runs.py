"""Running chapters: percent script -> papermill -> executed notebook, side by side."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from radford_lib.book import provenance
from radford_lib.book.chapters import (
    code_sha256,
    inspect_parameters,
    read_chapter,
    resolve_parameters,
)
from radford_lib.book.layout import Book
from radford_lib.book.results import collect
from radford_lib.errors import RadfordError
from radford_lib.files import write_text


@dataclass(frozen=True)
class Plan:
    """One chapter to run: what is executed, with which parameters, on which library."""

    chapter: str
    profile: str
    changed: dict[str, Any]  # parameters that differ from the chapter's own defaults
    parameters: dict[str, Any]  # all of them
    code_sha256: str
    library_sha256: str
    torch: str
    alone: bool  # whether it measures time, so that no other chapter may run beside it

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for an earlier run to stand for this one."""
        return {
            "code_sha256": self.code_sha256,
            "library_sha256": self.library_sha256,
            "parameters": self.parameters,
            "torch": self.torch,
        }


@dataclass(frozen=True)
class Outcome:
    """How one chapter went: ``ran``, ``unchanged`` or ``failed`` with what to show of the error."""

    chapter: str
    state: str
    seconds: float = 0.0
    error: str = ""


def plan(book: Book, profile: str, chapter: str, typed: dict[str, str]) -> Plan:
    """What running ``chapter`` would mean now; ``UsageError`` for a parameter it cannot take."""
    changed = resolve_parameters(book, profile, chapter, typed)
    defaults = {n: about["default"] for n, about in inspect_parameters(book, chapter).items()}
    notebook = read_chapter(book.source(chapter))
    return Plan(
        chapter=chapter,
        profile=profile,
        changed=changed,
        parameters=defaults | changed,
        code_sha256=code_sha256(notebook),
        library_sha256=provenance.library_sha256(),
        torch=provenance.versions()["torch"],
        alone=bool(notebook.metadata.get("radford", {}).get("alone", False)),
    )


def is_current(book: Book, wanted: Plan) -> bool:
    """Whether the run that lies there is of this code, these parameters, library and data."""
    import nbformat

    path = book.executed(wanted.profile, wanted.chapter)
    if not path.is_file():
        return False
    try:
        about = nbformat.read(path, as_version=4).metadata.get("radford", {})
    except (ValueError, nbformat.reader.NotJSONError):
        return False
    same = all(about.get(key) == value for key, value in wanted.identity.items())
    on_packs = any(not data["toy"] for data in about.get("data", []))
    return same and (not on_packs or about.get("packs") == provenance.packs_identity())


@contextlib.contextmanager
def only_run(book: Book, profile: str) -> Iterator[None]:
    """Hold the profile's lock; ``RadfordError`` if another process has it or it cannot be made."""
    import filelock

    folder = book.root / "runs" / profile
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RadfordError(
            f"another `radford run --profile {profile}` is at work here: wait for it to end"
        ) from error
    except OSError as error:
        raise RadfordError(f"cannot write {folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def run(
    book: Book,
    profile: str,
    names: tuple[str, ...] = (),
    *,
    typed: dict[str, str] | None = None,
    jobs: int | None = None,
    force: bool = False,
    progress: bool = True,
) -> list[Outcome]:
    """Run chapters of ``book`` under ``profile`` (all if none is named), side by side.

    ``typed`` are parameters as text, for every chapter named; ``jobs`` is how many chapters run at
    a time (default: one a core). Those whose header says ``radford: {alone: true}`` follow one by
    one, each with all cores. A chapter that fails stops no other. Raises ``UsageError`` for an
    unknown chapter, profile or parameter, ``RadfordError`` where the runs cannot be written.
    """
    book.check_profile(profile)
    plans = [plan(book, profile, name, typed or {}) for name in book.find_chapters(names)]
    with only_run(book, profile):
        due = [wanted for wanted in plans if force or not is_current(book, wanted)]
        current = [wanted.chapter for wanted in plans if wanted not in due]
        outcomes = [Outcome(chapter, "unchanged") for chapter in current]
        together = [wanted for wanted in due if not wanted.alone]
        alone = [wanted for wanted in due if wanted.alone]
        for group, at_a_time in ((together, jobs), (alone, 1)):
            if group:
                outcomes += run_side_by_side(book, group, at_a_time, progress)
    return sorted(outcomes, key=lambda outcome: outcome.chapter)


def run_side_by_side(
    book: Book, due: list[Plan], jobs: int | None, progress: bool
) -> list[Outcome]:
    """Execute ``due`` in worker processes, the cores divided among them."""
    from tqdm import tqdm

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(len(due), jobs or cores or 1)
    threads = max(1, (cores or 1) // workers)
    cells = sum(len(read_chapter(book.source(wanted.chapter)).cells) for wanted in due)
    context = get_context("spawn")
    outcomes = []
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
        tqdm(total=cells, unit="cell", disable=not progress) as bar,
    ):
        done_cells = manager.Queue()
        waiting = {pool.submit(execute, book, wanted, threads, done_cells) for wanted in due}
        bar.set_description(", ".join(wanted.chapter for wanted in due))
        while waiting:
            with contextlib.suppress(TimeoutError):
                for future in as_completed(waiting, timeout=0.5):
                    waiting.discard(future)
                    outcomes.append(future.result())
                    bar.write(describe(outcomes[-1]), file=sys.stderr)
                    break
            while not done_cells.empty():
                done_cells.get()
                bar.update()
    return outcomes


def describe(outcome: Outcome) -> str:
    """One line (more for a failure) on how a chapter went."""
    if outcome.state == "failed":
        return f"FAILED    {outcome.chapter}\n{outcome.error}"
    took = f" {outcome.seconds:8.1f} s" if outcome.state == "ran" else ""
    return f"{outcome.state:<9} {outcome.chapter:<36}{took}"


def execute(book: Book, wanted: Plan, threads: int, done_cells: Any) -> Outcome:
    """Execute one chapter in this process; the notebook appears only when it is whole."""
    # read when the kernel imports torch
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # a `python3` kernel of the user's must not win over the one of this environment
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    # a backend chosen outside would keep the kernel from showing figures
    os.environ.pop("MPLBACKEND", None)
    import nbformat
    import papermill

    final = book.executed(wanted.profile, wanted.chapter)
    partial = final.with_suffix(f".{os.getpid()}.partial.ipynb")
    failed = final.with_suffix(".failed.ipynb")
    started = time.perf_counter()
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        notebook = papermill.execute_notebook(
            f"jupytext://{book.source(wanted.chapter)}",
            str(partial),
            parameters=wanted.changed,
            kernel_name="python3",
            cwd=str(book.root),
            progress_bar=False,
            log_output=False,
            extra_arguments=["--IPKernelApp.log_level=50"],
            on_cell_executed=lambda **_: done_cells.put(wanted.chapter),
        )
        seconds = time.perf_counter() - started
        stamp(book, notebook, wanted, threads, seconds)
        write_text(final, nbformat.writes(notebook))
        failed.unlink(missing_ok=True)
    except papermill.PapermillExecutionError as error:
        partial.replace(failed)
        return Outcome(wanted.chapter, "failed", error=explain(book, wanted, error, failed))
    except Exception as error:
        # anything else that one chapter meets must not stop the others
        return Outcome(wanted.chapter, "failed", error=f"          {type(error).__name__}: {error}")
    finally:
        partial.unlink(missing_ok=True)
    return Outcome(wanted.chapter, "ran", seconds)


def stamp(book: Book, notebook: Any, wanted: Plan, threads: int, seconds: float) -> None:
    """Write into the executed notebook where it comes from, and no path of this machine."""
    data = {}
    for entry in collect(notebook).values():
        for one in entry.get("data", []):
            data[one["name"], one["split"], one["sha256"]] = one
    source = book.source(wanted.chapter).relative_to(book.root).as_posix()
    notebook.metadata["radford"] = {
        **asdict(wanted),
        "source": source,
        "seed": wanted.parameters.get("seed"),
        "data": list(data.values()),
        "packs": provenance.packs_identity(),
        "device": provenance.machine(),
        "threads": threads,
        "seconds": round(seconds, 1),
        "date": provenance.now(),
        "versions": provenance.versions(),
        **provenance.commit(book),
    }
    output = book.executed(wanted.profile, wanted.chapter).relative_to(book.root).as_posix()
    notebook.metadata["papermill"].update(input_path=source, output_path=output)


def explain(book: Book, wanted: Plan, error: Any, failed: Path) -> str:
    """Chapter, cell, parameters and the error's own words, each on its line."""
    first_line = next(iter(error.source.strip().splitlines()), "")
    lines = [
        f"cell {error.exec_count}: {first_line}",
        f"{error.ename}: {error.evalue.strip()}",
        f"parameters: {wanted.changed or 'the defaults'}",
        f"as far as it came: {failed.relative_to(book.root)}",
    ]
    return "\n".join(f"          {line}" for line in lines)
