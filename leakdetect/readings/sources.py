"""What a block's readings come from, each read in the same way: a file, a folder of Parquet, a table, a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from leakdetect.readings import files, times
from leakdetect.readings.files import Chunk

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock

HEAD = 2000
"""Readings from which a sensor's own step is taken: its first, so that it never changes."""


@dataclass(frozen=True)
class Window:
    """The times that are wanted, UTC; None where it is open."""

    since: np.datetime64 | None = None
    until: np.datetime64 | None = None


class Source(Protocol):
    """Rows of readings. Its text names it in errors.

    Attributes
    ----------
    windowed : bool
        It gives only the rows near the window, so that no row is no error.
    """

    windowed: bool

    def columns(self) -> list[str]:
        """Return the names of its columns; `ReadingsError` where it cannot be read."""
        ...

    def chunks(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """Yield its rows: columns of times and names (`text`) and of numbers (`wanted`); errors as `columns`."""
        ...

    def head(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """Yield its first rows, from which steps are learnt, where `chunks` may begin later."""
        ...

    def names(self, sensor: str) -> list[str]:
        """Return all sensors that a long table's column names, in an order that lasts; of files those it has shown."""
        ...


class File:
    """A file: what `files` gives. Of a wide CSV file, long before the window, the first rows only."""

    windowed = False

    def __init__(self, path: Path, block: ReadingsBlock, window: Window) -> None:
        self.path, self.block = path, block
        ordered = block.format == "csv" and block.layout == "wide"  # a long table may go sensor by sensor
        self._since = window.since - times.MARGIN if ordered and window.since is not None else None

    def __str__(self) -> str:
        return str(self.path)

    def columns(self) -> list[str]:
        """See `Source`."""
        return files.columns(self.path, self.block)

    def chunks(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`."""
        return files.chunks(self.path, self.block, text, wanted, self._since)

    def head(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`."""
        if self._since is not None:  # else `chunks` begins at the beginning
            first = files.chunks(self.path, self.block, text, wanted, rows=HEAD)
            yield next(first, Chunk(pd.DataFrame(columns=[*text, *wanted]), 1))

    def names(self, sensor: str) -> list[str]:
        """Return nothing: all rows are read."""
        return []


def sources(block: ReadingsBlock, folder: Path, window: Window) -> Iterator[Source]:
    """Yield what a block's readings come from, in the order in which later ones count more.

    Raises
    ------
    MissingFileError
        If a glob names nothing.
    ReadingsError, SiteError, MissingExtraError
        If a database or a server cannot be used.
    """
    if block.format == "sql":
        from leakdetect.readings.sql import Table

        yield Table(block, folder, window)
        return
    if block.format == "opcua":
        from leakdetect.readings.opcua import History

        yield History(block, folder, window)
        return
    for path in files.matching(block.glob, folder, folders=block.format == "parquet"):
        if path.is_dir():
            from leakdetect.readings.parquet import fragments

            yield from fragments(path, block, window)
        else:
            yield File(path, block, window)
