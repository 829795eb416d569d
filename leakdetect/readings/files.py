"""Files of readings as tables: CSV, Parquet, netCDF and workbooks, piece by piece so that memory stays bounded."""

from __future__ import annotations

import csv
import glob
import gzip
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leakdetect.errors import MissingFileError, ReadingsError
from leakdetect.readings import times
from leakdetect.readings.skipping import skip

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock

MISSING = ("", "-", "--", "---", "?", "*", "n/a", "N/A", "#N/A", "NA", "nan", "NaN", "NAN", "null", "NULL", "None")
"""What files write where there is no reading."""

_TOO_MUCH = "\0"  # takes what a row holds beyond its header's columns

CHUNK = 20_000
"""Rows held at a time."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file as it wrote them.

    Attributes
    ----------
    frame : DataFrame
        One column for each that was asked for, index 0, 1, ...
    first_row : int or None
        The first row's number in the file, counted from 1 as editors and spreadsheets do; None where rows have none.
    """

    frame: pd.DataFrame
    first_row: int | None


def matching(pattern: str, folder: Path, *, folders: bool = False) -> list[Path]:
    """Return the files a glob names, sorted; relative globs are of `folder`.

    Where it names no file it may name `folders`, each to be read as one table.

    Raises
    ------
    MissingFileError
        If it names none.
    """
    names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    every = sorted(folder / name for name in names)
    found = [path for path in every if path.is_file()] or [path for path in every if folders and path.is_dir()]
    if not found:
        raise MissingFileError(f"{folder / pattern}: no file matches: correct the glob of this [[readings]] block")
    return found


def columns(path: Path, block: ReadingsBlock) -> list[str]:
    """Return the names of a file's columns.

    Raises
    ------
    ReadingsError
        If the file is empty, not of its format, or names a column twice.
    """
    names = _FORMATS[block.format].columns(path, block)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        what = f"column {names.index(twice[0]) + 1}" if block.is_personal else f"column '{twice[0]}'"
        raise ReadingsError(f"{path}: {what} appears twice: give each column its own name")
    return names


def chunks(
    path: Path, block: ReadingsBlock, text: list[str], wanted: list[str], since: np.datetime64 | None = None,
    rows: int = CHUNK,
) -> Iterator[Chunk]:  # fmt: skip
    """Yield a file's rows.

    Parameters
    ----------
    path, block
        The file and how to read it.
    text : list of str
        Columns kept as they are written (times, sensor names).
    wanted : list of str
        Columns of numbers; still text where a CSV file holds text in them.
    since : datetime64, optional
        `text` is the time, which never goes backwards in the file: rows before this, as the file writes it, may be
        passed over.
    rows : int
        At most at a time, of formats that are read piece by piece.

    Raises
    ------
    ReadingsError
        If the file cannot be read as its format.
    """
    yield from _FORMATS[block.format].chunks(path, block, text, wanted, since, rows)


def ignored(name: str, block: ReadingsBlock) -> bool:
    """Say whether the block ignores a column."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in block.ignore)


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacked if it is gzip, whatever it is called."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _encoding(block: ReadingsBlock) -> str:
    return "utf-8-sig" if block.encoding.lower() in {"utf-8", "utf8"} else block.encoding


def _broken(path: Path, error: Exception) -> ReadingsError:
    if isinstance(error, UnicodeError):
        return ReadingsError(f"{path}: not in this encoding: set encoding = 'latin-1' (or another) for these readings")
    reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
    return ReadingsError(f"{path}: cannot be read: {reason}: is the file whole, and the format right?")


_BROKEN = (UnicodeError, gzip.BadGzipFile, EOFError, csv.Error, zipfile.BadZipFile, ValueError, KeyError, OSError)


def _csv_header(path: Path, block: ReadingsBlock) -> tuple[list[str], int]:
    """Return the names and the header's row, counted from 0: the first that is not blank."""
    try:
        with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding=_encoding(block), newline="") as lines:
            for row, names in enumerate(csv.reader(lines, delimiter=block.delimiter, skipinitialspace=True)):
                if any(name.strip() for name in names):
                    return [name.strip() for name in names], row
    except _BROKEN as error:
        raise _broken(path, error) from None
    raise ReadingsError(f"{path}: the file is empty: remove it or send it again")


def _csv_columns(path: Path, block: ReadingsBlock) -> list[str]:
    names = _csv_header(path, block)[0]
    return [name for name in names if name]  # a delimiter at the line's end makes a column without a name


def _csv_chunks(
    path: Path, block: ReadingsBlock, text: list[str], wanted: list[str], since: np.datetime64 | None, rows: int
) -> Iterator[Chunk]:
    names, header = _csv_header(path, block)
    places = [names.index(name) for name in text]
    names = [*(name or f"\0{i}" for i, name in enumerate(names)), _TOO_MUCH]
    row = header + 2
    try:
        with warnings.catch_warnings(), open_bytes(path) as raw:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            rest, above = raw, header + 1
            if since is not None and "\n".encode(block.encoding) == b"\n":
                for _ in range(above):
                    raw.readline()
                rest, passed = skip(raw, partial(_time_of, block, places), since)
                row, above = row + passed, 0
            frames = pd.read_csv(
                rest,
                sep=block.delimiter,
                decimal=block.decimal,
                encoding=_encoding(block),
                header=None,
                names=names,
                skiprows=above,
                index_col=False,
                dtype=dict.fromkeys([*text, _TOO_MUCH], str),
                na_values=list(MISSING),
                skipinitialspace=True,
                skip_blank_lines=False,  # so that rows count as an editor counts them
                low_memory=False,
                chunksize=rows,
            )
            for frame in frames:
                _refuse_longer(path, frame[_TOO_MUCH], row)
                yield Chunk(frame[[*text, *wanted]].reset_index(drop=True), row)
                row += len(frame)
    except ReadingsError:
        raise
    except pd.errors.EmptyDataError:
        return
    except (pd.errors.ParserError, pd.errors.ParserWarning, *_BROKEN) as error:
        raise _broken(path, error) from None


def _time_of(block: ReadingsBlock, places: list[int], line: bytes) -> np.datetime64:
    """Return the time that a row tells, as written; NaT where it tells none."""
    fields = next(csv.reader([line.decode(block.encoding)], delimiter=block.delimiter, skipinitialspace=True), [])
    if len(fields) <= max(places):
        return np.datetime64("NaT", "ns")
    written = [pd.Series([fields[place]]) for place in places]
    local = times.parse(written[0], block.time_format)[0]
    time: np.datetime64 = (local if len(written) == 1 else times.combine(local, written[1]))[0]
    return time


def _refuse_longer(path: Path, beyond: pd.Series, first_row: int) -> None:
    longer = beyond.notna().to_numpy()
    if longer.any():
        where = f"{path}: row {first_row + int(longer.argmax())}"
        raise ReadingsError(
            f"{where}: more values than the header has names: correct the row, or delimiter and decimal in site.toml"
        )


def _parquet_columns(path: Path, block: ReadingsBlock) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from None


def _parquet_chunks(
    path: Path, block: ReadingsBlock, text: list[str], wanted: list[str], since: np.datetime64 | None, rows: int
) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 1
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows, columns=[*text, *wanted]):
                frame = batch.to_pandas(ignore_metadata=True)
                yield Chunk(frame, row)
                row += len(frame)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from None


def _netcdf_frame(path: Path, block: ReadingsBlock) -> pd.DataFrame:
    """Return one column a sensor: 1-d variables over time, or one variable over (time, sensor)."""
    import xarray as xr

    try:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            if block.time not in data.dims:
                raise ReadingsError(f"{path}: no dimension '{block.time}': set time to one of {_list(data.dims)}")
            tables = [name for name, v in data.data_vars.items() if v.ndim == 2 and block.time in v.dims]
            if not tables:
                flat = [n for n, v in data.data_vars.items() if v.dims == (block.time,)]
                return data[flat].to_dataframe().reset_index()
            name = block.value if block.value in tables else tables[0]
            if len(tables) > 1 and name != block.value:
                raise ReadingsError(f"{path}: several tables: set value to one of {_list(tables)}")
            table = data[name].transpose(block.time, ...).reset_coords(drop=True)
            return pd.DataFrame(table.values, table.indexes[block.time], table.indexes[table.dims[1]]).reset_index()
    except _BROKEN as error:
        if isinstance(error, ReadingsError):
            raise
        raise _broken(path, error) from None


def _excel_frame(path: Path, block: ReadingsBlock) -> pd.DataFrame:
    return _sheet(path, path.stat().st_mtime_ns, block.sheet)


@lru_cache(maxsize=1)  # columns and rows are asked for one after the other, and a workbook takes long to read
def _sheet(path: Path, _: int, sheet: str | None) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # openpyxl on styles it does not keep
            return pd.read_excel(path, sheet_name=sheet or 0, dtype=object, na_values=list(MISSING))
    except _BROKEN as error:
        raise _broken(path, error) from None


def _whole(frame: Callable[[Path, ReadingsBlock], pd.DataFrame], first_row: int) -> _Format:
    """Return a format that is read at once."""

    def names(path: Path, block: ReadingsBlock) -> list[str]:
        return [str(c).strip() for c in frame(path, block).columns]

    def pieces(
        path: Path, block: ReadingsBlock, text: list[str], wanted: list[str], since: np.datetime64 | None, rows: int
    ) -> Iterator[Chunk]:
        table = frame(path, block).copy(deep=False)
        table.columns = pd.Index([str(c).strip() for c in table.columns])
        yield Chunk(table[[*text, *wanted]].reset_index(drop=True), first_row)

    return _Format(names, pieces)


@dataclass(frozen=True)
class _Format:
    columns: Callable[[Path, ReadingsBlock], list[str]]
    chunks: Callable[[Path, ReadingsBlock, list[str], list[str], np.datetime64 | None, int], Iterator[Chunk]]


_FORMATS = {
    "csv": _Format(_csv_columns, _csv_chunks),
    "parquet": _Format(_parquet_columns, _parquet_chunks),
    "netcdf": _whole(_netcdf_frame, 1),
    "xlsx": _whole(_excel_frame, 2),
}


def _list(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in list(names)[:8])
