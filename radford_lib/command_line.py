"""Commands that answer bad input with one line and an exit code."""

import sys
from typing import Any

import click

from radford_lib.errors import RadfordError


class RadfordGroup(click.Group):
    """A click group in which a ``RadfordError`` is one line on stderr and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a ``RadfordError`` or Ctrl-C ends it without a traceback."""
        try:
            return super().invoke(ctx)
        except RadfordError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted; nothing half-written is left", err=True)
            sys.exit(130)
