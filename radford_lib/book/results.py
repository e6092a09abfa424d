"""Results: recorded in a chapter, read back from its executed notebook, kept as JSON.

The executed notebook is the only place a result is written to, so a number can be shown only if
the run that is shown produced it.
"""

import json
import math
from collections.abc import Iterable
from typing import Any, Protocol

from radford_lib.book.layout import Book
from radford_lib.errors import RadfordError, UsageError

MIME = "application/vnd.radford.result+json"


class Identified(Protocol):
    """Data that knows what it is: ``ImageSet``, ``ByteCorpus``, ``LabelledTexts``."""

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def toy(self) -> bool: ...
    @property
    def sha256(self) -> str: ...


def record(
    item: str,
    metric: str,
    value: Any,
    *,
    n: int | None = None,
    ci: tuple[float, float] | None = None,
    spread: float | None = None,
    seed: int | None = None,
    data: Identified | Iterable[Identified] | None = None,
    unit: str | None = None,
) -> None:
    """Record one result of this run, to be cited as ``item.metric``; arguments as ``result_entry``.

    Emits a machine-readable output that the page does not show.
    """
    kept = result_entry(
        item, metric, value, n=n, ci=ci, spread=spread, seed=seed, data=data, unit=unit
    )

    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(f"{kept['key']} = {kept['value']}")
    else:
        display({MIME: kept}, raw=True)


def result_entry(
    item: str,
    metric: str,
    value: Any,
    *,
    n: int | None = None,
    ci: tuple[float, float] | None = None,
    spread: float | None = None,
    seed: int | None = None,
    data: Identified | Iterable[Identified] | None = None,
    unit: str | None = None,
) -> dict[str, Any]:
    """One result as it is stored: what was given, as JSON values, under its ``key``.

    ``item`` is an id of ``papers.yml``; ``value`` a number or text (NumPy and torch scalars are
    taken); ``n`` how many cases it is measured on, ``ci`` its 95 % interval, ``spread`` its
    standard deviation over repeats; accuracies are fractions.
    Raises ``UsageError`` for what is neither a finite number nor text.
    """
    entry = {
        "key": f"{item}.{metric}",
        "item": item,
        "metric": metric,
        "value": plain(value),
        "n": None if n is None else int(n),
        "ci": None if ci is None else [plain(bound) for bound in ci],
        "spread": None if spread is None else plain(spread),
        "seed": None if seed is None else int(seed),
        "data": describe(data),
        "unit": unit,
    }
    return {key: part for key, part in entry.items() if part is not None}


def plain(value: Any) -> int | float | str:
    """A NumPy or torch scalar as a Python number; ``UsageError`` for what JSON cannot hold."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UsageError(f"a result is a number or text, not {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"a result must be finite, not {value}")
    return value


def describe(data: Identified | Iterable[Identified] | None) -> list[dict[str, Any]] | None:
    """Name, split, hash and toy flag of each data set a result was measured with."""
    if data is None:
        return None
    several: list[Any] = list(data) if isinstance(data, Iterable) else [data]
    return [
        {"name": one.name, "split": one.split, "toy": one.toy, "sha256": one.sha256}
        for one in several
    ]


def collect(notebook: Any) -> dict[str, dict[str, Any]]:
    """The results recorded in an executed notebook, by key; ``RadfordError`` on a repeated key."""
    found: dict[str, dict[str, Any]] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            entry = output.get("data", {}).get(MIME)
            if entry is None:
                continue
            if entry["key"] in found:
                raise RadfordError(f"result {entry['key']} is recorded twice in one chapter")
            found[entry["key"]] = dict(entry)
    return found


def load_run(book: Book, profile: str) -> dict[str, dict[str, Any]]:
    """All results of the executed notebooks of ``profile``, each with its ``chapter`` named."""
    import nbformat

    found: dict[str, dict[str, Any]] = {}
    for chapter in book.chapters():
        path = book.executed(profile, chapter)
        if path.is_file():
            notebook = nbformat.read(path, as_version=4)
            merge(found, collect(notebook), chapter)
    return found


def load_recorded(book: Book, profile: str) -> dict[str, dict[str, Any]]:
    """All committed results of ``profile``, each with its ``chapter`` and ``provenance``.

    A record that came of a script, not of a chapter, has the record's own name as ``chapter``.
    """
    found: dict[str, dict[str, Any]] = {}
    folder = book.root / "results" / profile
    for path in sorted(folder.rglob("*.json")):
        chapter = path.relative_to(folder).with_suffix("").as_posix()
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            results, provenance = run["results"], run["provenance"]
        except (ValueError, KeyError) as error:
            where = path.relative_to(book.root)
            raise RadfordError(f"{where} is not a record of a run: export it again") from error
        merge(found, results, chapter)
        for key in results:
            found[key]["provenance"] = provenance
    return found


def load_profile(book: Book, profile: str, built: str) -> dict[str, dict[str, Any]]:
    """Results of ``profile``: of its runs if it is the profile being ``built``, else committed."""
    return load_run(book, profile) if profile == built else load_recorded(book, profile)


def merge(
    found: dict[str, dict[str, Any]], results: dict[str, dict[str, Any]], chapter: str
) -> None:
    """Add a chapter's results to ``found``; ``RadfordError`` if another chapter has the key."""
    for key, entry in results.items():
        if key in found:
            other = found[key]["chapter"]
            raise RadfordError(f"result {key} is recorded by both {other} and {chapter}")
        found[key] = {**entry, "chapter": chapter}
