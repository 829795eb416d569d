"""Events as JSON: there and back, and what is not an event."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdetect.errors import InputError, MissingFileError
from leakdetect.events import Candidate, Event, Evidence, Kind, Status, Zone, dumps, iso, parse_time, read_events

TIME = np.datetime64("2019-01-01T00:05:00", "ns")
EVENT = Event(
    id="2019-01-01T0005-p1",
    status=Status.OPEN,
    kind=Kind.ABRUPT,
    raised_at=TIME,
    start=TIME - np.timedelta64(6, "h"),
    start_low=TIME - np.timedelta64(8, "h"),
    start_high=TIME - np.timedelta64(5, "h"),
    end=None,
    flow_m3h=4.5,
    flow_low=3.5,
    flow_high=5.5,
    candidates=(Candidate("p1", 0.7), Candidate("p2", 0.3)),
    zone=Zone(("p1", "p2"), 120.5, 1.0),
    evidence=(Evidence("n1", 0.75), Evidence("Québec", 0.25)),
    model="hydraulic",
    data_until=TIME,
)


def test_there_and_back(tmp_path: Path) -> None:
    later = replace(EVENT, id="b", status=Status.REPAIRED, end=TIME, latest={"flow_m3h": 5.0})
    (tmp_path / "e.json").write_text(dumps([EVENT, later]), encoding="utf-8")
    assert read_events(tmp_path / "e.json") == [EVENT, later]


def test_plain_values() -> None:
    plain = json.loads(dumps([EVENT]))[0]
    assert plain["raised_at"] == "2019-01-01T00:05:00Z"
    assert plain["end"] is None
    assert plain["status"] == "open"
    assert plain["kind"] == "abrupt"
    assert plain["candidates"][0] == {"link": "p1", "probability": 0.7}
    assert plain["zone"] == {"links": ["p1", "p2"], "length_m": 120.5, "probability": 1.0}
    assert plain["evidence"][1] == {"sensor": "Québec", "share": 0.25}
    assert "Québec" in dumps([EVENT])


@given(st.integers(0, 7_000_000_000))
def test_times_there_and_back(seconds: int) -> None:
    time = np.datetime64(seconds, "s")
    assert parse_time(iso(time)) == time


def test_times_with_an_offset_become_utc() -> None:
    assert parse_time("2019-06-01T02:00:00+02:00") == np.datetime64("2019-06-01T00:00:00")
    assert parse_time("2019-06-01T00:00:00") == np.datetime64("2019-06-01T00:00:00")
    assert parse_time(None) is None
    assert iso(None) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "lost"}, "'lost' is not a valid Status"),
        ({"kind": None}, "not a valid Kind"),
        ({"raised_at": "yesterday"}, "yesterday"),
        ({"zone": {}}, "links"),
        ({"candidates": [{"pipe": "p1"}]}, "pipe"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_is_no_event(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match="event '2019-01-01T0005-p1'") as caught:
        Event.from_dict(EVENT.to_dict() | change)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_is_missing() -> None:
    plain = EVENT.to_dict()
    del plain["start"]
    with pytest.raises(InputError, match="start"):
        Event.from_dict(plain)


@pytest.mark.parametrize(("text", "said"), [("{", "not JSON"), ("{}", "JSON array"), ("[1]", "JSON array")])
def test_what_is_no_list_of_events(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_events(tmp_path / "e.json")
    with pytest.raises(MissingFileError, match="no such file"):
        read_events(tmp_path / "none.json")
