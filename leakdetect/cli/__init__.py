"""The command line: thin. Each module beside this one holds a few commands and imports what is heavy inside them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from leakdetect import __version__

app = typer.Typer(
    name="leakdetect",
    help="Find leaks in a water distribution network: which zone, since when, how much, how sure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"leakdetect {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which one.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error the user can mend is one line on stderr and exit code 2."""
    from leakdetect.errors import LeakdetectError

    try:
        app()
    except LeakdetectError as error:
        typer.echo(f"leakdetect: {' '.join(str(error).split())}", err=True)
        sys.exit(2)


from leakdetect.cli import report, scenario, score, site  # noqa: E402, F401  (registers its commands on `app`)
