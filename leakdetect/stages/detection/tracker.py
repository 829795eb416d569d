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
from numpy.typing import NDArray

from leakdetect.stages.detection.accepting import Change, accept
from leakdetect.stages.detection.following import adapt, follow_block
from leakdetect.stages.detection.history import History, Leak, Snapshot
from leakdetect.stages.detection.windows import Deviation, Lookback, Picture, course, deviation, tables

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
_LEAP, _LEAP_SHARE = 4.0, 0.8  # [m3/h], share of its flow by which a slow leak may grow at once
_ECHO_END, _ECHO_FACTOR = 1.0, 3.0  # share of another's flow, threshold all the same: of ends soon after it
_UNSETTLED = 4  # blocks that a burst may wait for its place
_ENDING = 0.3  # share of a rival's evidence from which an end is worth waiting for
_SETTLING = 3.0  # [days] after which a burst grows no more
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

    def follow(self, history: History, start: int) -> None:
        """Filter blocks from `start` to the newest, from the snapshot before `start`."""
        for block in range(start, history.last + 1):
            follow_block(self.picture, history, block, self.settings.smallest)

    def drop(self, history: History, leak: Leak) -> None:
        """Forget a leak, as if it had never been followed."""
        history.leaks.remove(leak)
        self.follow(history, leak.since)

    def take(self, history: History, observed: Floats, weights: Floats, band: int) -> float:
        """Take a block; return its greatest evidence before anything is explained."""
        block = history.append(observed, weights, band)
        adapt(history, self.picture.per_day)
        follow_block(self.picture, history, block, self.settings.smallest)
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

    def accept(self, history: History, change: Change) -> None:
        """Take an explanation into the history and go over the window again with it."""
        accept(self.picture, self.lengths, history, change)
        self.relinearise(history, change.since + 1)
        self.follow(history, change.since + 1)

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
