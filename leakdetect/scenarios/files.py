"""Files of a world, as BattLeDIM's (';' between columns, decimal comma, gzip), or readings as Parquet or netCDF."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from leakdetect.network import Floats
from leakdetect.scenarios.leaks import Leak

_TIME = "datetime64[s]"


class Layout(StrEnum):
    """How readings are written."""

    BATTLEDIM = "battledim"
    PARQUET = "parquet"
    NETCDF = "netcdf"


def write_readings(
    path: Path, times: np.ndarray, columns: Sequence[str], values: Floats, decimals: int, layout: Layout
) -> None:
    """Write a table of readings, as `write_table`; the layout adds the suffix to `path`."""
    if layout is Layout.BATTLEDIM:
        write_table(path.with_name(f"{path.name}.csv.gz"), times, columns, values, decimals)
        return
    table = pd.DataFrame(np.round(values, decimals) + 0.0, pd.DatetimeIndex(times, name="Timestamp"), list(columns))
    if layout is Layout.PARQUET:
        table.reset_index().to_parquet(path.with_name(f"{path.name}.parquet"), index=False)
    else:
        data = table.to_xarray()
        packed = {name: {"zlib": True, "complevel": 4} for name in columns}
        data.to_netcdf(path.with_name(f"{path.name}.nc"), engine="h5netcdf", encoding=packed)


def write_table(path: Path, times: np.ndarray, columns: Sequence[str], values: Floats, decimals: int) -> None:
    """Write one gzip table; NaN is an empty field.

    Parameters
    ----------
    path : Path
    times : ndarray of datetime64, shape (T,)
    columns : sequence of str, length S
    values : ndarray, shape (T, S)
    decimals : int
    """
    text = io.StringIO()
    text.write(";".join(["Timestamp", *columns]) + "\n")
    stamps = np.char.replace(np.datetime_as_string(times.astype(_TIME)), "T", " ")
    # Rounding first and adding 0 keeps "-0,00" out.
    rows = (np.round(values, decimals) + 0.0).tolist()
    form = f"%.{decimals}f"
    for stamp, row in zip(stamps, rows, strict=True):
        fields = ";".join(["" if v != v else form % v for v in row])  # noqa: PLR0124  # NaN is not itself
        text.write(f"{stamp};{fields}\n".replace(".", ","))
    write_bytes(path, zip_bytes(text.getvalue().encode()))


def zip_bytes(content: bytes) -> bytes:
    """Return gzip of `content`, the same bytes for the same content (no time stamp inside)."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def write_leaks(path: Path, leaks: Sequence[Leak], last: np.datetime64) -> None:
    """Write the truth: pipe,start,end,diameter_m,kind,peak; a leak that runs on ends at `last`."""
    lines = ["pipe,start,end,diameter_m,kind,peak"]
    lines += [
        f"{leak.pipe},{_minute(leak.start)},{_minute(last if leak.end is None else leak.end)},{leak.diameter:.6g},"
        f"{leak.kind},{_minute(leak.peak)}"
        for leak in leaks
    ]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def write_repairs(path: Path, leaks: Sequence[Leak], year: int) -> None:
    """Write the repairs reported in a year: ``# linkID, fixTime`` and a line each."""
    done = sorted((leak.end, leak.pipe) for leak in leaks if leak.end is not None and year_of(leak.end) == year)
    lines = ["# linkID, fixTime", *(f"{pipe}, {_minute(end)}" for end, pipe in done)]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def year_of(time: np.datetime64) -> int:
    """Return the calendar year."""
    return int(time.astype("datetime64[Y]").astype(np.int64)) + 1970


def _minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")
