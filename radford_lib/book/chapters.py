"""Chapters as papermill sees them: percent scripts with typed parameters."""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from radford_lib.book.layout import Book, did_you_mean
from radford_lib.errors import RadfordError, UsageError

INJECTED = "injected-parameters"
# What a value must be for each annotation that a parameters cell may carry
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


def read_chapter(path: Path) -> Any:
    """The percent script at ``path`` as a notebook without outputs."""
    import jupytext

    return jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")


def code_cells(notebook: Any) -> list[str]:
    """Source of each code cell, the parameters that papermill injected left out."""
    return [
        cell.source.strip()
        for cell in notebook.cells
        if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", [])
    ]


def code_sha256(notebook: Any) -> str:
    """Hash of a chapter's code, so that an edit of its prose is no reason to run it again."""
    return hashlib.sha256(json.dumps(code_cells(notebook)).encode()).hexdigest()


def inspect_parameters(book: Book, chapter: str) -> dict[str, dict[str, Any]]:
    """Name -> ``type`` (as annotated) and ``default`` of each parameter of ``chapter``."""
    import papermill

    found = papermill.inspect_notebook(f"jupytext://{book.source(chapter)}")
    parameters = {}
    for name, about in found.items():
        try:
            default = ast.literal_eval(about["default"])
        except (ValueError, SyntaxError) as error:
            raise RadfordError(
                f"{chapter}: parameter '{name}' must have a literal default, not {about['default']}"
            ) from error
        parameters[name] = {"type": about["inferred_type_name"], "default": default}
    return parameters


def parse_value(text: str, annotation: str) -> Any:
    """A parameter's value as typed on the command line; text stays text where that is meant."""
    if annotation.split("|")[0].strip() == "str":
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def resolve_parameters(
    book: Book, profile: str, chapter: str, typed: dict[str, str]
) -> dict[str, Any]:
    """What a run of ``chapter`` changes: the profile's values, then those typed by the user.

    Raises ``UsageError`` for a name the chapter does not have or a value of another type.
    """
    known = inspect_parameters(book, chapter)
    values = dict(book.profile_parameters(profile, chapter))
    for name, text in typed.items():
        values[name] = parse_value(text, known[name]["type"]) if name in known else text
    for name, value in values.items():
        if name not in known:
            raise UsageError(
                f"{chapter} has no parameter '{name}'{did_you_mean(name, sorted(known))}"
            )
        check_type(chapter, name, value, known[name]["type"])
    return values


def check_type(chapter: str, name: str, value: Any, annotation: str) -> None:
    """Raise ``UsageError`` unless ``value`` fits ``annotation`` (``int``, ``str | None``, ...)."""
    options = [option.strip().split("[")[0] for option in annotation.split("|")]
    allowed: tuple[type, ...] = ()
    for option in options:
        if option == "None":
            allowed += (type(None),)
        elif option in TYPES:
            allowed += TYPES[option]
        else:
            return
    wrong_bool = isinstance(value, bool) and bool not in allowed
    if wrong_bool or not isinstance(value, allowed):
        raise UsageError(f"{chapter}: parameter '{name}' is {annotation}, not {value!r}")
