"""The command line: thin. Each module beside this one holds a few commands and imports what is heavy inside them."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from leakdetect import __version__

_ORDER = (
    "demo",
    "init",
    "check",
    "fit",
    "detect",
    "watch",
    "events",
    "alerts",
    "runs",
    "report",
    "kpi",
    "serve",
    "score",
    "privacy",
)

_SELDOM = (50_000, 20, 100)  # looking for garbage among what imports leave for good takes a tenth of a daily run


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
    gc.set_threshold(*_SELDOM)
    if not debugging():  # a library's warning says nothing to a user
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    try:
        app()
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 (no traceback reaches a user)
        if debugging():
            traceback.print_exc()
        _leave(*explained(error))


def debugging() -> bool:
    """Say whether the user wants to see tracebacks."""
    return "--debug" in sys.argv[1:] or os.environ.get("LEAKDETECT_DEBUG", "0") not in {"", "0"}


def explained(error: Exception) -> tuple[str, int]:
    """Return what is said of an error, and the exit code it calls for: 2 if the user can mend it, 1 if not."""
    from leakdetect.errors import LeakdetectError
    from leakdetect.parallel import UnexpectedError

    if isinstance(error, LeakdetectError):
        return str(error), 2
    if isinstance(error, OSError):  # a folder that may not be written to, a disk that is full
        what = f"{error.filename or 'a file'}: {error.strerror or error}"
        return f"{what}: check the path, its permissions, the disk", 2
    what = str(error) if isinstance(error, UnexpectedError) else f"{type(error).__name__}: {error}"
    return f"unexpected {what}: please report it, with what --debug prints", 1


def _leave(text: str, code: int) -> NoReturn:
    typer.echo(f"leakdetect: {' '.join(text.split())}", err=True)
    sys.exit(code)


from leakdetect.cli import (  # noqa: E402, F401  (each registers its commands on `app`)
    alerts,
    benchmark,
    detectable,
    events,
    kpi,
    leakdb,
    networks,
    place,
    privacy,
    report,
    run,
    scenario,
    score,
    serve,
    site,
    watch,
)
