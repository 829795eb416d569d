"""Hotelling's T2 of the day's pressures, whitened by their covariance in a past window (Hotelling 1947)."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import xarray as xr
from scipy.stats import chi2

from leakdetect.baselines.daily import Alarm, Daily
from leakdetect.baselines.window import Window, sensors_of
from leakdetect.core import robust
from leakdetect.detector import State
from leakdetect.errors import ReadingsError
from leakdetect.network import Floats
from leakdetect.schema import SENSOR, Quantity

PERSIST = 2
"""Days in a row that must be out of bounds."""
_OTHER = "other"


class Hotelling(Daily):
    """All pressures at once, against their usual values at the time of day."""

    name: ClassVar[str] = "hotelling"

    def _sensors(self, data: xr.Dataset) -> list[str]:
        sensors = sensors_of(data, Quantity.PRESSURE)
        if not sensors:
            raise ReadingsError("no pressure sensor among the readings: Hotelling's T2 needs one or more")
        return sensors

    def _learn(self, model: xr.Dataset, window: Window) -> xr.Dataset:
        usual = np.stack([robust.location(window.values[window.slot == s], axis=0) for s in range(window.slots)])
        spread = robust.scale(window.values - usual[window.slot], axis=0)
        model = model.assign(usual=(("slot", SENSOR), usual), sd=(SENSOR, spread))
        split = np.flatnonzero(np.diff(window.day)) + 1
        rest = self._steps(model, window.values, window.slot)[2]
        of_day = np.array([self._of_day(rows, np.empty(0), window.slots) for rows in np.split(rest, split)])
        whole = np.isfinite(of_day).all(axis=1)
        if whole.sum() < 14:
            raise ReadingsError("fewer than 14 days with every pressure usable: give a longer window to fit on")
        covariance = robust.covariance(of_day)
        t2 = np.array([_t2(day, covariance) for day in of_day[whole]])
        # Of two days in a row both are out; the tail beyond the few days of a window is chi-squared with the
        # median of what was seen, which stands leaks in a minority of the days.
        level = 1.0 - math.sqrt(model.attrs["false_alarms_per_year"] / 365.25)
        scale = float(np.median(t2)) / float(chi2.median(of_day.shape[1]))
        return model.assign(covariance=((SENSOR, _OTHER), covariance)).assign_attrs(level=level, scale=scale)

    def _steps(self, model: xr.Dataset, values: Floats, slot: np.ndarray) -> tuple[Floats, Floats, Floats]:
        expected = model["usual"].values[slot]
        return expected, np.broadcast_to(model["sd"].values, expected.shape), values - expected

    def _start_test(self, model: xr.Dataset) -> State:
        return {"level": np.zeros(model.sizes[SENSOR]), "days": 0}

    def _settled(self, model: xr.Dataset, test: State, recent: Floats) -> State:
        del model
        level = robust.location(recent, axis=0)
        return {"level": np.where(np.isfinite(level), level, test["level"]), "days": 0}

    def _test(self, model: xr.Dataset, test: State, feature: Floats) -> tuple[Alarm | None, Floats]:
        rest = feature - test["level"]
        use = np.isfinite(rest)
        score = np.full(feature.size, np.nan)
        if not use.any():
            return None, score
        covariance = model["covariance"].values[np.ix_(use, use)]
        statistic = _t2(rest[use], covariance) / model.attrs["scale"]
        bound = float(chi2.ppf(model.attrs["level"], int(use.sum())))
        score[use] = statistic / bound
        test["days"] = test["days"] + 1 if statistic > bound else 0
        if test["days"] < PERSIST:
            return None, score
        size = np.zeros(feature.size)
        size[use] = rest[use] ** 2 / np.diag(covariance)
        column = int(size.argmax())
        return Alarm(column, bool(rest[column] < 0), int(test["days"]), size / size.sum()), score


def _t2(rest: Floats, covariance: Floats) -> float:
    return float(rest @ np.linalg.solve(covariance, rest))
