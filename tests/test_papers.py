"""papers.yml: whole, well-formed, and in step with the chapters."""

import re

import pytest

from radford_lib.book.layout import Book
from radford_lib.book.papers import Number, load_papers
from radford_lib.book.results import load_recorded
from radford_lib.errors import RadfordError

WANTED = (
    [f"D-F{n}" for n in range(1, 12)]
    + [f"D-T{n}" for n in range(1, 4)]
    + [f"D-E{n}" for n in range(1, 10)]
    + [f"D-X{n}" for n in range(1, 13)]
    + [f"S-F{n}" for n in range(1, 6)]
    + [f"S-T{n}" for n in range(1, 6)]
    + [f"S-E{n}" for n in range(1, 6)]
    + [f"S-X{n}" for n in range(1, 12)]
)


def test_every_item_of_both_papers_is_listed_once():
    assert sorted(item.id for item in load_papers().items) == sorted(WANTED)


def test_what_is_attempted_has_a_chapter_or_a_record_and_the_other_way_round(repository):
    book = Book(repository)
    by_scripts = {
        entry["item"]
        for profile in book.profiles()
        for entry in load_recorded(book, profile).values()
        if entry["chapter"] not in book.chapters()
    }
    for item in load_papers().items:
        is_recorded = item.chapter is not None or item.id in by_scripts
        assert (item.verdict != "not attempted") == is_recorded, item.id
        assert item.why
        if item.chapter:
            source = (repository / f"{item.chapter}.py").read_text()
            assert re.search(rf'record\w*\(\s*"{item.id}"', source), f"{item.id} is not recorded"


def test_numbers_are_shown_as_precisely_as_given():
    assert Number("a", "T", value=0.828, unit="fraction").shown() == "82.8%"
    assert Number("a", "T", value=0.738, unit="fraction", spread=0.004).shown() == "73.8% ± 0.4%"
    assert Number("a", "S", value=0.9288, unit="fraction").shown() == "92.88%"
    assert (
        Number("a", "S", value=0.2218, unit="fraction", spread=0.0113).shown() == "22.18% ± 1.13%"
    )
    assert Number("a", "S", value=3033042, unit="images").shown() == "3,033,042 images"
    assert Number("a", "S", value=1.12, unit="bits/byte").shown() == "1.12 bits/byte"
    assert Number("a", "T", text="10 x 5").shown() == "10 x 5"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("verdict: nearly", "verdict is 'nearly'"),
        ("kind: sculpture", "kind is 'sculpture'"),
        ("paper: vae", "paper is 'vae'"),
        ("numbers: [{label: a, source: Z, value: 1}]", "no confidence tag 'Z'"),
        ("numbers: [{label: a, source: T}]", "needs a value or a text"),
        ("colour: red", "colour"),
    ],
)
def test_a_wrong_entry_is_one_line_that_names_it(tmp_path, change, said):
    fields = {
        "id": "D-F1", "paper": "dcgan", "title": "t", "kind": "figure", "where": "w",
        "protocol": "p", "verdict": "not", "why": "y",
    }  # fmt: skip
    key, _, value = change.partition(": ")
    lines = "\n".join(f"  {k}: {v}" for k, v in (fields | {key: value}).items())
    path = tmp_path / "papers.yml"
    path.write_text(f"papers: {{dcgan: {{title: t}}}}\nitems:\n-{lines[1:]}\n")
    with pytest.raises(RadfordError, match="D-F1") as caught:
        load_papers(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
