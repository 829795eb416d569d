"""BattLeDIM's economic score (Vrachimis et al. 2022, J. Water Resour. Plann. Manage. 148(12)), and what explains it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import InputError
from leakdetect.evaluate.score import Awareness, Blind, Detection, EventRow, LeakRow, Score
from leakdetect.evaluate.truth import Leak, Times
from leakdetect.events import Event, Kind, Status, iso
from leakdetect.network import Floats, Network

REACH = 300.0
"""Within this distance along the pipes a detection is true [m]."""
WATER = 0.80
"""Price of the water saved [EUR/m3]."""
CREW = 500.0
"""Cost of sending a crew in vain, and of the farthest search [EUR]."""
LARGE = 5.0
"""From this flow on an abrupt leak is a large one [m3/h]."""

_HOUR = np.timedelta64(1, "h")


def detections_of(events: Iterable[Event], year: int) -> list[Detection]:
    """Return what counts in a year: events raised in it, and those still open from before, as of 1 January.

    Dismissed events do not count. An event stands for its best candidate.
    """
    begin, until = _bounds(year)
    chosen = []
    for event in events:
        over = event.end is not None and event.end < begin
        if event.status is Status.DISMISSED or event.raised_at >= until or over:
            continue
        if not event.candidates:
            raise InputError(f"event '{event.id}' names no candidate pipe: it cannot be scored")
        chosen.append(Detection(event.candidates[0].link, max(event.raised_at, begin), event))
    return chosen


def score_battledim(
    network: Network,
    detections: Iterable[Event | Detection],
    leaks: Sequence[Leak],
    year: int,
    *,
    draws: int = 200,
    seed: int = 0,
) -> Score:
    """Score a year of detections by BattLeDIM's rule.

    A detection is true if some leak runs then within 300 m along the pipes: of several it takes the closest that is
    not found yet, and earns 0.80 EUR for each m3 this leak loses from then to the year's end, minus 500 EUR times
    distance / 300 m. Where all of them are found already it earns nothing; any other costs 500 EUR. Detections are
    taken in time order, those of one time the closest first. What is open from the year before counts from 1 January.

    Parameters
    ----------
    network : Network
    detections : iterable of Event or Detection
        Events are chosen by `detections_of`; detections of another year are left out.
    leaks : sequence of Leak
        Of any years.
    year : int
    draws, seed : int
        Of the blind comparison.

    Raises
    ------
    ElementError
        If a pipe is not in the network.
    """
    case = _Case.of(network, list(detections), leaks, year)
    links = np.array([network.link(d.pipe) for d in case.detections], dtype=np.int64)
    result = case.judge(links)
    rows = [_leak_row(case, result, k) for k in range(len(case.leaks))]
    hits = [row for row in rows if row.found_by is not None]
    return Score(
        year=year,
        euros=float(result.euros.sum()),
        maximum=math.fsum(row.worth for row in rows),
        detections=len(case.detections),
        leaks=len(rows),
        true_positives=len(hits),
        false_positives=int((result.taken == _FALSE).sum()),
        repeats=int((result.taken == _REPEAT).sum()),
        misses=len(rows) - len(hits),
        distance_m=_median([row.distance_m for row in hits]),
        abrupt=_awareness(row for row in rows if row.kind == Kind.ABRUPT),
        abrupt_large=_awareness(row for row in rows if row.kind == Kind.ABRUPT and row.peak_m3h >= LARGE),
        incipient=_awareness(row for row in rows if row.kind == Kind.INCIPIENT),
        in_zone=_mean([row.in_zone for row in hits]),
        flow_within_25=_mean([_close(row.flow_m3h, row.true_m3h) for row in hits]),
        zone_length_m=_median([d.event.zone.length_m for d in case.detections if d.event is not None]),
        blind=_blind(case, np.flatnonzero(network.is_pipe), draws, seed),
        leak_table=tuple(rows),
        event_table=tuple(_event_row(case, result, i) for i in range(len(case.detections))),
    )


_FALSE, _REPEAT = -1, -2


@dataclass(frozen=True)
class _Result:
    """D detections judged: distance to each of K leaks [m], inf where it does not run; the leak found; euros."""

    near: Floats  # (D, K)
    taken: NDArray[np.int64]  # (D,), or `_REPEAT` or `_FALSE`
    euros: Floats  # (D,)


@dataclass(frozen=True)
class _Case:
    """What does not depend on where the detections lie."""

    begin: np.datetime64
    until: np.datetime64
    detections: list[Detection]  # D, by time
    times: Times  # (D,)
    leaks: list[Leak]  # K
    far: Floats  # (K, links) [m]: one shortest-path search a leak serves every detection and every blind draw
    runs: NDArray[np.bool_]  # (D, K)
    worth: Floats  # (D, K) [EUR]: what finding the leak then saves

    @classmethod
    def of(cls, network: Network, found: list[Event | Detection], leaks: Sequence[Leak], year: int) -> _Case:
        begin, until = _bounds(year)
        given = [d for d in found if isinstance(d, Detection) and begin <= d.time < until]
        chosen = [*given, *detections_of((e for e in found if isinstance(e, Event)), year)]
        chosen.sort(key=lambda d: d.time)
        times = np.array([d.time for d in chosen], dtype="datetime64[ns]")
        running = [leak for leak in leaks if leak.start < until and leak.end >= begin]
        shape = len(running), len(times)
        far = np.array([network.distances(network.link(leak.pipe)) for leak in running])
        runs = np.array([(times >= leak.start) & (times <= leak.end) for leak in running], dtype=bool)
        worth = np.array([WATER * leak.lost(times, until) for leak in running])
        return cls(
            begin=begin,
            until=until,
            detections=chosen,
            times=times,
            leaks=running,
            far=far.reshape(len(running), len(network.link_names)),
            runs=runs.reshape(shape).T,
            worth=worth.reshape(shape).T,
        )

    def judge(self, links: NDArray[np.int64]) -> _Result:
        """Judge the detections as if they lay on these links, shape (D,)."""
        near = np.where(self.runs, self.far[:, links].T, np.inf)
        taken = _award(self.times, near)
        euros = np.where(taken == _FALSE, -CREW, 0.0)
        hit = np.flatnonzero(taken >= 0)
        euros[hit] = self.worth[hit, taken[hit]] - CREW * near[hit, taken[hit]] / REACH
        return _Result(near, taken, euros)


def _award(times: Times, near: Floats) -> NDArray[np.int64]:
    """Return which leak each detection finds; the closest pair of a time goes first."""
    taken = np.full(len(times), _FALSE, dtype=np.int64)
    within = near <= REACH
    unfound = np.ones(near.shape[1], dtype=bool)
    alive = np.flatnonzero(within.any(axis=1))
    for group in np.split(alive, np.flatnonzero(np.diff(times[alive])) + 1) if alive.size else ():
        left = list(group)
        while left:
            distance = np.where(unfound & within[left], near[left], np.inf)
            row, leak = divmod(int(distance.argmin()), near.shape[1])
            if not np.isfinite(distance[row, leak]):
                taken[left] = _REPEAT
                break
            taken[left.pop(row)] = leak
            unfound[leak] = False
    return taken


def _blind(case: _Case, pipes: NDArray[np.int64], draws: int, seed: int) -> Blind:
    random = np.random.default_rng(seed)
    results = [case.judge(random.choice(pipes, len(case.times))) for _ in range(draws)]
    return Blind(
        draws=draws,
        euros=_mean([float(r.euros.sum()) for r in results]),
        found=_mean([float((r.taken >= 0).sum()) for r in results]),
        false=_mean([float((r.taken == _FALSE).sum()) for r in results]),
    )


def _leak_row(case: _Case, result: _Result, k: int) -> LeakRow:
    leak = case.leaks[k]
    begun = bool(leak.start >= case.begin)
    row = LeakRow(
        pipe=leak.pipe,
        kind=str(leak.kind),
        start=leak.start,
        begun=begun,
        peak_m3h=leak.largest(case.begin, case.until),
        worth=WATER * float(leak.lost(np.asarray(max(leak.start, case.begin)), case.until)),
    )
    hit = np.flatnonzero(result.taken == k)
    if not hit.size:
        return row
    detection = case.detections[hit[0]]
    event = detection.event
    return replace(
        row,
        found_by=_name(detection),
        found_at=detection.time,
        euros=float(result.euros[hit[0]]),
        distance_m=float(result.near[hit[0], k]),
        delay_h=float((detection.time - leak.start) / _HOUR) if begun else None,
        in_zone=leak.pipe in event.zone.links if event else None,
        flow_m3h=event.flow_m3h if event else None,
        true_m3h=leak.flow_at(event.raised_at) if event else None,
    )


def _event_row(case: _Case, result: _Result, i: int) -> EventRow:
    detection, leak = case.detections[i], int(result.taken[i])
    near = result.near[i]
    best = int(near.argmin()) if np.isfinite(near).any() else None
    return EventRow(
        id=_name(detection),
        pipe=detection.pipe,
        time=detection.time,
        outcome={_FALSE: "false", _REPEAT: "repeat"}.get(leak, "true"),
        leak=case.leaks[leak].pipe if leak >= 0 else None,
        euros=float(result.euros[i]),
        nearest=case.leaks[best].pipe if best is not None else None,
        nearest_m=float(near[best]) if best is not None else None,
        zone_m=detection.event.zone.length_m if detection.event else None,
    )


def _name(detection: Detection) -> str:
    return detection.event.id if detection.event else f"{detection.pipe}@{iso(detection.time)}"


def _awareness(rows: Iterable[LeakRow]) -> Awareness:
    begun = [row for row in rows if row.begun]
    delays = [row.delay_h for row in begun if row.delay_h is not None]
    return Awareness(len(begun), len(delays), _median(delays), sum(delay <= 24 for delay in delays))


def _close(told: float | None, true: float | None) -> bool | None:
    return None if told is None or true is None else abs(told - true) <= 0.25 * true


def _median(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else math.nan


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def _bounds(year: int) -> tuple[np.datetime64, np.datetime64]:
    return np.datetime64(f"{year:04d}-01-01", "ns"), np.datetime64(f"{year + 1:04d}-01-01", "ns")
