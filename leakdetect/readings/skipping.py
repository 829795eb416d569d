"""Rows of a text file that lie before the times that are wanted, passed over without being taken apart."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any

import numpy as np

_BLOCK = 1 << 20
"""Bytes of which only the first line is looked at."""


def skip(
    raw: IO[bytes], time_of: Callable[[bytes], np.datetime64], since: np.datetime64
) -> tuple[io.BufferedReader, int]:
    """Pass over rows before a time, of a file in which time never goes backwards.

    Parameters
    ----------
    raw : binary file
        At the beginning of its first row.
    time_of : callable
        Returns the time that a row (bytes) tells; NaT where it tells none, and nothing is passed over from there on.
    since : datetime64

    Returns
    -------
    file, int
        What is left, from somewhat before `since`; how many rows were passed over.
    """
    passed, held, block = 0, b"", _lines(raw)
    while block and time_of(block[: block.find(b"\n") + 1] or block) < since:  # NaT is never less
        passed += held.count(b"\n")
        held, block = block, _lines(raw)
    return io.BufferedReader(_Rest(held + block, raw)), passed


def _lines(raw: IO[bytes]) -> bytes:
    return raw.read(_BLOCK) + raw.readline()


class _Rest(io.RawIOBase):
    """What was read already, and then what follows."""

    def __init__(self, first: bytes, raw: IO[bytes]) -> None:
        self._first, self._raw = io.BytesIO(first), raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with memoryview(buffer) as view:
            data = self._first.read(len(view)) or self._raw.read(len(view))
            view[: len(data)] = data
        return len(data)
