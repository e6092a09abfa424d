"""From runs to pages: twins, stale pages, results in prose, recorded results, the scorecard."""

import io
import json
import shutil

import mini_book
import nbformat
import numpy as np
import pytest
from PIL import Image

from radford_lib.book import build as site
from radford_lib.book import runs
from radford_lib.book.export import export, figures, smaller
from radford_lib.book.layout import Book
from radford_lib.book.results import load_recorded
from radford_lib.errors import RadfordError


@pytest.fixture(scope="module")
def built(tmp_path_factory, repository):
    """A mini book, run and built once, strictly."""
    book = Book(mini_book.make(tmp_path_factory.mktemp("book"), repository))
    runs.run(book, "smoke", progress=False)
    site.build(book, "smoke")
    return book


@pytest.fixture
def copy(built, tmp_path):
    """A copy of the built mini book, to be spoiled."""
    shutil.copytree(built.root, tmp_path / "book")
    return Book(tmp_path / "book")


def page(book, name):
    return (book.site / "chapters" / f"{name}.html").read_text(encoding="utf-8")


def test_a_page_shows_its_own_run(built):
    html = page(built, "a/one")
    assert "40.0%" in html, "the result role"
    assert "Fig. 1" in html
    assert 'alt="A rising line"' in html
    assert "Parameters of this run" in html
    assert "How this page was made" in html
    assert "50%" in page(built, "index"), "a result of another page"
    assert "application/vnd.radford" not in html


def test_the_executed_notebook_can_be_downloaded_and_formulas_are_served_from_the_book(built):
    notebook = json.loads((built.site / "_sources/chapters/a/one.ipynb").read_text())
    assert notebook["metadata"]["radford"]["profile"] == "smoke"
    assert "one.ipynb" in page(built, "a/one")
    assert (built.site / "_static/mathjax/tex-chtml.js").is_file()
    assert "cdn" not in page(built, "a/one").lower()


def test_nothing_is_built_twice(built):
    index = built.site / "index.html"
    before = index.stat().st_mtime_ns
    assert site.build(built, "smoke") == index
    assert index.stat().st_mtime_ns == before


def test_an_edit_of_prose_needs_no_run_an_edit_of_code_does(copy):
    source = copy.source("a/one")
    source.write_text(source.read_text().replace("Half of it", "A share of it"))
    site.build(copy, "smoke")
    assert "A share of it" in page(copy, "a/one")

    old = page(copy, "a/one")
    source.write_text(source.read_text() + "\n# %%\nprint('new')\n")
    with pytest.raises(RadfordError, match="a/one has no run of its present code"):
        site.build(copy, "smoke")
    assert page(copy, "a/one") == old, "a failed build leaves the site as it was"

    site.build(copy, "smoke", strict=False)
    assert "has not been executed" in page(copy, "a/one")


def test_an_unknown_result_fails_a_strict_build(copy):
    (copy.root / "chapters/index.md").write_text("# Mini\n\n{result}`D-T1.nothing`\n")
    with pytest.raises(RadfordError, match=r"no result 'D-T1\.nothing'"):
        site.build(copy, "smoke")


def test_export_keeps_results_figures_and_where_they_come_from(copy):
    runs.run(copy, "cpu", progress=False)
    files = export(copy, "cpu", allow_dirty=True)
    assert "results/cpu/a/one.json" in files
    assert "results/cpu/a/one/fig-one.png" in files
    found = load_recorded(copy, "cpu")
    assert found["D-T1.accuracy"]["value"] == 0.5
    assert found["D-T1.accuracy"]["provenance"]["profile"] == "cpu"

    (copy.root / "chapters/index.md").write_text(
        "# Mini\n\n{result}`cpu/D-T1.accuracy:.2f`\n\n"
        "```{result-table} Ours and theirs.\n:name: tab-x\n:profiles: current cpu h200\n"
        "D-T1.accuracy | Accuracy | .1%\nD-T1.accuracy_trained | Trained | .1%\n```\n\n"
        "See {numref}`tab-x`.\n\n"
        "```{recorded-figure} cpu/a/one/fig-one\n:name: fig-cpu\n:alt: A line\nIt rose.\n```\n\n"
        "```{recorded-figure} h200/a/one/fig-one\n:alt: A line\nIt rose.\n```\n\n"
        "```{scorecard}\n```\n"
    )
    site.build(copy, "smoke")
    html = page(copy, "index")
    for said in ("0.50", "40.0%, n = 4", "82.8%", "not run", "Table 1", "It rose.",
                 "Ours and theirs. No run recorded yet: h200.",
                 "Recorded run, profile cpu", "No run of a/one under profile h200"):  # fmt: skip
        assert said in html, said
    assert 'id="d-t1"' in html
    assert html.count("radford-badge ") >= 61


def test_export_refuses_runs_that_cannot_be_traced(copy):
    with pytest.raises(RadfordError, match="has not been run"):
        export(copy, "cpu", ("a/one",))
    source = copy.source("a/one")
    source.write_text(source.read_text() + "\n# %%\n1\n")
    with pytest.raises(RadfordError, match="has changed since its run"):
        export(copy, "smoke", ("a/one",))


def test_photographs_are_kept_as_webp():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    extension, raw = smaller("png", encoded.getvalue())
    assert (extension, Image.open(io.BytesIO(raw)).size) == ("webp", (300, 300))
    assert smaller("png", encoded.getvalue()[:1000]) == ("png", encoded.getvalue()[:1000])
    assert smaller("svg", b"<svg/>") == ("svg", b"<svg/>")


def test_images_of_a_data_set_are_not_kept():
    def cell(*tags):
        shown = nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>"})
        about = {"tags": list(tags), "mystnb": {"figure": {"name": f"fig-{len(tags)}"}}}
        return nbformat.v4.new_code_cell("", outputs=[shown], metadata=about)

    notebook = nbformat.v4.new_notebook(cells=[cell(), cell("shows-data")])
    assert list(figures(notebook)) == ["fig-0"]
