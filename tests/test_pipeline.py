"""The order of things, on the demo's site: a run continues where the last one stopped, and never looks ahead."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from leakdetect import daily, demo, pipeline
from leakdetect.epanet import load_network
from leakdetect.errors import ElementError, InputError, NotFittedError, ReadingsError
from leakdetect.events import Event, Repair, Status
from leakdetect.netcdf import load_model, load_series
from leakdetect.schema import Flag, new_readings
from leakdetect.site import load_site
from leakdetect.store import Store

# What is said when an event is raised; later readings never change it.
FIXED = (
    "id", "kind", "raised_at", "start", "start_low", "start_high", "flow_m3h", "flow_low", "flow_high", "candidates",
    "zone", "evidence", "model",
)  # fmt: skip


def day(number: float) -> np.datetime64:
    return demo.START + np.timedelta64(round(number * 86400), "s")


def fixed(events: list[Event], until: np.datetime64 | None = None) -> dict[str, dict[str, Any]]:
    return {e.id: {k: e.to_dict()[k] for k in FIXED} for e in events if until is None or e.raised_at <= until}


def whole(events: list[Event]) -> dict[str, dict[str, Any]]:
    return {e.id: e.to_dict() for e in events}


def same(a: Any, b: Any) -> bool:
    """Compare states to the last digit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b)


def state(folder: Path) -> dict[str, Any]:
    with Store(load_site(folder).store_path) as store:
        progress = store.progress()
    assert progress is not None
    return progress.state


@pytest.fixture
def site(fitted_demo: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted_demo, tmp_path / "demo")


@pytest.fixture(scope="module")
def detected(fitted_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run over all readings."""
    folder = shutil.copytree(fitted_demo, tmp_path_factory.mktemp("detected") / "demo")
    outcome = pipeline.detect(folder)
    assert outcome.new == len(outcome.events) >= 2
    assert outcome.until == day(demo.DAYS) - np.timedelta64(1, "h")
    return folder


@pytest.mark.parametrize("nth", [0, -1])
def test_an_event_is_there_with_the_reading_that_raised_it_and_rests_on_no_later_one(
    site: Path, detected: Path, nth: int
) -> None:
    every = pipeline.events(detected)
    raised = every[nth].raised_at
    assert every[nth].id in {e.id for e in pipeline.detect(site, None, raised).events}
    assert fixed(pipeline.events(site)) == fixed(every, raised)
    pipeline.detect(site)
    assert whole(pipeline.events(site)) == whole(every)
    assert same(state(site), state(detected))


def test_nothing_is_raised_before_its_time(site: Path, detected: Path) -> None:
    first = pipeline.events(detected)[0]
    assert pipeline.detect(site, None, first.raised_at - np.timedelta64(1, "m")).events == []


def test_day_by_day_is_one_run(site: Path, detected: Path) -> None:
    cuts = [36.0, *(36 + k + (k * 0.37) % 1 for k in range(12)), 60.5]
    counts = [pipeline.detect(site, None, day(cut)).new for cut in cuts]
    assert sum(counts) == len(pipeline.events(site))
    pipeline.detect(site)
    assert whole(pipeline.events(site)) == whole(pipeline.events(detected))
    assert same(state(site), state(detected))
    one, many = load_series(load_site(detected)), load_series(load_site(site))
    xr.testing.assert_identical(one[["reading", "flag", "usable"]], many[["reading", "flag", "usable"]])
    assert one["residual"].notnull().mean() > 0.5


def test_a_second_run_changes_nothing(detected: Path) -> None:
    series = sorted((detected / "series").iterdir())
    assert len(series) > 1
    before = whole(pipeline.events(detected)), [path.read_bytes() for path in series]
    outcome = pipeline.detect(detected)
    assert (outcome.new, outcome.steps, outcome.until) == (0, 0, day(demo.DAYS) - np.timedelta64(1, "h"))
    assert (whole(pipeline.events(detected)), [path.read_bytes() for path in series]) == before


def test_pieces_change_nothing(site: Path, detected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "_PIECE", np.timedelta64(7, "D"))
    shares: list[float] = []
    pipeline.detect(site, tell=lambda what, share: shares.append(share) if what == "detect" else None)
    assert whole(pipeline.events(site)) == whole(pipeline.events(detected))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_listed_are_the_events_open_in_the_window(detected: Path) -> None:
    every = pipeline.events(detected)
    ended = next(e for e in every if e.end is not None)
    assert ended.end is not None
    hour = np.timedelta64(1, "h")
    assert ended in pipeline.detect(detected, ended.end - hour).events
    assert ended not in pipeline.detect(detected, ended.end + hour).events
    assert ended not in pipeline.detect(detected, None, ended.raised_at - hour).events
    assert ended in pipeline.detect(detected, None, ended.raised_at).events


def test_a_new_model_begins_anew(site: Path) -> None:
    pipeline.detect(site, None, day(48))
    before = pipeline.events(site)
    kept = before[0]
    pipeline.say(site, kept.id, Status.CONFIRMED, by="me", at=day(48))
    pipeline.fit(site, None, day(21))
    outcome = pipeline.detect(site, None, day(30))
    assert outcome.until == day(30) - np.timedelta64(1, "h")
    assert [e.id for e in pipeline.events(site)] == [kept.id]  # a person has spoken of it
    assert load_series(load_site(site))["time"].values[-1] == outcome.until


def test_what_a_person_says_stays(site: Path) -> None:
    pipeline.detect(site, None, day(48))
    first, *_ = pipeline.events(site)
    with pytest.raises(ElementError, match="no link 'p9999'"):
        pipeline.say(site, first.id, Status.REPAIRED, by="me", at=day(48), link="p9999")
    pipe = first.candidates[0].link
    pipeline.say(site, first.id, Status.DISMISSED, by="me", at=day(48), why="flushing")
    pipeline.detect(site, None, day(50))
    assert pipeline.event(site, first.id).status == Status.DISMISSED
    pipeline.say(site, first.id, Status.REPAIRED, by="you", at=day(50), link=pipe, time=day(49))
    event = pipeline.event(site, first.id)
    assert (event.status, event.end) == (Status.REPAIRED, day(49))
    assert [c["status"] for c in pipeline.changes(site, first.id)] == ["dismissed", "repaired"]
    with Store(load_site(site).store_path) as store:
        assert store.repairs() == [Repair(pipe, day(49))]
    with pytest.raises(InputError, match="no event 'x'"):
        pipeline.changes(site, "x")


def test_repairs_that_people_said_reach_the_detector_once(site: Path) -> None:
    known, network = load_site(site), load_network(site / "network.inp")
    [listed] = pipeline.detector_of(known, network).repairs  # type: ignore[attr-defined]
    twice = Repair(listed.link, listed.time + np.timedelta64(1, "D"))
    other = Repair("p1", listed.time)
    repairs = pipeline.repairs_of(known, network, [twice, other])
    assert sorted(repairs, key=lambda r: r.link) == sorted([listed, other], key=lambda r: r.link)


def test_before_anything_was_run(site: Path) -> None:
    (site / "model.nc").unlink()
    with pytest.raises(NotFittedError, match="run 'leakdetect fit"):
        pipeline.detect(site)
    for ask in (pipeline.results, pipeline.events):
        with pytest.raises(NotFittedError, match="run 'leakdetect detect"):
            ask(site)
    assert {p.name for p in site.iterdir()} == {"site.toml", "network.inp", "readings", "repairs.csv", "truth"}
    with pytest.raises(ReadingsError, match="no complete step of readings"):
        pipeline.fit(site, day(500))
    assert not (site / "model.nc").exists()


def test_a_model_is_of_its_network_and_its_detector(site: Path) -> None:
    text = (site / "network.inp").read_text()
    (site / "network.inp").write_text(text.replace("p1 ", "p0 "))
    with pytest.raises(NotFittedError, match=r"model\.nc: the model was fitted with other links"):
        pipeline.detect(site)
    (site / "network.inp").write_text(text)
    toml = (site / "site.toml").read_text()
    (site / "site.toml").write_text(toml.replace('network = "network.inp"', ""))
    with pytest.raises(NotFittedError, match="fitted for the hydraulic detector, the site now calls for the inflow"):
        pipeline.detect(site)
    assert not (site / "series").exists()
    assert load_model(load_site(site))[0].attrs["detector"] == "hydraulic"


def test_a_step_is_known_when_the_reading_came_that_completed_it() -> None:
    minutes = np.r_[0:60:5, 60:80:5, 200:300:5]
    time = np.datetime64("2020-01-01T00:00", "ns") + minutes * np.timedelta64(1, "m")
    data = new_readings(
        time, ["a"], np.ones((len(time), 1)), quantity=["flow"], element=[""], dma=[""], unit=["m3/h"], step=[300.0]
    )
    flag = np.zeros((len(time), 1), dtype=np.uint8)
    data = data.assign(flag=(("time", "sensor"), flag), usable=(("time", "sensor"), flag == 0))
    assert not (flag & Flag.MISSING).any()
    steps = pipeline.quality.to_steps(data, 3600.0)
    known = pipeline._complete_at(steps, data, 3600) - time[0]
    assert (known / np.timedelta64(1, "m")).tolist() == [55, 200, 200, 235, 295]
