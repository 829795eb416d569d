"""Readings of every kind of file come out as one dataset, and what is wrong is named."""

from __future__ import annotations

import gzip
import sys
import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from leakdetect.checks import check_record
from leakdetect.errors import ElementError, LeakdetectError, MissingFileError, ReadingsError
from leakdetect.network import Network
from leakdetect.readings import files
from leakdetect.readings import load as read
from leakdetect.site import ReadingsBlock, Site

PLAIN = "time,n1,n2\n2020-01-01 00:00,1.5,2\n2020-01-01 00:05,2.5,3\n"


def site(folder: Path, *blocks: dict[str, Any], **values: Any) -> Site:
    base = {"glob": "a.csv", "quantity": "pressure", "unit": "m"}
    return Site(
        name="s",
        folder=folder,
        readings=[ReadingsBlock.model_validate({**base, **b}) for b in blocks or ({},)],
        **values,
    )


def write(folder: Path, text: str, name: str = "a.csv", encoding: str = "utf-8") -> None:
    (folder / name).write_bytes(text.encode(encoding))


def test_plain_csv(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    data = read(site(tmp_path))
    assert data["reading"].values.tolist() == [[1.5, 2], [2.5, 3]]
    assert data["sensor"].values.tolist() == ["n1", "n2"]
    assert data["element"].values.tolist() == ["", ""]  # there is no network to have elements
    assert data["step"].values.tolist() == [300, 300]
    assert data["time"].values[1] == np.datetime64("2020-01-01T00:05")
    assert data.attrs["files"] == 1


@pytest.mark.parametrize(
    ("text", "settings", "encoding"),
    [
        (PLAIN.replace(".", "§").replace(",", ";").replace("§", ","), {"delimiter": ";", "decimal": ","}, "utf-8"),
        (PLAIN.replace(",", "\t"), {"delimiter": "\t"}, "utf-8"),
        (PLAIN, {}, "utf-8-sig"),
        (PLAIN.replace("n2", "höhe"), {"encoding": "latin-1", "columns": {"höhe": "n2"}}, "latin-1"),
        (PLAIN.replace("n1", '"n1"').replace("1.5", '"1.5"'), {}, "utf-8"),
        (PLAIN.replace("\n", "\r\n"), {}, "utf-8"),
        ("\n\n" + PLAIN.replace("\n2020-01-01 00:05", "\n\n2020-01-01 00:05") + "\n\n", {}, "utf-8"),
        (PLAIN.replace("n2", "n2,").replace("2\n", "2,\n").replace("3\n", "3,\n"), {}, "utf-8"),
        (PLAIN.replace("2020-01-01 00", "01/01/2020 00"), {"time_format": "%d/%m/%Y %H:%M"}, "utf-8"),
        (PLAIN.replace("2020-01-01 00:00", "1577836800").replace("2020-01-01 00:05", "1577837100"),
         {"time_format": "unix"}, "utf-8"),
        (PLAIN.replace("2020-01-01 00:0", "2020-01-01T01:0").replace(":00,", ":00+01:00,")
         .replace(":05,", ":05+01:00,"), {}, "utf-8"),
        (PLAIN.replace("time", "Date,Time").replace("01-01 ", "01-01,"), {"time": "Date+Time"}, "utf-8"),
    ],
    ids=["semicolon", "tab", "bom", "latin-1", "quoted", "crlf", "blank lines", "trailing comma", "day first", "unix",
         "offset", "date and time"],
)  # fmt: skip
def test_ways_of_writing(tmp_path: Path, text: str, settings: dict[str, Any], encoding: str) -> None:
    write(tmp_path, text, encoding=encoding)
    data = read(site(tmp_path, settings))
    assert data["reading"].values.tolist() == [[1.5, 2], [2.5, 3]]
    assert data["sensor"].values.tolist() == ["n1", "n2"]
    assert data["time"].values.tolist() == [1577836800 * 10**9, 1577837100 * 10**9]


def test_gzip_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress(PLAIN.encode()))
    assert read(site(tmp_path)).sizes["time"] == 2


def test_other_formats_hold_the_same(tmp_path: Path) -> None:
    frame = pd.DataFrame({"time": pd.to_datetime(["2020-01-01 00:00", "2020-01-01 00:05"]), "n1": [1.5, 2.5]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    wide = frame.set_index("time").to_xarray()
    wide.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    table = xr.Dataset({"p": (("time", "where"), frame[["n1"]].to_numpy())}, {"time": frame["time"], "where": ["n1"]})
    table.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    write(tmp_path, "time,sensor,value\n2020-01-01 00:00,n1,1.5\n2020-01-01 00:05,n1,2.5\n")
    for settings in (
        {"glob": "a.parquet", "format": "parquet"},
        {"glob": "a.xlsx", "format": "xlsx"},
        {"glob": "a.nc", "format": "netcdf"},
        {"glob": "b.nc", "format": "netcdf"},
        {"layout": "long"},
    ):
        data = read(site(tmp_path, settings))
        assert data["reading"].values.tolist() == [[1.5], [2.5]], settings
        assert data["sensor"].values.tolist() == ["n1"]


def test_long_layout_with_steps_of_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        "when;who;what\n2020-01-01 00:00;a;1\n2020-01-01 00:05;a;2\n2020-01-01 00:10;a;3\n"
        "2020-01-01 00:00;b;10\n2020-01-01 00:10;b;-\n2020-01-01 00:20;b;30\n2020-01-01 00:00;junk;1\n",
    )
    block = {"layout": "long", "delimiter": ";", "time": "when", "sensor": "who", "value": "what", "ignore": ["junk"]}
    data = read(site(tmp_path, block))
    assert data["sensor"].values.tolist() == ["a", "b"]
    assert data["step"].values.tolist() == [300, 1200]
    np.testing.assert_array_equal(data["reading"].values, [[1, 10], [2, np.nan], [3, np.nan], [np.nan, 30]])


def test_units_and_quantities_and_names(tmp_path: Path) -> None:
    write(tmp_path, PLAIN)
    write(tmp_path, PLAIN.replace("n2", "p9"), "b.csv")
    data = read(
        site(
            tmp_path,
            {"unit": "kPa", "ignore": ["n2"]},
            {"glob": "b.csv", "quantity": "flow", "unit": "m3/h", "columns": {"p9": "P9"}, "dmas": {"p9": "north"}},
        )
    )
    assert data["sensor"].values.tolist() == ["n1 pressure", "n1 flow", "P9"]
    assert data["dma"].values.tolist() == ["", "", "north"]
    assert data["reading"].values[0] == pytest.approx([1.5 / 9.80665, 1.5 / 3600, 2 / 3600])
    assert data["unit"].values.tolist() == ["kPa", "m3/h", "m3/h"]


def test_two_sensors_at_one_element_are_two(tmp_path: Path) -> None:
    """Of one block; a column of another block goes on where the first stopped."""
    write(tmp_path, "time,a,b,c\n2020-01-01 00:00,1,2,3\n2020-01-01 00:05,4,5,6\n")
    write(tmp_path, "time,d\n2020-01-01 00:10,7\n", "b.csv")
    both = {"columns": {"a": "n1", "b": "n1", "c": "n2"}}
    data = read(site(tmp_path, both, {"glob": "b.csv", "columns": {"d": "n2"}}, network="x.inp"))
    assert data["sensor"].values.tolist() == ["n1 pressure a", "n1 pressure b", "n2"]
    assert data["element"].values.tolist() == ["n1", "n1", "n2"]
    np.testing.assert_array_equal(data["reading"].values, [[1, 2, 3], [4, 5, 6], [np.nan, np.nan, 7]])
    assert data.attrs["duplicates_conflicting"] == 0
    named = read(site(tmp_path, {"columns": {"b": "a"}}))  # the column that bears the element's name is the other one
    assert named["reading"].values.tolist() == [[1, 2, 3], [4, 5, 6]]
    meters = read(site(tmp_path, both | {"quantity": "demand", "unit": "L/h"}, network="x.inp"))
    assert len({*meters["sensor"].values}) == 3
    assert meters["element"].values.tolist() == ["n1", "n1", "n2"]


def test_missing_marks_and_infinities(tmp_path: Path) -> None:
    write(
        tmp_path,
        "time;n1\n" + "".join(f"2020-01-01 0{i}:00;{v}\n" for i, v in enumerate(["", "N/A", " - ", "inf", "1,5"])),
    )
    data = read(site(tmp_path, {"delimiter": ";", "decimal": ","}))
    np.testing.assert_array_equal(data["reading"].values[:, 0], [np.nan] * 4 + [1.5])
    assert data.attrs["not_finite"] == 1


def test_several_files_and_duplicates(tmp_path: Path) -> None:
    write(tmp_path, PLAIN, "day_1.csv")
    write(tmp_path, "time,n1,n2\n2020-01-01 00:05,2.5,9\n2020-01-01 00:10,4,5\n2020-01-01 00:10,6,\n", "day_2.csv")
    data = read(site(tmp_path, {"glob": "day_*.csv"}))
    assert data["reading"].values.tolist() == [[1.5, 2], [2.5, 9], [6, 5]]
    assert data.attrs["duplicates_identical"] == 1
    assert data.attrs["duplicates_conflicting"] == 2


def test_since_and_until(tmp_path: Path) -> None:
    rows = pd.date_range("2020-01-01", periods=24 * 5, freq="h")
    write(tmp_path, "time,n1\n" + "".join(f"{t},{i}\n" for i, t in enumerate(rows)))
    whole = read(site(tmp_path))
    since, until = np.datetime64("2020-01-02T05:00"), np.datetime64("2020-01-03T01:30")
    part = read(site(tmp_path), since, until)
    xr.testing.assert_identical(part, whole.sel(time=slice(since, until)))
    nothing = read(site(tmp_path), np.datetime64("2021-01-01"))
    assert nothing.sizes == {"time": 0, "sensor": 1}
    assert nothing["step"].values.tolist() == [3600]


def test_what_lies_ahead_of_now_is_none(tmp_path: Path) -> None:
    """One logger's reading of next year would let all that comes until then be late."""
    now = np.datetime64("now", "m")
    soon, far = now + np.timedelta64(2, "h"), now + np.timedelta64(300, "D")
    write(tmp_path, f"{PLAIN}{soon},1,2\n{far},3,4\n")
    data = read(site(tmp_path))
    assert data["time"].values[-1] == soon  # clocks are set wrong by hours
    assert (data.sizes["time"], data.attrs["ahead"]) == (3, 1)
    assert any("ahead of this machine's clock" in one.what for one in check_record(data, site(tmp_path)))
    write(tmp_path, f"time,n1\n{far},3\n")
    with pytest.raises(ReadingsError, match="all readings are ahead of this machine's clock"):
        read(site(tmp_path))
    long = {"layout": "long", "sensor": "id", "value": "v"}
    write(tmp_path, f"time,id,v\n2020-01-01 00:00,n1,1\n{far},n1,3\n2020-01-01 00:05,n2,1\n")
    assert read(site(tmp_path, long)).sizes["time"] == 2


def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.date_range("2020-01-01", periods=50, freq="h")
    write(tmp_path, "time,n1\n" + "".join(f"{t},{i}\n" for i, t in enumerate(rows)))
    whole = read(site(tmp_path))
    monkeypatch.setattr(files, "CHUNK", 7)
    xr.testing.assert_identical(read(site(tmp_path)), whole)


def test_loggers_that_tick_apart_do_not_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = pd.date_range("2020-01-01", periods=100, freq="5min")
    lines = [f"{t + pd.Timedelta(seconds=s)},n{s},{s}\n" for s in range(20) for t in ticks]
    write(tmp_path, "time,sensor,value\n" + "".join(lines))
    apart = read(site(tmp_path, {"layout": "long"}))
    assert apart.sizes["time"] == 2000
    monkeypatch.setattr(sys.modules["leakdetect.readings.load"], "MAX_CELLS", 10_000)
    together = read(site(tmp_path, {"layout": "long"}))
    assert together.sizes["time"] == 101
    assert together.attrs["snapped"] == 1
    first = together["time"].values[np.argmax(~np.isnan(together["reading"].values[:, 19]))]
    assert first == np.datetime64("2020-01-01T00:05")  # never earlier than the reading


def test_summer_and_winter_time(tmp_path: Path) -> None:
    utc = pd.date_range("2021-03-27 22:00", "2021-03-28 04:00", freq="30min", tz="UTC").append(
        pd.date_range("2021-10-30 22:00", "2021-10-31 04:00", freq="30min", tz="UTC")
    )
    local = utc.tz_convert("Europe/Rome").strftime("%Y-%m-%d %H:%M")
    write(tmp_path, "time,n1\n" + "".join(f"{t},{i}\n" for i, t in enumerate(local)))
    data = read(site(tmp_path, timezone="Europe/Rome"))
    assert (data["time"].values == utc.tz_localize(None).to_numpy()).all()
    assert data["reading"].values[:, 0].tolist() == list(range(len(utc)))
    assert (read(site(tmp_path, {"timezone": "Europe/Rome"}))["time"].values == data["time"].values).all()
    with pytest.raises(
        ReadingsError, match=r"time goes backwards from 2021-10-31T02:30:00 to 2021-10-31T02:00:00.*timezone"
    ):
        read(site(tmp_path))


@pytest.mark.parametrize(
    ("text", "settings", "error", "says"),
    [
        (PLAIN.replace("2.5", "bad"), {}, ReadingsError, r"a.csv: row 3, column 'n1': 'bad' is not a number"),
        (PLAIN.replace("2.5", "2,5").replace(",2\n", ",2,\n"), {}, ReadingsError, r"a.csv: row 3: more values"),
        (PLAIN.replace("2020-01-01 00:05", "soon"), {}, ReadingsError, r"row 3, column 'time': 'soon' is not a time"),
        (PLAIN.replace("2020-01-01 00:05", ""), {}, ReadingsError, r"row 3, column 'time'"),
        (PLAIN.replace("00:05", "00:00").replace(" 00:00,1", " 00:07,1"), {}, ReadingsError, r"time goes backwards"),
        (PLAIN, {"time": "Timestamp"}, ReadingsError, r"no time column 'Timestamp'.*'time', 'n1'"),
        (PLAIN, {"delimiter": ";"}, ReadingsError, r"no time column 'time'.*delimiter"),
        (PLAIN.replace(",2\n", ",2,7,8,9\n"), {}, ReadingsError, r"a.csv: cannot be read"),
        (PLAIN.replace(",3\n", ",3,7,8,9\n"), {}, ReadingsError, r"a.csv: cannot be read"),
        ("", {}, ReadingsError, r"a.csv: the file is empty"),
        ("time,n1\n", {}, ReadingsError, r"a.csv: no row"),
        ("time,n1\n2020-01-01,\n", {}, ReadingsError, r"no reading at all"),
        (PLAIN.replace("n2", "n1"), {}, ReadingsError, r"column 'n1' appears twice"),
        (PLAIN, {"glob": "b*.csv"}, MissingFileError, r"b\*.csv: no file matches"),
        (PLAIN, {"columns": {"n7": "x"}}, ReadingsError, r"no column 'n7'"),
        (PLAIN, {"ignore": ["n*"]}, ReadingsError, r"no column of readings is left"),
        (PLAIN, {"layout": "long"}, ReadingsError, r"no column 'sensor'"),
        (PLAIN.replace("n2", "höhe"), {}, ReadingsError, r"set encoding"),
        (PLAIN, {"format": "parquet"}, ReadingsError, r"a.csv: cannot be read"),
        (PLAIN, {"format": "xlsx"}, ReadingsError, r"a.csv: cannot be read"),
        (PLAIN, {"format": "netcdf"}, ReadingsError, r"a.csv: cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    tmp_path: Path, text: str, settings: dict[str, Any], error: type[LeakdetectError], says: str
) -> None:
    write(tmp_path, text, encoding="latin-1")
    with pytest.raises(error, match=says) as caught:
        read(site(tmp_path, settings))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_broken_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress(PLAIN.encode() * 200)[:60])
    with pytest.raises(ReadingsError, match=r"a.csv: cannot be read"):
        read(site(tmp_path))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("column", "quantity", "says"),
    [
        ("nope", "pressure", "no 'nope'.*map it under columns"),
        ("N1", "pressure", "no 'N1', but 'n1'"),
        ("n1", "flow", "is a node"),
        ("p1", "pressure", "is a link"),
        ("n1", "level", "not a tank"),
    ],
)
def test_elements_are_looked_up(tmp_path: Path, ltown: Network, column: str, quantity: str, says: str) -> None:
    write(tmp_path, PLAIN.replace("n1", column))
    unit = "m3/h" if quantity == "flow" else "m"
    with pytest.raises(ElementError, match=f"a.csv: column '{column}'.*{says}"):
        read(site(tmp_path, {"quantity": quantity, "unit": unit, "ignore": ["n2"]}, network="x.inp"), network=ltown)


@pytest.mark.shared
def test_two_years_of_a_town(shared: Path, ltown: Network) -> None:
    common = {"delimiter": ";", "decimal": ",", "time": "Timestamp"}
    kinds = (
        ("Pressures", "pressure", "m"),
        ("Flows", "flow", "m3/h"),
        ("Levels", "level", "m"),
        ("Demands", "demand", "L/h"),
    )
    blocks = [{"glob": f"*_SCADA_{n}.csv.gz", "quantity": q, "unit": u, **common} for n, q, u in kinds]
    began = clock.perf_counter()
    data = read(site(shared / "ltown-b", *blocks, network="x.inp"), network=ltown)
    assert clock.perf_counter() - began < 15
    assert data.sizes == {"time": 210_240, "sensor": 119}
    written = pd.read_csv(shared / "ltown-b" / "2018_SCADA_Flows.csv.gz", sep=";", decimal=",", nrows=1)["p227"][0]
    assert float(data["reading"].sel(sensor="p227")[0]) * 3600 == pytest.approx(written)
    assert set(data["element"].values) >= {"n1", "p227", "T1", "PUMP_1"}
    assert {*data["step"].values} == {300, 3600}
    assert int(data["reading"].isel(sensor=-1).count()) == 2 * 8760
