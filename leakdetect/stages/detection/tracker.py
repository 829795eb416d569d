"""The recursion: take a block, follow the known leaks, ask what else has changed, and explain it.

Each block's readings update a filter over channel levels and leak flows. Then windows of many lengths, with a step and
a ramp, are tested against the frozen state at their start. The best explanation beyond the threshold is accepted: a new
leak, growth or end of a known one, or a rival cause (sensor, valve, customers). The filter then goes over the window
again with it, and the question is put anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
from numpy.typing import NDArray

from leakdetect.core.filter import update
from leakdetect.stages.detection.history import STEP_WALK, History, Leak, Snapshot
from leakdetect.stages.detection.windows import Deviation, Lookback, Picture, deviation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOWS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Lengths of the tested windows [days]; those of 4 days and more are tested once a day."""

HORIZON = 66
"""Days that the tracker looks back."""

_RAMP_FROM = 2.0  # [days] a shorter ramp cannot be told from a step
RIVAL_ODDS, _END_ODDS = 40.0, 10.0  # prior odds against, beside one of N links
_GROWN = 60.0  # [days] in which most slow leaks have grown
_GROWTH_MARGIN = 12.0  # evidence by which a new leak must beat the growth of a known one
_RAMP_WALK = 0.6  # [m3/h per sqrt(day)]
_SIGNATURE_ERROR = 0.1  # share of a leak's effect by which its signature may be wrong
_LEAP, _LEAP_SHARE = 4.0, 0.8  # [m3/h], share of its flow by which a slow leak may grow at once
_ECHO_END, _ECHO_FACTOR = 1.0, 3.0  # share of another's flow, threshold all the same: of ends soon after it
_UNSETTLED = 4  # blocks that a burst may wait for its place
_ENDING = 0.3  # share of a rival's evidence from which an end is worth waiting for
_SETTLING = 3.0  # [days] after which a burst grows no more
_LEAST_RESET, _MOST_RESET = 0.1, 20.0  # [m] by which a valve is set anew
_RESET_ERROR = 0.3  # share of its effect left open
_MOVED = 0.5  # deviations by which a rival cause must shift a channel to spoil it as a reference
_DRY = 2.0  # [m3/h] a leak whose flow stays as far below 0 has ended
_FADED, _FADED_DAYS, _FADED_LATE = 0.1, 30, 7  # share of what a leak lost at most of late that is left for days
_FADED_FROM = 5.0  # [m3/h] smaller ones come and go with the errors of others
_SMALL_DAYS = 20  # that a leak may lose less than the smallest that is looked for
_ENDED = 0.6  # share of its flow that a leak must lose to have ended
_END_WITHIN = 3.0  # [days] within which it must lose it: repairs are sudden
_LATE, _CLIP, _FEWEST = 20, 3.0, 10  # [days] that tell the scatter of late; deviations at most; blocks at least
_LEARNING = 1  # [days] from the very first block in which the levels are no reference yet
_ROUNDS = 4  # explanations accepted in one block


@dataclass(frozen=True)
class Settings:
    """What the tracker is asked for.

    Attributes
    ----------
    threshold : float
        Evidence (twice the log likelihood ratio, less the price of choosing) beyond which a change is accepted.
    smallest, largest : float
        [m3/h] leaks outside are not looked for.
    """

    threshold: float = 40.0
    smallest: float = 1.0
    largest: float = 1e3


@dataclass(frozen=True)
class Change:
    """The best explanation of what a window shows."""

    value: float
    cause: str  # leak, end, growth, rival
    index: int  # link candidate, leak id, or rival
    size: float
    since: int  # last block before it
    ramp: bool
    evidence: Floats  # of every link, in this window


def begin(picture: Picture, first: int, scale: Floats) -> History:
    """Return an empty history; `scale` (C,) is the first uncertainty of the levels."""
    levels = 2 * picture.channels
    k = picture.signature.shape[0]
    history = History(first, np.zeros((0, picture.channels)), np.zeros((0, k)), np.zeros(0, dtype=np.int64))
    cov = np.diag(np.concatenate([scale, scale]) ** 2)
    history.snapshots[first - 1] = Snapshot(np.zeros(levels), cov, ())
    history.begun, history.epochs = first, np.full(picture.channels, first - 1, dtype=np.int64)
    history.surprise, history.scatter = np.zeros((0, picture.channels)), np.ones((2, picture.channels))
    return history


class Tracker:
    """The recursion over blocks; all memory is in the `History` it is given."""

    def __init__(
        self, picture: Picture, settings: Settings, scan: Ints, relinearise: Callable[[History, int], None],
        whole: Callable[[list[Leak], Deviation], tuple[Floats, float]],
    ) -> None:  # fmt: skip
        """Set up.

        Parameters
        ----------
        picture : Picture
        settings : Settings
        scan : ndarray of int
            Candidate links looked at first; all are when one of these stands out.
        relinearise : callable
            ``relinearise(history, block)`` computes `observed` anew from a block on, with the leaks now believed.
        whole : callable
            ``whole(beside, seen)`` returns the evidence of a leak at every candidate by its whole effect, and its flow.
        """
        self.picture, self.settings, self.scan = picture, settings, scan
        self.relinearise, self.whole = relinearise, whole
        per_day = picture.per_day
        self.lengths = sorted({round(days * per_day) for days in WINDOWS if days * per_day >= 1})
        self._quick = self._quick_of = np.zeros((0, 0, 0))

    # -- filter ------------------------------------------------------------------------------------------------

    def follow(self, history: History, start: int) -> None:
        """Filter blocks from `start` to the newest, from the snapshot before `start`."""
        for block in range(start, history.last + 1):
            self._filter(history, block)

    def drop(self, history: History, leak: Leak) -> None:
        """Forget a leak, as if it had never been followed."""
        history.leaks.remove(leak)
        self.follow(history, leak.since)

    def _filter(self, history: History, block: int) -> None:
        picture = self.picture
        levels = 2 * picture.channels
        before = history.snapshots[block - 1]
        running = history.running(block)
        ids = tuple(leak.id for leak in running)
        mean, cov = _rearranged(before, running, levels)
        cov = cov.copy()
        cov[:levels, :levels] += picture.walk
        row = history.rows(block, block + 1)
        weights, band = history.weights[row], int(history.band[row][0])
        matrix = np.zeros((picture.channels, len(mean)))
        matrix[:, band * picture.channels : (band + 1) * picture.channels] = np.eye(picture.channels)
        noise = picture.white[band].copy()
        observed = history.observed[row][0]
        for k, leak in enumerate(running):
            room = leak.wander(block, picture.per_day) ** 2 / picture.per_day
            if block in (leak.since + 1, leak.doubted + 2) and not leak.ramp:
                room += max(3.0, abs(mean[levels + k])) ** 2  # the block in which it began held only a part of it
            cov[levels + k, levels + k] += room
            effect = picture.at(weights, leak)[0]
            matrix[:, levels + k] = effect
            observed = observed + effect * leak.held(np.array([block]))[0]
            noise += np.diag((_SIGNATURE_ERROR * mean[levels + k] * effect * picture.uncertain) ** 2)
        rest = observed - matrix @ mean
        usual = ((matrix @ cov) * matrix).sum(axis=1) + np.diag(noise)
        history.surprise[row] = rest**2 / usual
        mean, cov = update(mean, cov, observed, matrix, noise * np.outer(history.scatter[band], history.scatter[band]))
        history.snapshots[block] = Snapshot(mean, cov, ids)
        for k, leak in enumerate(running):
            del leak.flow[block - leak.since :]
            leak.flow.append(float(mean[levels + k]))
            if block == history.last and has_ended(leak, self.settings.smallest, picture.per_day):
                leak.until = block + 1

    def _adapt(self, history: History) -> None:
        """Take the scatter of late for the noise where it is greater than in the fit."""
        for b in (0, 1):
            late = history.surprise[history.band == b][-_LATE * self.picture.per_day // 2 :]
            count = np.isfinite(late).sum(axis=0)
            mean = np.nansum(np.minimum(late, _CLIP**2), axis=0) / np.maximum(count, 1)
            history.scatter[b] = np.sqrt(np.maximum(np.where(count >= _FEWEST, mean, 1.0), 1.0))

    # -- one block ---------------------------------------------------------------------------------------------

    def take(self, history: History, observed: Floats, weights: Floats, band: int) -> float:
        """Take a block; return its greatest evidence before anything is explained."""
        block = history.append(observed, weights, band)
        self._adapt(history)
        self._filter(history, block)
        top = -np.inf
        for _ in range(_ROUNDS):
            change = self.best_change(history)
            if change is None:
                break
            if change.cause == "rival" and change.value >= self.settings.threshold:
                change = self._second_look(history, change)
            top = max(top, change.value)
            # While a burst waits for its place, what is left is mostly what its signature gets wrong.
            new = [leak for leak in history.running(block) if leak.raised < 0 and not leak.ramp]
            unsettled = any(block - leak.detected <= _UNSETTLED for leak in new)
            if change.value < self.settings.threshold or (unsettled and change.cause != "growth"):
                break
            self.accept(history, change)
        history.trim(HORIZON * self.picture.per_day, self.picture.per_day)
        return float(top)

    def best_change(self, history: History) -> Change | None:
        """Return the best explanation over all windows that end at the newest block."""
        block, per_day = history.last, self.picture.per_day
        daily = (block + 1) % per_day == 0
        best: Change | None = None
        known = max(history.first - 1, history.begun + _LEARNING * per_day - 1)
        tested = [
            n
            for n in self.lengths
            if block - n in history.snapshots and block - n >= known and (n < 4 * per_day or daily)
        ]
        lookback = Lookback(self.picture, history, max(tested, default=0))
        for n in tested:
            since = block - n
            for ramp in (False, True) if n >= _RAMP_FROM * per_day else (False,):
                seen = lookback.deviation(since, course(n, ramp))
                if seen is None:
                    continue
                change = self._explain(history, seen, since, ramp, best)
                if change is not None and (best is None or change.value > best.value):
                    best = change
        return best

    def _explain(self, history: History, seen: Deviation, since: int, ramp: bool, best: Change | None) -> Change | None:
        picture, settings = self.picture, self.settings
        links = picture.signature.shape[2]
        price = 2 * np.log(links)
        looked, size = seen.against(self._looked_at_first())
        quick, rival_evidence, rival_size = looked[: len(self.scan)], looked[len(self.scan) :], size[len(self.scan) :]
        running = [k for k in history.running(history.last) if k.since <= since]
        rival_evidence = np.where(picture.only_less & (rival_evidence > 0), 0.0, rival_evidence)
        rival_top = int(np.argmax(np.abs(rival_evidence)))
        floor = max(settings.threshold, best.value if best else 0.0)
        hopeful = max(quick.max(initial=0.0) * 1.3 - price, abs(rival_evidence[rival_top])) > 0.7 * floor
        known, known_size = seen.against(tables(picture, running))
        if history.last - since == 1 and known.min(initial=0.0) < -_ENDING * abs(rival_evidence[rival_top]):
            return None  # a leak may have ended within the block: the next one tells
        if not hopeful and not (running and np.abs(known).max() > 0.7 * floor):
            value = float(quick.max(initial=0.0) - price)
            return Change(value, "leak", -1, 0.0, since, ramp, quick)
        evidence, size = seen.against(picture.signature)
        allowed = np.where((size >= settings.smallest) & (size <= settings.largest), evidence, -np.inf)
        link = int(np.argmax(allowed))
        options = [
            Change(float(allowed[link] - price), "leak", link, float(size[link]), since, ramp, evidence),
            Change(
                float(abs(rival_evidence[rival_top]) - 2 * np.log(RIVAL_ODDS)),
                "rival", rival_top, float(rival_size[rival_top]), since, ramp, evidence,
            ),
        ]  # fmt: skip
        for k, leak in enumerate(running):
            if known[k] < 0 and len(seen.value) and history.last - since > 1:
                value = float(-known[k] - 2 * np.log(_END_ODDS))
                if leak.flow and history.is_echo(leak, _ECHO_END * leak.flow[-1], picture.per_day):
                    value -= (_ECHO_FACTOR - 1) * settings.threshold
                options.append(Change(value, "end", leak.id, float(known_size[k]), since, ramp, evidence))
            elif known[k] > max(evidence[link], 0.0) - self._margin(leak, history.last) and self._may_grow(
                leak, history.last, float(known_size[k]), ramp
            ):
                options.append(
                    Change(float(evidence[link] - price + 1e-6), "growth", leak.id, float(known_size[k]), since, ramp,
                           evidence)
                )  # fmt: skip
        return max(options, key=lambda c: c.value)

    def _second_look(self, history: History, rival: Change) -> Change:
        """Return a leak instead of a rival where its whole effect explains more.

        To first order a burst in a small main shows far too little at the sensor beside it: that, or its valve, is
        blamed.
        """
        seen = deviation(self.picture, history, rival.since, course(history.last - rival.since, rival.ramp))
        if seen is None:
            return rival
        evidence, flow = self.whole(history.running(history.last), seen)
        value = float(evidence.max() - 2 * np.log(len(evidence)))
        if value <= rival.value or not self.settings.smallest <= flow <= self.settings.largest:
            return rival
        return Change(value, "leak", int(np.argmax(evidence)), flow, rival.since, rival.ramp, evidence)

    def _looked_at_first(self) -> Floats:
        """Return the signatures of the links scanned first and of all rivals, shape (K, C, S + X)."""
        signature = self.picture.signature
        if self._quick_of is not signature:
            self._quick_of = signature
            both = np.concatenate([signature[:, :, self.scan], self.picture.rival], axis=2)
            self._quick = np.ascontiguousarray(both)
        return self._quick

    def _margin(self, leak: Leak, block: int) -> float:
        """Return the evidence by which a new leak must beat the growth of a known one; none once that has grown."""
        return _GROWTH_MARGIN if block - leak.since <= _GROWN * self.picture.per_day else 0.0

    def _may_grow(self, leak: Leak, block: int, size: float, ramp: bool) -> bool:
        """Say whether more flow may be a known leak's growth: a burst has its size within days, others grow slowly."""
        if not leak.ramp:
            return block - leak.since <= _SETTLING * self.picture.per_day
        return ramp or size <= max(_LEAP, _LEAP_SHARE * (leak.flow[-1] if leak.flow else 0.0))

    # -- explanations ------------------------------------------------------------------------------------------

    def accept(self, history: History, change: Change) -> None:
        """Take an explanation into the history and go over the window again with it."""
        {"leak": self._new, "growth": self._grow, "end": self._end, "rival": self._rival}[change.cause](history, change)
        self.relinearise(history, change.since + 1)
        self.follow(history, change.since + 1)

    def _new(self, history: History, change: Change) -> None:
        walk = _RAMP_WALK if change.ramp else STEP_WALK
        leak = Leak(history.next_id, change.index, change.since + 1, history.last, change.ramp, walk)
        leak.flow = (course(history.last - change.since, change.ramp) * change.size).tolist()
        leak.low_onset, leak.high_onset = self._onset(history, change)
        history.next_id += 1
        history.leaks.append(leak)

    def _onset(self, history: History, change: Change) -> tuple[int, int]:
        """Return the blocks between which it began: window starts whose evidence is within 3.2 (an 80 % interval)."""
        table = self.picture.signature[:, :, [change.index]]
        starts, values = [], []
        lookback = Lookback(self.picture, history, min(max(self.lengths), len(history.observed)))
        for n in self.lengths:
            since = history.last - n
            if since in history.snapshots and since + 1 >= history.first:
                seen = lookback.deviation(since, course(n, change.ramp))
                if seen is not None:
                    starts.append(since + 1)
                    values.append(seen.against(table)[0][0])
        likely = [s for s, v in zip(starts, values, strict=True) if v > max(values) - 3.2]
        neighbours = [s for s in starts if s < min(likely)]
        return max(neighbours, default=min(likely)), max(likely)

    def _grow(self, history: History, change: Change) -> None:
        leak = next(k for k in history.leaks if k.id == change.index)
        leak.walk = max(leak.walk, _RAMP_WALK)
        self._doubt(history, change.since, leak.id, change.size)

    def _end(self, history: History, change: Change) -> None:
        leak = next(k for k in history.leaks if k.id == change.index)
        flow = leak.flow[max(min(change.since - leak.since, len(leak.flow) - 1), 0)]
        self._doubt(history, change.since, leak.id, change.size)
        sudden = not change.ramp and history.last - change.since <= _END_WITHIN * self.picture.per_day
        if sudden and -change.size >= _ENDED * flow:
            # Somewhere in the first block of the window it stopped.
            leak.until = change.since + 2
            del leak.flow[leak.until - leak.since :]

    def _rival(self, history: History, change: Change) -> None:
        channels = self.picture.channels
        rows = history.rows(change.since + 1, history.last + 1)
        effect = history.weights[rows].mean(axis=0) @ self.picture.rival[:, :, change.index] * change.size
        valve = int(self.picture.rival_valve[change.index])
        reset = valve >= 0 and _LEAST_RESET <= abs(change.size) <= _MOST_RESET
        if reset:  # the model takes it over; its levels only move by what that leaves
            history.settings.append((change.since + 1, valve, change.size))
        both = np.concatenate([effect, effect]) * (_RESET_ERROR if reset else 1.0)
        snapshot = history.snapshots[change.since]
        cov = snapshot.cov.copy()
        cov[: 2 * channels, : 2 * channels] += np.outer(both, both)
        history.snapshots[change.since] = Snapshot(snapshot.mean, cov, snapshot.ids)
        sd = np.sqrt(np.diagonal(self.picture.white, axis1=1, axis2=2).mean(axis=0))
        history.epochs[np.abs(effect) > _MOVED * sd] = history.last
        history.notes.append((history.last, self.picture.rival_names[change.index]))

    def _doubt(self, history: History, since: int, leak_id: int, size: float) -> None:
        """Let a known leak's flow move by about `size` from a past block on."""
        snapshot = history.snapshots[since]
        place = 2 * self.picture.channels + snapshot.ids.index(leak_id)
        cov = snapshot.cov.copy()
        cov[place, place] += size**2 + 1.0
        history.snapshots[since] = Snapshot(snapshot.mean, cov, snapshot.ids)
        next(k for k in history.leaks if k.id == leak_id).doubted = since + 1


def course(n: int, ramp: bool) -> Floats:
    """Return the shape of a change over n blocks: rising to 1, or 1 from the block after that in which it began."""
    if ramp:
        return np.arange(1, n + 1) / n
    return np.r_[0.0, np.ones(n - 1)] if n > 1 else np.ones(1)


def has_ended(leak: Leak, smallest: float, per_day: int) -> bool:
    """Say whether a leak has stopped without a step that could be told.

    Its flow stays below 0; or it lost much a while ago, and nothing since; or it has long lost less than `smallest`.
    """
    flow = leak.flow
    dry = len(flow) > 2 * per_day and max(flow[-per_day:]) < -_DRY
    late, before = flow[-_FADED_LATE * per_day :], flow[-_FADED_DAYS * per_day : -_FADED_LATE * per_day]
    most = max(before, default=0.0)
    faded = most >= _FADED_FROM and float(np.mean(late)) < _FADED * most
    return dry or faded or (len(flow) > _SMALL_DAYS * per_day and max(flow[-_SMALL_DAYS * per_day :]) < smallest)


def tables(picture: Picture, leaks: list[Leak]) -> Floats:
    """Return leaks' own signatures, shape (K, C, len(leaks))."""
    states, channels, _ = picture.signature.shape
    out = np.zeros((states, channels, len(leaks)))
    for k, leak in enumerate(leaks):
        out[:, :, k] = leak.tangent if leak.tangent is not None else picture.signature[:, :, leak.link]
    return out


def _rearranged(before: Snapshot, running: list[Leak], levels: int) -> tuple[Floats, Floats]:
    """Return mean and covariance with the leaks that run now: ended ones left out, new ones with a wide prior."""
    place = {leak_id: levels + i for i, leak_id in enumerate(before.ids)}
    keep = np.r_[np.arange(levels), [place[k.id] for k in running if k.id in place]].astype(np.int64)
    mean, cov = before.mean[keep], before.cov[np.ix_(keep, keep)]
    order = [k for k in running if k.id in place]
    for leak in running:
        if leak.id not in place:
            guess = leak.flow[0] if leak.flow else 0.0
            room = max(3.0, abs(leak.flow[-1] if leak.flow else 0.0)) ** 2
            mean, cov = np.append(mean, guess), sla.block_diag(cov, room)
            order.append(leak)
    want = np.r_[np.arange(levels), [levels + order.index(k) for k in running]].astype(np.int64)
    return mean[want], cov[np.ix_(want, want)]
