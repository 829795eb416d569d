"""The model-based detector: `Detector` over a hydraulic model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.detector import State
from leakdetect.errors import ReadingsError
from leakdetect.events import Event, KnownLeak, Repair
from leakdetect.hydraulic.engine import Engine, band_of, observe
from leakdetect.hydraulic.fit import fit, scales
from leakdetect.hydraulic.fitted import Fitted
from leakdetect.hydraulic.known import known_leaks, with_known
from leakdetect.hydraulic.raising import Raiser
from leakdetect.hydraulic.steps import (
    BLOCK_HOURS,
    Steps,
    block_of,
    block_start,
    from_dataset,
    seconds,
    step_of,
    week_seconds,
)
from leakdetect.network import Network
from leakdetect.schema import SENSOR, TIME
from leakdetect.site import Detection
from leakdetect.stages.detection.history import History, Leak
from leakdetect.stages.detection.tracker import HORIZON, Settings, Tracker, begin
from leakdetect.stages.detection.windows import Deviation
from leakdetect.stages.expected.boundary import Boundary, Drive, drive, find_boundary
from leakdetect.stages.expected.customers import Leaks
from leakdetect.stages.residuals import block_means
from leakdetect.units import M3H

Floats = NDArray[np.float64]

_BLOCK = np.timedelta64(BLOCK_HOURS, "h")
_PER_DAY = 24 // BLOCK_HOURS
_START_THRESHOLD = 35.0
_RELEARN = 5.0  # [m3/h] by which the leaks' sum must move before the network is linearised anew
_SCAN_SPACING = 120.0  # [m] between the links looked at first
_START_LEVELS = (0.05, 1.0, 3.0)  # [m], [m3/h]: first uncertainty of pressures, flows, balances after a fit


class HydraulicDetector:
    """Finds and places leaks with a hydraulic model.

    Parameters
    ----------
    network : Network
        The drawing.
    timezone : str
        Of the demand patterns: the site's.
    settings : Detection
    repairs : sequence of Repair
        Known from the day they are done.
    known : sequence of KnownLeak
        Leaks that people found: a fit holds those of its window where they were.
    progress : callable, optional
        Told what is done and how far it is (0 to 1).
    """

    name: ClassVar[str] = "hydraulic"

    def __init__(
        self, network: Network, *, timezone: str = "UTC", settings: Detection | None = None,
        repairs: Sequence[Repair] = (), known: Sequence[KnownLeak] = (),
        progress: Callable[[str, float], None] | None = None,
    ) -> None:  # fmt: skip
        self.network, self.timezone, self.known = network, timezone, tuple(known)
        self.settings = settings or Detection()
        self.repairs = sorted(repairs, key=lambda r: r.time)
        self._progress = progress or (lambda _what, _share: None)
        self._near: dict[int, Floats] = {}

    # -- fit ---------------------------------------------------------------------------------------------------

    def fit(self, data: xr.Dataset) -> xr.Dataset:
        """Fit the leak-free picture; see `Detector`. Raises ReadingsError, ConvergenceError, ElementError."""
        boundary, names = self._boundary(data)
        step = self._step(data)
        steps = from_dataset(data, step)
        given = self._drive(boundary, steps, np.full(steps.reading.shape[1], np.nan), step)

        known = known_leaks(self.network, self.known, steps.time)

        def track(fitted: Fitted) -> tuple[Leaks, Floats]:
            found, tops = self._follow_window(fitted, boundary, names, steps, step)
            return with_known(self.network, found, known), tops

        fitted = fit(
            self.network, boundary, steps, given, known=known, track=track, start_threshold=_START_THRESHOLD,
            false_alarms=self.settings.false_alarms_per_year, progress=self._progress,
        )  # fmt: skip
        model = fitted.to_dataset(self.network, self._channels(boundary, names))
        model.attrs["step_seconds"] = int(step / np.timedelta64(1, "s"))
        return model

    def _follow_window(
        self, fitted: Fitted, boundary: Boundary, names: list[str], steps: Steps, step: np.timedelta64
    ) -> tuple[Leaks, Floats]:
        """Track the window of the fit; return the leaks found, with their flow at each step, and the block maxima."""
        tops: list[float] = []
        found: dict[int, Leak] = {}  # the history forgets those that ended long ago
        run = _Run(self, fitted, boundary, names, step, None)

        def told(top: float) -> None:
            tops.append(top)
            found.update({leak.id: leak for leak in run.history.leaks if leak.raised >= 0} if run.history else {})

        try:
            run.take(steps, told, lambda share: self._progress("search", share))
            leaks = list(found.values())
            flow = np.zeros((len(steps), len(leaks)))
            number = np.array([block_of(t) for t in steps.time])
            for k, leak in enumerate(leaks):
                course = np.array(leak.flow)
                row = number - leak.since
                inside = (row >= 0) & (row < len(course))
                flow[inside, k] = np.maximum(course[row[inside]], 0.0) / M3H
            links = run.engine.candidates[[leak.link for leak in leaks]] if leaks else np.zeros(0, dtype=np.int64)
            return Leaks(links, flow), np.array(tops)
        finally:
            run.engine.close()

    # -- recursion ---------------------------------------------------------------------------------------------

    def begin(self, model: xr.Dataset) -> State:
        """Return the state before the first step."""
        return {}

    def update(self, model: xr.Dataset, state: State, data: xr.Dataset) -> tuple[State, list[Event], xr.Dataset]:
        """Take the next steps; see `Detector`. Events are raised when a block of 6 hours is complete."""
        boundary, names = self._boundary(data)
        fitted = Fitted.from_dataset(model, self.network, self._channels(boundary, names))
        step = seconds(int(model.attrs["step_seconds"]))
        steps = from_dataset(data, step)
        run = _Run(self, fitted, boundary, names, step, state or None)
        try:
            shown = run.take(steps, lambda _top: None, lambda share: self._progress("detect", share))
            return run.to_plain(), run.raiser.events(run.history, run.ready()), self._grown(data, boundary, run, shown)
        finally:
            run.engine.close()

    def _grown(
        self, data: xr.Dataset, boundary: Boundary, run: _Run, shown: tuple[Steps, Floats, Floats]
    ) -> xr.Dataset:
        """Add expected, expected_sd, residual and score at the pressures and flows."""
        steps, observed, residual = shown
        shape = (data.sizes[TIME], data.sizes[SENSOR])
        layers = {name: np.full(shape, np.nan) for name in ("expected", "expected_sd", "residual", "score")}
        scale = np.r_[np.ones(len(boundary.pressures)), np.full(len(boundary.flows), M3H)]
        rows = np.searchsorted(steps.time, data[TIME].values.astype("datetime64[ns]"))
        sd = np.sqrt(np.diagonal(run.engine.fitted.noise.white, axis1=1, axis2=2).mean(axis=0))
        # A leak pulls pressures down and inflows up.
        sign = np.r_[-np.ones(len(boundary.pressures)), np.ones(len(boundary.flows))]
        for channel, sensor in enumerate(boundary.sensors()):
            rest = residual[rows, channel]
            layers["residual"][:, sensor] = rest / scale[channel]
            layers["expected"][:, sensor] = (observed[rows, channel] - rest) / scale[channel]
            layers["expected_sd"][:, sensor] = sd[channel] / scale[channel]
            layers["score"][:, sensor] = sign[channel] * rest / sd[channel]
        return data.assign({name: ((TIME, SENSOR), value) for name, value in layers.items()})

    # -- small things ------------------------------------------------------------------------------------------

    def _boundary(self, data: xr.Dataset) -> tuple[Boundary, list[str]]:
        names = [str(n) for n in data[SENSOR].values]
        quantity, element = [str(q) for q in data["quantity"].values], [str(e) for e in data["element"].values]
        return find_boundary(self.network, names, quantity, element), names

    def _channels(self, boundary: Boundary, names: list[str]) -> list[str]:
        return [names[s] for s in boundary.sensors()] + [f"balance {zone}" for zone in boundary.zone_names]

    def _step(self, data: xr.Dataset) -> np.timedelta64:
        step = step_of(data)
        if _BLOCK % step:
            raise ReadingsError(f"step_minutes must divide {BLOCK_HOURS} hours: set it to 15, 30 or 60 in site.toml")
        return step

    def _drive(self, boundary: Boundary, steps: Steps, before: Floats, step: np.timedelta64) -> Drive:
        week = week_seconds(steps.time, self.timezone)
        return drive(boundary, steps.reading, steps.last, before, float(step / np.timedelta64(1, "s")), week)

    def near(self, candidates: NDArray[np.int64], column: int) -> Floats:
        """Return the distance from one candidate link to all [m]."""
        link = int(candidates[column])
        if link not in self._near:
            self._near[link] = self.network.distances(link)
        distances: Floats = self._near[link][candidates]
        return distances


class _Run:
    """One call's work: the engine, the tracker and the memory they share."""

    def __init__(
        self, owner: HydraulicDetector, fitted: Fitted, boundary: Boundary, names: list[str], step: np.timedelta64,
        state: State | None,
    ) -> None:  # fmt: skip
        self.owner, self.boundary, self.step = owner, boundary, step
        per_block = int(_BLOCK / step)
        channel_names = owner._channels(boundary, names)
        self.engine = Engine(owner.network, boundary, fitted, channel_names, per_block, _PER_DAY)
        self.picture = self.engine.picture
        self.tracker = Tracker(
            self.picture, Settings(fitted.threshold, owner.settings.smallest_leak_m3h, self.engine.largest),
            self._scan(), self._relinearise, self._whole_evidence,
        )  # fmt: skip
        self.raiser = Raiser(
            owner.network, self.engine, self.tracker, owner.settings, channel_names, owner.repairs,
            f"{owner.name} {fitted.window[0][:10]}/{fitted.window[1][:10]}",
        )  # fmt: skip
        sensors = len(names)
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
        given = self.owner._drive(self.boundary, self.steps, self.before, self.step)

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
