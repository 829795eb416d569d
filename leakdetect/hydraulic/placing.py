"""Where a followed leak is: its evidence at every candidate, its onset, and whether a known one must move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leakdetect.hydraulic.engine import FLOW_GRID, Engine
from leakdetect.network import Network
from leakdetect.stages.detection.history import History, Leak
from leakdetect.stages.detection.tracker import Tracker
from leakdetect.stages.detection.windows import Deviation, course, deviation

Floats = NDArray[np.float64]

_SIGNATURE_ERROR = 0.1  # share of its size by which a signature may be wrong
_REACH, _FEWEST_TRIED, _MOST_TRIED = 40.0, 20, 50  # evidence from the best, and how many links, are looked at again
_TRIES = 4  # flows at which whole effects are taken at most
_NEIGHBOUR_M = 600.0  # within which one leak may be taken for another
_MOVE = 4.0  # evidence that a better place must have
_SAME_DAYS = 3.0  # between the end of one and the beginning of another that is the same


class Placer:
    """Places the leaks that the tracker follows."""

    def __init__(self, network: Network, engine: Engine, tracker: Tracker) -> None:
        self.network, self.engine, self.tracker = network, engine, tracker
        self.candidates, self.picture = engine.candidates, engine.picture

    def seen(self, history: History, leak: Leak) -> Deviation | None:
        """Return what has changed since a leak began, the leak itself left out; None where that lies too far back."""
        since = leak.since - 1
        if since not in history.snapshots or since + 1 < history.first:
            return None
        shape, whole = course(history.last - since, leak.ramp), None
        if leak.raised >= 0:  # the model holds it
            flow = np.array([max(leak.flow[-1], 1.0)])
            whole = self.engine.whole_effects(np.array([leak.link]), flow, _others(history, leak))[0][:, :, 0]
            if leak.ramp:
                grown = np.maximum(leak.followed(np.arange(leak.since, history.last + 1)), 0.0)
                shape = grown / max(grown[-1], 1.0)
        seen = deviation(self.picture, history, since, shape, (leak.id, whole))
        if seen is None:
            return None
        # What the model shows of a leak is itself off by a share of its size.
        error = np.nan_to_num(seen.value) * _SIGNATURE_ERROR
        return replace(seen, cov=seen.cov + np.diag(error**2))

    def settle_onset(self, history: History, leak: Leak, seen: Deviation) -> Deviation:
        """Let a new burst begin a block later where that explains more: the block before held little of it."""
        if leak.ramp or history.last - leak.since < 2:
            return seen
        later = self.seen(history, replace(leak, since=leak.since + 1))
        if later is None or later.best(self.picture.signature) <= seen.best(self.picture.signature):
            return seen
        self.tracker.drop(history, leak)
        leak.since += 1
        del leak.flow[0], leak.assumed[:1]
        self._take_back(history, leak)
        return later

    def evidence(self, history: History, leak: Leak, seen: Deviation) -> tuple[Floats, float, Floats]:
        """Return a leak's evidence at every candidate (N,), the best one's flow [m3/h] and effect per m3/h (K, C)."""
        return self.whole_evidence(_others(history, leak), seen, leak.link if leak.raised >= 0 else None)

    def whole_evidence(self, beside: list[Leak], seen: Deviation, known: int | None) -> tuple[Floats, float, Floats]:
        """Return the evidence of a leak at every candidate (N,), the best one's flow and its effect per m3/h (K, C).

        To first order for all, then by whole effects for those that stand out (and the one `known`), each at the flow
        that it would need: in a small main little flow does as much as a burst in a large one.
        """
        linear, sizes = seen.against(self.picture.signature)
        order = np.argsort(-linear, kind="stable")
        near = int(np.searchsorted(-linear[order], -(linear[order[0]] - _REACH)))
        best = order[: min(max(near, _FEWEST_TRIED), _MOST_TRIED)]
        if known is not None and known not in best:
            best = np.append(best, known)
        largest = self.tracker.settings.largest
        flow = np.clip(sizes[best], 1.0, largest)
        out, needed = np.full(len(linear), -np.inf), flow.copy()
        for _ in range(_TRIES):
            table, at = self.engine.whole_effects(best, flow, beside)
            value, size = seen.against(table)
            size = np.clip(size, 1e-3, largest)
            held = np.clip(size, at * np.exp(-FLOW_GRID), at * np.exp(FLOW_GRID))  # the table holds near its own flow
            value = np.where(value > 0, value * (1 - (1 - held / size) ** 2), value)
            better = value > out[best]
            out[best[better]], needed[better] = value[better], held[better]
            flow = np.clip(np.sqrt(at * size), 1.0, largest)
            if (np.abs(np.log(size / at)) < FLOW_GRID)[out[best] > out.max() - _REACH].all():
                break
        top = int(np.argmax(out[best]))
        effect = self.engine.whole_effects(best[[top]], needed[[top]], beside)[0]
        return out, float(needed[top]), effect[:, :, 0]

    # -- known leaks that are somewhere else -------------------------------------------------------------------

    def look_again(self, history: History, leak: Leak) -> tuple[Floats | None, bool]:
        """Move a known leak where all that was seen of it says so; return the evidence, and whether it moved."""
        if leak.flow[-1] < self.tracker.settings.smallest:
            return None, False
        seen = self.seen(history, leak)
        if seen is None:
            return None, False
        evidence, _, effect = self.evidence(history, leak, seen)
        best = int(np.argmax(evidence))
        if evidence[best] < self.tracker.settings.threshold:
            return None, False
        if best == leak.link or evidence[best] - evidence[leak.link] < _MOVE:
            return evidence, False
        leak.link, leak.tangent, leak.tangent_at = best, effect, -1.0
        self.tracker.relinearise(history, leak.since)
        self.tracker.follow(history, leak.since)
        return evidence, True

    def misplaced_neighbour(self, history: History, new: Leak) -> bool:
        """Move known leaks near a new one where they belong; if one moved, forget the new one: it may be no more."""
        near = [k for k in history.running(history.last) if k.raised >= 0 and self._apart(k, new) <= _NEIGHBOUR_M]
        if not near:
            return False
        self.tracker.drop(history, new)
        if any(self.look_again(history, leak)[1] for leak in near):
            return True
        self._take_back(history, new)
        return False

    def transferred(self, history: History, new: Leak, ended: list[Leak]) -> bool:
        """Say whether a new leak is a known one that ended beside it in the same block: misplaced, not mended."""
        for leak in ended:
            apart = abs(leak.until - new.since) / self.picture.per_day
            if apart > _SAME_DAYS or self._apart(leak, new) > _NEIGHBOUR_M:
                continue
            since = min(leak.until, new.since)
            leak.until, leak.link, leak.tangent, leak.tangent_at = -1, new.link, None, -1.0
            missing = history.last + 1 - leak.since - len(leak.flow)
            leak.flow.extend(np.resize(new.flow, missing).tolist())
            history.leaks.remove(new)
            self.tracker.relinearise(history, since)
            self.tracker.follow(history, since)
            return True
        return False

    def _take_back(self, history: History, leak: Leak) -> None:
        history.leaks.append(leak)
        self.tracker.follow(history, leak.since)

    def _apart(self, one: Leak, two: Leak) -> float:
        return float(self.network.distances(int(self.candidates[one.link]))[self.candidates[two.link]])


def _others(history: History, leak: Leak) -> list[Leak]:
    return [k for k in history.running(history.last) if k.id != leak.id]
