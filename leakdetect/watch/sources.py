"""Where readings arrive: lines on stdin, files dropped into a folder."""

from __future__ import annotations

import os
import queue
import select
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Protocol, TypeVar

from leakdetect.blocks import ReadingsBlock
from leakdetect.errors import LeakdetectError, MissingFileError, ReadingsError
from leakdetect.files import replacing
from leakdetect.readings.files import chunks, columns
from leakdetect.watch.messages import Raw, from_lines

if TYPE_CHECKING:
    from leakdetect.site import Site

_PIECE = 1 << 20  # bytes read at once: a batch, so that what waits in memory is bounded
_LONGEST = 16 * _PIECE  # bytes of a line
_SETTLED = 1.0  # [s] that a file must not have changed before it is read
TAKEN, REFUSED = "taken", "refused"
"""Folders below the one that is watched."""


T = TypeVar("T")


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Arrival:
    """What has arrived: readings, and what to call once they are on the disk."""

    raw: Sequence[Raw]
    kept: Callable[[], object] = nothing


def drained(waiting: queue.Queue[T], wait: float, most: int) -> list[T]:
    """Return what waits in a queue, waiting for so long [s] for the first."""
    found = list[T]()
    with suppress(queue.Empty):
        found.append(waiting.get(timeout=wait))
        while len(found) < most:
            found.append(waiting.get_nowait())
    return found


class Source(Protocol):
    """A feed. What it gave and was not told to be kept, it gives again, where it can."""

    def take(self, wait: float) -> Arrival | None:
        """Return what has arrived, waiting for so long [s] if nothing has; None at the end."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Lines:
    """JSON lines from a pipe or a file. While nobody reads, the pipe fills and the writer waits.

    Parameters
    ----------
    place : int
        File descriptor.
    refuse : callable
        Told why of what is no reading.
    """

    def __init__(self, place: int, refuse: Callable[[str], None]) -> None:
        self._place, self._refuse, self._rest, self._over = place, refuse, b"", False

    def take(self, wait: float) -> Arrival | None:
        """See `Source`."""
        if self._over:
            return None
        if not select.select([self._place], [], [], wait)[0]:
            return Arrival(())
        piece = os.read(self._place, _PIECE)
        self._over = not piece
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LONGEST:
            self._refuse("a line without end")
            self._rest = b""
        if self._over:
            lines, self._rest = [*lines, self._rest], b""
        return Arrival(from_lines(lines, self._refuse))

    def close(self) -> None:
        """See `Source`: the pipe is not ours."""


class Dropped:
    """Files that are dropped into a folder: JSON lines, or a table (CSV, Parquet) with columns time, sensor and value.

    A file that is kept is moved to ``taken``, one that cannot be read to ``refused`` with the reason beside it. Names
    that begin with a dot or end in ``.part`` or ``.tmp`` are of files that are still being written.

    Parameters
    ----------
    folder : path
    tell : callable
        Told of files that are refused.
    refuse : callable
        Told why of lines that are no reading.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None], refuse: Callable[[str], None]) -> None:
        if not folder.is_dir():
            raise MissingFileError(f"{folder}: no such folder: make it, or name another")
        self.folder, self._tell, self._refuse = folder, tell, refuse
        self._seen: dict[Path, tuple[int, int, float]] = {}

    def take(self, wait: float) -> Arrival | None:
        """See `Source`: one file at a time, the oldest first."""
        end = monotonic() + wait
        while (path := self._ready()) is None:
            if monotonic() >= end:
                return Arrival(())
            sleep(min(0.2, max(end - monotonic(), 0.0)))
        try:
            return Arrival(_rows(path, self._refuse), lambda: self._move(path, TAKEN))
        except FileNotFoundError:  # who dropped it has taken it away
            return Arrival(())
        except (LeakdetectError, OSError) as error:
            self._tell(f"{error}; moved to {REFUSED}")
            place = self._move(path, REFUSED)
            with replacing(place.with_name(f"{place.name}.why")) as why:
                why.write_text(f"{error}\n", encoding="utf-8")
            return Arrival(())

    def _ready(self) -> Path | None:
        """Return the oldest file that has not changed for a while."""
        found = []
        for path in self.folder.iterdir():
            if path.is_file() and path.name[0] != "." and path.suffix not in {".part", ".tmp"}:
                with suppress(FileNotFoundError):  # gone, or renamed, since it was listed
                    about = path.stat()
                    found.append((about.st_mtime_ns, path.name, path, about.st_size))
        before, now = self._seen, monotonic()
        self._seen = {}
        for changed, _, path, size in found:
            old = before.get(path)
            same = old is not None and old[:2] == (changed, size)
            self._seen[path] = (changed, size, old[2] if same and old is not None else now)
        for _, _, path, _ in sorted(found):
            if now - self._seen[path][2] >= _SETTLED:
                return path
        return None

    def _move(self, path: Path, where: str) -> Path:
        """Put a file away, under a name of its own, and return where it is."""
        (self.folder / where).mkdir(exist_ok=True)
        place, number = self.folder / where / path.name, 1
        while place.exists():
            number += 1
            place = place.with_name(f"{path.stem}-{number}{path.suffix}")
        path.replace(place)
        return place

    def close(self) -> None:
        """See `Source`."""


def _rows(path: Path, refuse: Callable[[str], None]) -> list[Raw]:
    if path.suffix in {".json", ".jsonl", ".ndjson"}:
        return from_lines(path.read_bytes().split(b"\n"), refuse)
    kind = "parquet" if path.suffix in {".parquet", ".pq"} else "csv"
    names = ["time", "sensor", "value"]
    block = ReadingsBlock.model_validate({"glob": path.name, "quantity": "level", "unit": "m", "format": kind})
    missing = [name for name in names if name not in columns(path, block)]
    if missing:
        raise ReadingsError(f"{path}: no column '{missing[0]}': write time, sensor and value")
    found = []
    for chunk in chunks(path, block, names[:2], names[2:]):
        frame = chunk.frame
        values = [_number(value) for value in frame["value"]]
        found += [
            Raw(t, s, v) for t, s, v in zip(frame["time"].astype(str), frame["sensor"].astype(str), values, strict=True)
        ]
    return found


def _number(value: object) -> object:
    """Return a cell's number; what is none is left as it stands, to be refused."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value


def site_folder(site: Site, folder: Path) -> Path:
    """Return the folder that is to be watched; ReadingsError if it is the site's own."""
    if folder.resolve() in {site.folder, site.spool_path.resolve()}:
        raise ReadingsError(f"{folder}: is the site's own folder: let files be dropped into another")
    return folder
