"""Any estimator with scikit-learn's outlier methods as a detector: a sample a day, of all its sensors."""

from __future__ import annotations

import copy
import hashlib
from typing import ClassVar, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.baselines.daily import Alarm, Daily
from leakdetect.baselines.window import Window, sensors_of
from leakdetect.core import robust
from leakdetect.detector import State
from leakdetect.errors import ReadingsError
from leakdetect.network import Floats, Network
from leakdetect.schema import SENSOR, Quantity
from leakdetect.site import Detection

PERSIST = 2
"""Days in a row that must be outliers."""
FEWEST = 14
"""Whole days that the window must have."""
_DAY = "day"
_SIGN = {Quantity.PRESSURE: -1.0, Quantity.FLOW: 1.0}  # what a leak does to a reading


class Estimator(Protocol):
    """What an estimator must have; scikit-learn's outlier detectors have it.

    The same samples must always give the same estimator: a random one needs a fixed ``random_state``.
    """

    def fit(self, X: Floats) -> object:
        """Learn from samples, shape (n_samples, n_features)."""
        ...

    def score_samples(self, X: Floats) -> Floats:
        """Return how usual each sample is, shape (n_samples,); lower is more abnormal."""
        ...

    def predict(self, X: Floats) -> NDArray[np.int64]:
        """Return for each sample 1 if it is usual and -1 if not, shape (n_samples,)."""
        ...


class Samples(Daily):
    """A detector made of an estimator.

    A sample is a day: of each pressure and flow sensor the robust mean of what it read beyond its usual value at the
    time of day, in its usual spread, shape (S,); 0 where it was silent. Its sign is such that a leak raises it. The
    model holds the samples of the window, never the estimator, which is fitted anew from them.

    Parameters
    ----------
    estimator : Estimator
        Copied, not changed.
    network, timezone, settings : see `Daily`
        How many false alarms there are is the estimator's.
    """

    name: ClassVar[str] = "samples"

    def __init__(
        self,
        estimator: Estimator,
        *,
        network: Network | None = None,
        timezone: str = "UTC",
        settings: Detection | None = None,
    ) -> None:
        super().__init__(network=network, timezone=timezone, settings=settings)
        self.estimator = estimator
        self._fitted: tuple[str, Estimator] | None = None

    def _sensors(self, data: xr.Dataset) -> list[str]:
        sensors = [name for quantity in _SIGN for name in sensors_of(data, quantity)]
        if not sensors:
            raise ReadingsError("no pressure and no flow sensor among the readings: samples need one or more")
        return sensors

    def fit(self, data: xr.Dataset) -> xr.Dataset:
        """Learn from a past window; see `leakdetect.detector.Detector`."""
        quantity = dict(zip(data[SENSOR].values, data["quantity"].values, strict=True))
        self._signs = np.array([_SIGN[Quantity(str(quantity[name]))] for name in self._sensors(data)])
        return super().fit(data)

    def _learn(self, model: xr.Dataset, window: Window) -> xr.Dataset:
        usual = np.stack([robust.location(window.values[window.slot == s], axis=0) for s in range(window.slots)])
        spread = robust.scale(window.values - usual[window.slot], axis=0)
        model = model.assign(usual=(("slot", SENSOR), usual), sd=(SENSOR, spread), leak=(SENSOR, self._signs))
        rest = self._steps(model, window.values, window.slot)[2]
        by_day = np.split(rest, np.flatnonzero(np.diff(window.day)) + 1)
        samples = np.array([self._of_day(rows, np.empty(0), window.slots) for rows in by_day])
        whole = samples[np.isfinite(samples).all(axis=1)]
        if len(whole) < FEWEST:
            raise ReadingsError(f"fewer than {FEWEST} days with every sensor usable: give a longer window to fit on")
        return model.assign(samples=((_DAY, SENSOR), whole))

    def _steps(self, model: xr.Dataset, values: Floats, slot: np.ndarray) -> tuple[Floats, Floats, Floats]:
        expected, sd = model["usual"].values[slot], model["sd"].values
        with np.errstate(invalid="ignore", divide="ignore"):  # a sensor that never moved says nothing
            rest = np.where(sd > 0, model["leak"].values * (values - expected) / sd, 0.0)
        return expected, np.broadcast_to(sd, expected.shape), np.where(np.isfinite(values), rest, np.nan)

    def _start_test(self, model: xr.Dataset) -> State:
        return {"level": np.zeros(model.sizes[SENSOR]), "days": 0}

    def _settled(self, model: xr.Dataset, test: State, recent: Floats) -> State:
        level = robust.location(recent, axis=0)
        return {**self._start_test(model), "level": np.where(np.isfinite(level), level, test["level"])}

    def _test(self, model: xr.Dataset, test: State, feature: Floats) -> tuple[Alarm | None, Floats]:
        sample = np.nan_to_num(feature - test["level"])
        estimator = self._estimator(model["samples"].values)
        score = np.full(sample.size, -float(estimator.score_samples(sample[None])[0]))
        outlier = bool(np.isfinite(feature).any() and estimator.predict(sample[None])[0] < 0)
        test["days"] = test["days"] + 1 if outlier else 0
        if test["days"] < PERSIST:
            return None, score
        power = sample**2
        shares = power / power.sum() if power.any() else np.full(sample.size, 1 / sample.size)
        column = int(shares.argmax())
        return Alarm(column, bool(sample[column] > 0), int(test["days"]), shares), score

    def _estimator(self, samples: Floats) -> Estimator:
        """Return the estimator fitted on these samples; fitted once."""
        digest = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()
        if self._fitted is None or self._fitted[0] != digest:
            fresh = copy.deepcopy(self.estimator)
            fresh.fit(samples)
            self._fitted = digest, fresh
        return self._fitted[1]
