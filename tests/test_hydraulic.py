"""The model-based detector on a small invented town: it finds the leaks, and says the same however it is fed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from leakdetect import demo, pipeline, schema
from leakdetect.errors import NotFittedError, ReadingsError
from leakdetect.events import Event, Kind, Repair, Status
from leakdetect.hydraulic import HydraulicDetector
from leakdetect.hydraulic.fitted import Fitted
from leakdetect.hydraulic.steps import Steps, block_of, block_start, from_dataset, step_of, week_seconds
from leakdetect.network import Network
from leakdetect.site import Site
from leakdetect.stages.detection import tracker

HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class Town:
    """The demo's site, fitted: what it knows and what it reads after the fit."""

    site: Site
    network: Network
    detector: HydraulicDetector
    model: xr.Dataset
    data: xr.Dataset
    leaks: list[demo.TrueLeak]


@pytest.fixture(scope="module")
def town(fitted_demo: Path) -> Town:
    site, network = pipeline.open_site(fitted_demo)
    assert network is not None
    model, _ = pipeline.load_model(site)
    detector = pipeline.detector_of(site, network)
    assert isinstance(detector, HydraulicDetector)
    data = pipeline.steps_of(site, network, since=demo.fit_until())
    return Town(site, network, detector, model, data, demo.truth(fitted_demo))


def apart(network: Network, pipe: str, event: Event) -> float:
    """Return how far an event's first candidate is from a pipe [m]."""
    return float(network.distances(network.link(pipe))[network.link(event.candidates[0].link)])


Said = tuple[list[Event], xr.Dataset]


@pytest.fixture(scope="module")
def said(town: Town) -> Said:
    _, events, out = town.detector.update(town.model, town.detector.begin(town.model), town.data)
    return events, out


def in_parts(town: Town, size: int) -> Said:
    state, parts, events = town.detector.begin(town.model), [], []
    for first in range(0, town.data.sizes["time"], size):
        state, events, out = town.detector.update(town.model, state, town.data.isel(time=slice(first, first + size)))
        parts.append(out)
    return events, xr.concat(parts, "time", data_vars="minimal")


def test_it_finds_both_leaks(town: Town, said: Said) -> None:
    rows, rest = demo.compare(town.network, town.leaks, said[0])
    assert len(rest) <= 2
    for row, leak in zip(rows, town.leaks, strict=True):
        assert row.event is not None
        assert row.distance_m is not None
        assert row.distance_m < 500
        assert row.event.raised_at - row.start < np.timedelta64(21, "D")
        # A leak may be taken for two near each other; together they lose what it loses.
        near = [e for e in said[0] if apart(town.network, row.pipe, e) < 500 and row.start < e.raised_at <= leak.end]
        assert 0.4 * row.flow_m3h < sum(e.flow_m3h for e in near) < 1.7 * row.flow_m3h + 0.5
        assert row.event.start_low <= row.event.start_high
        assert row.event.flow_low <= row.event.flow_m3h <= row.event.flow_high
        assert sum(c.probability for c in row.event.candidates) <= 1 + 1e-9
        assert row.event.zone.probability >= town.site.detection.zone_probability - 1e-6 or row.event.zone.links
        assert sum(e.share for e in row.event.evidence) == pytest.approx(1)
    burst, growing = (row.event for row in rows)
    assert burst is not None
    assert growing is not None
    assert burst.status in {Status.REPAIRED, Status.CLOSED}
    assert burst.end is not None
    assert abs(burst.end - town.leaks[0].end) < np.timedelta64(2, "D")
    assert growing.status == Status.OPEN


def test_events_keep_what_else_was_weighed(said: Said) -> None:
    for event in said[0]:
        leak, *rivals = event.latest["weighed"]
        assert leak["cause"] == "leak"
        assert rivals
        assert all(rival["evidence"] < leak["evidence"] for rival in rivals)
    assert any("zone" in event.latest for event in said[0])  # placed anew, and kept all the same


def test_what_it_adds_to_the_data(town: Town, said: Said) -> None:
    out = said[1]
    schema.check(out)
    xr.testing.assert_identical(out[list(town.data.data_vars)], town.data)
    pressures = out["quantity"].values == "pressure"
    quiet = out.isel(time=slice(0, 7 * 24), sensor=np.flatnonzero(pressures))
    left = quiet["residual"].values
    assert np.isfinite(left).mean() > 0.95
    np.testing.assert_allclose(quiet["reading"] - quiet["expected"], left, atol=1e-9)
    assert np.nanstd(left) < 0.1  # loggers of 2 cm noise, demands that nobody measures
    assert np.abs(np.nanmean(left, axis=0)).max() < 0.05  # offsets of 20 cm are calibrated away
    burst = town.leaks[0]
    during = out.sel(time=slice(burst.start, burst.start + np.timedelta64(2, "D"))).isel(
        sensor=np.flatnonzero(pressures)
    )
    assert np.nanmax(np.nanmean(during["score"].values, axis=0)) > 2


@pytest.mark.parametrize("size", [5, 24, 400])
def test_parts_say_what_the_whole_says(town: Town, said: Said, size: int) -> None:
    events, out = in_parts(town, size)
    assert [e.to_dict() for e in events] == [e.to_dict() for e in said[0]]
    xr.testing.assert_allclose(out, said[1], rtol=1e-9, atol=1e-9)


def test_what_was_said_rests_on_the_past(town: Town, said: Said) -> None:
    """Cut at the reading that raised an event, it is raised; an hour before, it is not; the future changes nothing."""
    first = min(said[0], key=lambda e: e.raised_at)
    ready = town.data["last_reading"].values
    until = int(np.searchsorted(ready, first.raised_at)) + 1
    frozen = ("id", "kind", "raised_at", "start", "flow_m3h", "candidates", "zone", "evidence")
    for rows, there in ((until, True), (until - 1, False)):
        _, events, _ = town.detector.update(town.model, {}, town.data.isel(time=slice(0, rows)))
        found = {e.id: e.to_dict() for e in events}
        assert (first.id in found) == there
        if there:
            assert [found[first.id][k] for k in frozen] == [first.to_dict()[k] for k in frozen]
    wild = town.data.copy(deep=True)
    wild["reading"].values[until:] *= 0.8
    _, events, _ = town.detector.update(town.model, {}, wild)
    assert first.id in {e.id for e in events}


def test_a_repair_is_believed_and_not_before_it_is_done(town: Town, said: Said) -> None:
    rows, _ = demo.compare(town.network, town.leaks, said[0])
    growing = rows[1]
    assert growing.event is not None
    time = growing.event.raised_at + np.timedelta64(2, "D")
    done = [*town.detector.repairs, Repair(growing.event.candidates[0].link, time)]
    detector = HydraulicDetector(town.network, settings=town.site.detection, repairs=done)
    until = int(np.searchsorted(town.data["time"].values, time + np.timedelta64(12, "h")))
    _, events, _ = detector.update(town.model, {}, town.data.isel(time=slice(0, until)))
    repaired = next(e for e in events if e.id == growing.event.id)
    assert repaired.status == Status.REPAIRED
    assert repaired.end is not None
    assert abs(repaired.end - time) <= np.timedelta64(6, "h")
    _, events, _ = detector.update(town.model, {}, town.data.isel(time=slice(0, until - 18)))
    assert next(e for e in events if e.id == growing.event.id).status == Status.OPEN


def test_a_fit_takes_out_leaks_that_ended_long_ago(town: Town, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker forgets a leak some weeks after its end; the window of a fit still leaked then."""
    first = said[0][0]
    mended = first.raised_at + np.timedelta64(2, "D")
    detector = HydraulicDetector(
        town.network, timezone=town.site.timezone, settings=town.site.detection,
        repairs=[Repair(first.candidates[0].link, mended)],
    )  # fmt: skip
    monkeypatch.setattr(tracker, "HORIZON", 3)
    boundary, names = detector._boundary(town.data)
    fitted = Fitted.from_dataset(town.model, town.network, detector._channels(boundary, names))
    step = step_of(town.data)
    steps = from_dataset(town.data, step)
    leaks, _ = detector._follow_window(fitted, boundary, names, steps, step)
    column = leaks.links.tolist().index(town.network.link(first.candidates[0].link))
    runs = leaks.flow[:, column] > 0
    assert runs.any()
    assert steps.time[runs].max() <= mended
    assert steps.time[-1] - mended > np.timedelta64(10, "D")


def test_kinds(town: Town, said: Said) -> None:
    rows, _ = demo.compare(town.network, town.leaks, said[0])
    assert {row.event.kind for row in rows if row.event} <= {Kind.ABRUPT, Kind.INCIPIENT}


def test_a_model_of_other_sensors_or_another_kind(town: Town) -> None:
    fewer = town.data.isel(sensor=slice(1, None))
    with pytest.raises(NotFittedError, match="fitted with other channels: run 'leakdetect fit' again"):
        town.detector.update(town.model, {}, fewer)
    with pytest.raises(NotFittedError, match="not fitted with a network"):
        town.detector.update(town.model.assign_attrs(kind="inflow"), {}, town.data)


def test_silence_raises_nothing(town: Town) -> None:
    silent = town.data.isel(time=slice(0, 15 * 24)).copy(deep=True)
    for name in ("reading", "last"):
        silent[name].values[48:] = np.nan
    silent["usable"].values[48:] = False
    _, events, _ = town.detector.update(town.model, {}, silent)
    assert events == []


def test_a_step_that_does_not_divide_a_block(town: Town) -> None:
    data = town.data.isel(time=slice(0, None, 4)).assign_attrs(step_seconds=4 * 3600)
    with pytest.raises(ReadingsError, match="step_minutes must divide 6 hours"):
        town.detector.fit(data)


# -- steps --------------------------------------------------------------------------------------------------------


def test_blocks() -> None:
    time = np.datetime64("2021-05-03T07:30", "ns")
    block = block_of(time)
    assert block_start(block) == np.datetime64("2021-05-03T06:00")
    assert block_of(block_start(block + 1)) == block + 1
    assert block_of(np.datetime64("1969-12-31T23:00", "ns")) == -1


def test_the_week_goes_by_the_clock_on_the_wall() -> None:
    """Monday 00:00 in Paris, in winter and in summer."""
    times = np.array(["2021-01-03T23:00", "2021-07-04T22:00", "2021-07-04T23:30"], dtype="datetime64[ns]")
    assert week_seconds(times, "Europe/Paris").tolist() == [0, 0, 5400]
    assert week_seconds(times, "UTC")[0] == 6 * 86400 + 23 * 3600


def test_holes_become_steps_of_nothing(town: Town) -> None:
    data = town.data.isel(time=[0, 1, 2, 6, 7])
    step = step_of(data)
    assert step == HOUR
    steps = from_dataset(data, step)
    assert len(steps) == 8
    assert np.isnan(steps.reading[3:6]).all()
    assert np.isfinite(steps.reading[6]).any()
    first, second = from_dataset(data.isel(time=slice(0, 2)), step), from_dataset(data.isel(time=slice(2, None)), step)
    joined = first.then(second, step)
    np.testing.assert_array_equal(joined.time, steps.time)
    np.testing.assert_array_equal(joined.reading, steps.reading)
    back = Steps.from_plain(steps.to_plain())
    np.testing.assert_array_equal(back.ready, steps.ready)
    empty = replace(steps, time=steps.time[:0], reading=steps.reading[:0], last=steps.last[:0], ready=steps.ready[:0])
    assert len(empty.then(steps, step)) == 8
