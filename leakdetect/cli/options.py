"""What several commands ask for in the same words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The site folder.")]
Since = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Local time: 2019-01-31, or '2019-01-31 08:00'.")
]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Local time; a date alone includes that day.")]


class Language(StrEnum):
    """What words are printed in."""

    EN = "en"
    FR = "fr"
