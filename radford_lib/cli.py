"""The ``radford`` command."""

import click


@click.group()
def main() -> None:
    """Run, build and check the book "Two Radford papers, reproduced"."""
