"""When a followed leak becomes an event, and what is said of it: place, zone, flow, onset, evidence; its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.events import WEIGHED, Candidate, Event, Evidence, Kind, Repair, Status, Zone
from leakdetect.hydraulic.engine import Engine
from leakdetect.hydraulic.placing import Placer
from leakdetect.hydraulic.steps import block_of, block_start
from leakdetect.hydraulic.weighing import weigh
from leakdetect.network import Network
from leakdetect.site import Detection
from leakdetect.stages.detection.history import History, Leak
from leakdetect.stages.detection.tracker import Tracker
from leakdetect.stages.detection.windows import Deviation, course
from leakdetect.stages.localisation import adjacency, probability, shares, zone

Floats = NDArray[np.float64]

_PLACED_M = 1000.0  # a zone this short is worth walking at once
_SETTLED = 1  # blocks for the first whole one after it began
_WAIT_STEP, _WAIT_RAMP = 3, 8  # blocks that a vague place is waited for
_MOST_CANDIDATES = 50
_NEAR_M = 300.0  # that a crew walks on from where it begins
_Z80 = 1.2816
_FLOW_ERROR = 0.06  # share of its size by which the flow may be wrong beside noise
_REPAIR_M = 300.0
_ELSEWHERE_M, _ELSEWHERE = 300.0, 10.0  # from what was said, and evidence for it, where an event is raised anew
_ECHO_SHARE, _ECHO_FACTOR = 0.3, 3.0  # share of another's flow, threshold all the same: of leaks soon after it
ALIKE = 1.2  # evidence counts for more between neighbours: errors of their signatures are alike
_LOOKED_AT_AGAIN = (8, 20, 40, 80, 160, 240)  # blocks after it was raised


class Raiser:
    """Raises events from the tracker's leaks and keeps what was said."""

    def __init__(
        self, network: Network, engine: Engine, tracker: Tracker,
        settings: Detection, channels: list[str], repairs: Sequence[Repair], model: str,
    ) -> None:  # fmt: skip
        self.network, self.engine, self.tracker = network, engine, tracker
        self.candidates, self.picture = engine.candidates, engine.picture
        self.settings, self.channels, self.repairs, self.model = settings, channels, list(repairs), model
        self.placer = Placer(network, engine, tracker)
        self._adjacent = adjacency(network.start, network.end, len(network.node_names))
        self._events: dict[int, Event] = {}

    def to_plain(self) -> dict[str, Any]:
        """Return JSON values."""
        return {str(key): event.to_dict() for key, event in self._events.items()}

    def load(self, plain: dict[str, Any]) -> None:
        """Read what `to_plain` wrote."""
        self._events = {int(key): Event.from_dict(value) for key, value in plain.items()}

    def events(self, history: History | None, until: np.datetime64) -> list[Event]:
        """Return every event so far, with its state at the last reading."""
        return [replace(event, data_until=until) for event in self._events.values()]

    # -- one block ---------------------------------------------------------------------------------------------

    def look(self, history: History, block: int, ready: np.datetime64) -> None:
        """Raise, place anew, withdraw and end, after a block whose last reading came at `ready`."""
        for leak in list(history.leaks):
            if leak.raised < 0 and leak.until < 0:
                fresh = leak.detected == block
                if fresh and self.placer.transferred(history, leak, self._ended(history)):
                    continue
                if fresh and self.placer.misplaced_neighbour(history, leak):
                    continue
                self._consider(history, leak, ready)
            elif leak.raised < 0:
                history.leaks.remove(leak)
        for leak in history.leaks:
            if leak.raised >= 0 and leak.until < 0 and block - leak.raised in _LOOKED_AT_AGAIN:
                evidence, _ = self.placer.look_again(history, leak)
                if evidence is not None and leak.id in self._events:
                    self._events[leak.id] = self._placed(self._events[leak.id], evidence)
                    self._correct(history, leak, evidence, ready)
        for leak in history.leaks:
            event = self._events.get(leak.id)
            if event is None:
                continue
            if leak.until >= 0 and event.end is None:
                done = Status.REPAIRED if event.status == Status.REPAIRED else Status.CLOSED
                self._events[leak.id] = replace(event, status=done, end=block_start(leak.until))
            elif leak.until < 0 and (block + 1) % self.picture.per_day == 0:
                self._events[leak.id] = replace(event, latest=self._latest(history, leak))
        history.leaks = [k for k in history.leaks if k.until < 0 or k.until >= history.first]

    def _consider(self, history: History, leak: Leak, ready: np.datetime64) -> None:
        seen = self.placer.seen(history, leak)
        if seen is None:
            return
        seen = self.placer.settle_onset(history, leak, seen)
        evidence, flow, effect = self.placer.evidence(history, leak, seen)
        age = history.last - leak.detected
        best = int(np.argmax(evidence))
        waited = age >= (_WAIT_RAMP if leak.ramp else _WAIT_STEP)
        weak = evidence[best] < 0.5 * self.tracker.settings.threshold and age > 0
        small = bool(leak.flow) and leak.flow[-1] < self.tracker.settings.smallest
        echo = history.is_echo(leak, flow / _ECHO_SHARE, self.picture.per_day)
        echo = echo and evidence[best] < _ECHO_FACTOR * self.tracker.settings.threshold
        if weak or echo or (small and waited):
            self.tracker.drop(history, leak)
            return
        leak.link, leak.tangent = best, effect
        leak.flow = (course(history.last - leak.since + 1, leak.ramp) * flow).tolist()
        self.tracker.follow(history, leak.since)
        chance = self._chance(evidence)
        place = self._zone(chance)
        if leak.flow[-1] < self.tracker.settings.smallest:
            return
        if waited or (age >= _SETTLED and place.length_m <= _PLACED_M):
            leak.raised, leak.tangent_at = history.last, -1.0
            self._events[leak.id] = self._event(history, leak, seen, evidence, place, ready)
            self.tracker.relinearise(history, leak.since)
            self.tracker.follow(history, leak.since)

    def _correct(self, history: History, leak: Leak, evidence: Floats, ready: np.datetime64) -> None:
        """Close an event that sends people to a wrong street, and raise it where its leak is now believed to be."""
        event = self._events[leak.id]
        said = self.network.link(event.candidates[0].link)
        away = float(self.network.distances(said)[self.candidates[leak.link]])
        less = evidence[leak.link] - evidence[np.searchsorted(self.candidates, said)]
        chance = self._chance(evidence)
        place = self._zone(chance)
        seen = self.placer.seen(history, leak)
        if away <= _ELSEWHERE_M or less < _ELSEWHERE or place.length_m > _PLACED_M or seen is None:
            return
        self._events[-len(self._events)] = replace(event, status=Status.CLOSED, end=block_start(history.last + 1))
        self._events[leak.id] = self._event(history, leak, seen, evidence, place, ready)

    def _ended(self, history: History) -> list[Leak]:
        """Return the leaks whose end was found in this block; not those that people mended."""
        open_ones = [k for k, event in self._events.items() if event.end is None and event.status != Status.REPAIRED]
        return [leak for leak in history.leaks if leak.until >= 0 and leak.id in open_ones]

    def _chance(self, evidence: Floats) -> Floats:
        return probability(ALIKE * evidence, self.network.length[self.candidates])

    def _zone(self, chance: Floats) -> Zone:
        every = np.zeros(len(self.network.link_names))
        every[self.candidates] = chance
        links = zone(every, self.network.length, self._adjacent, self.settings.zone_probability)
        names = tuple(self.network.link_names[i] for i in links)
        return Zone(names, float(self.network.length[links].sum()), float(every[links].sum()))

    def _candidates(self, chance: Floats) -> tuple[Candidate, ...]:
        order = np.argsort(-chance, kind="stable")[:_MOST_CANDIDATES]
        # Among pipes that are about as likely which is the likeliest is chance: begin where most of it lies near.
        links = self.candidates[order]
        close = np.array([1 - self.network.distances(int(k), _NEAR_M)[links] / _NEAR_M for k in links])
        begin = order[np.argmax(np.maximum(close, 0.0) @ chance[order])]
        order = np.r_[begin, order[order != begin]]
        return tuple(Candidate(self.network.link_names[self.candidates[i]], float(chance[i])) for i in order)

    def _flow(self, history: History, leak: Leak) -> tuple[float, float, float]:
        snapshot = history.snapshots[history.last]
        place = 2 * self.picture.channels + snapshot.ids.index(leak.id)
        flow = max(float(snapshot.mean[place]), 0.0)
        sd = float(np.hypot(np.sqrt(snapshot.cov[place, place]), _FLOW_ERROR * flow))
        return flow, max(flow - _Z80 * sd, 0.0), flow + _Z80 * sd

    def _event(
        self, history: History, leak: Leak, seen: Deviation, evidence: Floats, place: Zone, ready: np.datetime64
    ) -> Event:  # fmt: skip
        candidates = self._candidates(self._chance(evidence))
        flow, low, high = self._flow(history, leak)
        best = candidates[0].link
        identity = f"{np.datetime_as_string(ready, unit='m').replace(':', '')}-{best}"
        return Event(
            id=identity,
            status=Status.OPEN,
            kind=Kind.INCIPIENT if leak.ramp else Kind.ABRUPT,
            raised_at=ready,
            start=block_start(leak.since),
            start_low=block_start(leak.low_onset),
            # The first block may have leaked for its last hours only, the one after too where that was near its start.
            start_high=block_start(max(leak.high_onset, leak.since) + 2),
            end=None,
            flow_m3h=flow,
            flow_low=low,
            flow_high=high,
            candidates=candidates,
            zone=place,
            evidence=self._shares(seen, leak),
            model=self.model,
            data_until=ready,
            latest={WEIGHED: weigh(self.picture, seen, evidence, self._others(history, leak))},
        )

    def _others(self, history: History, leak: Leak) -> list[tuple[str, Leak]]:
        """Return the events' ids of the other leaks that ran when one began, and those leaks."""
        running = [k for k in history.running(history.last) if k.id != leak.id and k.since < leak.since]
        return [(self._events[k.id].id, k) for k in running if k.id in self._events]

    def _shares(self, seen: Deviation, leak: Leak) -> tuple[Evidence, ...]:
        table = self.picture.signature[:, :, leak.link]
        part = shares(seen.value, seen.cov, (seen.load @ table).ravel())
        channels = self.picture.channels
        both = part[:channels] + part[channels:]
        found = [Evidence(self.channels[c], float(both[c])) for c in np.argsort(-both, kind="stable") if both[c] > 0]
        return tuple(found)

    def _latest(self, history: History, leak: Leak) -> dict[str, Any]:
        flow, low, high = self._flow(history, leak)
        return {**self._events[leak.id].latest, "flow_m3h": flow, "flow_low": low, "flow_high": high}

    def _placed(self, event: Event, evidence: Floats) -> Event:
        """Return an event placed anew; what was weighed when it was raised stays."""
        chance = self._chance(evidence)
        place = self._zone(chance)
        latest = {
            **{key: value for key, value in event.latest.items() if key == WEIGHED},
            "candidates": [vars(c) for c in self._candidates(chance)],
            "zone": {"links": list(place.links), "length_m": place.length_m, "probability": place.probability},
        }
        return replace(event, latest=latest)

    # -- repairs -----------------------------------------------------------------------------------------------

    def repair(self, history: History, block: int) -> bool:
        """End the nearest running leak at each repair done in a block; say whether there was one."""
        found = False
        for repair in self.repairs:
            if block_of(repair.time) != block or not self.network.has_link(repair.link):
                continue
            away = self.network.distances(self.network.link(repair.link))[self.candidates]
            running = [k for k in history.leaks if k.until < 0 and away[k.link] <= _REPAIR_M]
            if not running:
                continue
            leak = min(running, key=lambda k: float(away[k.link]))
            leak.until = block
            found = True
            if leak.id in self._events:
                self._events[leak.id] = replace(self._events[leak.id], status=Status.REPAIRED)
        return found
