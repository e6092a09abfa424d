"""Rows of a benchmark as text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def as_table(rows: Sequence[Row], columns: Mapping[str, str]) -> list[str]:
    """Lines: a heading, then one for each row, with its ``note`` last.

    columns: how to write each value, by its name in a row; a name that a row lacks is a dash, and
    one that all of them lack is left out.
    """
    names = [name for name in columns if any(name in row for row in rows)]
    cells = [[columns[n].format(row[n]) if n in row else "-" for n in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    return [_line(names, widths)] + [
        f"{_line(line, widths)}  {row.get('note', '')}".rstrip()
        for line, row in zip(cells, rows, strict=True)
    ]


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
