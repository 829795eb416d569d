"""What a person dismissed does not come back the next morning, unless there is more of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from district_site import day, readings, write
from test_store import DAY, T0, event, keep, progress

from leakdetect import demo, pipeline
from leakdetect.events import Candidate, Event, Status, Zone
from leakdetect.store import Store


@pytest.fixture
def site(fitted_district: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted_district, tmp_path / "district")


def dismissed_at(site: Path, number: float) -> Event:
    """Run a site until a day and dismiss the one event that it has."""
    pipeline.detect(site, None, day(number))
    [found] = pipeline.events(site)
    assert found.status == Status.OPEN
    return pipeline.say(site, found.id, Status.DISMISSED, by="ann", at=day(number), why="flushing")


def days_after(site: Path, first: int, last: int) -> int:
    """Run every second morning; return how many events were raised."""
    return sum(pipeline.detect(site, None, day(number)).new for number in range(first, last, 2))


def test_a_dismissed_inflow_is_not_raised_again_while_it_lasts(site: Path) -> None:
    found = dismissed_at(site, 87)
    assert days_after(site, 88, 100) == 0
    assert {e.id: e.status for e in pipeline.events(site)} == {found.id: Status.DISMISSED}


def test_nor_when_it_stops_and_comes_again_but_a_larger_one_is(site: Path) -> None:
    flow = readings(((85, 92), (93.5, 99)))
    write(site, flow)
    found = dismissed_at(site, 87)
    assert days_after(site, 88, 100) == 0
    other = next(e for e in pipeline.events(site) if e.id != found.id)
    assert other.status == Status.DISMISSED
    [said] = pipeline.changes(site, other.id)
    assert said["why"] == f"as {found.id}, dismissed by ann: flushing"
    assert pipeline.say(site, other.id, Status.CONFIRMED, by="bob", at=day(99)).status == Status.CONFIRMED

    (site / "leakdetect.db").unlink()
    write(site, readings(((85, 92),)) + readings(((93.5, 99),), 14.0) - readings(()))
    dismissed_at(site, 87)
    assert days_after(site, 88, 100) == 1


def test_more_beside_a_dismissed_inflow_is_raised(site: Path) -> None:
    more = readings(((93, 120),), 9.0) - readings(())
    write(site, pd.Series(readings(((85, 120),)) + more))
    found = dismissed_at(site, 87)
    assert days_after(site, 88, 100) >= 1
    assert pipeline.event(site, found.id).status in {Status.DISMISSED, Status.OPEN}
    assert any(e.status == Status.OPEN for e in pipeline.events(site))


def test_a_new_fit_knows_what_was_dismissed(site: Path) -> None:
    dismissed_at(site, 87)
    pipeline.fit(site, None, day(66))
    outcome = pipeline.detect(site, None, day(99))
    assert (outcome.new, [e.status for e in pipeline.events(site)]) == (0, [Status.DISMISSED])


@pytest.mark.slow
def test_a_dismissed_leak_of_a_model_is_not_raised_again(fitted_demo: Path, tmp_path: Path) -> None:
    """The demo's burst runs from day 38 to day 46; it is dismissed on day 41, and a new fit begins anew on day 45."""
    site = shutil.copytree(fitted_demo, tmp_path / "demo")
    (site / "repairs.csv").write_text("link,time\n")
    start = demo.START
    pipeline.detect(site, None, start + 41 * demo.DAY)
    burst = pipeline.events(site)[-1]
    assert burst.start > start + 37 * demo.DAY
    pipeline.say(site, burst.id, Status.DISMISSED, by="ann", at=start + 41 * demo.DAY)
    others = {e.id for e in pipeline.events(site)}
    for number in (42, 43, 45):
        assert pipeline.detect(site, None, start + number * demo.DAY).new == 0
    assert pipeline.event(site, burst.id).status == Status.DISMISSED
    pipeline.fit(site, None, start + 24 * demo.DAY)
    outcome = pipeline.detect(site, None, start + 45 * demo.DAY)
    now = pipeline.events(site)
    assert [e.status for e in now if e.start > start + 37 * demo.DAY] == [Status.DISMISSED]
    assert outcome.new <= len(now) - len(others & {e.id for e in now})


# -- the rule, event by event --------------------------------------------------------------------------------------


ELSEWHERE = {"zone": Zone(("p8", "p9"), 10.0, 1.0), "candidates": (Candidate("p9", 1.0),)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With an event of 3 m3/h that was dismissed."""
    with Store(tmp_path / "leakdetect.db") as store:
        keep(store, progress(), [event()], fresh=True)
        store.set_status("e1", Status.DISMISSED, by="ann", at=T0)
    return store


def latest(flow: float, low: float) -> dict[str, float]:
    return {"flow_m3h": flow, "flow_low": low, "flow_high": 2 * flow - low}


@pytest.mark.parametrize(
    ("flow", "low", "raised"), [(3.0, 2.9, ()), (4.4, 4.0, ()), (4.6, 2.9, ()), (4.6, 3.1, ("e1",))]
)
def test_a_dismissed_leak_that_grows_is_open_again(store: Store, flow: float, low: float, raised: tuple[str]) -> None:
    grown = event(latest=latest(flow, low))
    assert keep(store, progress(), [grown]) == raised
    assert store.event("e1").status == (Status.OPEN if raised else Status.DISMISSED)
    assert keep(store, progress(), [grown]) == ()  # once
    if raised:
        assert store.history("e1")[-1]["why"] == "has grown since it was dismissed"
        store.set_status("e1", Status.DISMISSED, by="ann", at=T0)
        assert keep(store, progress(), [grown]) == ()  # what is known of it now was dismissed
        assert keep(store, progress(), [event(latest=latest(9.0, 7.0))]) == ("e1",)


@pytest.mark.parametrize(
    ("ended", "new", "back"),
    [
        (None, event("e2", 5), False),  # beside one that runs: more
        (4.0, event("e2", 5), True),
        (4.0, event("e2", 5, flow_m3h=4.4), True),
        (4.0, event("e2", 5, flow_m3h=4.6), False),
        (4.0, event("e2", 8), False),  # later: another
        (4.0, event("e2", 5, **ELSEWHERE), False),
        (4.0, replace(event("e2", 4, **ELSEWHERE), start=T0), True),  # the same leak, placed anew
    ],
)
def test_what_comes_back(store: Store, ended: float | None, new: Event, back: bool) -> None:
    over = {"end": T0 + DAY * ended, "status": Status.CLOSED} if ended else {}
    old = event(**over)
    assert keep(store, progress(), [old, new]) == (() if back else ("e2",))
    assert store.event("e2").status == (Status.DISMISSED if back else Status.OPEN)
    assert keep(store, progress(), [old, new]) == ()
    assert store.event("e2").status == (Status.DISMISSED if back else Status.OPEN)
