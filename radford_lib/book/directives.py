"""What prose uses to show results: the ``result`` role, result tables, recorded figures."""

from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from radford_lib.book.layout import Book
from radford_lib.book.papers import SOURCES, Number, load_papers
from radford_lib.book.reader import book_of, profile_built
from radford_lib.book.results import load_profile, load_recorded

LOG = logging.getLogger(__name__)
NOT_RUN = "not run"


class ResultStore:
    """Results by profile, read once a build."""

    def __init__(self, book: Book, built: str) -> None:
        self.book, self.built = book, built
        self._loaded: dict[str, dict[str, dict[str, Any]]] = {}

    def of(self, profile: str) -> dict[str, dict[str, Any]]:
        """All results of ``profile`` (``current``: the one being built)."""
        name = self.built if profile == "current" else profile
        if name not in self._loaded:
            self._loaded[name] = load_profile(self.book, name, self.built)
        return self._loaded[name]


def store_of(env: Any) -> ResultStore:
    """The build's result store."""
    if not hasattr(env.app, "radford_results"):
        env.app.radford_results = ResultStore(book_of(env.app), profile_built())
    return env.app.radford_results


def formatted(entry: dict[str, Any], form: str) -> str:
    """A result's value in ``form``; text as it is."""
    value = entry["value"]
    return value if isinstance(value, str) else format(value, form or default_form(value))


def default_form(value: float) -> str:
    """How a number is shown where no format is given."""
    return ",d" if isinstance(value, int) else ".4g"


class ResultRole(SphinxRole):
    """Cites a recorded result: ``{result}`D-T1.accuracy:.1%```, or ``cpu/D-T1.accuracy``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The value as text, with what it is in its tooltip."""
        key, _, form = self.text.partition(":")
        profile, _, key = key.rpartition("/")
        entry = store_of(self.env).of(profile or "current").get(key)
        if entry is None:
            LOG.warning(
                "no result '%s' in profile '%s'", key, profile or profile_built(),
                location=self.get_location(), type="radford", subtype="result",
            )  # fmt: skip
            return [nodes.strong("", f"[{key}?]")], []
        try:
            text = formatted(entry, form)
        except ValueError:
            LOG.warning(
                "result '%s' cannot be shown as '%s'", key, form,
                location=self.get_location(), type="radford", subtype="result",
            )  # fmt: skip
            text = str(entry["value"])
        return [nodes.inline(text, text, classes=["radford-result"])], []


class ResultTable(SphinxDirective):
    """Our results, beside the paper's where it gives any: one ``key | label | format`` a row."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {  # noqa: RUF012
        "name": directives.unchanged,
        "profiles": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """A numbered table: label, paper, one column a profile."""
        store, papers = store_of(self.env), load_papers()
        profiles = self.options.get("profiles", "current").split()
        asked = list(dict.fromkeys(store.built if p == "current" else p for p in profiles))
        rows = [[part.strip() for part in line.split("|")] for line in self.content if line.strip()]
        if any(len(row) not in (2, 3) for row in rows):
            raise self.error("a row of result-table is: key | label | format")
        # a profile without a single result is said in the caption, not in a column of its own
        shown = [p for p in asked if p == store.built or any(row[0] in store.of(p) for row in rows)]
        absent = [p for p in asked if p not in shown]
        numbers = {row[0]: papers.number_for(row[0]) for row in rows}
        beside = ["paper"] if any(numbers.values()) else []  # no column of dashes
        header = ["", *beside, *(heading(store, profile, rows) for profile in shown)]
        body: list[list[nodes.Node | str]] = []
        for key, label, *form in rows:
            cells: list[nodes.Node | str] = [label, *(paper_cell(numbers[key]) for _ in beside)]
            for profile in shown:
                cells.append(result_cell(store.of(profile).get(key), form[0] if form else ""))
            body.append(cells)
        caption, messages = self.state.inline_text(self.arguments[0], self.lineno)
        if absent:
            caption.append(nodes.Text(f" No run recorded yet: {', '.join(absent)}."))
        table = make_table(header, body, caption, classes=["radford-table"])
        self.set_source_info(table)
        self.add_name(table)
        return [table, *messages]


def heading(store: ResultStore, profile: str, rows: list[list[str]]) -> str:
    """A profile's name, and whether what it shows here is toy data."""
    entries = [store.of(profile).get(row[0]) for row in rows]
    data = [one for entry in entries if entry for one in entry.get("data", [])]
    return f"{profile} (toy data)" if data and all(one["toy"] for one in data) else profile


def paper_cell(number: Number | None) -> nodes.Node | str:
    """A paper's number with its confidence tag, or a dash where the paper gives none."""
    if number is None:
        return "–"
    paragraph = nodes.paragraph("", number.shown() + " ")
    tag = nodes.inline("", f"[{number.source}]", classes=["radford-source"])
    paragraph += nodes.abbreviation("", "", tag, explanation=SOURCES[number.source])
    return paragraph


def result_cell(entry: dict[str, Any] | None, form: str) -> str:
    """Our value with its spread or interval and n, or that it was not run."""
    if entry is None:
        return NOT_RUN
    parts = [formatted(entry, form)]
    if "spread" in entry:
        parts.append(f"± {format(entry['spread'], form or default_form(entry['spread']))}")
    elif "ci" in entry:
        low, high = (format(bound, form or default_form(bound)) for bound in entry["ci"])
        parts.append(f"({low} to {high})")
    if "n" in entry:
        parts.append(f"n = {entry['n']:,}")
    return ", ".join([" ".join(parts[:-1]), parts[-1]]) if "n" in entry else " ".join(parts)


def make_table(
    header: list[str],
    body: list[list[nodes.Node | str]],
    caption: list[nodes.Node] | None,
    classes: list[str],
) -> nodes.table:
    """A docutils table; cells are text or nodes."""
    table = nodes.table(classes=[*classes, "colwidths-auto"])
    if caption:
        table += nodes.title("", "", *caption)
    group = nodes.tgroup(cols=len(header))
    table += group
    for _ in header:
        group += nodes.colspec(colwidth=1)
    group += nodes.thead("", make_row(list(header)))
    group += nodes.tbody("", *[make_row(cells) for cells in body])
    return table


def make_row(cells: list[Any]) -> nodes.row:
    """One table row."""
    row = nodes.row()
    for cell in cells:
        content = nodes.paragraph("", cell) if isinstance(cell, str) else cell
        row += nodes.entry("", content)
    return row


class RecordedFigure(SphinxDirective):
    """A figure of a recorded run: ``cpu/dcgan/training/fig-samples``, its caption the content."""

    required_arguments = 1
    has_content = True
    option_spec = {  # noqa: RUF012
        "name": directives.unchanged,
        "alt": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """The figure with a line on where it comes from; a note where no such run is recorded."""
        book = book_of(self.env.app)
        profile, _, rest = self.arguments[0].partition("/")
        chapter, _, name = rest.rpartition("/")
        folder = book.recorded(profile, chapter).with_suffix("")
        files = sorted(folder.glob(f"{name}.*")) if folder.is_dir() else []
        if not files:
            text = f"No run of {chapter} under profile {profile} is recorded yet."
            return [nodes.note("", nodes.paragraph("", text))]
        if "alt" not in self.options:
            raise self.error("recorded-figure needs :alt:")
        for entry in load_recorded(book, profile).values():
            if entry["chapter"] == chapter:
                source = origin(entry["provenance"])
                break
        else:
            source = f"profile {profile}"
        uri = "/" + files[0].relative_to(book.root).as_posix()
        classes = ["dark-light"] if files[0].suffix == ".svg" else []
        figure = nodes.figure("", classes=["radford-recorded"])
        figure += nodes.image("", uri=uri, alt=self.options["alt"], classes=classes)
        inlines, messages = self.state.inline_text("\n".join(self.content), self.content_offset)
        origin_node = nodes.inline("", f" {source}", classes=["radford-origin"])
        figure += nodes.caption("", "", *inlines, origin_node)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure, *messages]


def origin(about: dict[str, Any]) -> str:
    """One line on a recorded run: data, seed, device, time, commit."""
    data = ", ".join(f"{one['name']} {one['split']}" for one in about["data"])
    commit = (about["commit"] or "unknown")[:10] + ("+" if about["dirty"] else "")
    return (
        f"Recorded run, profile {about['profile']}: {data or 'no data'}; seed {about['seed']}; "
        f"{about['device']}; {about['seconds']:.0f} s; commit {commit}; {about['date'][:10]}."
    )
