"""Rows long before the window: passed over, and nothing else changes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from leakdetect.errors import ReadingsError
from leakdetect.readings import load, skipping
from leakdetect.site import load_site

SINCE = np.datetime64("2024-03-01", "ns")


def site(folder: Path, toml: str, rows: list[str], *, packed: bool = False) -> Path:
    folder.mkdir()
    (folder / "site.toml").write_text(
        f'name = "s"\ntimezone = "Europe/Paris"\n[[readings]]\nglob = "r.csv"\nquantity = "flow"\nunit = "m3/h"\n{toml}'
    )
    text = "\n".join(rows) + "\n"
    (folder / "r.csv").write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return folder


def hours(form: str = "%Y-%m-%d %H:%M:%S") -> list[str]:
    times = np.arange("2024-01-01", "2024-04-15", dtype="datetime64[h]").astype(object)
    return [time.strftime(form) for time in times]


LAYOUTS = {
    "plain": ("", ["time,a,b", *(f"{t},{k % 7},{k % 5}" for k, t in enumerate(hours()))]),
    "two columns": (
        'time = "D+T"\ntime_format = "%d/%m/%Y"\ndelimiter = ";"\n',
        ["D;a;T", *(f"{t.split()[0]};{k % 7};{t.split()[1]}" for k, t in enumerate(hours("%d/%m/%Y %H:%M")))],
    ),
    "seconds": (
        'time_format = "unix"\ntimezone = "UTC"\n',
        ["a,time", *(f"{k},{k * 3600 + 1704067200}" for k in range(2500))],
    ),
    "blank rows": ("", ["", "time,a", *(line for k, t in enumerate(hours()) for line in (f"{t},{k % 7}", ""))]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_is_what_it_is_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, packed: bool
) -> None:
    toml, rows = LAYOUTS[layout]
    one = load_site(site(tmp_path / "s", toml, rows, packed=packed))
    whole = load(one)
    monkeypatch.setattr(skipping, "_BLOCK", 300)
    passed = []
    skip = skipping.skip

    def told(*arguments: object) -> tuple[io.BufferedReader, int]:
        rest, count = skip(*arguments)  # type: ignore[arg-type]
        passed.append(count)
        return rest, count

    monkeypatch.setattr("leakdetect.readings.files.skip", told)
    part = load(one, since=SINCE)
    xr.testing.assert_identical(part, whole.sel(time=slice(SINCE, None)))
    assert (max(passed) > 1000) == (layout != "blank rows")  # a row that tells no time ends it: nothing is lost


def test_rows_keep_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "_BLOCK", 300)
    rows = LAYOUTS["plain"][1][:]
    rows[2000] = rows[2000].replace(",", ",x", 1)
    with pytest.raises(ReadingsError, match=r"r\.csv: row 2001, column 'a': 'x"):
        load(load_site(site(tmp_path / "s", "", rows)), since=SINCE)


def test_what_is_left_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b"%04d\n" % k for k in range(5000)]
    for size in (1, 7, 300, 10**6):
        raw = io.BytesIO(b"".join(lines))
        monkeypatch.setattr(skipping, "_BLOCK", size)
        rest, passed = skipping.skip(raw, lambda line: np.datetime64(int(line), "ns"), np.datetime64(2500, "ns"))
        assert rest.read() == b"".join(lines[passed:])
        assert passed <= 2500
        assert size > 300 or passed > 2400
