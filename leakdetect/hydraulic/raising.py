"""When a followed leak becomes an event, and what is said of it: place, zone, flow, onset, evidence; its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.events import Candidate, Event, Evidence, Kind, Repair, Status, Zone
from leakdetect.hydraulic.engine import Engine
from leakdetect.hydraulic.steps import block_of, block_start
from leakdetect.network import Network
from leakdetect.site import Detection
from leakdetect.stages.detection.history import History, Leak
from leakdetect.stages.detection.tracker import Tracker, course
from leakdetect.stages.detection.windows import Deviation, deviation
from leakdetect.stages.localisation import adjacency, probability, shares, zone

Floats = NDArray[np.float64]

_PLACED_M = 1000.0  # a zone this short is worth walking at once
_SETTLED = 1  # blocks for the first whole one after it began
_WAIT_STEP, _WAIT_RAMP = 3, 12  # blocks that a vague place is waited for
_MOST_CANDIDATES = 50
_SIGNATURE_ERROR = 0.1  # share of its size by which a signature may be wrong
_REACH, _FEWEST_TRIED, _MOST_TRIED = 40.0, 20, 50  # evidence from the best, and how many links, are looked at again
_Z80 = 1.2816
_FLOW_ERROR = 0.06  # share of its size by which the flow may be wrong beside noise
_REPAIR_M = 300.0
_REPLACED = (8, 20, 40, 80, 160, 240)  # blocks after it was raised at which its place is looked at again
_NEIGHBOUR_M = 600.0
_MOVE = 4.0  # evidence that a better place must have


class Raiser:
    """Raises events from the tracker's leaks and keeps what was said."""

    def __init__(
        self, network: Network, engine: Engine, tracker: Tracker,
        settings: Detection, channels: list[str], repairs: Sequence[Repair], model: str,
    ) -> None:  # fmt: skip
        self.network, self.engine, self.tracker = network, engine, tracker
        self.candidates, self.picture = engine.candidates, engine.picture
        self.settings, self.channels, self.repairs, self.model = settings, channels, list(repairs), model
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
                if leak.detected == block and self._transferred(history, leak):
                    continue
                if leak.detected == block and self._misplaced_neighbour(history, leak):
                    continue
                self._consider(history, leak, ready)
            elif leak.raised < 0:
                history.leaks.remove(leak)
        for leak in history.leaks:
            if leak.raised >= 0 and leak.until < 0 and block - leak.raised in _REPLACED:
                self._place_anew(history, leak)
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
        seen = self._seen(history, leak)
        if seen is None:
            return
        if not leak.ramp and history.last - leak.since > 1:  # did it begin in the block after?
            later = self._seen(history, replace(leak, since=leak.since + 1))
            if later is not None and later.best(self.picture.signature) > seen.best(self.picture.signature):
                self.tracker.drop(history, leak)
                leak.since, seen = leak.since + 1, later
                del leak.flow[0], leak.assumed[:1]
                history.leaks.append(leak)
                self.tracker.follow(history, leak.since)
        evidence, flow, effect = self._evidence(history, leak, seen)
        age = history.last - leak.detected
        best = int(np.argmax(evidence))
        waited = age >= (_WAIT_RAMP if leak.ramp else _WAIT_STEP)
        weak = evidence[best] < 0.5 * self.tracker.settings.threshold and age > 0
        small = bool(leak.flow) and leak.flow[-1] < self.tracker.settings.smallest
        if weak or (small and waited):
            self.tracker.drop(history, leak)
            return
        leak.link, leak.tangent = best, effect
        leak.flow = (course(history.last - leak.since + 1, leak.ramp) * flow).tolist()
        self.tracker.follow(history, leak.since)
        chance = probability(evidence, self.network.length[self.candidates])
        place = self._zone(chance)
        if leak.flow[-1] < self.tracker.settings.smallest:
            return
        if waited or (age >= _SETTLED and place.length_m <= _PLACED_M):
            leak.raised, leak.tangent_at = history.last, -1.0
            self._events[leak.id] = self._event(history, leak, seen, chance, place, ready)
            self.tracker.relinearise(history, leak.since)
            self.tracker.follow(history, leak.since)

    def _transferred(self, history: History, new: Leak) -> bool:
        """Say whether a new leak is a known one that ended beside it in the same block: that was misplaced, not mended."""
        away = self.network.distances(int(self.candidates[new.link]))[self.candidates]
        for leak in history.leaks:
            event = self._events.get(leak.id)
            if event is None or leak.until < 0 or event.end is not None or event.status == Status.REPAIRED:
                continue
            if away[leak.link] <= _NEIGHBOUR_M and abs(leak.until - new.since) <= 3 * self.picture.per_day:
                since = min(leak.until, new.since)
                leak.until, leak.link, leak.tangent, leak.tangent_at = -1, new.link, None, -1.0
                leak.flow.extend(new.flow[-(history.last + 1 - leak.since - len(leak.flow)) :])
                history.leaks.remove(new)
                self.tracker.relinearise(history, since)
                self.tracker.follow(history, since)
                return True
        return False

    def _misplaced_neighbour(self, history: History, new: Leak) -> bool:
        """Say whether a new leak is gone once a known one near it has moved."""
        away = self.network.distances(int(self.candidates[new.link]))[self.candidates]
        near = [k for k in history.running(history.last) if k.raised >= 0 and away[k.link] <= _NEIGHBOUR_M]
        if not near:
            return False
        self.tracker.drop(history, new)
        if any([self._place_anew(history, leak) for leak in near]):
            return True
        history.leaks.append(new)
        self.tracker.follow(history, new.since)
        return False

    def _place_anew(self, history: History, leak: Leak) -> bool:
        """Move a raised leak where all that is known since it began says so; the event keeps its place."""
        if leak.flow[-1] < self.tracker.settings.smallest:
            return False
        seen = self._seen(history, leak)
        if seen is None:
            return False
        evidence, flow, effect = self._evidence(history, leak, seen)
        best = int(np.argmax(evidence))
        import os, sys
        if os.environ.get("SAY"):
            n=self.network.link_names; c=self.candidates
            print("PLACE", history.last-leak.since, n[c[leak.link]], "->", n[c[best]], "gain %.1f" % (evidence[best]-evidence[leak.link]), "of %.0f" % evidence[best], "flow %.1f %.1f" % (leak.flow[-1], flow), "%.0f m" % self.network.distances(int(c[leak.link]))[c[best]], file=sys.stderr, flush=True)
        if best == leak.link or evidence[best] - evidence[leak.link] < _MOVE or evidence[best] < self.tracker.settings.threshold:
            return False
        leak.link, leak.tangent, leak.tangent_at = best, effect, -1.0
        self.tracker.relinearise(history, leak.since)
        self.tracker.follow(history, leak.since)
        return True

    def _seen(self, history: History, leak: Leak) -> Deviation | None:
        since = leak.since - 1
        if since not in history.snapshots or since + 1 < history.first:
            return None
        shape, whole = course(history.last - since, leak.ramp), None
        if leak.raised >= 0:  # the model holds it
            others = [k for k in history.running(history.last) if k.id != leak.id]
            whole = self.engine.whole_effects(np.array([leak.link]), max(leak.flow[-1], 1.0), others)[:, :, 0]
            if leak.ramp:
                grown = np.maximum(leak.followed(np.arange(leak.since, history.last + 1)), 0.0)
                shape = grown / max(grown[-1], 1.0)
        seen = deviation(self.picture, history, since, shape, (leak.id, whole))
        if seen is None:
            return None
        # What the model shows of a leak is itself off by a share of its size.
        error = np.nan_to_num(seen.value) * _SIGNATURE_ERROR
        return replace(seen, cov=seen.cov + np.diag(error**2))

    def _evidence(self, history: History, leak: Leak, seen: Deviation) -> tuple[Floats, float, Floats]:
        """Return the evidence of every candidate (N,), the best one's flow [m3/h] and its effect per m3/h (K, C).

        To first order for all, then by whole effects for those that stand out.
        """
        linear, sizes = seen.against(self.picture.signature)
        order = np.argsort(-linear, kind="stable")
        near = int(np.searchsorted(-linear[order], -(linear[order[0]] - _REACH)))
        best = order[: min(max(near, _FEWEST_TRIED), _MOST_TRIED)]
        if leak.raised >= 0 and leak.link not in best:
            best = np.append(best, leak.link)
        flow = float(np.clip(sizes[best[0]], 1.0, self.tracker.settings.largest))
        others = [k for k in history.running(history.last) if k.id != leak.id]
        out = np.full(len(linear), -np.inf)
        for _ in range(2):
            table = self.engine.whole_effects(best, flow, others)
            out[best], sizes = seen.against(table)
            top = int(np.argmax(out[best]))
            size = float(np.clip(sizes[top], 1.0, self.tracker.settings.largest))
            if abs(size - flow) < 0.2 * flow:
                break
            flow = size
        return out, size, table[:, :, top]

    def _zone(self, chance: Floats) -> Zone:
        every = np.zeros(len(self.network.link_names))
        every[self.candidates] = chance
        links = zone(every, self.network.length, self._adjacent, self.settings.zone_probability)
        names = tuple(self.network.link_names[i] for i in links)
        return Zone(names, float(self.network.length[links].sum()), float(every[links].sum()))

    def _flow(self, history: History, leak: Leak) -> tuple[float, float, float]:
        snapshot = history.snapshots[history.last]
        place = 2 * self.picture.channels + snapshot.ids.index(leak.id)
        flow = max(float(snapshot.mean[place]), 0.0)
        sd = float(np.hypot(np.sqrt(snapshot.cov[place, place]), _FLOW_ERROR * flow))
        return flow, max(flow - _Z80 * sd, 0.0), flow + _Z80 * sd

    def _event(
        self, history: History, leak: Leak, seen: Deviation, chance: Floats, place: Zone, ready: np.datetime64
    ) -> Event:  # fmt: skip
        order = np.argsort(-chance, kind="stable")[:_MOST_CANDIDATES]
        names = [self.network.link_names[self.candidates[i]] for i in order]
        flow, low, high = self._flow(history, leak)
        best = names[0]
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
            candidates=tuple(Candidate(n, float(chance[i])) for n, i in zip(names, order, strict=True)),
            zone=place,
            evidence=self._shares(seen, leak),
            model=self.model,
            data_until=ready,
        )

    def _shares(self, seen: Deviation, leak: Leak) -> tuple[Evidence, ...]:
        table = self.picture.signature[:, :, leak.link]
        part = shares(seen.value, seen.cov, (seen.load @ table).ravel())
        channels = self.picture.channels
        both = part[:channels] + part[channels:]
        found = [Evidence(self.channels[c], float(both[c])) for c in np.argsort(-both, kind="stable") if both[c] > 0]
        return tuple(found)

    def _latest(self, history: History, leak: Leak) -> dict[str, Any]:
        flow, low, high = self._flow(history, leak)
        return {"flow_m3h": flow, "flow_low": low, "flow_high": high}

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
