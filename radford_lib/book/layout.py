"""Where the book keeps things: chapters, profiles, runs, recorded results, the site."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from radford_lib.errors import RadfordError, UsageError


@dataclass(frozen=True)
class Book:
    """A book's folder, and the paths and names inside it."""

    root: Path

    @classmethod
    def here(cls) -> "Book":
        """The book named by RADFORD_BOOK, or around the current folder, or beside this package.

        Raises ``RadfordError`` where none of these is a book (has ``_toc.yml``).
        """
        named = os.environ.get("RADFORD_BOOK")
        if named:
            candidates = [Path(named)]
        else:
            current = Path.cwd()
            candidates = [current, *current.parents, Path(__file__).resolve().parents[2]]
        for folder in candidates:
            if (folder / "_toc.yml").is_file() and (folder / "chapters").is_dir():
                return cls(folder.resolve())
        raise RadfordError(
            f"no book in {candidates[0]}: run inside a checkout, or set RADFORD_BOOK to one"
        )

    @property
    def site(self) -> Path:
        """Folder of the built HTML."""
        return self.root / "_build" / "html"

    def chapters(self) -> list[str]:
        """Names of the executable chapters, such as ``dcgan/training``, in order."""
        folder = self.root / "chapters"
        return sorted(
            path.relative_to(folder).with_suffix("").as_posix()
            for path in folder.rglob("*.py")
            if "assignments" not in path.relative_to(folder).parts
        )

    def find_chapters(self, names: tuple[str, ...]) -> list[str]:
        """``names`` checked against the book (all chapters if empty); ``UsageError`` if unknown."""
        known = self.chapters()
        chosen = [name.removeprefix("chapters/").removesuffix(".py") for name in names]
        for name in chosen:
            if name not in known:
                raise UsageError(f"no chapter '{name}'{did_you_mean(name, known)}")
        return chosen or known

    def profiles(self) -> list[str]:
        """Names of the profiles that have a folder in ``profiles/``."""
        folder = self.root / "profiles"
        return sorted(path.name for path in folder.iterdir() if path.is_dir())

    def check_profile(self, profile: str) -> None:
        """Raise ``UsageError`` if there is no such profile."""
        known = self.profiles()
        if profile not in known:
            raise UsageError(f"no profile '{profile}'{did_you_mean(profile, known)}")

    def profile_parameters(self, profile: str, chapter: str) -> dict[str, object]:
        """What ``profile`` changes in ``chapter``; empty where it changes nothing.

        Raises ``UsageError`` for an unknown profile, ``RadfordError`` for a file that is not flat.
        """
        self.check_profile(profile)
        path = self.root / "profiles" / profile / f"{chapter}.yml"
        if not path.is_file():
            return {}
        where = path.relative_to(self.root)
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise RadfordError(f"{where} is not valid YAML: {reason}") from error
        if not isinstance(values, dict) or any(isinstance(v, dict) for v in values.values()):
            raise RadfordError(f"{where} must be a flat list of `parameter: value` lines")
        return values

    def source(self, chapter: str) -> Path:
        """The percent script of ``chapter``."""
        return self.root / "chapters" / f"{chapter}.py"

    def executed(self, profile: str, chapter: str) -> Path:
        """Where the run of ``chapter`` under ``profile`` lies, if there is one."""
        return self.root / "runs" / profile / "chapters" / f"{chapter}.ipynb"

    def recorded(self, profile: str, chapter: str) -> Path:
        """The committed record of a run of ``chapter`` under ``profile``, if there is one."""
        return self.root / "results" / profile / f"{chapter}.json"


def did_you_mean(name: str, known: list[str]) -> str:
    """``: did you mean 'x'?`` for the closest known name, else the list of all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:
        close = [other for other in known if name and name in other.split("/")][:1]
    return f": did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}"
