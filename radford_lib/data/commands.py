"""``radford data``: what packs there are, whether they are whole, and how to get them."""

from pathlib import Path

import click

from radford_lib.command_line import RadfordGroup


@click.group("data", cls=RadfordGroup)
def data_group() -> None:
    """Packs of real data: list, check and fetch them."""


@data_group.command("list")
def list_packs() -> None:
    """List toy worlds, packs and what can be fetched."""
    from radford_lib.data.load import TOY_CORPORA, TOY_IMAGES
    from radford_lib.data.packs import packs
    from radford_lib.data.sources import sources

    line = "{:<16} {:<8} {:>9}  {:<9} {}"
    click.echo(line.format("name", "kind", "MB", "state", "what; licence"))
    for name in TOY_IMAGES:
        click.echo(line.format(name, "images", "-", "toy", "made from a seed"))
    for name in TOY_CORPORA:
        click.echo(line.format(name, "corpus", "-", "toy", "made from a seed"))
    known = packs()
    for name, pack in known.items():
        size = f"{pack.bytes / 1e6:,.1f}"
        state = "fetched" if pack.fetched and pack.state == "there" else pack.state
        click.echo(line.format(name, pack.kind, size, state, f"{pack.title}; {pack.licence}"))
    for name, source in sources().items():
        if name not in known:
            what = f"{source.title}; {source.licence}"
            click.echo(line.format(name, source.kind, "-", "missing", what))


@data_group.command()
@click.argument("names", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Check packs NAMES (those that are there by default) against their manifests."""
    from tqdm import tqdm

    from radford_lib.data.packs import data_folder, packs, problem_with
    from radford_lib.errors import RadfordError, UsageError

    known = packs()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"no pack is called '{unknown[0]}': {', '.join(known)}")
    chosen = [
        pack
        for name, pack in known.items()
        if (name in names if names else pack.state != "missing")
    ]
    if not chosen:
        raise RadfordError(
            f"no pack is in {data_folder()}: run `radford data fetch NAME`, or set RADFORD_DATA"
        )
    problems = []
    total = sum(pack.bytes for pack in chosen)
    with tqdm(
        total=total, desc="checking", unit="B", unit_scale=True, leave=False, disable=None
    ) as bar:
        for pack in chosen:
            found = [
                problem
                for file in pack.files
                if (problem := problem_with(pack, file, remember=False, progress=bar.update))
            ]
            problems += [f"{pack.name}: {problem}: {pack.mend}" for problem in found]
            if not found:
                bar.write(f"{pack.name:<16} {len(pack.files):>3} files  good")
    for problem in problems:
        click.echo(problem, err=True)
    absent = sorted(name for name, pack in known.items() if pack.state == "missing")
    if absent and not names:
        click.echo(f"not there, not checked: {', '.join(absent)}")
    if problems:
        raise RadfordError(f"{len(problems)} files are wrong")


@data_group.command()
@click.argument("name")
@click.option(
    "--from",
    "given",
    type=click.Path(path_type=Path),
    help="File or folder that you have downloaded, where the publisher needs that.",
)
@click.option("--size", type=click.IntRange(1), help="Side of CelebA's and LSUN's squares [64].")
def fetch(name: str, given: Path | None, size: int | None) -> None:
    """Download NAME from its publisher and convert it into a pack.

    An interrupted download continues where it stopped. The pack goes to the data folder and takes
    the place of a built-in pack of that name.
    """
    from radford_lib.data.sources import fetch as fetch_source

    pack = fetch_source(name, given=given, size=size)
    for file in pack.files:
        click.echo(f"{file.path}  {file.count} in {file.split}")
    click.echo(f"pack '{name}' is in {pack.folder}; licence: {pack.licence}")


@data_group.command()
def where() -> None:
    """Show the folder of packs and the folder of what is derived from them."""
    from radford_lib.cache import cache_folder
    from radford_lib.data.packs import data_folder

    folder = data_folder()
    note = "" if folder.is_dir() else "  (not there yet)"
    click.echo(f"packs  {folder}{note}")
    click.echo(f"cache  {cache_folder()}")
