"""The MyST-NB reader that shows, for each percent script, the run of that very code.

MyST-NB hands a reader the text of a page and nothing else; the page's name comes from the Sphinx
application that ``setup`` registers here.
"""

import os
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

from radford_lib.book.chapters import INJECTED, code_cells
from radford_lib.book.layout import Book
from radford_lib.book.provenance import library_sha256
from radford_lib.book.results import MIME

LOG = logging.getLogger(__name__)
KEPT_METADATA = ("kernelspec", "language_info", "papermill", "radford", "widgets")
_application: Sphinx | None = None


def register(app: Sphinx) -> None:
    """Remember the application whose pages are being read."""
    global _application
    _application = app


def profile_built() -> str:
    """The profile whose runs the pages show: RADFORD_PROFILE, ``laptop`` by default."""
    return os.environ.get("RADFORD_PROFILE", "laptop")


def is_strict() -> bool:
    """Whether a page without a run of its code is an error (RADFORD_STRICT)."""
    return bool(os.environ.get("RADFORD_STRICT"))


def book_of(app: Sphinx) -> Book:
    """The book that ``app`` builds."""
    from pathlib import Path

    return Book(Path(app.srcdir))


def chapter_of(docname: str) -> str:
    """The chapter a page shows: its name without the ``chapters/`` folder."""
    return docname.removeprefix("chapters/")


def find_twin(book: Book, profile: str, docname: str, text: str) -> Any | None:
    """The executed notebook of ``docname`` if its code is exactly that of ``text``, else None."""
    import jupytext
    import nbformat

    path = book.executed(profile, chapter_of(docname))
    if not path.is_file():
        return None
    executed = nbformat.read(path, as_version=4)
    wanted = code_cells(jupytext.reads(text, fmt="py:percent"))
    return executed if code_cells(executed) == wanted else None


def read_executed(text: str, fmt: str = "py:percent") -> Any:
    """Notebook for a page: today's prose around the code, parameters and outputs of its run.

    Without a run of exactly this code the page says so; in strict mode that is an error.
    """
    import jupytext

    if _application is None:
        raise ExtensionError("radford_lib.book.extension is not set up")
    book, profile = book_of(_application), profile_built()
    docname = _application.env.docname
    executed = find_twin(book, profile, docname, text)
    if executed is None:
        message = (
            f"{docname} has no run of its present code under profile '{profile}': "
            f"radford run {chapter_of(docname)} --profile {profile}"
        )
        if is_strict():
            raise ExtensionError(message)
        LOG.warning(message, type="radford", subtype="stale")
        return unexecuted(jupytext.reads(text, fmt=fmt), message)
    about = executed.metadata.get("radford", {})
    if about.get("library_sha256") != library_sha256():
        LOG.warning(
            "%s was run with another radford_lib: radford run %s --profile %s",
            docname, chapter_of(docname), profile, type="radford", subtype="stale",
        )  # fmt: skip
    page = graft(jupytext.reads(text, fmt=fmt), executed)
    page.cells.append(footer(about))
    return page


def graft(page: Any, executed: Any) -> Any:
    """``page`` with the outputs, counts and injected parameters of ``executed``.

    Machine-readable results are left out: a page cites them by role.
    """
    ran = iter([cell for cell in executed.cells if cell.cell_type == "code"])
    cells = []
    for cell in page.cells:
        if cell.cell_type != "code":
            cells.append(cell)
            continue
        run_cell = next(ran)
        if INJECTED in run_cell.metadata.get("tags", []):
            cells.append(folded(run_cell))
            run_cell = next(ran)
        cell.outputs = [out for out in run_cell.outputs if MIME not in out.get("data", {})]
        cell.execution_count = run_cell.execution_count
        cells.append(cell)
    page.cells = cells
    page.metadata.update({k: v for k, v in executed.metadata.items() if k in KEPT_METADATA})
    return page


def folded(injected: Any) -> Any:
    """The injected-parameters cell, closed, under a name a reader understands."""
    injected.metadata["tags"] = [*injected.metadata["tags"], "hide-input"]
    title = "Parameters of this run"
    injected.metadata["mystnb"] = {"code_prompt_show": title, "code_prompt_hide": title}
    return injected


def unexecuted(page: Any, message: str) -> Any:
    """``page`` without outputs and with a notice that it has none."""
    import nbformat

    notice = f":::{{warning}}\nThis page has not been executed: {message}.\n:::"
    page.cells.insert(1, nbformat.v4.new_markdown_cell(notice))
    # without it Sphinx warns of each code cell
    page.metadata["language_info"] = {"name": "python"}
    return page


def footer(about: dict[str, Any]) -> Any:
    """A folded cell that says how the page was made."""
    import nbformat

    parameters = ", ".join(f"`{k} = {v!r}`" for k, v in about["parameters"].items())
    data = ", ".join(
        f"{one['name']} ({one['split']}{', toy' if one['toy'] else ''}, `{one['sha256'][:12]}`)"
        for one in about["data"]
    )
    commit = (about["commit"] or "unknown")[:12] + (" with changes" if about["dirty"] else "")
    lines = {
        "Profile": f"`{about['profile']}`",
        "Parameters": parameters,
        "Data": data or "none recorded",
        "Code": f"commit `{commit}`, library `{about['library_sha256'][:12]}`",
        "Machine": f"{about['device']}; {about['threads']} threads",
        "Time": f"{about['seconds']} s on {about['date']}",
        "Versions": ", ".join(f"{name} {number}" for name, number in about["versions"].items()),
    }
    rows = "\n".join(f"- **{name}**: {value}" for name, value in lines.items())
    text = (
        "::::{admonition} How this page was made\n:class: dropdown radford-provenance\n\n"
        f"{rows}\n::::"
    )
    return nbformat.v4.new_markdown_cell(text)
