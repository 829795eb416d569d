"""Guess how a file of readings is written from its beginning."""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from leakdetect.blocks import ReadingsBlock
from leakdetect.errors import ReadingsError
from leakdetect.readings import files, times
from leakdetect.readings.values import numbers
from leakdetect.schema import Quantity

_BYTES = 200_000
_ROWS = 500
_FILES = 50  # of a folder
_SUFFIX = {".parquet": "parquet", ".pq": "parquet", ".nc": "netcdf", ".xlsx": "xlsx", ".xlsm": "xlsx"}
_TIME_NAME = re.compile(r"time|date|zeit|horo|heure|fecha|hora|^data\b|^ts$", re.IGNORECASE)
_CLOCK_NAME = re.compile(r"^(time|hour|clock|heure|uhrzeit|hora|ora)$", re.IGNORECASE)
_FORMATS = (
    None,
    *(
        f"{date} {clock}"
        for date in ("%d/%m/%Y", "%d.%m.%Y", "%m/%d/%Y", "%d-%m-%Y")
        for clock in ("%H:%M", "%H:%M:%S")
    ),
    *("%d/%m/%y %H:%M", "%d/%m/%y %H:%M:%S", "%m/%d/%Y %I:%M %p"),
    *("%d/%m/%Y", "%d.%m.%Y", "%m/%d/%Y", "unix"),
)


@dataclass(frozen=True)
class Sniffed:
    """How a file seems to be written.

    Attributes
    ----------
    settings : dict
        Keys of a ``[[readings]]`` block.
    columns : tuple of str
        The columns of numbers (wide), or the sensors' names (long).
    text : tuple of str
        The columns that are no readings.
    sample : dict of str to ndarray
        The first values of each of `columns`, NaN left out.
    """

    settings: dict[str, str]
    columns: tuple[str, ...]
    text: tuple[str, ...] = ()
    sample: dict[str, np.ndarray] = field(default_factory=dict, compare=False)


def sniff(path: Path) -> Sniffed:
    """Guess how a file, or a folder of Parquet files, is written.

    Raises
    ------
    ReadingsError
        If it is empty, or no column holds times, or none holds numbers.
    """
    file_format = "parquet" if path.is_dir() else _SUFFIX.get(path.suffix.lower(), "csv")
    settings: dict[str, str] = {"format": file_format}
    if file_format == "csv":
        settings |= _dialect(path)
    block = _block(path, settings)
    chunk: files.Chunk | None
    if path.is_dir():
        names, chunk = _of_folder(path, block)
    else:
        names = _netcdf_names(path) if file_format == "netcdf" else files.columns(path, block)
        settings["time"] = names[0]
        block = _block(path, settings)
        chunk = next(files.chunks(path, block, names, []), None)
    if chunk is None or chunk.frame.empty:
        raise ReadingsError(f"{path}: no row of readings: remove the file or send it again")
    head = chunk.frame if path.is_dir() else chunk.frame.head(_ROWS)
    clock, time_format = _time_column(path, head, chunk.frame)
    settings["time"] = "+".join(clock)
    if time_format:
        settings["time_format"] = time_format
    others = [name for name in names if name not in clock]
    if file_format == "csv":
        settings["decimal"] = _decimal(head[others], settings["delimiter"])
    decimal = settings.get("decimal", ".")
    parsed = {name: numbers(head[name], decimal) for name in others}
    good = [name for name in others if parsed[name][1] is None]
    text = [name for name in others if name not in good]
    names_column = [n for n in text if head[n].notna().all() and head[n].nunique() < len(head)]
    if len(names_column) == 1 and len(good) == 1:
        settings |= {"layout": "long", "sensor": names_column[0], "value": good[0]}
        return _long(path, chunk.frame, settings, decimal)
    if not good:
        raise ReadingsError(f"{path}: no column of numbers: is this a file of readings?")
    sample = {name: parsed[name][0][~np.isnan(parsed[name][0])] for name in good}
    return Sniffed(settings, tuple(good), tuple(text), sample)


def _long(path: Path, frame: pd.DataFrame, settings: dict[str, str], decimal: str) -> Sniffed:
    sensor = settings["sensor"]
    values, _ = numbers(frame[settings["value"]], decimal)
    who = frame[sensor].astype("str").str.strip()
    names = tuple(dict.fromkeys(who[frame[sensor].notna()]))
    if path.is_dir():
        from leakdetect.readings.parquet import Folder

        names = tuple(Folder(path, _block(path, settings)).sensors)
    sample = {name: values[(who == name).to_numpy() & ~np.isnan(values)][:_ROWS] for name in names}
    return Sniffed(settings, names, (), sample)


def _of_folder(path: Path, block: ReadingsBlock) -> tuple[list[str], files.Chunk]:
    """Return a folder's columns and the first rows of some of its files, those first that begin and end the list."""
    from leakdetect.readings.parquet import fragments
    from leakdetect.readings.sources import Window

    every = list(fragments(path, block.model_copy(update={"layout": "long"}), Window(np.datetime64(0, "ns"))))
    names = every[0].columns()
    some = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, _FILES).round().astype(int))]
    frame = pd.concat([chunk.frame.head(_ROWS) for one in some for chunk in one.head(names, [])], ignore_index=True)
    # What folders are named by may be the sensor; a year or a month is not.
    dates = [k for k in every[0].folder.keys if frame[k].astype("str").str.fullmatch(r"[\d-]+").all()]
    return [n for n in names if n not in dates], files.Chunk(frame, None)


def _block(path: Path, settings: dict[str, str]) -> ReadingsBlock:
    return ReadingsBlock.model_validate({"glob": str(path), "quantity": Quantity.FLOW, "unit": "m3/h", **settings})


def _netcdf_names(path: Path) -> list[str]:
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as data:
        dims = [str(d) for d in data.dims if str(d) in data.indexes]
        when = [d for d in dims if isinstance(data.indexes[d], pd.DatetimeIndex)]
    if not when:
        raise ReadingsError(f"{path}: no dimension of times: readings need one")
    block = _block(path, {"format": "netcdf", "time": when[0]})
    names = files.columns(path, block)
    return [when[0], *(name for name in names if name != when[0])]


def _dialect(path: Path) -> dict[str, str]:
    with files.open_bytes(path) as raw:
        head = raw.read(_BYTES)
    if not head.strip():
        raise ReadingsError(f"{path}: the file is empty: remove it or send it again")
    encoding = "utf-16" if head[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = head.decode(encoding)
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()][:50]
    fields = {mark: [len(row) for row in csv.reader(lines, delimiter=mark)] for mark in (";", "\t", "|", ",")}
    steady = {mark: min(count) > 1 and max(count) == min(count) for mark, count in fields.items()}
    delimiter = max(fields, key=lambda mark: (steady[mark], fields[mark][0]))
    return {"delimiter": delimiter, "encoding": encoding}


def _decimal(body: pd.DataFrame, delimiter: str) -> str:
    cells = body.head(50).astype("str").to_numpy().ravel()
    commas = sum(re.fullmatch(r"-?\d*,\d+", str(cell).strip()) is not None for cell in cells)
    points = sum(re.fullmatch(r"-?\d*\.\d+", str(cell).strip()) is not None for cell in cells)
    return "," if delimiter != "," and commas > points else "."


def _time_column(path: Path, head: pd.DataFrame, whole: pd.DataFrame) -> tuple[list[str], str | None]:
    """Return the time column, or date and clock, and the format if it is not ISO 8601."""
    named = [name for name in head if _TIME_NAME.search(str(name))]
    for name in [*named, *(other for other in head if other not in named)]:
        if name not in named and not head[name].astype("str").str.contains(r"\d[-/:.]\d").any():
            continue  # a plain number would pass for a year
        formats = [f for f in _FORMATS if _parses(head[name], f, unix=name in named)]
        if not formats:
            continue
        disorder = {f: _disorder(whole[name], f) for f in formats}
        best = min(formats, key=lambda f: (disorder[f], formats.index(f)))
        dates = head[name].astype("str").str.contains(":").sum() == 0
        clocks = [other for other in head if other != name and _CLOCK_NAME.match(str(other))]
        return [str(name), *(str(c) for c in clocks[:1] if dates)], best
    raise ReadingsError(
        f"{path}: no column of times among {', '.join(map(str, list(head)[:5]))}: is this a readings file?"
    )


def _parses(written: pd.Series, time_format: str | None, *, unix: bool) -> bool:
    if time_format == "unix":
        seconds = pd.to_numeric(written, errors="coerce")
        return unix and bool(seconds.between(1e8, 4e9).all())
    found, _ = times.parse(written, time_format)
    there = written.notna().to_numpy()
    return bool(there.any()) and not bool(np.isnat(found[there]).any())


def _disorder(written: pd.Series, time_format: str | None) -> int:
    """Count times that cannot be read, and those that go back: the wrong order of day and month has many."""
    found, _ = times.parse(written, time_format)
    known = found[~np.isnat(found)]
    lost = int(np.isnat(found[written.notna().to_numpy()]).sum())
    return lost + int((np.diff(known) < np.timedelta64(-2, "h")).sum())
