"""Running chapters: what fails, what is skipped, what a bad call is told."""

import json
import subprocess
import sys

import filelock
import mini_book
import nbformat
import pytest

from radford_lib.book import runs
from radford_lib.book.layout import Book
from radford_lib.errors import RadfordError, UsageError

RAISING = '\n# %%\nraise ValueError("no luck")\n'


@pytest.fixture
def book(tmp_path, repository):
    return Book(mini_book.make(tmp_path, repository))


def go(book, *names, **options):
    return {o.chapter: o for o in runs.run(book, "smoke", names, progress=False, **options)}


def test_a_chapter_that_fails_stops_no_other_and_keeps_its_last_good_run(book):
    assert {o.state for o in go(book).values()} == {"ran"}
    before = book.executed("smoke", "b/two").read_bytes()
    with book.source("b/two").open("a") as source:
        source.write(RAISING)
    book.source("a/one").write_text(book.source("a/one").read_text() + "\n# %%\nprint(steps)\n")

    outcomes = go(book)
    assert outcomes["a/one"].state == "ran"
    assert outcomes["b/two"].state == "failed"
    for said in ("ValueError: no luck", 'raise ValueError("no luck")', "cell 3", "parameters"):
        assert said in outcomes["b/two"].error
    assert book.executed("smoke", "b/two").read_bytes() == before
    left = {p.name for p in book.executed("smoke", "b/two").parent.iterdir()}
    assert left == {"two.ipynb", "two.failed.ipynb"}


def test_only_what_changed_is_run_again(book):
    go(book)
    assert {o.state for o in go(book).values()} == {"unchanged"}

    source = book.source("a/one")
    source.write_text(source.read_text().replace("Half of it", "A share of it"))
    assert go(book, "a/one")["a/one"].state == "unchanged", "prose is no reason to run"

    (book.root / "profiles/smoke/a/one.yml").write_text("steps: 3\n")
    outcomes = go(book)
    assert outcomes["a/one"].state == "ran", "a parameter is"
    assert outcomes["b/two"].state == "unchanged"


def test_another_library_is_a_reason_to_run(book, monkeypatch):
    go(book, "a/one")
    monkeypatch.setattr(runs.provenance, "library_sha256", lambda: "other")
    wanted = runs.plan(book, "smoke", "a/one", {})
    assert not runs.is_current(book, wanted)


def test_a_run_says_where_it_comes_from_and_names_no_path_of_this_machine(book):
    go(book, "a/one", typed={"seed": "7"})
    text = book.executed("smoke", "a/one").read_text()
    about = nbformat.reads(text, as_version=4).metadata["radford"]
    assert about["parameters"] == {"steps": 4, "seed": 7, "note": "none"}
    assert about["seed"] == 7
    assert about["source"] == "chapters/a/one.py"
    assert about["device"]
    assert about["seconds"] > 0
    assert set(about["versions"]) >= {"torch", "numpy"}
    assert str(book.root) not in text


@pytest.mark.parametrize(
    ("names", "typed", "said"),
    [
        (("a/on",), {}, "did you mean 'a/one'"),
        (("one",), {}, "did you mean 'a/one'"),
        (("a/one",), {"step": "3"}, "did you mean 'steps'"),
        (("a/one",), {"steps": "abc"}, "is int"),
        (("a/one",), {"steps": "true"}, "is int"),
    ],
)
def test_a_bad_call_is_one_line_and_nothing_is_run(book, names, typed, said):
    with pytest.raises(UsageError, match=said) as caught:
        go(book, *names, typed=typed)
    assert "\n" not in str(caught.value)
    assert not book.executed("smoke", "a/one").exists()


def test_text_parameters_stay_text(book):
    assert runs.plan(book, "smoke", "a/one", {"note": "123"}).parameters["note"] == "123"


def test_unknown_profiles_and_bad_profile_files_are_one_line(book):
    with pytest.raises(UsageError, match="did you mean 'smoke'"):
        runs.run(book, "smok", progress=False)
    profile = book.root / "profiles/smoke/a/one.yml"
    profile.write_text("a/one:\n  steps: 3\n")
    with pytest.raises(RadfordError, match="flat list"):
        runs.run(book, "smoke", progress=False)
    profile.write_text("steps: [3\n")
    with pytest.raises(RadfordError, match="not valid YAML"):
        runs.run(book, "smoke", progress=False)


def test_two_runs_of_a_profile_at_once_are_refused(book):
    (book.root / "runs" / "smoke").mkdir(parents=True)
    with (
        filelock.FileLock(book.root / "runs" / "smoke" / ".lock"),
        pytest.raises(RadfordError, match="another `radford run --profile smoke`"),
    ):
        runs.run(book, "smoke", progress=False)


def test_where_runs_cannot_be_written_one_line_says_so(book):
    (book.root / "runs").write_text("a file in the way")
    with pytest.raises(RadfordError, match="cannot write"):
        runs.run(book, "smoke", progress=False)


def test_chapters_of_equal_code_have_their_own_runs(book):
    twin = book.root / "chapters" / "a" / "twin.py"
    twin.write_text(book.source("a/one").read_text().replace("# # One", "# # Twin"))
    (book.root / "profiles/smoke/a/twin.yml").write_text("steps: 9\n")
    go(book, "a/one", "a/twin")
    values = {
        name: nbformat.read(book.executed("smoke", name), as_version=4).metadata["radford"]
        for name in ("a/one", "a/twin")
    }
    assert values["a/one"]["parameters"]["steps"] == 4
    assert values["a/twin"]["parameters"]["steps"] == 9


def test_the_command_line_answers_with_one_line_and_an_exit_code(book):
    answer = mini_book.radford(book.root, "run", "nope", "--profile", "smoke")
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("Error: no chapter 'nope'")
    assert mini_book.radford(book.root, "run", "-p", "steps", "3").returncode == 2
    assert mini_book.radford(book.root.parent, "--help").returncode == 0


def test_plain_papermill_runs_percent_scripts(book):
    command = [sys.executable, "-m", "papermill", "jupytext://chapters/a/one.py", "out.ipynb"]
    answer = subprocess.run(
        [*command, "-f", "profiles/smoke/a/one.yml", "-p", "seed", "20"],
        cwd=book.root, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    notebook = json.loads((book.root / "out.ipynb").read_text())
    assert notebook["metadata"]["papermill"]["input_path"] == "jupytext://chapters/a/one.py"
    assert notebook["metadata"]["papermill"]["parameters"] == {"steps": 4, "seed": 20}

    missing = subprocess.run(
        [sys.executable, "-m", "papermill", "jupytext://chapters/nope.py", "x.ipynb"],
        cwd=book.root, capture_output=True, text=True,
    )  # fmt: skip
    assert missing.returncode != 0
    assert "no such chapter" in missing.stderr
    typed = subprocess.run(
        [*command[:3], "--help-notebook", "jupytext://chapters/a/one.py"],
        cwd=book.root, capture_output=True, text=True,
    )  # fmt: skip
    assert "steps: int (default 5)" in typed.stdout


def test_a_chapter_that_measures_time_runs_alone_after_the_others(book):
    source = book.source("a/one")
    source.write_text(
        "# ---\n# jupyter:\n#   radford: {alone: true}\n# ---\n\n" + source.read_text()
    )
    assert {o.state for o in go(book, jobs=2).values()} == {"ran"}
    one, two = (
        nbformat.read(book.executed("smoke", name), as_version=4).metadata
        for name in ("a/one", "b/two")
    )
    assert one["radford"]["alone"]
    assert not two["radford"]["alone"]
    assert one["papermill"]["start_time"] > two["papermill"]["end_time"]
