"""Scoring: every figure here is worked out by hand on four pipes in a row."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdetect.errors import ElementError, InputError, MissingFileError
from leakdetect.evaluate import (
    Detection,
    Leak,
    detections_of,
    read_truth,
    score_battledim,
    score_labels,
    score_leakdb,
    years_of,
)
from leakdetect.events import Candidate, Event, Kind, Status, Zone
from leakdetect.network import Link, Network, Node

HOUR = np.timedelta64(1, "h")


def line(lengths: tuple[float, ...] = (200.0, 100.0, 300.0, 1000.0)) -> Network:
    """Return a reservoir and pipes p1, p2, ... in a row.

    Between centres [m]: p1-p2 150, p1-p3 350, p2-p3 200, p2-p4 850, p3-p4 650.
    """
    n = len(lengths)
    zeros, nan = np.zeros(n), np.full(n, math.nan)
    return Network(
        name="line",
        node_names=("R", *(f"n{i}" for i in range(1, n + 1))),
        node_kind=np.array([Node.RESERVOIR, *[Node.JUNCTION] * n], dtype=np.int64),
        elevation=np.zeros(n + 1),
        xy=np.zeros((n + 1, 2)),
        base_demand=np.zeros((n + 1, 1)),
        categories=("",),
        patterns=np.ones((1, 1)),
        pattern_step=3600.0,
        link_names=tuple(f"p{i}" for i in range(1, n + 1)),
        link_kind=np.full(n, Link.PIPE, dtype=np.int64),
        start=np.arange(n),
        end=np.arange(1, n + 1),
        length=np.array(lengths),
        diameter=np.full(n, 0.1),
        roughness=np.full(n, 130.0),
        minor_loss=zeros,
        open=np.ones(n, dtype=bool),
        check_valve=np.zeros(n, dtype=bool),
        setting=nan,
        tank_area=np.full(n + 1, math.nan),
    )


NET = line()


def at(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


def leak(pipe: str, start: str, end: str, flow: float, kind: Kind = Kind.ABRUPT) -> Leak:
    time = np.arange(at(start), at(end) + HOUR, HOUR).astype("datetime64[ns]")
    return Leak(pipe, at(start), at(end), 0.01, kind, at(start), time, np.full(len(time), flow))


def event(id_: str, pipe: str, raised: str, end: str | None = None, **changes: object) -> Event:
    time = at(raised)
    made = Event(
        id=id_,
        status=Status.OPEN,
        kind=Kind.ABRUPT,
        raised_at=time,
        start=time,
        start_low=time,
        start_high=time,
        end=at(end) if end else None,
        flow_m3h=10.0,
        flow_low=8.0,
        flow_high=12.0,
        candidates=(Candidate(pipe, 0.6), Candidate("p4", 0.4)),
        zone=Zone((pipe,), 400.0, 0.8),
        evidence=(),
        model="m",
        data_until=time,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


# 48 hours to the end of 2019: 480 m3 (384 EUR) and 240 m3 (192 EUR)
BIG = leak("p1", "2019-12-30T00:00", "2019-12-31T23:00", 10.0)
SMALL = leak("p3", "2019-12-30T00:00", "2019-12-31T23:00", 5.0)


def test_distances_are_those_worked_out() -> None:
    assert NET.distances(0).tolist() == [0, 150, 350, 1000]
    assert NET.distances(2).tolist() == [350, 200, 0, 650]


def test_a_detection_earns_the_water_it_saves_less_the_search() -> None:
    score = score_battledim(NET, [Detection("p2", at("2019-12-30T12:00"))], [BIG], 2019)
    assert score.euros == pytest.approx(0.80 * 360 - 500 * 150 / 300)  # 38 EUR
    assert score.maximum == pytest.approx(384)
    assert (score.true_positives, score.false_positives, score.misses, score.distance_m) == (1, 0, 0, 150)
    row = score.leak_table[0]
    assert (row.delay_h, row.distance_m, row.found_by) == (12, 150, "p2@2019-12-30T12:00:00Z")


def test_between_readings_the_flow_goes_on() -> None:
    score = score_battledim(NET, [Detection("p1", at("2019-12-30T12:15"))], [BIG], 2019)
    assert score.euros == pytest.approx(0.80 * 357.5)


def test_the_closest_not_yet_found_then_repeats_then_false_ones() -> None:
    detections = [
        Detection("p2", at("2019-12-30T00:00")),  # p1 is at 150 m, p3 at 200 m
        Detection("p2", at("2019-12-31T00:00")),  # p3 is left
        Detection("p2", at("2019-12-31T01:00")),  # both are found
        Detection("p4", at("2019-12-31T02:00")),  # 650 m from p3
    ]
    score = score_battledim(NET, detections, [SMALL, BIG], 2019)
    expected = [384 - 250, 0.8 * 120 - 500 * 200 / 300, 0, -500]
    assert [row.euros for row in score.event_table] == pytest.approx(expected)
    assert [row.outcome for row in score.event_table] == ["true", "true", "repeat", "false"]
    assert [row.leak for row in score.event_table] == ["p1", "p3", None, None]
    assert (score.event_table[3].nearest, score.event_table[3].nearest_m) == ("p3", 650)
    assert score.euros == pytest.approx(sum(expected))
    assert (score.true_positives, score.repeats, score.false_positives, score.misses) == (2, 1, 1, 0)
    assert score.distance_m == 175


def test_of_one_time_the_closest_goes_first() -> None:
    now = at("2019-12-30T00:00")
    score = score_battledim(NET, [Detection("p2", now), Detection("p1", now)], [BIG, SMALL], 2019)
    assert {row.pipe: row.leak for row in score.event_table} == {"p1": "p1", "p2": "p3"}


@pytest.mark.parametrize(
    ("time", "true"),
    [("2019-12-29T23:59", 0), ("2019-12-30T00:00", 1), ("2019-12-31T23:00", 1), ("2019-12-31T23:01", 0)],
)
def test_only_a_running_leak_is_found(time: str, true: int) -> None:
    assert score_battledim(NET, [Detection("p1", at(time))], [BIG], 2019).true_positives == true


def test_three_hundred_metres_are_within() -> None:
    edge = line((200.0, 100.0, 200.0))  # p1-p3: 100 + 200
    over = line((200.0, 100.01, 200.0))
    found = [Detection("p3", at("2019-12-30T00:00"))]
    assert score_battledim(edge, found, [BIG], 2019).euros == pytest.approx(384 - 500)
    assert score_battledim(edge, found, [BIG], 2019).true_positives == 1
    assert score_battledim(over, found, [BIG], 2019).false_positives == 1


def test_which_events_count_in_a_year() -> None:
    events = [
        event("old", "p1", "2018-05-01T00:00"),
        event("mended later", "p1", "2018-05-01T00:00", "2019-02-01T00:00", status=Status.REPAIRED),
        event("over", "p1", "2018-05-01T00:00", "2018-12-31T23:00", status=Status.CLOSED),
        event("no", "p1", "2019-05-01T00:00", status=Status.DISMISSED),
        event("this", "p1", "2019-05-01T00:00", "2019-06-01T00:00"),
        event("next", "p1", "2020-01-01T00:00"),
    ]
    chosen = {d.event.id: d.time for d in detections_of(events, 2019) if d.event}
    new_year = at("2019-01-01")
    assert chosen == {"old": new_year, "mended later": new_year, "this": at("2019-05-01")}
    with pytest.raises(InputError, match="'bare' names no candidate"):
        detections_of([event("bare", "p1", "2019-05-01T00:00", candidates=())], 2019)


def test_what_is_open_from_the_year_before_counts_from_new_year() -> None:
    old = leak("p1", "2018-12-01T00:00", "2019-01-01T09:00", 10.0)  # 10 h of 2019: 100 m3
    before = score_battledim(NET, [event("e", "p1", "2018-12-02T00:00")], [old], 2018)
    after = score_battledim(NET, [event("e", "p1", "2018-12-02T00:00")], [old], 2019)
    assert before.euros == pytest.approx(0.8 * 10 * 24 * 30)
    assert before.leak_table[0].delay_h == 24
    assert after.euros == after.maximum == pytest.approx(80)
    assert after.leak_table[0].delay_h is None
    assert (before.abrupt.begun, after.abrupt.begun) == (1, 0)
    assert score_battledim(NET, [], [old], 2020).leaks == 0


def test_delays_by_kind_zone_and_flow() -> None:
    leaks = [
        leak("p1", "2019-03-01T00:00", "2019-04-01T00:00", 10.0),
        leak("p4", "2019-03-01T00:00", "2019-04-01T00:00", 4.0),
        leak("p1", "2019-06-01T00:00", "2019-07-01T00:00", 8.0, Kind.INCIPIENT),
    ]
    events = [
        event("a", "p1", "2019-03-02T00:00"),  # 24 h late; 10 m3/h is right
        event("b", "p4", "2019-03-04T00:00"),  # 72 h late; 10 for 4 m3/h is not
        event("c", "p2", "2019-06-05T00:00", flow_m3h=6.0, zone=Zone(("p2",), 100.0, 0.8)),  # just within 25 %
    ]
    score = score_battledim(NET, events, leaks, 2019)
    assert (score.abrupt.begun, score.abrupt.found, score.abrupt.median_h, score.abrupt.within_24h) == (2, 2, 48, 1)
    assert (score.abrupt_large.begun, score.abrupt_large.median_h) == (1, 24)
    assert (score.incipient.found, score.incipient.median_h) == (1, 96)
    assert score.in_zone == pytest.approx(2 / 3)
    assert score.flow_within_25 == pytest.approx(2 / 3)
    assert score.zone_length_m == 400
    assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["leak_table"][2]["distance_m"] == 150


def test_nothing_found_is_nan_here_and_null_in_json() -> None:
    score = score_battledim(NET, [], [BIG], 2019)
    assert (score.euros, score.misses, score.detections) == (0, 1, 0)
    assert math.isnan(score.distance_m)
    assert math.isnan(score.abrupt.median_h)
    assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["distance_m"] is None


def test_blind_alarms() -> None:
    now = [Detection("p4", at("2019-12-30T00:00"))]
    one = score_battledim(line((200.0,)), [Detection("p1", now[0].time)], [BIG], 2019)
    assert one.blind.euros == pytest.approx(one.maximum)  # the only pipe cannot be missed
    # Four pipes: on the spot, 150 m off, and twice false.
    four = score_battledim(NET, now, [BIG], 2019, draws=4000)
    assert four.blind.euros == pytest.approx((384 + 134 - 1000) / 4, abs=25)
    assert four.blind.found == pytest.approx(0.5, abs=0.03)
    assert four.blind == score_battledim(NET, now, [BIG], 2019, draws=4000).blind


def test_unknown_pipe() -> None:
    with pytest.raises(ElementError, match="no link 'p9'"):
        score_battledim(NET, [Detection("p9", at("2019-12-30"))], [BIG], 2019)


days = st.integers(0, 364)
made_leaks = st.lists(
    st.tuples(st.integers(1, 4), days, st.integers(0, 500), st.floats(0.5, 30)), max_size=4, unique_by=lambda x: x[0]
)
made_detections = st.lists(st.tuples(st.integers(1, 4), days, st.integers(0, 47)), max_size=12)


@given(made_leaks, made_detections)
def test_the_schedule_scores_the_maximum_and_nothing_scores_more(
    rows: list[tuple[int, int, int, float]], tries: list[tuple[int, int, int]]
) -> None:
    leaks = []
    for pipe, day, length, flow in rows:
        start = at("2019-01-01") + day * 24 * HOUR
        leaks.append(leak(f"p{pipe}", str(start), str(start + length * HOUR), flow))
    schedule = [Detection(k.pipe, k.start) for k in leaks]
    perfect = score_battledim(NET, schedule, leaks, 2019, draws=0)
    assert perfect.euros == pytest.approx(perfect.maximum)
    assert perfect.true_positives == len(leaks)
    guesses = [Detection(f"p{p}", at("2019-01-01") + (24 * d + h) * HOUR) for p, d, h in tries]
    score = score_battledim(NET, guesses, leaks, 2019, draws=0)
    assert score.euros <= score.maximum + 1e-6
    assert score.true_positives + score.repeats + score.false_positives == score.detections
    assert score.euros == pytest.approx(sum(row.euros for row in score.event_table))
    assert sum(row.euros for row in score.leak_table) == pytest.approx(score.euros + 500 * score.false_positives)


# --- the truth ---------------------------------------------------------------------------------------------------

SCHEDULE = "pipe,start,end,diameter_m,kind,peak\np1,2018-12-31 23:00,2019-01-01 01:00,0.01,incipient,2019-01-01 00:00\n"
FLOWS = {
    2018: "Timestamp;p1\n2018-12-31 22:00:00;9,00\n2018-12-31 23:00:00;1,50\n",
    2019: "Timestamp;p1\n2019-01-01 00:00:00;2,00\n2019-01-01 01:00:00;3,00\n2019-01-01 02:00:00;9,00\n",
}


def write_truth(folder: Path, schedule: str = SCHEDULE) -> Path:
    for year, text in FLOWS.items():
        (folder / f"{year}_Leakages.csv.gz").write_bytes(gzip.compress(text.encode()))
    path = folder / "leaks.csv"
    path.write_text(schedule)
    return path


def test_read_truth_joins_the_years_and_keeps_to_the_schedule(tmp_path: Path) -> None:
    path = write_truth(tmp_path)
    [one] = read_truth(path, NET)
    assert one.flow.tolist() == [1.5, 2, 3]
    assert (one.kind, one.diameter_m, one.peak) == (Kind.INCIPIENT, 0.01, at("2019-01-01"))
    assert one.lost(np.array([one.start, at("2019-01-01T00:30")]), at("2020-01-01")).tolist() == [6.5, 4.0]
    assert float(one.lost(np.asarray(one.start), at("2019-01-01"))) == 1.5
    assert (one.flow_at(at("2019-01-01T00:59")), one.flow_at(at("2019-01-01T02:00"))) == (2.0, 0.0)
    assert years_of(path) == [2018, 2019]


def test_read_truth_in_local_time(tmp_path: Path) -> None:
    [one] = read_truth(write_truth(tmp_path), NET, "Europe/Nicosia")
    assert one.start == one.time[0] == at("2018-12-31T21:00")


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ("p1,", "p9,", ElementError, "row 2: network line has no link 'p9'"),
        ("diameter_m", "d", InputError, "no column 'diameter_m'"),
        ("0.01", "wide", InputError, "row 2: column 'diameter_m': 'wide'"),
        ("incipient", "slow", InputError, "row 2: column 'kind': 'slow' is neither abrupt nor incipient"),
        ("2018-12-31 23:00", "new year", InputError, "row 2: column 'start': 'new year' is not a time"),
        ("2019-01-01 01:00", "2017-01-01 01:00", InputError, "before it starts"),
        ("p1,", "p2,", InputError, "the leak on 'p2' has no column"),
    ],
)
def test_read_truth_says_what_is_wrong(tmp_path: Path, old: str, new: str, error: type[Exception], says: str) -> None:
    path = write_truth(tmp_path, SCHEDULE.replace(old, new))
    with pytest.raises(error, match=says) as caught:
        read_truth(path, NET)
    assert str(path) in str(caught.value)


def test_read_truth_without_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"name the leaks\.csv"):
        read_truth(tmp_path / "leaks.csv")
    (tmp_path / "leaks.csv").write_text(SCHEDULE)
    with pytest.raises(MissingFileError, match="Leakages"):
        read_truth(tmp_path / "leaks.csv")
    (tmp_path / "2018_Leakages.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="2018_Leakages"):
        read_truth(tmp_path / "leaks.csv")
    (tmp_path / "leaks.csv").write_text(SCHEDULE.splitlines()[0])
    assert read_truth(tmp_path / "leaks.csv") == []


# --- LeakDB ------------------------------------------------------------------------------------------------------


def labels(text: str) -> np.ndarray:
    return np.array([c == "1" for c in text])


def test_labels_by_hand() -> None:
    truth = labels("0011110000000000000000")  # a leak of 4 steps; its window is 4 + 10 steps
    alarm = labels("0100111111111111000000")  # one false before, found 2 steps late, holds to the window's end
    score = score_labels(truth, alarm)
    assert score.true_positive_rate == 2 / 4
    assert score.false_positive_rate == 11 / 18
    assert score.f1 == pytest.approx(2 * 2 / (2 * 2 + 11 + 2))
    assert score.early_detection == pytest.approx(2 / (1 + math.exp(5 / 13 * 2)))
    assert score.leaks == 1


def test_early_detection_wants_an_alarm_that_holds() -> None:
    truth = labels("1111110000000000")  # window of 16 steps
    assert score_labels(truth, labels("1111111111111111")).early_detection == 1
    assert score_labels(truth, labels("1111111111110000")).early_detection == 0  # 12 of 16 is not more than 75 %
    assert score_labels(truth, labels("0" * 16)).early_detection == 0
    assert math.isnan(score_labels(labels("0000"), labels("0100")).early_detection)
    assert score_labels(labels("0000"), labels("0100")).to_dict()["true_positive_rate"] is None


def test_leakdb_labels_from_when_the_event_was_raised() -> None:
    events = [
        event("a", "p1", "2019-12-30T12:00", "2019-12-31T00:00", start=at("2019-12-30")),
        event("no", "p1", "2019-12-01T00:00", status=Status.DISMISSED),
    ]
    score = score_leakdb(events, [BIG], at("2019-01-01"), at("2020-01-01"), step_s=3600)
    assert (score.steps, score.leaks) == (8760, 1)
    assert score.true_positive_rate == 13 / 48
    assert score.false_positive_rate == 0


# --- the worlds --------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("world", "years"),
    [("battledim/leaks_2018.csv", [2018]), ("ltown-b/leaks.csv", [2018, 2019]), ("ltown-c/leaks.csv", [2018, 2019])],
)
def test_the_schedule_of_each_world_scores_the_maximum(
    world: str, years: list[int], shared: Path, ltown: Network
) -> None:
    leaks = read_truth(shared / world, ltown)
    assert years_of(shared / world) == years
    for year in years:
        begin, until = at(f"{year}-01-01"), at(f"{year + 1}-01-01")
        running = [k for k in leaks if k.start < until and k.end >= begin]
        schedule = [Detection(k.pipe, max(k.start, begin)) for k in running]
        score = score_battledim(ltown, schedule, leaks, year, draws=5)
        assert score.euros == pytest.approx(score.maximum)
        assert (score.true_positives, score.false_positives, score.misses) == (len(running), 0, 0)
        assert score.maximum > 80_000
        assert score.blind.euros < score.maximum / 2


@pytest.mark.shared
def test_many_blind_alarms_find_most_leaks(shared: Path, ltown: Network) -> None:
    """Why a count of found leaks alone says little: alarms enough will find them."""
    leaks = read_truth(shared / "ltown-b" / "leaks.csv", ltown)
    times = at("2019-01-01") + (np.arange(314) * (365 * 86400 / 314)).astype("timedelta64[s]")
    score = score_battledim(ltown, [Detection("p1", t) for t in times], leaks, 2019)
    assert score.leaks == 23
    assert 15 < score.blind.found < 23
    assert score.blind.false > 150
