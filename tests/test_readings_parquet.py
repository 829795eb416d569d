"""A folder of Parquet files is read as one table, and only the row groups that a window needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import xarray as xr
from small_site import write_network

from leakdetect.epanet import load_network
from leakdetect.errors import MissingFileError, ReadingsError
from leakdetect.init import init_site
from leakdetect.readings import load
from leakdetect.readings.sources import Window, sources
from leakdetect.site import ReadingsBlock, Site, load_site

DAYS = 40
TIME = pd.date_range("2021-12-10", periods=DAYS * 24, freq="h")  # over a new year
RNG = np.random.default_rng(5)
WIDE = pd.DataFrame({"time": TIME, "J1": RNG.normal(48, 1, TIME.size), "J3": RNG.normal(45, 1, TIME.size)})
WIDE.loc[5, "J3"] = np.nan
LONG = WIDE.melt("time", var_name="tag", value_name="v").sort_values("time", kind="stable", ignore_index=True)
SINCE, UNTIL = np.datetime64("2021-12-31T22:00"), np.datetime64("2022-01-02T03:00")


def site(folder: Path, **values: Any) -> Site:
    block = {"glob": "h", "quantity": "pressure", "unit": "m", "format": "parquet"} | values
    return Site(name="s", folder=folder, readings=[ReadingsBlock.model_validate(block)])


def plain(folder: Path) -> dict[str, Any]:
    (folder / "h" / "_junk").mkdir(parents=True)
    (folder / "h" / "_junk" / "x.parquet").write_text("not Parquet", encoding="utf-8")
    (folder / "h" / "README.txt").write_text("kept by the historian", encoding="utf-8")
    for month, part in WIDE.groupby(WIDE["time"].dt.month):  # the file names sort otherwise than the times
        part.to_parquet(folder / "h" / f"month-{month}.parquet", row_group_size=48)
    return {}


def by_month(folder: Path) -> dict[str, Any]:
    frame = WIDE.assign(year=TIME.year, month=TIME.month, time=TIME.tz_localize("UTC"))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    ds.write_dataset(table, folder / "h", format="parquet", partitioning=ds.partitioning(
        pa.schema([("year", pa.int32()), ("month", pa.int32())]), flavor="hive"))  # fmt: skip
    return {}


def by_sensor(folder: Path) -> dict[str, Any]:
    pq.write_to_dataset(pa.Table.from_pandas(LONG, preserve_index=False), folder / "h", partition_cols=["tag"])
    return {"layout": "long", "sensor": "tag", "value": "v"}


def texts(folder: Path) -> dict[str, Any]:
    (folder / "h").mkdir()
    frame = LONG.assign(time=LONG["time"].dt.strftime("%Y-%m-%dT%H:%M:%S"))
    for i in range(4):
        frame.iloc[i * 480 : (i + 1) * 480].to_parquet(folder / "h" / f"{i}.pq", index=False)
    return {"layout": "long", "sensor": "tag", "value": "v"}


def coarse(folder: Path) -> dict[str, Any]:
    (folder / "h").mkdir()
    frame = WIDE.astype({"time": "datetime64[ms]"})
    frame.to_parquet(folder / "h" / "a.parquet", row_group_size=48, index=False)
    return {}


def seconds(folder: Path) -> dict[str, Any]:
    (folder / "h").mkdir()
    frame = WIDE.assign(time=(WIDE["time"] - pd.Timestamp(0)) // pd.Timedelta("1s"))
    frame.to_parquet(folder / "h" / "a.parquet", row_group_size=48, index=False)
    return {"time_format": "unix"}


WAYS = [plain, by_month, by_sensor, texts, coarse, seconds]


def same(found: xr.Dataset, since: np.datetime64 | None = None, until: np.datetime64 | None = None) -> None:
    expected = WIDE.set_index("time").loc[since:until]  # type: ignore[misc]
    assert found["sensor"].values.tolist() == ["J1", "J3"]
    assert found["step"].values.tolist() == [3600.0, 3600.0]
    np.testing.assert_array_equal(found["time"].values, expected.index.to_numpy("datetime64[ns]"))
    np.testing.assert_array_equal(found["reading"].values, expected.to_numpy())


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_is_one_table(tmp_path: Path, way: Any) -> None:
    settings = way(tmp_path)
    same(load(site(tmp_path, **settings)))
    same(load(site(tmp_path, **settings), SINCE, UNTIL), SINCE, UNTIL)
    later = load(site(tmp_path, **settings), np.datetime64("2023-01-01"))
    assert later.sizes == {"time": 0, "sensor": 2}
    assert later["step"].values.tolist() == [3600.0, 3600.0]


@pytest.mark.parametrize("way", WAYS)
def test_only_rows_near_the_window_come(tmp_path: Path, way: Any) -> None:
    one = site(tmp_path, **way(tmp_path)).readings[0]
    rows = 0
    for source in sources(one, tmp_path, Window(SINCE, UNTIL)):
        names = source.columns()
        rows += sum(len(chunk.frame) for chunk in source.chunks(names, []))
    hours = 5 * 24  # the window and the margin of zones, in whole days where text is compared by its date
    assert 0 < rows <= 2 * hours


@pytest.mark.parametrize("way", WAYS)
def test_init_guesses_a_folder(tmp_path: Path, way: Any) -> None:
    settings = way(tmp_path)
    network = write_network(tmp_path / "town.inp")
    said = init_site(tmp_path / "site", network, [str(tmp_path / "h")], {"pressure": "m"})
    assert any("2 x pressure in m: J1, J3" in line for line in said), said
    made = load_site(tmp_path / "site")
    [block] = made.readings
    assert (block.format, block.layout) == ("parquet", settings.get("layout", "wide"))
    same(load(made, network=load_network(network)))


def test_names_that_look_like_numbers_stay_as_they_are(tmp_path: Path) -> None:
    frame = LONG.assign(tag=LONG["tag"].map({"J1": "007", "J3": "7"}))
    pq.write_to_dataset(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "h", partition_cols=["tag"])
    data = load(site(tmp_path, layout="long", sensor="tag", value="v"))
    assert data["sensor"].values.tolist() == ["007", "7"]


def test_a_column_that_comes_later(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    WIDE[["time", "J1"]].iloc[:100].to_parquet(tmp_path / "h" / "a.parquet")
    WIDE.iloc[100:].to_parquet(tmp_path / "h" / "b.parquet")
    data = load(site(tmp_path))
    assert data["sensor"].values.tolist() == ["J1", "J3"]
    assert np.isnan(data["reading"].values[:100, 1]).all()
    np.testing.assert_array_equal(data["reading"].values[100:, 1], WIDE["J3"].to_numpy()[100:])


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    with pytest.raises(MissingFileError, match=r"h: no Parquet file in this folder"):
        load(site(tmp_path))
    WIDE.to_parquet(tmp_path / "h" / "a.parquet")
    with pytest.raises(ReadingsError, match=r"a.parquet: no time column 'when'"):
        load(site(tmp_path, time="when"))
    WIDE.assign(J1="x").to_parquet(tmp_path / "h" / "b.parquet")
    with pytest.raises(ReadingsError, match=r"h: cannot be read: .*J1.*: is the file whole, and are all alike"):
        load(site(tmp_path))
    (tmp_path / "h" / "b.parquet").write_text("x", encoding="utf-8")
    with pytest.raises(ReadingsError, match=r"b.parquet: cannot be read"):
        load(site(tmp_path))
