"""Flags are causal, forget after 14 days, find what is wrong and leave what is not; means over steps are complete."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from leakdetect.errors import ReadingsError
from leakdetect.readings import load
from leakdetect.schema import Flag, new_readings
from leakdetect.site import ReadingsBlock, Site
from leakdetect.stages import quality

DAY = 288  # readings at five minutes


def record(days: int, sensors: int = 6, seed: int = 0, start: str = "2020-01-01", **coords: Any) -> xr.Dataset:
    """Pressures of one town: a daily pattern in common, noise of their own, to the cm."""
    rng = np.random.default_rng(seed)
    n = days * DAY
    hour = np.arange(n) / 12
    pattern = -1.5 * np.sin((hour - 7) * 2 * np.pi / 24) - 0.7 * np.sin((hour - 3) * 4 * np.pi / 24)
    values = (
        45 + np.arange(sensors) + pattern[:, None] * np.linspace(0.7, 1.3, sensors) + rng.normal(0, 0.04, (n, sensors))
    )
    return dataset(values.round(2), start=start, **coords)


def dataset(
    values: np.ndarray, *, start: str = "2020-01-01", quantity: str = "pressure", step: float = 300
) -> xr.Dataset:
    n, sensors = values.shape
    return new_readings(
        np.datetime64(start, "ns") + np.arange(n) * np.timedelta64(round(step), "s"),
        [f"s{i}" for i in range(sensors)],
        values,
        quantity=[quantity] * sensors,
        element=[f"s{i}" for i in range(sensors)],
        dma=[""] * sensors,
        unit=["m3/h" if quantity in {"flow", "demand"} else "m"] * sensors,
        step=[step] * sensors,
    )


def flagged(data: xr.Dataset, flag: Flag, sensor: int = 0) -> np.ndarray:
    return np.flatnonzero(quality.CHECKS[flag](data)[:, sensor])


def test_clean_readings_have_no_flags() -> None:
    data = quality.flag(record(30))
    assert not data["flag"].values.any()
    assert data["usable"].values.all()
    assert data["flag"].dtype == np.uint8
    for check in quality.CHECKS.values():
        assert check(data).dtype == bool


def test_readings_are_never_edited() -> None:
    data = record(20)
    data["reading"].values[3000:3010] = np.nan
    before = data.copy(deep=True)
    xr.testing.assert_identical(quality.flag(data)[["reading"]], before[["reading"]])
    xr.testing.assert_identical(data, before)


def test_no_readings() -> None:
    data = quality.flag(record(2).isel(time=slice(0, 0)))
    assert data["flag"].shape == (0, 6)
    assert quality.to_steps(data, 3600).sizes["time"] == 0
    silent = record(20)
    silent["reading"].values[:] = np.nan
    assert (quality.flag(silent)["flag"].values[1:] == Flag.MISSING).all()


def test_missing_by_own_step() -> None:
    data = record(2, sensors=2)
    data["step"].values[1] = 3600
    data["reading"].values[np.arange(2 * DAY) % 12 != 0, 1] = np.nan
    data["reading"].values[24:36, 1] = np.nan  # one hourly reading lost
    data["reading"].values[100:103, 0] = np.nan
    assert flagged(data, Flag.MISSING, 0).tolist() == [100, 101, 102]
    assert flagged(data, Flag.MISSING, 1).tolist() == list(range(24, 36))


def test_stuck_from_when_the_run_is_long_until_it_ends() -> None:
    data = record(40)
    begin, end = 20 * DAY, 33 * DAY
    data["reading"].values[begin:end, 0] = 44.44
    found = flagged(data, Flag.STUCK)
    assert begin + 72 <= found[0] <= begin + 80  # six hours
    assert found.tolist() == list(range(found[0], end))
    assert not flagged(data, Flag.STUCK, 1).size


def test_what_stands_still_by_nature_is_not_stuck() -> None:
    n = 40 * DAY
    rng = np.random.default_rng(1)
    held = np.where(np.arange(n) // 150 % 2, 39.09, 39.10)  # half a day at a time
    pump = np.where((np.arange(n) // 36) % 8 < 5, rng.normal(44, 0.02, n).round(2), 0.0) / 3600
    parked = pump.copy()
    parked[20 * DAY :] = 0
    for values, quantity in ((held, "pressure"), (pump, "flow"), (parked, "flow"), (np.zeros(n), "flow")):
        assert not flagged(dataset(values[:, None], quantity=quantity), Flag.STUCK).size
    away = np.r_[rng.uniform(10, 90, 20 * 24).round(1), np.zeros(15 * 24)] / 3.6e6
    assert not flagged(dataset(away[:, None], quantity="demand", step=3600), Flag.STUCK).size


def test_spikes_and_only_spikes() -> None:
    data = record(20)
    at = [10 * DAY + 5, 12 * DAY + 100, 12 * DAY + 101, 15 * DAY]
    for i, size in zip(at, (6, -5, -5, 20), strict=True):
        data["reading"].values[i, 0] += size
    assert flagged(data, Flag.SPIKE).tolist() == at


def test_spikes_every_day_do_not_become_normal() -> None:
    data = record(25)
    at = np.arange(5 * DAY, 25 * DAY, 97)
    data["reading"].values[at, 0] += 8
    assert set(at) == set(flagged(data, Flag.SPIKE))


def test_a_burst_loses_two_readings_at_most() -> None:
    data = record(20)
    data["reading"].values[12 * DAY :, :3] -= 7
    assert set(flagged(data, Flag.SPIKE)) <= {12 * DAY, 12 * DAY + 1}
    assert not flagged(data, Flag.STUCK).size
    assert not flagged(data, Flag.DRIFT).size


def test_a_pump_may_switch() -> None:
    n = 30 * DAY
    flow = np.random.default_rng(2).normal(44, 0.02, n).round(2) / 3600
    flow[20 * DAY : 20 * DAY + 60] = 0  # for the first time in weeks
    assert not flagged(dataset(flow[:, None], quantity="flow"), Flag.SPIKE).size
    daily = np.where(np.arange(n) % DAY < 100, 0.0, flow)
    assert not flagged(dataset(daily[:, None], quantity="flow"), Flag.SPIKE).size


def test_out_of_range() -> None:
    data = record(10)
    data["reading"].values[5 * DAY, 0] = -9999
    data["reading"].values[6 * DAY, 0] = 0
    data["reading"].values[7 * DAY, 0] = 5000
    assert flagged(data, Flag.RANGE).tolist() == [5 * DAY, 6 * DAY, 7 * DAY]
    flow = dataset(np.array([[1.0], [65535 / 3600], [-9999 / 3600]]), quantity="flow")
    assert flagged(flow, Flag.RANGE).tolist() == [1, 2]


def test_a_lone_drift_upwards_is_told_and_a_leak_is_not() -> None:
    up, leak = record(30), record(30)
    ramp = np.clip(np.arange(30 * DAY) / DAY - 10, 0, None) * 0.2
    up["reading"].values[:, 0] += ramp
    leak["reading"].values[:, 0] -= ramp
    assert flagged(up, Flag.DRIFT).size
    assert flagged(up, Flag.DRIFT)[0] > 15 * DAY
    assert not flagged(leak, Flag.DRIFT).size
    assert not quality.drift(up)[:, 1:].any()


def test_clock_shift_of_one_and_of_all() -> None:
    one, town = record(30), record(30)
    begin = 20 * DAY
    one["reading"].values[begin:, 2] = one["reading"].values[begin - 12 : -12, 2]
    town["reading"].values[begin:] = town["reading"].values[begin - 12 : -12]
    found = quality.clock(one)
    assert (np.flatnonzero(found[:, 2])[0] - begin) // DAY == 2
    assert not np.delete(found, 2, axis=1).any()
    assert not quality.clock(town).any()


@given(seed=st.integers(0, 10**6), cut=st.integers(14 * DAY, 24 * DAY), length=st.integers(1, 4 * DAY))
@settings(max_examples=12)
def test_flags_depend_on_the_last_14_days_only(seed: int, cut: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    data = record(28, seed=seed, start="2020-01-01T07:05")
    values = data["reading"].values
    values[rng.random(values.shape) < 0.02] = np.nan
    values[rng.integers(0, len(values), 60), rng.integers(0, 6, 60)] += 9
    run = int(rng.integers(0, 20 * DAY))
    values[run : run + int(rng.integers(1, 14 * DAY)), 1] = 41.0
    values[:, 2] += np.arange(len(values)) / DAY * 0.2
    values[run:, 3] = np.roll(values[:, 3], 12)[run:]
    hole = int(rng.integers(0, 25 * DAY))
    values[hole : hole + 2 * DAY, 4] = np.nan
    whole = quality.flag(data)["flag"].values
    end = cut + length
    shorter = quality.flag(data.isel(time=slice(0, end)))["flag"].values
    np.testing.assert_array_equal(shorter, whole[:end])
    begin = np.searchsorted(data["time"].values, data["time"].values[cut] - quality.CONTEXT, side="right")
    chunk = quality.flag(data.isel(time=slice(int(begin), end)))["flag"].values
    np.testing.assert_array_equal(chunk[cut - int(begin) :], whole[cut:end])


@given(seed=st.integers(0, 1000), pieces=st.lists(st.integers(1, 3 * DAY), min_size=3, max_size=8))
@settings(max_examples=12)
def test_a_stream_learns_of_past_days_what_a_whole_record_says(seed: int, pieces: list[int]) -> None:
    rng = np.random.default_rng(seed)
    data = record(36, seed=seed, start="2020-01-01T07:05")
    values = data["reading"].values
    values[:, 1] = np.where(rng.random(len(values)) < 0.05, 30.0, 41.0)  # a machine
    values[rng.random(values.shape) < 0.02] = np.nan
    values[rng.integers(0, len(values), 80), rng.integers(0, 6, 80)] += 9
    for sensor, days in ((2, 2), (3, 15)):  # falls silent
        hole = int(rng.integers(0, 34 * DAY))
        values[hole : hole + days * DAY, sensor] = np.nan
    values[int(rng.integers(0, 20 * DAY)) :, 4] = np.nan
    values[: int(rng.integers(0, 20 * DAY)), 5] = np.nan
    data["quantity"].values[[1, 2]], data["unit"].values[[1, 2]] = "flow", "m3/h"
    whole, past, time = quality.flag(data)["flag"].values, quality.Past(), data["time"].values
    end = 16 * DAY
    for length in pieces:
        begin, end = end, end + length
        if rng.random() < 0.3:  # a reading that was looked at turns out to be another
            late = int(rng.integers(begin - 14 * DAY, begin))
            values[late, 0] += 20
            past.forget(int(time[late].astype(np.int64)))
            whole = quality.flag(data)["flag"].values
        context = int(np.searchsorted(time, time[begin] - quality.CONTEXT))
        window = data.isel(time=slice(context, min(end + 40, len(time))))  # what came early is there too
        found = quality.flag(window, time[begin], past)["flag"].values[begin - context : end - context]
        np.testing.assert_array_equal(found, whole[begin:end])


def test_steps_need_flags() -> None:
    with pytest.raises(ReadingsError, match=r"quality.flag"):
        quality.to_steps(record(1), 3600)


def test_steps_are_means_of_usable_readings() -> None:
    data = quality.flag(record(2, sensors=2))
    data["usable"].values[12:17, 0] = False
    data["flag"].values[12:17, 0] = Flag.SPIKE
    data["usable"].values[24:31, 0] = False
    data["flag"].values[24:31, 0] = [Flag.SPIKE, Flag.STUCK, 0, 0, 0, 0, 0]
    steps = quality.to_steps(data, 3600)
    assert steps.sizes["time"] == 48
    assert steps["time"].values[1] == np.datetime64("2020-01-01T01:00")
    reading = data["reading"].values[:, 0]
    assert steps["reading"].values[0, 0] == pytest.approx(reading[:12].mean())
    assert steps["reading"].values[1, 0] == pytest.approx(reading[17:24].mean())
    assert np.isnan(steps["reading"].values[2, 0])
    assert steps["flag"].values[:3, 0].tolist() == [0, 0, Flag.SPIKE | Flag.STUCK]
    assert steps["usable"].values[:3, 0].tolist() == [True, True, False]
    assert steps["last_reading"].values[0] == np.datetime64("2020-01-01T00:55")


def test_only_complete_steps() -> None:
    data = quality.flag(record(1))
    assert quality.to_steps(data.isel(time=slice(0, 24)), 3600).sizes["time"] == 2
    assert quality.to_steps(data.isel(time=slice(0, 23)), 3600).sizes["time"] == 1
    assert quality.to_steps(data.isel(time=slice(1, 24)), 3600)["time"].values.tolist() == [
        np.datetime64("2020-01-01T01:00", "ns").astype(int)
    ]


def test_longer_steps_gaps_and_irregular_times() -> None:
    data = record(2, sensors=2)
    data["step"].values[1] = 7200
    data["reading"].values[np.arange(2 * DAY) % 24 != 6, 1] = np.nan
    data = quality.flag(data).isel(time=np.r_[0:24, 60:120])
    steps = quality.to_steps(data, 3600)
    assert np.diff(steps["time"].values).astype("timedelta64[h]").tolist() == [np.timedelta64(1, "h")] * 9
    assert np.isnat(steps["last_reading"].values[2:5]).all()
    assert np.flatnonzero(steps["usable"].values[:, 1]).tolist() == [0, 6, 8]
    assert steps["reading"].values[0, 1] == data["reading"].values[6, 1]
    assert not steps["usable"].values[2:5].any()


@given(st.integers(0, 5 * DAY), st.integers(1, 3 * DAY), st.sampled_from([300.0, 900.0, 3600.0, 7200.0]))
@settings(max_examples=20)
def test_steps_do_not_depend_on_where_the_record_begins(first: int, length: int, step: float) -> None:
    data = quality.flag(record(8, sensors=2))
    data["usable"].values[::7, 0] = False
    whole = quality.to_steps(data, step)
    part = quality.to_steps(data.isel(time=slice(first, first + length)), step)
    assert part.sizes["time"] >= int(length * 300 / step) - 1
    xr.testing.assert_identical(part, whole.sel(time=part["time"]))


@pytest.fixture(scope="module")
def trouble(shared: Path) -> xr.Dataset:
    common = {"delimiter": ";", "decimal": ",", "time": "Timestamp"}
    kinds = (("Pressures", "pressure", "m"), ("Flows", "flow", "m3/h"), ("Levels", "level", "m"))
    blocks = [
        ReadingsBlock.model_validate({"glob": f"*_SCADA_{n}.csv.gz", "quantity": q, "unit": u, **common})
        for n, q, u in kinds
    ]
    return load(Site(name="c", readings=blocks, folder=shared / "ltown-c"))


@pytest.mark.shared
def test_two_years_of_trouble(trouble: xr.Dataset) -> None:
    began = clock.perf_counter()
    data = quality.flag(trouble)
    assert clock.perf_counter() - began < 30  # two seconds on a free machine
    counts = {flag: ((data["flag"].values & flag) > 0).sum(axis=0) for flag in Flag}
    names = list(data["sensor"].values)
    stuck = data["time"].values[(data["flag"].sel(sensor="n458").values & Flag.STUCK) > 0]
    assert np.datetime64("2019-03-01T09:00") <= stuck[0] <= np.datetime64("2019-03-01T10:00")
    assert stuck.size > 3300
    assert counts[Flag.SPIKE][names.index("n415")] > 300
    others = [i for i, name in enumerate(names) if name not in {"n415", "n458"}]
    for flag in (Flag.STUCK, Flag.SPIKE, Flag.RANGE, Flag.DRIFT, Flag.CLOCK):
        assert counts[flag][others].sum() < 20, flag
    assert ((data["flag"].sel(sensor="n429").values & Flag.MISSING) > 0).sum() > 30 * DAY
