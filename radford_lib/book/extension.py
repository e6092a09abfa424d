"""The Sphinx extension of the book: executed pages, results in prose, offline formulas."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from radford_lib.book import reader
from radford_lib.book.directives import RecordedFigure, ResultRole, ResultTable
from radford_lib.book.mathjax import PATH, copy_mathjax
from radford_lib.book.scorecard import Scorecard
from radford_lib.files import write_text

read_executed = reader.read_executed


def offer_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the executed notebook beside the page's source, for the download button."""
    import jupytext
    import nbformat

    source = Path(app.srcdir) / f"{pagename}.py"
    if not source.is_file():
        return
    text = source.read_text(encoding="utf-8")
    profile = reader.profile_built()
    executed = reader.find_twin(reader.book_of(app), profile, pagename, text)
    if executed is None:
        return
    page = reader.graft(jupytext.reads(text, fmt="py:percent"), executed)
    target = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    write_text(target, nbformat.writes(page))
    context["ipynb_source"] = f"{pagename}.ipynb"


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Leave out the scripts of sphinx-thebe, which Jupyter Book puts on every page.

    The book runs no code in the browser. The scripts name another host, and Sphinx 7.4 lists an
    inline one twice (as file ``None`` and as file ``""``), which is an error in the console.
    """
    scripts = context.get("script_files")
    if scripts is None:
        return
    # in place: the list is the builder's own, which it restores for each page
    scripts[:] = [
        script
        for script in scripts
        if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the reader's application, the role, the directives and the page hooks."""
    reader.register(app)
    app.add_role("result", ResultRole())
    app.add_directive("result-table", ResultTable)
    app.add_directive("recorded-figure", RecordedFigure)
    app.add_directive("scorecard", Scorecard)
    app.config.mathjax_path = PATH
    app.connect("builder-inited", copy_mathjax)
    # before the theme (500) builds the download buttons
    app.connect("html-page-context", offer_notebook, priority=400)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
