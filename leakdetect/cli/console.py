"""What commands print: tables on stdout; progress and log on stderr, progress on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

_SAYS = {
    "read": "reading the readings",
    "calibrate": "calibrating",
    "simulate": "simulating the leak-free network",
    "search": "looking for leaks in the window",
    "detect": "detecting",
}


def log(text: str) -> None:
    """Print a line on stderr."""
    typer.echo(text, err=True)


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Give a function that shows what is done and how far it is (0 to 1)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:  # older versions of rich end a progress that is off with an empty line
        yield lambda _what, _share: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=None)

        def tell(what: str, share: float) -> None:
            bars.update(task, description=_SAYS.get(what, what), completed=share, total=1.0 if share > 0 else None)

        yield tell


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table on stdout; `right` names the columns of numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if title:
        typer.echo(title)
    shown = Table(box=None, pad_edge=False, show_header=any(header))
    for name in header:
        shown.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    # A file or a pipe has no width: nothing is folded there.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False).print(shown)
