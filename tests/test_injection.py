from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from leakdetect.detector import State
from leakdetect.errors import InputError
from leakdetect.evaluate.injection import Leak, add, alarms_per_year, study, summarise
from leakdetect.events import Event, Evidence, Kind, Status, Zone
from leakdetect.schema import new_readings

BEGIN, DAY, HOUR = np.datetime64("2021-01-01", "ns"), np.timedelta64(1, "D"), np.timedelta64(1, "h")


def readings(days: int = 100) -> xr.Dataset:
    time = BEGIN + np.arange(days * 24) * HOUR
    return new_readings(
        time,
        ["a", "b"],
        np.tile([0.01, 0.02], (len(time), 1)),
        quantity=["flow", "flow"],
        element=["", ""],
        dma=["A", "B"],
        unit=["m3/h", "m3/h"],
        step=[3600.0, 3600.0],
    )


class Limit:
    """Raises, once a sensor, where it reads more than it ought: flow and start are known to the reading."""

    name: ClassVar[str] = "limit"

    def fit(self, data: xr.Dataset) -> xr.Dataset:
        return xr.Dataset({"mean": data["reading"].mean("time")})

    def begin(self, model: xr.Dataset) -> State:
        return {"events": []}

    def update(self, model: xr.Dataset, state: State, data: xr.Dataset) -> tuple[State, list[Event], xr.Dataset]:
        events = [Event.from_dict(e) for e in state["events"]]
        for sensor in data["sensor"].values:
            over = data["reading"].sel(sensor=sensor).values - float(model["mean"].sel(sensor=sensor))
            high = np.flatnonzero(over > 1e-3)
            if len(high) and not any(e.evidence[0].sensor == sensor for e in events):
                events.append(event(sensor, data["time"].values[high[0]], over[high[0]] * 3600))
        return {"events": [e.to_dict() for e in events]}, events, data


def event(sensor: str, time: np.datetime64, flow: float) -> Event:
    return Event(
        f"{sensor}-{time}", Status.OPEN, Kind.ABRUPT, time, time, time, time, None, flow, flow, flow, (),
        Zone((), 0.0, 1.0), (Evidence(sensor, 1.0),), "limit", time,
    )  # fmt: skip


def test_a_leak_begins_and_grows() -> None:
    time = BEGIN + np.arange(0, 60, 10) * DAY
    abrupt, slow = Leak(BEGIN + 10 * DAY, 2.0), Leak(BEGIN + 10 * DAY, 2.0, Kind.INCIPIENT, 20 * DAY)
    np.testing.assert_allclose(abrupt.at(time + HOUR), [0, 2, 2, 2, 2, 2])
    np.testing.assert_allclose(slow.at(time), [0, 0, 1, 2, 2, 2])


def test_it_is_added_to_one_district_and_the_readings_stay() -> None:
    data = readings()
    leaky = add(data, "B", Leak(BEGIN + 10 * DAY, 0.005))
    assert leaky["reading"].values[-1].tolist() == [0.01, 0.025]
    assert data["reading"].values[-1].tolist() == [0.01, 0.02]
    with pytest.raises(InputError, match="district 'C' has no flow sensor"):
        add(data, "C", Leak(BEGIN, 1.0))


def test_study_counts_found_delay_and_flow() -> None:
    data = readings()
    detector = Limit()
    model = detector.fit(data)
    starts = [BEGIN + 20 * DAY, BEGIN + 50 * DAY]
    found, false = study(detector, model, data, starts=starts, shares=(0.02, 0.2), days=25)
    assert false == []
    rows = {(r.kind, r.share): r for r in summarise(found)}
    assert {r.leaks for r in rows.values()} == {4}
    assert rows[Kind.ABRUPT, 0.02].found == 0.0
    assert np.isnan(rows[Kind.ABRUPT, 0.02].delay_days)
    assert rows[Kind.ABRUPT, 0.2].found == 1.0
    assert rows[Kind.ABRUPT, 0.2].delay_days == pytest.approx(1 / 24)  # nothing leaks yet at the very start
    assert rows[Kind.ABRUPT, 0.2].flow_error == pytest.approx(0.0, abs=1e-6)
    assert rows[Kind.INCIPIENT, 0.2].delay_days > 5


def test_what_is_raised_anyway_is_false() -> None:
    data = add(readings(), "A", Leak(BEGIN + 30 * DAY, 0.005))
    detector = Limit()
    model = detector.fit(readings())
    found, false = study(detector, model, data, starts=[BEGIN + 40 * DAY], shares=(0.2,), kinds=(Kind.ABRUPT,), days=20)
    assert [e.evidence[0].sensor for e in false] == ["a"]
    assert alarms_per_year(false, data) == pytest.approx(365.25 / 100 / 2, rel=0.01)
    assert {f.district: f.event is not None for f in found} == {"A": False, "B": True}
