"""The model-based detector: `Detector` over a hydraulic model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.detector import State
from leakdetect.errors import ReadingsError
from leakdetect.events import Event, KnownLeak, Repair
from leakdetect.hydraulic.fit import fit
from leakdetect.hydraulic.fitted import Fitted
from leakdetect.hydraulic.known import known_leaks, with_known
from leakdetect.hydraulic.run import Run, driven
from leakdetect.hydraulic.steps import BLOCK, BLOCK_HOURS, Steps, block_of, from_dataset, seconds, step_of
from leakdetect.network import Network
from leakdetect.schema import SENSOR, TIME
from leakdetect.site import Detection
from leakdetect.stages.detection.history import Leak
from leakdetect.stages.expected.boundary import Boundary, find_boundary
from leakdetect.stages.expected.customers import Leaks
from leakdetect.units import M3H

Floats = NDArray[np.float64]

_START_THRESHOLD = 35.0


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
        given = driven(boundary, steps, np.full(steps.reading.shape[1], np.nan), step, self.timezone)

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
        run = Run(self, fitted, boundary, self._channels(boundary, names), len(names), step, None)

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
        channels = self._channels(boundary, names)
        fitted = Fitted.from_dataset(model, self.network, channels)
        step = seconds(int(model.attrs["step_seconds"]))
        steps = from_dataset(data, step)
        run = Run(self, fitted, boundary, channels, len(names), step, state or None)
        try:
            shown = run.take(steps, lambda _top: None, lambda share: self._progress("detect", share))
            return run.to_plain(), run.raiser.events(run.history, run.ready()), self._grown(data, boundary, run, shown)
        finally:
            run.engine.close()

    def _grown(self, data: xr.Dataset, boundary: Boundary, run: Run, shown: tuple[Steps, Floats, Floats]) -> xr.Dataset:
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
        if BLOCK % step:
            raise ReadingsError(f"step_minutes must divide {BLOCK_HOURS} hours: set it to 15, 30 or 60 in site.toml")
        return step

    def near(self, candidates: NDArray[np.int64], column: int) -> Floats:
        """Return the distance from one candidate link to all [m]."""
        link = int(candidates[column])
        if link not in self._near:
            self._near[link] = self.network.distances(link)
        distances: Floats = self._near[link][candidates]
        return distances
