"""Each pressure regressed on every other one, and a CUSUM on what its partners leave unexplained.

After Daniel et al. (2022), "A sequential pressure-based algorithm for data-driven leakage identification and
model-based localization in water distribution networks", J. Water Resour. Plann. Manage. 148(6). The threshold comes
from Siegmund's approximation of the average run length (Siegmund 1985, Sequential Analysis, eq. 2.58).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import xarray as xr
from scipy.optimize import brentq

from leakdetect.baselines.daily import Alarm, Daily
from leakdetect.baselines.window import Window, sensors_of
from leakdetect.core import robust
from leakdetect.detector import State
from leakdetect.errors import ReadingsError
from leakdetect.network import Floats
from leakdetect.schema import SENSOR, Quantity

DRIFT = 0.5
_PARTNER = "partner"
_TRIM = 3.0  # standard deviations beyond which a step of the window has no say in the second fit
_FEWEST = 3


class PairwiseRegression(Daily):
    """A leak lowers a pressure against what each other pressure says it should be."""

    name: ClassVar[str] = "pairs"

    def _sensors(self, data: xr.Dataset) -> list[str]:
        sensors = sensors_of(data, Quantity.PRESSURE)
        if len(sensors) < _FEWEST:
            raise ReadingsError(f"{len(sensors)} pressure sensors among the readings: pairs need {_FEWEST} or more")
        return sensors

    def _learn(self, model: xr.Dataset, window: Window) -> xr.Dataset:
        values = window.values
        count = values.shape[1]
        slope, base, sd = (np.full((count, count), np.nan) for _ in range(3))
        for i in range(count):
            for j in range(count):
                if i != j:
                    slope[i, j], base[i, j], sd[i, j] = _line(values[:, j], values[:, i])
        dims = (SENSOR, _PARTNER)
        model = model.assign(slope=(dims, slope), base=(dims, base), sd=(dims, sd))
        feature = np.vstack([self._steps(model, day, np.empty(0))[2] for day in _by_day(values, window)])
        of_day = np.array([self._of_day(rows, np.empty(0), window.slots) for rows in _by_day(feature, window)])
        known = np.isfinite(of_day).sum(axis=0)
        if (known < 14).all():
            raise ReadingsError("fewer than 14 days with usable pressures: give a longer window to fit on")
        spread = robust.scale(of_day, axis=0)
        usual = np.nanmax(spread) if np.isfinite(spread).any() else 1.0
        return model.assign(
            centre=(SENSOR, np.nan_to_num(robust.location(of_day, axis=0))),
            spread=(SENSOR, np.where(np.isfinite(spread), np.maximum(spread, 1e-3 * usual), usual)),
        ).assign_attrs(threshold=threshold(model.attrs["false_alarms_per_year"], count))

    def _steps(self, model: xr.Dataset, values: Floats, slot: np.ndarray) -> tuple[Floats, Floats, Floats]:
        del slot
        slope, base, sd = (model[name].values for name in ("slope", "base", "sd"))
        told = base + slope * values[:, None, :]  # (T, sensor, partner)
        expected = robust.location(told, axis=2)
        error = robust.location(sd, axis=1)
        return (
            expected,
            np.broadcast_to(error, expected.shape),
            robust.location((values[:, :, None] - told) / sd, axis=2),
        )

    def _start_test(self, model: xr.Dataset) -> State:
        count = model.sizes[SENSOR]
        return {
            "level": model["centre"].values.copy(),
            "sums": np.zeros((2, count)),
            "days": np.zeros((2, count), dtype=np.int64),
        }

    def _settled(self, model: xr.Dataset, test: State, recent: Floats) -> State:
        level = robust.location(recent, axis=0)
        return {**self._start_test(model), "level": np.where(np.isfinite(level), level, test["level"])}

    def _test(self, model: xr.Dataset, test: State, feature: Floats) -> tuple[Alarm | None, Floats]:
        z = np.nan_to_num((feature - test["level"]) / model["spread"].values)
        known = np.isfinite(feature)
        step = np.where(known, np.stack([-z, z]) - DRIFT, 0.0)  # falling pressure first: a leak
        test["sums"] = np.maximum(0.0, test["sums"] + step)
        test["days"] = np.where(test["sums"] > 0, test["days"] + 1, 0)
        score = test["sums"][0]
        most = test["sums"].max(axis=1)
        if most.max() < model.attrs["threshold"]:
            return None, score.copy()
        # Where some sensors fall the others seem to rise, as much or a little more: that is a fall.
        side = 0 if most[0] >= max(model.attrs["threshold"], most[1] / 2) else 1
        column = int(test["sums"][side].argmax())
        shares = test["sums"][side] / test["sums"][side].sum()
        return Alarm(column, side == 0, int(test["days"][side, column]), shares), score.copy()


def threshold(false_alarms_per_year: float, sensors: int) -> float:
    """Return the CUSUM threshold of daily values that gives so many false alarms a year over all sensors, one side."""
    wanted = 365.25 * sensors / false_alarms_per_year

    def run_length(h: float) -> float:
        b = 2 * DRIFT * (h + 1.166)
        return float(np.expm1(b) - b) / (2 * DRIFT**2)

    return float(brentq(lambda h: run_length(h) - wanted, 0.0, 60.0))


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Return slope, base and residual sd of y on x, fitted twice: the second time without what lay far off."""
    use = np.isfinite(x) & np.isfinite(y)
    if use.sum() < 2:
        return np.nan, np.nan, np.nan
    for _ in range(2):
        middle = x[use].mean(), y[use].mean()
        power = float(((x[use] - middle[0]) ** 2).sum())
        slope = float(((x[use] - middle[0]) * (y[use] - middle[1])).sum()) / power if power > 0 else 0.0
        base = middle[1] - slope * middle[0]
        rest = y - base - slope * x
        sd = max(float(robust.scale(rest[use])), 1e-6)
        use &= np.abs(np.nan_to_num(rest) - float(robust.location(rest[use]))) <= _TRIM * sd
    return slope, base, sd


def _by_day(values: Floats, window: Window) -> list[Floats]:
    return np.split(values, np.flatnonzero(np.diff(window.day)) + 1)
