"""Taking over what a script of ``scripts/h200`` brought back: records and weights."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radford_lib.book.export import PROVENANCE
from radford_lib.book.layout import Book
from radford_lib.book.results import load_recorded
from radford_lib.errors import RadfordError
from radford_lib.files import atomic_path, write_text


def import_folder(
    book: Book,
    profile: str,
    folder: Path,
    *,
    weights_folder: Path | None = None,
    allow_dirty: bool = False,
    allow_quick: bool = False,
) -> list[str]:
    """Write the records in ``folder`` to ``results/<profile>`` and its weights to the library.

    ``weights_folder`` is where weights go, the library's own unless given. Returns the files'
    names. Raises ``RadfordError`` where the folder holds no record, one that is not whole, a
    rehearsal at toy size (unless ``allow_quick``), one of code that was not committed (unless
    ``allow_dirty``), or a result that another record has already; nothing is written then.
    """
    book.check_profile(profile)
    runs = {path: run for path in sorted(folder.glob("*.json")) if (run := read_run(path))}
    if not runs:
        raise RadfordError(f"{folder} holds no record of a run: give the folder that came back")
    records: dict[str, dict[str, Any]] = {}
    for path, run in runs.items():
        if run["quick"] and not allow_quick:
            raise RadfordError(f"{path} is a rehearsal at toy size (--quick), not a result")
        for chapter, record in run["records"].items():
            check_record(path, record, allow_dirty)
            records[chapter] = {
                **record,
                "provenance": {**record["provenance"], "profile": profile},
            }
    check_keys(book, profile, records)
    written = []
    for path, run in runs.items():
        for name, card in run["weights"].items():
            written += take_weights(name, card, path.parent, weights_folder)
    for chapter, record in records.items():
        target = book.recorded(profile, chapter)
        write_text(target, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        written.append(target.relative_to(book.root).as_posix())
    return written


def read_run(path: Path) -> dict[str, Any] | None:
    """What a script wrote to ``path``; None for other JSON."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RadfordError(f"{path} cannot be read ({error}): fetch it again") from error
    return run if isinstance(run, dict) and {"records", "weights", "quick"} <= run.keys() else None


def check_record(path: Path, record: Mapping[str, Any], allow_dirty: bool) -> None:
    """Raise ``RadfordError`` unless the record is whole and of committed code."""
    about = record["provenance"]
    missing = [key for key in PROVENANCE if key not in about]
    if missing:
        raise RadfordError(f"{path}: its provenance says nothing of {', '.join(missing)}")
    if (about["commit"] is None or about["dirty"]) and not allow_dirty:
        raise RadfordError(
            f"{path} is a run of uncommitted or unknown code: --allow-dirty takes it"
        )


def check_keys(book: Book, profile: str, records: Mapping[str, Any]) -> None:
    """Raise ``RadfordError`` where a result would then be recorded twice."""
    taken = {
        key: entry["chapter"]
        for key, entry in load_recorded(book, profile).items()
        if entry["chapter"] not in records
    }
    for chapter, record in records.items():
        for key in record["results"]:
            if key in taken:
                raise RadfordError(f"{key} of {chapter} is recorded by {taken[key]} already")
            taken[key] = chapter


def take_weights(
    name: str, card: Mapping[str, Any], source: Path, target: Path | None
) -> list[str]:
    """Copy one network's shards and write its card; shards of an earlier one of this name go."""
    from radford_lib import weights
    from radford_lib.weights.shards import read_shards

    folder = target or weights.FOLDER
    read_shards(source, card["shards"], f"fetch '{name}' again")
    if (folder / f"{name}.json").is_file():
        for stale in weights.read_card(folder / f"{name}.json")["shards"]:
            (folder / stale["file"]).unlink(missing_ok=True)
    for shard in card["shards"]:
        with atomic_path(folder / shard["file"]) as temporary:
            shutil.copyfile(source / shard["file"], temporary)
    weights.write_card(name, card, folder)
    return [shard["file"] for shard in card["shards"]] + [f"{name}.json"]
