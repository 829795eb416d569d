"""What runs leave behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leakdetect.errors import InputError
from leakdetect.events import Candidate, Event, Evidence, Kind, Repair, Status, Zone
from leakdetect.store import Outcome, Progress, Store, cuts, database, decode, encode, outcome
from leakdetect.store.state import kept

T0 = np.datetime64("2024-05-01T00:00", "ns")
DAY = np.timedelta64(24, "h")


def event(name: str = "e1", days: int = 0, **changes: Any) -> Event:
    raised = T0 + days * DAY
    return replace(
        Event(
            name, Status.OPEN, Kind.ABRUPT, raised, raised, raised, raised, None, 3.0, 2.0, 4.0,
            (Candidate("p1", 0.6), Candidate("p2", 0.4)), Zone(("p1", "p2"), 10.0, 1.0), (), "m", raised,
        ),
        **changes,
    )  # fmt: skip


def progress(**changes: Any) -> Progress:
    return replace(Progress("sum", T0, T0 + DAY, {"a": np.arange(3.0), "b": [1, {"c": None}]}), **changes)


def keep(store: Store, left: Progress, events: Sequence[Event], **more: Any) -> tuple[str, ...]:
    """Keep what a run would; return what it raised."""
    last = store.progress()
    with store.saving(Outcome(replace(left, run=last.run if last else None), events, **more)) as saved:
        pass
    return saved.raised


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leakdetect.db"


def test_a_run_is_kept_as_a_whole(path: Path) -> None:
    with Store(path) as store:
        assert (store.events(), store.progress(), store.repairs()) == ([], None, [])
        assert len(keep(store, progress(), [event("late", 2), event()], fresh=True)) == 2
    with Store(path) as store:
        assert store.events() == [event(), event("late", 2)]
        kept = store.progress()
        assert kept is not None
        assert (kept.model, kept.begun, kept.until) == ("sum", T0, T0 + DAY)
        assert kept.state["a"].tolist() == [0, 1, 2]
        assert kept.state["b"] == [1, {"c": None}]
        assert keep(store, progress(until=T0 + 2 * DAY), [event(), event("late", 2), event("third", 1)]) == ("third",)
        assert [e.id for e in store.events()] == ["e1", "third", "late"]


def test_of_runs_long_past_those_stay_that_changed_something(path: Path) -> None:
    with Store(path) as store:
        for hour in range(0, 72, 6):
            raised = [event(days=1)] if hour >= 30 else []
            keep(store, progress(), raised, started=T0 + np.timedelta64(hour, "h"))
        assert len(store.runs()) == 12
        keep(store, progress(), [event(days=1)], started=T0 + 32 * DAY)
        started = [r["started"][:13] for r in store.runs()]
        # The last of each of the two days that are over a month old, and the one that raised the event.
        assert started == ["2024-05-01T18", "2024-05-02T06", "2024-05-02T18", "2024-05-03T00", "2024-05-03T06",
                           "2024-05-03T12", "2024-05-03T18", "2024-06-02T00"]  # fmt: skip
        assert [r["number"] for r in store.runs(last=2)] == [12, 13]
        assert [r["number"] for r in store.runs(since=T0 + 3 * DAY)] == [13]


def test_what_fails_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(path) as store:
        keep(store, progress(), [event()], fresh=True)

        def fail(_state: object) -> bytes:
            raise MemoryError

        monkeypatch.setattr(outcome, "encode", fail)
        with pytest.raises(MemoryError):
            keep(store, progress(until=T0 + 5 * DAY), [event("other")], fresh=True)
        assert store.events() == [event()]
        kept = store.progress()
        assert kept is not None
        assert kept.until == T0 + DAY


def test_a_fresh_run_forgets_what_nobody_spoke_of(path: Path) -> None:
    with Store(path) as store:
        keep(store, progress(), [event("said", 1), event("gone", 2), event("stays", 3)], fresh=True)
        store.set_status("said", Status.CONFIRMED, by="me", at=T0)
        assert keep(store, progress(), [event("stays", 3), event("new", 60)], fresh=True) == ("new",)
        assert [e.id for e in store.events()] == ["said", "stays", "new"]


def test_what_was_said_goes_over_to_the_event_of_the_same_leak(path: Path) -> None:
    elsewhere = {"zone": Zone(("p8", "p9"), 10.0, 1.0), "candidates": (Candidate("p9", 1.0),)}
    district = {"zone": Zone((), 0.0, 1.0), "candidates": ()}
    meter = (Evidence("meter", 1.0),)
    with Store(path) as store:
        old = [event("old", 5), event("far", 6, **elsewhere), event("area", 7, evidence=meter, **district)]
        keep(store, progress(), old, fresh=True)
        store.set_status("old", Status.DISMISSED, by="ann", at=T0, why="flushing")
        store.set_status("far", Status.CONFIRMED, by="ann", at=T0)
        near, later = event("near", 9, zone=Zone(("p2", "p3"), 5.0, 1.0)), event("later", 20)
        long_after = event("long after", 60, **elsewhere)
        same_area = event("same area", 8, evidence=meter, **district)
        assert keep(store, progress(), [near, later, long_after, same_area], fresh=True) == ("later", "long after")
        assert {e.id: e.status for e in store.events()} == {
            "near": Status.DISMISSED,
            "later": Status.OPEN,
            "long after": Status.OPEN,
            "same area": Status.OPEN,
            "far": Status.CONFIRMED,
        }
        assert [c["why"] for c in store.changes("near")] == ["flushing"]
        assert store.changes("old") == []


@pytest.mark.parametrize(
    ("said", "found", "kept"),
    [
        (Status.CONFIRMED, Status.OPEN, Status.CONFIRMED),
        (Status.CONFIRMED, Status.CLOSED, Status.CLOSED),
        (Status.DISMISSED, Status.OPEN, Status.DISMISSED),
        (Status.DISMISSED, Status.CLOSED, Status.DISMISSED),
        (Status.REPAIRED, Status.OPEN, Status.REPAIRED),
        (None, Status.CLOSED, Status.CLOSED),
    ],
)
def test_a_persons_word_outlives_the_detectors(path: Path, said: Status | None, found: Status, kept: Status) -> None:
    with Store(path) as store:
        keep(store, progress(), [event()], fresh=True)
        if said is not None:
            store.set_status("e1", said, by="me", at=T0 + DAY, time=T0 + DAY / 2)
        ended = T0 + 9 * DAY if found == Status.CLOSED else None
        keep(store, progress(), [event(status=found, end=ended, latest={"flow_m3h": 9.0})], fresh=False)
        [now] = store.events()
        assert now.status == kept
        assert now.latest == {"flow_m3h": 9.0}
        assert now.end == (T0 + DAY / 2 if said == Status.REPAIRED else ended)


def test_what_people_said(path: Path) -> None:
    with Store(path) as store:
        keep(store, progress(), [event(), event("bare", 1, candidates=())], fresh=True)
        store.set_status("e1", Status.CONFIRMED, by="ann", at=T0, why="heard it")
        store.set_status("e1", Status.REPAIRED, by="bob", at=T0 + DAY, link="p7", time=T0 + DAY / 2)
        store.set_status("bare", Status.REPAIRED, by="bob", at=T0 + DAY)
        assert store.changes("e1") == [
            {"event": "e1", "at": "2024-05-01T00:00:00Z", "by": "ann", "status": "confirmed", "why": "heard it",
             "link": "", "repaired": ""},
            {"event": "e1", "at": "2024-05-02T00:00:00Z", "by": "bob", "status": "repaired", "why": "",
             "link": "p7", "repaired": "2024-05-01T12:00:00Z"},
        ]  # fmt: skip
        assert store.repairs() == [Repair("p7", T0 + DAY / 2), Repair("", T0 + DAY)]
        store.set_status("e1", Status.REPAIRED, by="bob", at=T0 + DAY)
        assert store.repairs() == [Repair("", T0 + DAY), Repair("p1", T0 + DAY)]
        store.set_status("e1", Status.CONFIRMED, by="ann", at=T0 + 2 * DAY, why="still runs")
        assert store.repairs() == [Repair("", T0 + DAY)]
        with pytest.raises(InputError, match=r"no event 'x': 'leakdetect events .* list' shows their ids"):
            store.set_status("x", Status.CONFIRMED, by="ann", at=T0)


def test_files_that_are_no_store(path: Path) -> None:
    path.write_bytes(b"not a database, and long enough not to look empty" * 100)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"leakdetect\.db: file is not a database: move the file away"), Store(path):
        pass
    assert path.read_bytes() == before


def test_a_newer_layout(path: Path) -> None:
    with Store(path):
        pass
    with sqlite3.connect(path) as base:
        base.execute("update alembic_version set version_num = '99'")
    base.close()
    with pytest.raises(InputError, match="layout 99, this is for 0003"), Store(path):
        pass


@pytest.mark.parametrize("column", ["state", "body"])
def test_contents_that_are_not_whole(path: Path, column: str) -> None:
    with Store(path) as store:
        keep(store, progress(), [event()], fresh=True)
    with sqlite3.connect(path) as base:
        base.execute("update progress set state = ?" if column == "state" else "update events set body = ?", (b"{",))
    base.close()
    with Store(path) as store, pytest.raises(InputError, match=r"leakdetect\.db: .*: move the file away"):
        store.progress() if column == "state" else store.events()


def test_a_file_that_another_run_is_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT", 0.05)
    with Store(path) as store:
        keep(store, progress(), [event()], fresh=True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    try:
        with Store(path) as store:
            assert store.events() == [event()]  # reading goes on
            with pytest.raises(InputError, match="database is locked: another run is writing"):
                store.claim()
    finally:
        other.close()


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5),
    st.floats(allow_nan=False),
    hnp.arrays(st.sampled_from([np.float64, np.int64, np.bool_]), hnp.array_shapes(max_dims=2, max_side=3, min_side=0)),
)  # fmt: skip
states = st.dictionaries(
    st.text(max_size=4).filter(lambda key: key != "__array__"),
    st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.text(max_size=4).filter(lambda key: key != "__array__"), inner, max_size=3),
        ),
        max_leaves=6,
    ),
    max_size=4,
)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


@given(states)
def test_a_state_comes_back_as_it_was(state: dict[str, Any]) -> None:
    assert equal(decode(encode(state)), state)


def test_no_object_gets_into_a_state() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        encode({"a": np.array([object()])})
    with pytest.raises(TypeError):
        encode({"a": object()})


def test_past_states_that_are_kept_are_few_and_some_is_never_far() -> None:
    there: list[np.datetime64] = []
    rng = np.random.default_rng(0)
    until = T0
    for _ in range(700):
        there = kept([*there, until], until)
        assert len(there) <= 10
        if until - T0 > 200 * DAY:
            for back, near in ((1, 8), (2, 8), (8, 15), (20, 57), (100, 57)):
                wanted = until - back * DAY
                assert any(wanted - near * DAY <= past < wanted for past in there), back
        until = until + rng.integers(2, 30) * np.timedelta64(1, "h")


def test_a_long_run_keeps_states_on_its_way_as_many_short_ones_do() -> None:
    last = T0 + 400 * DAY + np.timedelta64(5, "h")
    stops = cuts(T0, last)
    assert kept([stop - np.timedelta64(1, "h") for stop in stops], last) == [s - np.timedelta64(1, "h") for s in stops]
    assert len(stops) <= 9
    assert cuts(T0, T0 + DAY) == []
    assert cuts(T0, T0 + 2 * DAY) == [T0 + DAY, T0 + 2 * DAY]
