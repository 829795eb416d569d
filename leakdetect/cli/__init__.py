"""The command line: thin. Each module beside this one holds a few commands and imports what is heavy inside them."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from leakdetect import __version__

_ORDER = ("demo", "init", "check", "fit", "detect", "events", "report", "score")


class _InOrder(TyperGroup):
    """Lists the commands in the order in which a user meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


app = typer.Typer(
    name="leakdetect",
    cls=_InOrder,
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
    debug: Annotated[
        bool, typer.Option("--debug", envvar="LEAKDETECT_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line.

    An error that the user can mend is one line on stderr and exit code 2; any other is one line and exit code 1, and
    its traceback with ``--debug`` or ``LEAKDETECT_DEBUG=1``.
    """
    from leakdetect.errors import LeakdetectError

    debug = "--debug" in sys.argv[1:] or os.environ.get("LEAKDETECT_DEBUG", "0") not in {"", "0"}
    if not debug:  # a library's warning says nothing to a user
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    try:
        app()
    except LeakdetectError as error:
        if debug:
            traceback.print_exc()
        _leave(str(error), 2)
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a folder that may not be written to, a disk that is full
        if debug:
            traceback.print_exc()
        _leave(f"{error.filename or 'a file'}: {error.strerror or error}: check the path, its permissions, the disk", 2)
    except Exception as error:  # noqa: BLE001 (no traceback reaches a user)
        if debug:
            traceback.print_exc()
        _leave(f"unexpected {type(error).__name__}: {error}: please report it, with what --debug prints", 1)


def _leave(text: str, code: int) -> NoReturn:
    typer.echo(f"leakdetect: {' '.join(text.split())}", err=True)
    sys.exit(code)


from leakdetect.cli import leakdb, networks, report, run, scenario, score, site  # noqa: E402, F401  (registers its commands on `app`)
