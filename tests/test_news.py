"""What is new at a site: since the run of a day ago, whatever the rhythm of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_store import DAY, T0, event, progress

from leakdetect.events import Event, Status, iso
from leakdetect.store import News, Outcome, Store, news

HOUR = np.timedelta64(1, "h")


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "leakdetect.db") as opened:
        yield opened


def run(store: Store, until: np.datetime64, events: list[Event]) -> None:
    """Keep what a run up to a time would."""
    last = store.progress()
    told = [replace(e, data_until=until + np.timedelta64(55, "m")) for e in events]
    left = replace(progress(until=until), run=last.run if last else None)
    with store.saving(Outcome(left, told, fresh=last is None, record={"outcome": "taken", "until": iso(until)})):
        pass


def told(store: Store) -> News:
    found = news(store)
    assert found is not None
    return found


def test_before_the_first_run_there_is_none(store: Store) -> None:
    store.record(T0, {"outcome": "failed"})
    assert news(store) is None


def test_of_a_first_run_only_the_last_day_is_new(store: Store) -> None:
    run(store, T0 + 30 * DAY, [event("old", 3), event("late", 30)])
    assert told(store) == News(T0 + 29 * DAY, True, frozenset({"late"}), ())


def test_a_run_of_every_morning_tells_what_it_raised_and_changed(store: Store) -> None:
    run(store, T0 + 30 * DAY, [event("old", 3)])
    run(store, T0 + 31 * DAY - 2 * HOUR, [event("old", 3), event("b", 30)])
    more = {"flow_m3h": 9.0, "flow_low": 8.0}
    run(store, T0 + 32 * DAY, [event("old", 3, latest=more), event("b", 30), event("c", 31)])
    store.record(T0, {"outcome": "nothing new"})
    found = told(store)
    assert (found.since, found.is_day, found.raised) == (T0 + 31 * DAY - 2 * HOUR, True, {"c"})
    assert [(c["event"], c["detail"]) for c in found.changes] == [("old", {"flow_m3h": [3.0, 9.0]})]
    store.set_status("b", Status.DISMISSED, by="ann", at=T0 + 33 * DAY, why="flushing")
    assert [(c["event"], c["by"]) for c in told(store).changes] == [("old", "leakdetect"), ("b", "ann")]


def test_runs_of_every_hour_tell_of_a_day(store: Store) -> None:
    for hour in range(30):
        events = [event("early", 30, raised_at=T0 + 30 * DAY + 2 * HOUR)] * (hour >= 2)
        run(store, T0 + 30 * DAY + hour * HOUR, [*events, *[event("b", 31)] * (hour >= 25)])
    found = told(store)
    assert found.raised == {"b"}
    assert found.is_day


def test_after_a_pause_it_tells_of_the_pause(store: Store) -> None:
    run(store, T0 + 30 * DAY, [])
    run(store, T0 + 37 * DAY, [event("monday", 31)])
    found = told(store)
    assert (found.since, found.is_day, found.raised) == (T0 + 30 * DAY, False, {"monday"})
