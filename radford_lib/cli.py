"""The ``radford`` command."""

import importlib
import os
import sys
from pathlib import Path

# before anything imports torch; see radford_lib/__init__.py
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click

from radford_lib import __version__
from radford_lib.command_line import RadfordGroup
from radford_lib.errors import RadfordError, UsageError

PROFILE = click.option(
    "--profile", default="laptop", show_default=True, help="Folder of profiles/ to take sizes from."
)


BENCHMARKS = ("mlstm", "dcgan", "probe", "data")


class LazyGroup(RadfordGroup):
    """Loads a subcommand's module only when that subcommand is called: help stays instant."""

    lazy = {"data": ("radford_lib.data.commands", "data_group")}  # noqa: RUF012

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, loaded or not."""
        return sorted({*super().list_commands(ctx), *self.lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called ``cmd_name``, its module imported if need be."""
        if cmd_name in self.lazy:
            module, name = self.lazy[cmd_name]
            return getattr(importlib.import_module(module), name)
        return super().get_command(ctx, cmd_name)


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="radford")
def main() -> None:
    """Run, build and check the book "Two Radford papers, reproduced"."""


@main.command()
@click.argument("chapters", nargs=-1)
@PROFILE
@click.option(
    "-p", "typed", nargs=2, multiple=True, metavar="NAME VALUE", help="Change one parameter."
)
@click.option("--jobs", type=click.IntRange(1), help="Chapters at a time [default: one a core].")
@click.option("--force", is_flag=True, help="Run chapters that have not changed, too.")
def run(
    chapters: tuple[str, ...],
    profile: str,
    typed: tuple[tuple[str, str], ...],
    jobs: int | None,
    force: bool,
) -> None:
    """Run CHAPTERS (all of them by default) with papermill.

    A chapter whose code, parameters, library and data have not changed is skipped. Executed
    notebooks go to runs/PROFILE/.
    """
    from radford_lib.book import runs
    from radford_lib.book.layout import Book

    if typed and not chapters:
        raise UsageError("-p needs the chapter it is meant for: radford run CHAPTER -p NAME VALUE")
    outcomes = runs.run(Book.here(), profile, chapters, typed=dict(typed), jobs=jobs, force=force)
    for outcome in outcomes:
        if outcome.state == "unchanged":
            click.echo(runs.describe(outcome))
    failed = [outcome.chapter for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise RadfordError(f"{len(failed)} of {len(outcomes)} chapters failed: {', '.join(failed)}")


@main.command()
@PROFILE
@click.option("--lenient", is_flag=True, help="Build pages that have not been run, too.")
def build(profile: str, lenient: bool) -> None:
    """Build the site from the runs of a profile."""
    from radford_lib.book.build import build as build_site
    from radford_lib.book.layout import Book

    index = build_site(Book.here(), profile, strict=not lenient)
    click.echo(f"the book is at {index}")


@main.command()
@click.argument("kinds", nargs=-1, type=click.Choice(BENCHMARKS), metavar="[KIND...]")
@click.option(
    "--device", type=click.Choice(("cpu", "cuda")), help="[default: cuda where there is one]"
)
@click.option("--quick", is_flag=True, help="Rehearse at toy sizes; kept only with --out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File of the rows [default: benchmarks/results/KIND-DEVICE.json].",
)
def bench(kinds: tuple[str, ...], device: str | None, quick: bool, out: Path | None) -> None:
    """Time the library beside others: mlstm, dcgan, probe, data (all of them by default).

    Prints a table for each KIND, and keeps its rows with their machine and commit.
    """
    from radford_lib.book.layout import Book

    if out is not None and len(kinds) != 1:
        raise UsageError("--out needs the one benchmark it is meant for: radford bench KIND --out")
    book = Book.here()
    if not (book.root / "benchmarks" / "record.py").is_file():
        raise RadfordError(f"no benchmarks in {book.root}: run inside a checkout of the repository")
    sys.path.insert(0, str(book.root))  # they are not part of the installed package
    record = importlib.import_module("benchmarks.record")
    for kind in kinds or BENCHMARKS:
        record.bench(book, kind, device, quick, out)


@main.group()
def results() -> None:
    """Recorded results: runs that a laptop cannot repeat, kept in results/."""


@results.command("list")
@click.option("--profile", help="Only this profile [default: all that have results].")
def list_results(profile: str | None) -> None:
    """List the recorded results."""
    from radford_lib.book.export import recorded_profiles
    from radford_lib.book.layout import Book
    from radford_lib.book.results import load_recorded

    book = Book.here()
    for name in [profile] if profile else recorded_profiles(book):
        book.check_profile(name)
        for key, entry in sorted(load_recorded(book, name).items()):
            click.echo(f"{name:<8} {key:<40} {entry['value']!s:<24} {entry['chapter']}")


@results.command("export")
@click.argument("chapters", nargs=-1)
@click.option("--profile", required=True, help="Profile whose runs are recorded.")
@click.option("--allow-dirty", is_flag=True, help="Also runs of code that is not committed.")
def export_results(chapters: tuple[str, ...], profile: str, allow_dirty: bool) -> None:
    """Record the runs of a profile: results and figures go to results/PROFILE/."""
    from radford_lib.book.export import export
    from radford_lib.book.layout import Book

    for path in export(Book.here(), profile, chapters, allow_dirty=allow_dirty):
        click.echo(path)


@results.command("import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--profile", default="h200", show_default=True, help="Profile to record under.")
@click.option("--allow-dirty", is_flag=True, help="Also runs of code that is not committed.")
@click.option("--allow-quick", is_flag=True, help="Also rehearsals at toy size: not to be kept.")
def import_results(folder: Path, profile: str, allow_dirty: bool, allow_quick: bool) -> None:
    """Take over what a script of scripts/h200 wrote to FOLDER.

    Records go to results/PROFILE/, trained weights and their cards to radford_lib/weights/.
    """
    from radford_lib.book.imports import import_folder
    from radford_lib.book.layout import Book

    written = import_folder(
        Book.here(), profile, folder, allow_dirty=allow_dirty, allow_quick=allow_quick
    )
    for path in written:
        click.echo(path)
