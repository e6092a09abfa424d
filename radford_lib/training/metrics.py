"""The history of a run: rows in memory and, for other programs to follow, ``metrics.jsonl``."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from radford_lib.errors import RadfordError
from radford_lib.files import write_text

FILE_NAME = "metrics.jsonl"


class MetricsLog:
    """Rows of metrics in the order they were logged, each appended at once to a file.

    ``folder`` None keeps them in memory only. ``rows`` are those of the checkpoint a run continues
    from: the file is rewritten to hold just these, so that what a killed run logged after its
    last checkpoint is not there twice. Store ``rows`` in each checkpoint.
    Raises ``RadfordError`` where the folder cannot be written.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, rows: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        self.rows: list[dict[str, Any]] = [dict(row) for row in rows]
        self._path = None if folder is None else Path(folder) / FILE_NAME
        if self._path is not None:
            write_text(self._path, "".join(map(_line, self.rows)))

    def append(self, **values: float | int | str) -> None:
        """Add one row, such as ``update=100, loss=1.38``."""
        self.rows.append(values)
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(values))
        except OSError as error:
            raise RadfordError(f"cannot write {self._path}: {error.strerror}") from error

    def column(self, name: str) -> list[Any]:
        """The values of ``name`` over the rows that have it."""
        return [row[name] for row in self.rows if name in row]


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"
