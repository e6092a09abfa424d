"""Sources: fetch a data set from its publisher and convert it into a pack."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class SourceFile:
    """One file to download: its address and, where one is published, ``algorithm:digest``."""

    url: str
    hash: str | None = None

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Source:
    """Where a pack can be had: files to download, or ``by_hand``: what the user must download."""

    name: str
    title: str
    licence: str
    converter: str
    files: tuple[SourceFile, ...] = ()
    by_hand: str = ""
    sized: bool = False

    @property
    def origin(self) -> str:
        """Addresses of the publisher, for the manifest."""
        return "; ".join(file.url for file in self.files) or self.by_hand


@functools.cache
def sources() -> dict[str, Source]:
    """All sources by name, from ``sources.yml``."""
    text = Path(__file__).with_name("sources.yml").read_text(encoding="utf-8")
    return {name: described(name, entry) for name, entry in yaml.safe_load(text)["sources"].items()}


def described(name: str, entry: dict[str, Any]) -> Source:
    """A ``Source`` from its entry."""
    return Source(
        name=name,
        title=entry["title"],
        licence=entry["licence"],
        converter=entry["converter"],
        files=tuple(SourceFile(file["url"], file.get("hash")) for file in entry.get("files", ())),
        by_hand=" ".join(entry.get("from", "").split()),
        sized=entry.get("sized", False),
    )
