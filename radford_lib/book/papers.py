"""The papers' figures, tables and numbers, and what the book makes of each: ``papers.yml``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from radford_lib.errors import RadfordError

KINDS = ("figure", "table", "text", "readme", "code", "beyond")
VERDICTS = ("reproduced", "in part", "not", "not attempted")
# How sure a number is: the tags of the reference pages, in their order of trust
SOURCES = {
    "P": "read in the paper's text",
    "T": "read in an image of the paper's table or figure",
    "C": "read in the official code",
    "S": "read in another public source",
    "F": "read off a published figure, about ±1 %",
    "D": "derived from stated inputs",
    "M": "measured or counted",
    "R": "recalled, not verified",
    "R?": "recalled, unsure",
}


def percent_places(fractions: list[float], least: int = 1, most: int = 4) -> int:
    """Decimal places that all ``fractions`` need as percentages."""
    for places in range(least, most):
        if all(abs(number - round(number, places + 2)) < 1e-9 for number in fractions):
            return places
    return most


@dataclass(frozen=True)
class Number:
    """One number (or, as ``text``, one statement) that a paper gives."""

    label: str
    source: str
    where: str = ""
    value: float | None = None
    text: str | None = None
    unit: str | None = None
    spread: float | None = None
    record: str | None = None

    def shown(self) -> str:
        """The number as the page shows it: as precisely as its source gives it, never less."""
        if self.value is None:
            return self.text or ""
        if self.unit == "fraction":
            given = [number for number in (self.value, self.spread) if number is not None]
            form = f".{percent_places(given)}%"
        else:
            form = ",.0f" if float(self.value).is_integer() else "g"
        spread = "" if self.spread is None else f" ± {format(self.spread, form)}"
        unit = "" if self.unit in (None, "fraction") else f" {self.unit}"
        return f"{format(self.value, form)}{spread}{unit}"


@dataclass(frozen=True)
class Item:
    """One figure, table or experiment of a paper, and how far the book has come with it."""

    id: str
    paper: str
    title: str
    kind: str
    where: str
    protocol: str
    verdict: str
    why: str
    chapter: str | None = None
    numbers: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Papers:
    """Both papers (name -> title, authors, year, ...) and all their items."""

    about: dict[str, dict[str, Any]]
    items: tuple[Item, ...]

    def number_for(self, key: str) -> Number | None:
        """The paper's number that our result ``key`` is to be compared with."""
        for item in self.items:
            for number in item.numbers:
                if number.record == key:
                    return number
        return None


def load_papers(path: Path | None = None) -> Papers:
    """Read and check ``papers.yml``; ``RadfordError`` names the item and field that is wrong."""
    path = path or Path(__file__).with_name("papers.yml")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RadfordError(f"{path.name}: {' '.join(str(error).split())}") from error
    items = tuple(read_item(path.name, entry, raw["papers"]) for entry in raw["items"])
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise RadfordError(f"{path.name}: item {item.id} stands twice")
        seen.add(item.id)
    return Papers(raw["papers"], items)


def read_item(file: str, entry: dict[str, Any], papers: dict[str, Any]) -> Item:
    """One entry of ``items`` as an ``Item``, checked."""
    name = entry.get("id", "?")
    try:
        numbers = tuple(Number(**number) for number in entry.get("numbers") or ())
        item = Item(**{**entry, "numbers": numbers})
    except TypeError as error:
        raise RadfordError(f"{file}: item {name}: {error}") from error
    choices = {"paper": tuple(papers), "kind": KINDS, "verdict": VERDICTS}
    for field, allowed in choices.items():
        if getattr(item, field) not in allowed:
            raise RadfordError(
                f"{file}: item {name}: {field} is '{getattr(item, field)}', not one of {allowed}"
            )
    for number in item.numbers:
        if number.source not in SOURCES:
            raise RadfordError(f"{file}: item {name}: no confidence tag '{number.source}'")
        if (number.value is None) == (number.text is None):
            raise RadfordError(f"{file}: item {name}: '{number.label}' needs a value or a text")
    return item
