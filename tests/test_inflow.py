"""The inflow detector on made-up villages: what it must find, and what must not raise it.

That batch and stream agree, and that nothing hangs on the future, is in `test_detectors`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from leakdetect.errors import InputError, ReadingsError
from leakdetect.events import Event, Kind, Repair, Status, Zone
from leakdetect.schema import check, new_readings
from leakdetect.site import Detection
from leakdetect.stages.inflow import InflowDetector
from leakdetect.stages.inflow.calendar import NIGHT
from leakdetect.stages.inflow.evidence import by_hours

ZONE = "Europe/Paris"
BEGIN = np.datetime64("2021-06-01", "ns")
FIT, DAYS = 150, 320  # the detector learns until October 29 and runs until April 17, over two clock changes
DAY, HOUR = np.timedelta64(1, "D"), np.timedelta64(1, "h")
WEEKEND = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.15, 1.2])


def local(time: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(ZONE)


def demand(seed: int = 1, days: int = DAYS, step: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return times and an inflow [m3/h] of about 20: people keep the local clock, later at weekends."""
    random = np.random.default_rng(seed)
    time = BEGIN + np.arange(days * 1440 // step) * np.timedelta64(step, "m")
    when = local(time)
    hour = when.hour.to_numpy() + when.minute.to_numpy() / 60
    return time, use(hour, when.day_of_week.to_numpy(), random) + 3.0


def use(hour: np.ndarray, weekday: np.ndarray, random: np.random.Generator) -> np.ndarray:
    late = np.where(weekday >= 5, 2.0, 0.0)
    shape = 0.15 + np.exp(-((hour - 8 - late) ** 2) / 6) + 0.8 * np.exp(-((hour - 20) ** 2) / 8) + 0.3 * (hour > 9)
    day = np.arange(len(hour)) * DAYS // len(hour)
    spread = 1 + 0.03 * random.standard_normal(day.max() + 1)[day]
    return 20 * shape * WEEKEND[weekday] * spread * (1 + 0.08 * random.standard_normal(len(hour)))


def dataset(time: np.ndarray, *columns: np.ndarray, dma: list[str] | None = None) -> xr.Dataset:
    n = len(columns)
    data = new_readings(
        time,
        [f"meter{i}" for i in range(n)],
        np.stack(columns, axis=1) / 3600,
        quantity=["flow"] * n,
        element=[""] * n,
        dma=dma or [""] * n,
        unit=["m3/h"] * n,
        step=[float((time[1] - time[0]) / np.timedelta64(1, "s"))] * n,
    )
    return data.assign(usable=(("time", "sensor"), np.isfinite(data["reading"].values)))


def detector(**changes: object) -> InflowDetector:
    return InflowDetector(**{"timezone": ZONE, "settings": Detection(smallest_leak_m3h=0.5), **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> xr.Dataset:
    time, inflow = demand()
    return detector().fit(dataset(time, inflow).sel(time=slice(None, BEGIN + FIT * DAY - HOUR)))


def detect(model: xr.Dataset, inflow: np.ndarray, **changes: object) -> tuple[list[Event], xr.Dataset]:
    time, _ = demand()
    found = detector(**changes)
    later = dataset(time, inflow).sel(time=slice(BEGIN + FIT * DAY, None))
    _, events, out = found.update(model, found.begin(model), later)
    return events, out


def on(time: np.ndarray, first: np.datetime64, until: np.datetime64) -> np.ndarray:
    return (time >= first) & (time < until)


LEAK = BEGIN + 220 * DAY + 13 * HOUR


def test_a_year_of_nothing_raises_nothing(model: xr.Dataset) -> None:
    _time, inflow = demand()
    events, out = detect(model, inflow)
    assert events == []
    check(out)
    rest = out["residual"].values[:, 0] * 3600
    assert abs(np.median(rest)) < 0.3
    peak = np.isin(local(out["time"].values).hour, [7, 8])
    assert abs(np.median(rest[peak])) < 1.0  # the morning peak is at its place in summer and in winter time


def test_a_small_leak_is_found_in_a_few_nights(model: xr.Dataset) -> None:
    time, inflow = demand()
    events, _ = detect(model, inflow + 1.5 * (time >= LEAK))
    (event,) = events
    assert event.kind is Kind.ABRUPT
    assert event.status is Status.OPEN
    assert LEAK < event.raised_at < LEAK + 5 * DAY
    assert event.start_low <= LEAK <= event.start_high
    assert event.flow_low < 1.5 < event.flow_high
    assert event.latest["flow_m3h"] == pytest.approx(1.5, abs=0.3)
    (hours,) = event.latest["weighed"]  # kept while the flow is estimated anew
    assert hours["cause"] == "use by day"
    assert hours["night_m3h"] == pytest.approx(1.5, abs=0.6)
    assert hours["day_m3h"] > 0.75
    assert event.candidates == ()
    assert event.zone == Zone((), 0.0, 1.0)
    assert [(e.sensor, e.share) for e in event.evidence] == [("meter0", 1.0)]


def test_the_rise_of_the_night_is_told_apart_from_the_day() -> None:
    days = np.arange(100, 130)
    blocks = np.zeros((30, NIGHT + 1))
    blocks[20:] = 5.0
    blocks[20:, NIGHT] = 2.0
    assert by_hours(blocks, days, 120.0) == (2.0, 5.0)
    blocks[10:20, NIGHT] = np.nan
    assert by_hours(blocks, days, 120.0) is None


def test_a_burst_is_found_within_hours(model: xr.Dataset) -> None:
    time, inflow = demand()
    events, _ = detect(model, inflow + 15.0 * (time >= LEAK))
    assert LEAK < events[0].raised_at <= LEAK + 8 * HOUR
    assert abs(events[0].start - LEAK) <= 2 * HOUR
    assert events[0].flow_m3h == pytest.approx(15.0, rel=0.15)
    assert len(events) == 1


def test_a_slow_leak_is_found_while_it_grows(model: xr.Dataset) -> None:
    time, inflow = demand()
    growth = 4.0 * np.clip((time - LEAK) / (40 * DAY), 0, 1)
    events, _ = detect(model, inflow + growth)
    assert len(events) == 1
    assert LEAK + 3 * DAY < events[0].raised_at < LEAK + 30 * DAY
    assert events[0].kind is Kind.INCIPIENT
    assert abs(events[0].start - LEAK) < 12 * DAY
    assert events[0].latest["flow_m3h"] == pytest.approx(4.0, rel=0.3)


def test_the_level_that_falls_back_closes_the_event(model: xr.Dataset) -> None:
    time, inflow = demand()
    end = LEAK + 30 * DAY
    events, out = detect(model, inflow + 3.0 * on(time, LEAK, end))
    (event,) = events
    assert event.status is Status.CLOSED
    assert abs(event.end - end) < 2 * DAY
    after = out.sel(time=slice(end + 10 * DAY, None))["residual"].values * 3600
    assert abs(np.median(after)) < 0.4


def test_a_reported_repair_closes_the_event_it_fits(model: xr.Dataset) -> None:
    time, inflow = demand()
    end = LEAK + 30 * DAY
    repairs = (Repair("p7", LEAK + 12 * DAY), Repair("p1", end))  # the first took nothing off the inflow
    events, _ = detect(model, inflow + 1.5 * on(time, LEAK, end), repairs=repairs)
    (event,) = events
    assert event.status is Status.REPAIRED
    assert event.end == end


def test_leaks_pile_up(model: xr.Dataset) -> None:
    time, inflow = demand()
    second = LEAK + 40 * DAY
    events, out = detect(model, inflow + 2.0 * (time >= LEAK) + 3.0 * (time >= second))
    assert [e.status for e in events] == [Status.OPEN, Status.OPEN]
    assert [round(e.latest["flow_m3h"]) for e in events] == [2, 3]
    late = out.sel(time=slice(second + 20 * DAY, None))["residual"].values * 3600
    assert np.median(late) == pytest.approx(5.0, abs=0.6)  # what the leak-free district would not have shown


def rivals() -> dict[str, np.ndarray]:
    """Return inflows that look like a leak and are not."""
    time, inflow = demand()
    when = local(time)
    hour, rivals = when.hour.to_numpy(), {}
    hot = on(time, LEAK, LEAK + 10 * DAY) & (hour >= 9) & (hour < 23)
    rivals["hot week"] = inflow * np.where(hot, 1.25, 1.0)
    pool = on(time, LEAK, LEAK + 2 * HOUR)
    rivals["pool"] = inflow + 25.0 * pool
    fire = on(time, BEGIN + 225 * DAY + HOUR, BEGIN + 225 * DAY + 3 * HOUR)  # at the quietest hours
    rivals["fire at night"] = inflow + 40.0 * fire
    rivals["gap"] = np.where(on(time, LEAK, LEAK + 6 * DAY), np.nan, inflow)
    rivals["meter reads low"] = np.where(on(time, LEAK, LEAK + 5 * DAY), 0.6 * inflow, inflow)
    holiday = local(time).normalize() == pd.Timestamp("2021-11-11", tz=ZONE)
    sunday = use(hour + 0.0, np.full(len(time), 6), np.random.default_rng(2)) + 3.0
    rivals["holiday"] = np.where(holiday, sunday, inflow)
    rivals["season"] = inflow * (1 + 0.06 * np.sin(2 * np.pi * (time - BEGIN) / (365 * DAY)))
    return rivals


@pytest.mark.parametrize("name", list(rivals()))
def test_what_is_no_leak_is_not_raised(model: xr.Dataset, name: str) -> None:
    events, _ = detect(model, rivals()[name])
    assert events == []


def test_use_of_a_day_is_closed_the_next(model: xr.Dataset) -> None:
    time, inflow = demand()
    events, out = detect(model, inflow + 15.0 * on(time, LEAK, LEAK + 9 * HOUR))
    assert all(e.status is Status.CLOSED and e.end < LEAK + 2 * DAY for e in events)
    late = out.sel(time=slice(LEAK + 4 * DAY, None))["residual"].values * 3600
    assert abs(np.median(late)) < 0.4


def test_a_window_that_leaks_is_learnt_from() -> None:
    time, inflow = demand()
    leaky = inflow + 4.0 * on(time, BEGIN + 40 * DAY, BEGIN + 75 * DAY)
    leaky[on(time, BEGIN + 90 * DAY, BEGIN + 95 * DAY)] = np.nan
    bent = detector().fit(dataset(time, leaky).sel(time=slice(None, BEGIN + FIT * DAY - HOUR)))
    events, _ = detect(bent, inflow + 2.0 * (time >= LEAK))
    assert len(events) == 1
    assert LEAK < events[0].raised_at < LEAK + 6 * DAY


def test_quarter_hours_and_pieces(model: xr.Dataset) -> None:
    time, inflow = demand(days=110, step=15)
    data = dataset(time, inflow + 12.0 * (time >= BEGIN + 80 * DAY + 9 * HOUR))
    found = detector()
    fine = found.fit(data.isel(time=slice(0, 70 * 96)))
    later = data.isel(time=slice(70 * 96, None))
    _state, events, out = found.update(fine, found.begin(fine), later)
    assert events[0].raised_at <= BEGIN + 80 * DAY + 18 * HOUR
    now, parts = found.begin(fine), []
    for first in range(0, later.sizes["time"], 137):
        now, pieces, grown = found.update(fine, now, later.isel(time=slice(first, first + 137)))
        parts.append(grown)
    assert [e.to_dict() for e in pieces] == [e.to_dict() for e in events]
    xr.testing.assert_identical(xr.concat(parts, "time", data_vars="minimal"), out)


def test_districts_are_on_their_own_and_meters_add_up(tmp_path: Path) -> None:
    time, north = demand(seed=3)
    _, south = demand(seed=4)
    leak = 3.0 * (time >= LEAK)
    # the north has two meters: water that enters by one and leaves by the other is no demand
    through = 30.0 + 5.0 * np.random.default_rng(5).standard_normal(len(time))
    data = dataset(time, north + through, -through, south + leak, dma=["north", "north", "south"])
    zones = {"north": Zone(("p1",), 10.0, 1.0), "south": Zone(("p2", "p3"), 20.0, 1.0)}
    found = detector(zones=zones, repairs=(Repair("p2", LEAK + 20 * DAY),))
    model = found.fit(data.sel(time=slice(None, BEGIN + FIT * DAY - HOUR)))
    model.to_netcdf(tmp_path / "model.nc", engine="h5netcdf")
    later = data.sel(time=slice(BEGIN + FIT * DAY, None))
    _, events, out = found.update(model, found.begin(model), later)
    (event,) = events
    assert event.zone == zones["south"]
    assert "south" in event.id
    assert event.status is Status.OPEN  # the repair took nothing off the inflow
    rest = out["residual"].values * 3600
    expected = out["expected"].values * 3600
    np.testing.assert_allclose(rest[:, 0], rest[:, 1])
    np.testing.assert_allclose((expected + rest)[:, :2].sum(axis=1), north[time >= BEGIN + FIT * DAY], rtol=1e-6)


def test_messages_name_the_mend(model: xr.Dataset) -> None:
    time, inflow = demand()
    data = dataset(time, inflow)
    with pytest.raises(ReadingsError, match="10 whole days of inflow to fit on, 21 are needed"):
        detector().fit(data.isel(time=slice(0, 11 * 24)))
    with pytest.raises(InputError, match="step of 90 min"):
        detector().fit(dataset(BEGIN + np.arange(1000) * np.timedelta64(90, "m"), inflow[:1000]))
    with pytest.raises(ReadingsError, match="no flow sensor"):
        detector().fit(data.assign_coords(quantity=("sensor", np.array(["pressure"], dtype=object))))
    state, _, _ = detector().update(model, detector().begin(model), data.isel(time=slice(4000, 4010)))
    with pytest.raises(InputError, match="were taken already"):
        detector().update(model, state, data.isel(time=slice(4005, 4020)))
    with pytest.raises(InputError, match="district 'east' has no fitted model"):
        detector().update(model, detector().begin(model), dataset(time, inflow, dma=["east"]))
