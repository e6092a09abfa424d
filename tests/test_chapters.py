"""The real chapters: they run, their profiles name real parameters, their figures have words."""

import os
import subprocess
import sys

import nbformat
import pytest
import yaml

from radford_lib.book.chapters import inspect_parameters, read_chapter, resolve_parameters
from radford_lib.book.layout import Book
from radford_lib.book.papers import load_papers
from radford_lib.book.results import collect

ROOT = Book.here()
CHAPTERS = ROOT.chapters()


def test_every_chapter_is_in_the_contents():
    text = (ROOT.root / "_toc.yml").read_text()
    assert CHAPTERS
    assert all(f"chapters/{name}" in text for name in CHAPTERS)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_parameters_are_typed_and_profiles_name_only_these(chapter):
    parameters = inspect_parameters(ROOT, chapter)
    assert "seed" in parameters
    assert all(
        about["type"] in ("int", "float", "str", "bool", "list") for about in parameters.values()
    )
    for profile in ROOT.profiles():
        resolve_parameters(ROOT, profile, chapter, {})


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_figures_have_a_caption_a_name_and_alt_text(chapter):
    cells = read_chapter(ROOT.source(chapter)).cells
    figures = [cell.metadata["mystnb"] for cell in cells if "mystnb" in cell.metadata]
    assert figures
    for about in figures:
        assert len(about["figure"]["caption"]) > 20
        assert about["figure"]["name"].startswith("fig-")
        assert len(about["image"]["alt"]) > 10


@pytest.mark.parametrize("profile", ["smoke", "cpu", "h200", "paper"])
def test_profiles_are_flat_files_for_chapters_that_exist(profile):
    folder = ROOT.root / "profiles" / profile
    files = sorted(folder.rglob("*.yml"))
    assert files
    for path in files:
        assert path.relative_to(folder).with_suffix("").as_posix() in CHAPTERS
        values = yaml.safe_load(path.read_text())
        assert not any(isinstance(value, dict) for value in values.values())


@pytest.mark.smoke
def test_every_chapter_runs_in_the_smoke_profile(smoke_book):
    failed = {name: o.error for name, o in smoke_book.outcomes.items() if o.state != "ran"}
    assert not failed


@pytest.mark.smoke
def test_chapters_record_items_of_the_papers_with_data_that_say_they_are_toy(smoke_book):
    known = {item.id: item for item in load_papers().items}
    for chapter in smoke_book.outcomes:
        notebook = nbformat.read(smoke_book.book.executed("smoke", chapter), as_version=4)
        results = collect(notebook)
        assert results
        for entry in results.values():
            item = known[entry["item"]]
            assert item.chapter == f"chapters/{chapter}", entry["key"]
            assert item.verdict != "not attempted"
            assert all(one["toy"] for one in entry.get("data", []))


@pytest.mark.smoke
def test_plain_papermill_runs_a_real_chapter(tmp_path, repository):
    command = [
        sys.executable, "-m", "papermill", "jupytext://chapters/dcgan/training.py",
        str(tmp_path / "out.ipynb"), "-f", "profiles/smoke/dcgan/training.yml", "-p", "steps", "2",
    ]  # fmt: skip
    environment = {**os.environ, "RADFORD_CHECKPOINTS": str(tmp_path / "checkpoints")}
    answer = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    results = collect(nbformat.read(tmp_path / "out.ipynb", as_version=4))
    assert results["D-F3.updates"]["value"] == 2
