"""The scorecard: every item of both papers, the papers' numbers, ours, and a verdict."""

from collections import Counter
from typing import Any

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from radford_lib.book.directives import (
    ResultStore,
    formatted,
    make_table,
    paper_cell,
    store_of,
)
from radford_lib.book.export import recorded_profiles
from radford_lib.book.papers import SOURCES, VERDICTS, Item, load_papers
from radford_lib.book.reader import book_of

LOG = logging.getLogger(__name__)


class Scorecard(SphinxDirective):
    """All items of ``papers.yml`` beside the results of all profiles, one table a paper."""

    def run(self) -> list[nodes.Node]:
        """A summary, a table for each paper, and what the confidence tags mean."""
        papers, store = load_papers(), store_of(self.env)
        profiles = [store.built, *recorded_profiles(book_of(self.env.app))]
        profiles = list(dict.fromkeys(profiles))
        for item in papers.items:
            self.check(item, store, profiles)
        result: list[nodes.Node] = []
        for name, about in papers.about.items():
            items = [item for item in papers.items if item.paper == name]
            section = nodes.section(ids=[f"scorecard-{name.replace('_', '-')}"])
            section += nodes.title("", about["title"])
            section += nodes.paragraph("", summary(items))
            section += self.table(items, store, profiles)
            result.append(section)
        return [*result, legend()]

    def check(self, item: Item, store: ResultStore, profiles: list[str]) -> None:
        """Warn where a verdict and the recorded results contradict each other."""
        has_results = any(results_of(item, store, profile) for profile in profiles)
        if has_results and item.verdict == "not attempted":
            LOG.warning(
                "%s has results but its verdict is 'not attempted'", item.id,
                location=self.get_location(), type="radford", subtype="scorecard",
            )  # fmt: skip

    def table(self, items: list[Item], store: ResultStore, profiles: list[str]) -> nodes.table:
        """One row an item."""
        header = ["item", "the paper", "this book", "verdict"]
        body: list[list[nodes.Node | str]] = [
            [
                self.name_cell(item),
                paper_numbers(item),
                our_numbers(item, store, profiles),
                verdict_cell(item),
            ]
            for item in items
        ]
        return make_table(header, body, None, classes=["radford-scorecard"])

    def name_cell(self, item: Item) -> nodes.Node:
        """Id (an anchor), title linked to its page, where it stands in the paper, protocol."""
        container = nodes.container(ids=[item.id.lower()])
        head = nodes.paragraph("", "", nodes.strong("", f"{item.id} "))
        if item.chapter is None:
            head += nodes.Text(item.title)
        else:
            uri = self.env.app.builder.get_relative_uri(self.env.docname, item.chapter)
            head += nodes.reference("", item.title, refuri=uri, internal=True)
        container += head
        container += nodes.paragraph("", f"{item.where}. {item.protocol}", classes=["radford-note"])
        return container


def results_of(item: Item, store: ResultStore, profile: str) -> list[dict[str, Any]]:
    """The results of ``profile`` that belong to ``item``."""
    return [entry for entry in store.of(profile).values() if entry["item"] == item.id]


def summary(items: list[Item]) -> str:
    """How many items there are, and how many of each verdict."""
    counts = Counter(item.verdict for item in items)
    parts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    return f"{len(items)} items: {parts}."


def paper_numbers(item: Item) -> nodes.Node | str:
    """The paper's numbers, one a line."""
    if not item.numbers:
        return "no number given"
    lines = nodes.bullet_list(classes=["radford-lines"])
    for number in item.numbers:
        cell = paper_cell(number)
        paragraph = cell if isinstance(cell, nodes.paragraph) else nodes.paragraph("", cell)
        paragraph.insert(0, nodes.Text(f"{number.label}: "))
        lines += nodes.list_item("", paragraph)
    return lines


def our_numbers(item: Item, store: ResultStore, profiles: list[str]) -> nodes.Node | str:
    """Our results, one a line, under their profile; what is missing is said to be missing."""
    lines = nodes.bullet_list(classes=["radford-lines"])
    for profile in profiles:
        entries = results_of(item, store, profile)
        if entries:
            data = [one for entry in entries for one in entry.get("data", [])]
            toy = bool(data) and all(one["toy"] for one in data)
            head = f"{profile}, toy data" if toy else profile
            lines += nodes.list_item("", nodes.paragraph("", head, classes=["radford-profile"]))
        for entry in entries:
            form = ".1%" if is_share(entry, item) else ""
            text = f"{metric_name(entry['metric'])}: {formatted(entry, form)}"
            lines += nodes.list_item("", nodes.paragraph("", text))
    recorded = {entry["key"] for p in profiles for entry in results_of(item, store, p)}
    for number in item.numbers:
        if number.record and number.record not in recorded:
            text = f"{metric_name(number.record.partition('.')[2])}: missing"
            missing = nodes.paragraph("", text, classes=["radford-missing"])
            lines += nodes.list_item("", missing)
    return lines if len(lines) else "–"


def is_share(entry: dict[str, Any], item: Item) -> bool:
    """Whether a result is a fraction to be shown in percent: by its unit, name or the paper's."""
    paired = any(n.record == entry["key"] and n.unit == "fraction" for n in item.numbers)
    return paired or entry.get("unit") == "fraction" or "accuracy" in entry["metric"]


def metric_name(metric: str) -> str:
    """A metric as words: ``kid_floor`` is "KID floor"."""
    return " ".join("KID" if word == "kid" else word for word in metric.split("_"))


def verdict_cell(item: Item) -> nodes.Node:
    """The verdict as a badge, and why."""
    container = nodes.container()
    kind = item.verdict.replace(" ", "-")
    badge = nodes.inline("", item.verdict, classes=["radford-badge", f"radford-badge-{kind}"])
    container += nodes.paragraph("", "", badge)
    container += nodes.paragraph("", item.why, classes=["radford-note"])
    return container


def legend() -> nodes.Node:
    """What the confidence tags mean."""
    listing = nodes.definition_list(classes=["radford-legend"])
    for tag, meaning in SOURCES.items():
        term = nodes.term("", f"[{tag}]")
        definition = nodes.definition("", nodes.paragraph("", meaning))
        listing += nodes.definition_list_item("", term, definition)
    section = nodes.section(ids=["scorecard-sources"])
    section += nodes.title("", "How sure a paper's number is")
    section += listing
    return section
