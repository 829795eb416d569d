"""Readings that were received one by one: a journal in the site folder, on the disk before anybody is told so."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import InputError, ReadingsError
from leakdetect.vault import Vault

_MAGIC = b"LDS1"
_HEAD = struct.Struct("<4sII")  # magic, length and CRC-32 of what follows
_COUNT = struct.Struct("<I")
_EACH = 8 + 4 + 8  # bytes a reading: time, sensor, value
_LARGE = 32 << 20  # bytes after which a file is closed
_KINDS = {"readings": False, "meters": True}  # the latter sealed


@dataclass(frozen=True)
class Batch:
    """Readings of some sensors, N in all.

    Attributes
    ----------
    sensors : tuple of (str, str)
        Quantity and name of the column that each is.
    time : ndarray of int64, shape (N,)
        UTC [ns since 1970].
    sensor : ndarray of int32, shape (N,)
        Number of each reading's sensor in `sensors`.
    value : ndarray of float, shape (N,)
        SI.
    """

    sensors: tuple[tuple[str, str], ...]
    time: NDArray[np.int64]
    sensor: NDArray[np.int32]
    value: NDArray[np.float64]

    def part(self, rows: NDArray[np.bool_]) -> Batch:
        """Return some of the readings."""
        return Batch(self.sensors, self.time[rows], self.sensor[rows], self.value[rows])


class Spool:
    """The journal of a site.

    Files are ``readings-NUMBER.log`` and, sealed, ``meters-NUMBER.log``; one that is closed has its first and last day
    in its name, so that it need not be read where others are wanted. Where a process was killed, or a disk was full,
    while it wrote, the last record of a file is not whole and not read: nobody was told that it had been received.

    Parameters
    ----------
    folder : path
    vault : Vault
        That seals households' meters.
    """

    def __init__(self, folder: Path, vault: Vault) -> None:
        self.folder, self.vault = folder, vault
        self._open: dict[str, tuple[Path, BinaryIO, list[int]]] = {}

    # -- writing -----------------------------------------------------------------------------------------------

    def append(self, batch: Batch, personal: NDArray[np.bool_]) -> None:
        """Keep readings; they are on the disk when this returns.

        Parameters
        ----------
        batch : Batch
        personal : ndarray of bool
            Which of the batch's sensors are households' meters.

        Raises
        ------
        InputError
            If the disk is full or may not be written to; nothing of the batch counts as received then.
        """
        hidden = personal[batch.sensor] if len(batch.sensor) else np.zeros(0, dtype=bool)
        for kind, sealed in _KINDS.items():
            rows = hidden == sealed
            if rows.any():
                self._write(kind, batch.part(rows), sealed=sealed)

    def _write(self, kind: str, batch: Batch, *, sealed: bool) -> None:
        body = _body(batch)
        if sealed:
            body = self.vault.seal_bytes(body)
        path, file, span = self._file(kind)
        start = file.tell()
        try:
            rest = memoryview(_HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body)
            while rest:  # a disk that is filling takes a part
                rest = rest[file.write(rest) :]
            os.fdatasync(file.fileno())
        except OSError as error:
            self._cut(file, start)
            raise InputError(f"{path}: cannot be written: {error.strerror or error}: make room on the disk") from None
        span[:] = [min(span[0], int(batch.time.min())), max(span[1], int(batch.time.max()))]
        if file.tell() > _LARGE:
            self._close(kind)

    @staticmethod
    def _cut(file: BinaryIO, size: int) -> None:
        """Take back a record that is not whole, so that later ones can be read."""
        os.ftruncate(file.fileno(), size)
        os.lseek(file.fileno(), size, os.SEEK_SET)

    def _file(self, kind: str) -> tuple[Path, BinaryIO, list[int]]:
        if kind not in self._open:
            try:
                if not self.folder.is_dir():
                    self.folder.mkdir()
                    _sync_folder(self.folder.parent)
                numbers = [int(p.stem.split("-")[1].split("_")[0]) for p in self._files(kind)]
                path = self.folder / f"{kind}-{max(numbers, default=0) + 1:06d}.log"
                file = open(path, "xb", buffering=0)  # noqa: PTH123, SIM115 (closed by `close`)
            except OSError as error:
                raise InputError(f"{self.folder}: cannot be written: {error.strerror or error}") from None
            _sync_folder(self.folder)
            extremes = np.iinfo(np.int64)
            self._open[kind] = (path, file, [int(extremes.max), int(extremes.min)])
        return self._open[kind]

    def _close(self, kind: str) -> None:
        path, file, span = self._open.pop(kind)
        size = file.tell()
        file.close()
        if not size:
            path.unlink()
        else:
            first, last = (str(np.datetime64(at, "ns").astype("datetime64[D]")) for at in span)
            path.rename(path.with_name(f"{path.stem}_{first}_{last}.log"))

    def close(self) -> None:
        """Close what is open."""
        for kind in list(self._open):
            self._close(kind)

    def meters(self, before: np.datetime64 | None = None) -> Iterator[tuple[Path, int, np.datetime64, np.datetime64]]:
        """Yield each file of households' meters: how many they are, their first and their last reading; as `read`.

        Closed ones with a reading of the day `before` or later are not looked at.
        """
        for path in self._files("meters"):
            if before is not None and (span := _span(path)) is not None and span[1] >= before:
                continue
            batches = [_batch(self.vault.unseal_bytes(body, str(path))) for body in _records(path)]
            if batches:
                count = len({sensor for batch in batches for sensor in batch.sensors})
                span = min(b.time.min() for b in batches), max(b.time.max() for b in batches)
                yield path, count, np.datetime64(int(span[0]), "ns"), np.datetime64(int(span[1]), "ns")

    # -- reading -----------------------------------------------------------------------------------------------

    def _files(self, kind: str) -> list[Path]:
        return sorted(self.folder.glob(f"{kind}-[0-9]*.log"))

    def read(self, since: np.datetime64 | None = None, until: np.datetime64 | None = None) -> Iterator[Batch]:
        """Yield what was received of some time, each kind in the order in which it came.

        Raises
        ------
        ReadingsError
            If a file is damaged.
        InputError
            If it was sealed with another key.
        """
        first = np.iinfo(np.int64).min if since is None else int(since.astype("datetime64[ns]").astype(np.int64))
        last = np.iinfo(np.int64).max if until is None else int(until.astype("datetime64[ns]").astype(np.int64))
        for kind, sealed in _KINDS.items():
            for path in self._files(kind):
                if not _may_hold(path, since, until):
                    continue
                for body in _records(path):
                    batch = _batch(self.vault.unseal_bytes(body, str(path)) if sealed else body)
                    rows = (batch.time >= first) & (batch.time <= last)
                    if rows.any():
                        yield batch.part(rows)


def _sync_folder(folder: Path) -> None:
    """Let a file's name be on the disk too."""
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def _span(path: Path) -> tuple[np.datetime64, np.datetime64] | None:
    """Return the first and last day of a file that was closed."""
    parts = path.stem.split("_")
    return (np.datetime64(parts[1], "D"), np.datetime64(parts[2], "D")) if len(parts) == 3 else None


def _may_hold(path: Path, since: np.datetime64 | None, until: np.datetime64 | None) -> bool:
    span = _span(path)
    if span is None:
        return True
    return bool((since is None or span[1] + 1 > since) and (until is None or span[0] <= until))


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            magic, length, check = _HEAD.unpack(head)
            body = file.read(length) if magic == _MAGIC else b""
            if magic == _MAGIC and len(body) == length and zlib.crc32(body) == check:
                yield body
            elif (magic == _MAGIC or not any(head)) and not any(file.read()):  # the last one, not whole
                return  # zeros are room that was given when power failed
            else:
                raise ReadingsError(f"{path}: damaged at byte {file.tell()}: put back a copy, or move it away")


def _body(batch: Batch) -> bytes:
    used, sensor = np.unique(batch.sensor, return_inverse=True)
    names = json.dumps([batch.sensors[k] for k in used]).encode()
    columns = (batch.time.astype("<i8"), sensor.astype("<i4"), batch.value.astype("<f8"))
    return b"".join([_COUNT.pack(len(names)), names, *(column.tobytes() for column in columns)])


def _batch(body: bytes) -> Batch:
    (size,) = _COUNT.unpack_from(body)
    start = _COUNT.size + size
    count = (len(body) - start) // _EACH
    sensors = tuple((str(quantity), str(column)) for quantity, column in json.loads(body[_COUNT.size : start]))
    return Batch(
        sensors,
        np.frombuffer(body, "<i8", count, start).astype(np.int64),
        np.frombuffer(body, "<i4", count, start + 8 * count).astype(np.int32),
        np.frombuffer(body, "<f8", count, start + 12 * count).astype(np.float64),
    )
