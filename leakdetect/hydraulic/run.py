"""One call of the model-based detector: block by block, what is left beyond the leaks believed, and what it means."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leakdetect.detector import State
from leakdetect.hydraulic.engine import Engine, band_of, observe
from leakdetect.hydraulic.fit import scales
from leakdetect.hydraulic.fitted import Fitted
from leakdetect.hydraulic.raising import Raiser
from leakdetect.hydraulic.steps import BLOCK, BLOCK_HOURS, Steps, block_of, block_start, week_seconds
from leakdetect.stages.detection.history import History, Leak
from leakdetect.stages.detection.tracker import HORIZON, Settings, Tracker, begin
from leakdetect.stages.detection.windows import Deviation
from leakdetect.stages.expected.boundary import Boundary, Drive, drive
from leakdetect.stages.residuals import block_means

if TYPE_CHECKING:
    from leakdetect.hydraulic.detector import HydraulicDetector

Floats = NDArray[np.float64]

_PER_DAY = 24 // BLOCK_HOURS
_RELEARN = 5.0  # [m3/h] by which the leaks' sum must move before the network is linearised anew
_SCAN_SPACING = 120.0  # [m] between the links looked at first
_START_LEVELS = (0.05, 1.0, 3.0)  # [m], [m3/h]: first uncertainty of pressures, flows, balances after a fit


def driven(boundary: Boundary, steps: Steps, before: Floats, step: np.timedelta64, timezone: str) -> Drive:
    """Return what drives the network at each step; `before` (S,) holds what sensors last said before them."""
    week = week_seconds(steps.time, timezone)
    return drive(boundary, steps.reading, steps.last, before, float(step / np.timedelta64(1, "s")), week)


class Run:
    """One call's work: the engine, the tracker and the memory they share.

    Parameters
    ----------
    owner : HydraulicDetector
    fitted : Fitted
    boundary : Boundary
    channels : list of str, length C
        Their names.
    sensors : int
        How many there are, measured at the boundary or not.
    step : timedelta64
    state : dict or None
        As `to_plain` left it; None before the first step.
    """

    def __init__(
        self, owner: HydraulicDetector, fitted: Fitted, boundary: Boundary, channels: list[str], sensors: int,
        step: np.timedelta64, state: State | None,
    ) -> None:  # fmt: skip
        self.owner, self.boundary, self.step = owner, boundary, step
        per_block = int(BLOCK / step)
        self.engine = Engine(owner.network, boundary, fitted, channels, per_block, _PER_DAY)
        self.picture = self.engine.picture
        self.tracker = Tracker(
            self.picture, Settings(fitted.threshold, owner.settings.smallest_leak_m3h, self.engine.largest),
            self._scan(), self._relinearise, self._whole_evidence,
        )  # fmt: skip
        self.raiser = Raiser(
            owner.network, self.engine, self.tracker, owner.settings, channels, owner.repairs,
            f"{owner.name} {fitted.window[0][:10]}/{fitted.window[1][:10]}",
        )  # fmt: skip
        self._learnt_with: list[Any] = []
        self._learnt_settings = 0
        if state is None:
            empty = np.zeros((0, sensors))
            times = np.zeros(0, dtype="datetime64[ns]")
            self.steps = Steps(times, empty, empty, times)
            self.before = np.full(sensors, np.nan)
            self.history: History | None = None
        else:
            self.steps = Steps.from_plain(state["steps"])
            self.before = state["before"]
            self.history = History.from_plain(state["history"]) if state["history"] else None
            self.raiser.load(state["raiser"])
            self._learnt_with = state["learnt_with"]
            if self.history:
                self._learnt_settings = len(self.history.settings)
                self.engine.set_valves(self.history.settings, self.history.last)
            if self._learnt_with or self._learnt_settings:
                learnt = [Leak(i, link, 0, 0, False, 0.0, flow=[flow]) for i, link, flow in self._learnt_with]
                self.engine.relearn(learnt)

    def to_plain(self) -> State:
        """Return the state as arrays and JSON values."""
        state: dict[str, Any] = {
            "steps": self.steps.to_plain(),
            "before": self.before,
            "history": self.history.to_plain() if self.history else {},
            "raiser": self.raiser.to_plain(),
            "learnt_with": self._learnt_with,
        }
        return state

    def ready(self) -> np.datetime64:
        """Return the time of the last reading taken."""
        newest: np.datetime64 = self.steps.ready[-1]
        return newest

    def _scan(self) -> NDArray[np.int64]:
        """Return links spread over the network so that each has one within the spacing or so."""
        candidates = self.engine.candidates
        left = np.ones(len(candidates), dtype=bool)
        chosen = []
        while left.any():
            column = int(np.argmax(left))
            chosen.append(column)
            left &= self.owner.near(candidates, column) > _SCAN_SPACING
            left[column] = False
        return np.array(chosen, dtype=np.int64)

    def take(
        self, steps: Steps, told: Callable[[float], None], progress: Callable[[float], None]
    ) -> tuple[Steps, Floats, Floats]:
        """Take steps; return them with what the channels read and what is left beyond the leak-free network."""
        start = len(self.steps)
        self.steps = self.steps.then(steps, self.step)
        shown = self.steps[start:]
        given = driven(self.boundary, self.steps, self.before, self.step, self.owner.timezone)

        observed = observe(self.boundary, self.steps.reading, given, self.engine.fitted.balance)[start:]
        residual = np.full_like(observed, np.nan)
        first = block_of(self.steps.time[0]) + (
            1 if self.steps.time[0] > block_start(block_of(self.steps.time[0])) else 0
        )
        block = self.history.last + 1 if self.history else first
        per_block = self.engine.per_block
        total = max((block_of(self.steps.time[-1]) - block), 1)
        began = block
        while True:
            row = self._row(block)
            if row < 0 or row + per_block > len(self.steps):
                break
            if any(block_of(r.time) == block for r in self.owner.repairs):  # shown as it was known before the repair
                values = self._residual(given, block, block + 1, complete=False)
                self._keep(residual, values + self._explained, row - start)
                repaired = self.history is not None and self.raiser.repair(self.history, block)
                values = self._residual(given, block, block + 1)
            else:
                repaired = False
                values = self._residual(given, block, block + 1)
                self._keep(residual, values + self._explained, row - start)
            weights = self.engine.weights(given[row : row + per_block])
            if self.history is None:
                self.history = begin(self.picture, block, scales(self.boundary, *_START_LEVELS))
            self._given = given
            observed_block = block_means(values, per_block)[0]
            if repaired:  # it ran for a part of the block only
                observed_block[:] = np.nan
            told(self.tracker.take(self.history, observed_block, weights[0], int(band_of(weights)[0])))
            self.raiser.look(self.history, block, self.steps.ready[row + per_block - 1])
            block += 1
            progress((block - began) / total)
        row = self._row(block)
        if 0 <= row < len(self.steps):  # a block under way: what its steps show is known, what it means is not yet
            values = self._residual(given, block, block + 1, complete=False)
            self._keep(residual, values + self._explained, row - start)
        self._trim()
        return shown, observed, residual

    def _row(self, block: int) -> int:
        return int((block_start(block) - self.steps.time[0]) / self.step)

    def _keep(self, residual: Floats, values: Floats, row: int) -> None:
        begin_row = max(row, 0)
        if row + len(values) > 0:
            residual[begin_row : row + len(values)] = values[begin_row - row :]

    def _residual(self, given: Drive, start: int, stop: int, *, complete: bool = True) -> Floats:
        """Return the steps' residual over blocks start..stop-1, with the leaks believed in them."""
        rows = slice(self._row(start), self._row(stop))
        running = []
        if self.history is not None:
            # A leak enters the model when it is raised; until then its effect is followed from outside.
            leaks = [k for k in self.history.leaks if k.raised >= 0]
            running = [k for k in leaks if k.since < stop and (k.until < 0 or k.until > start)]
        flow = np.zeros((stop - start, len(running)))
        for k, leak in enumerate(running):
            blocks = np.arange(start, stop)
            flow[:, k] = np.where(leak.ran(blocks), leak.followed(blocks), 0.0)
        if complete:
            for k, leak in enumerate(running):
                inside = np.arange(start, stop) >= leak.since
                del leak.assumed[max(start - leak.since, 0) :]
                leak.assumed.extend(np.clip(flow[inside, k], 0.0, self.engine.largest).tolist())
        steps = np.repeat(flow, self.engine.per_block, axis=0)[: len(self.steps) - rows.start]
        changes = self.history.settings if self.history else []
        cuts = sorted({start, stop, *(since for since, _, _ in changes if start < since < stop)})
        parts = []
        for low, high in itertools.pairwise(cuts):
            self.engine.set_valves(changes, low)
            part = slice((low - start) * self.engine.per_block, (high - start) * self.engine.per_block)
            reading = self.steps.reading[rows][part]
            parts.append(self.engine.residual(reading, given[rows][part], running, steps[part]))
        if changes:
            self.engine.set_valves(changes, stop)
        residual = np.concatenate(parts)
        self._explained = self.engine.explained(given[rows], running, steps)
        return residual

    def _whole_evidence(self, beside: list[Leak], seen: Deviation) -> tuple[Floats, float]:
        evidence, flow, _ = self.raiser.placer.whole_evidence(beside, seen, None)
        return evidence, flow

    def _relinearise(self, history: History, block: int) -> None:
        start = max(block, history.first, block_of(self.steps.time[0]) + 1)
        stop = history.last + 1
        if start >= stop:
            return
        running = [leak for leak in history.running(history.last) if leak.raised >= 0]
        moved = {(i, link): flow for i, link, flow in self._learnt_with}
        for leak in running:
            moved[leak.id, leak.link] = moved.get((leak.id, leak.link), 0.0) - (leak.flow[-1] if leak.flow else 0.0)
        if sum(abs(flow) for flow in moved.values()) > _RELEARN or len(history.settings) != self._learnt_settings:
            self._learnt_settings = len(history.settings)
            self.engine.set_valves(history.settings, stop)
            self.engine.relearn(running)
            self._learnt_with = [[leak.id, leak.link, leak.flow[-1]] for leak in running if leak.flow]
        self.engine.sharpen(running)
        values = block_means(self._residual(self._given, start, stop), self.engine.per_block)
        history.observed[history.rows(start, stop)] = values

    def _trim(self) -> None:
        keep = int((HORIZON + 2) * 24 * 3600 / (self.step / np.timedelta64(1, "s")))
        if len(self.steps) > keep:
            # Cut at a block's start, so that the blocks in memory keep all their steps.
            start = self._row(block_of(self.steps.time[-keep]) + 1)
            self.before = _last_known(self.steps.last[:start], self.before)
            self.steps = self.steps[start:]


def _last_known(last: Floats, before: Floats) -> Floats:
    return last[-1] if len(last) else before
