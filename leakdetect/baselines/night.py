"""The minimum night flow rule that LeakDB comes with (Vrachimis et al. 2018, WDSA/CCWI).

A night is suspect where its lowest flow is more than a tenth above the lowest of the last ten nights that were not.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import xarray as xr

from leakdetect.baselines.daily import Alarm, Daily
from leakdetect.baselines.window import Window, sensors_of
from leakdetect.detector import State
from leakdetect.errors import ReadingsError
from leakdetect.network import Floats
from leakdetect.schema import SENSOR, Quantity

RISE = 0.10
NIGHTS = 10
_HOURS = 6  # the last hours of the day, which ends in the morning


class MinimumNightFlow(Daily):
    """The inflow at night, when customers sleep and leaks do not."""

    name: ClassVar[str] = "night"

    def _sensors(self, data: xr.Dataset) -> list[str]:
        sensors = sensors_of(data, Quantity.FLOW)
        if not sensors:
            raise ReadingsError("no flow sensor among the readings: the night flow rule needs the inflow")
        return sensors

    def _learn(self, model: xr.Dataset, window: Window) -> xr.Dataset:
        inflow = self._steps(model, window.values, window.slot)[2]
        split = np.flatnonzero(np.diff(window.day)) + 1
        days = zip(np.split(inflow, split), np.split(window.slot, split), strict=True)
        lows = np.array([self._of_day(rows, slot, window.slots)[0] for rows, slot in days])
        lows = lows[np.isfinite(lows)]
        if lows.size < NIGHTS:
            raise ReadingsError(f"fewer than {NIGHTS} nights with inflow: give a longer window to fit on")
        # The rule is run over the window itself: what it suspects does not become the reference.
        reference = lows[:NIGHTS]
        for low in lows[NIGHTS:]:
            if _share(low, reference.min()) <= RISE:
                reference = np.r_[reference, low][-NIGHTS:]
        return model.assign(reference=("night", reference))

    def _steps(self, model: xr.Dataset, values: Floats, slot: np.ndarray) -> tuple[Floats, Floats, Floats]:
        del slot
        sign = dict(zip(model["meter"].values, model["sign"].values, strict=True))
        use = np.array([sign.get(name, 0.0) for name in model[SENSOR].values])
        inflow = (values[:, use != 0] * use[use != 0]).sum(axis=1, keepdims=True)
        none = np.full(values.shape, np.nan)  # the rule expects nothing of a single reading
        return none, none, inflow

    def _of_day(self, rows: Floats, slot: np.ndarray, slots: int) -> Floats:
        night = rows[slot >= slots - slots * _HOURS // 24]
        known = np.isfinite(night).all(axis=1)
        enough = known.sum() >= slots * _HOURS / 24 / 2
        return night[known].min(axis=0) if enough else np.full(rows.shape[1], np.nan)

    def _start_test(self, model: xr.Dataset) -> State:
        return {"reference": model["reference"].values.copy()}

    def _settled(self, model: xr.Dataset, test: State, recent: Floats) -> State:
        del model
        lows = recent[np.isfinite(recent)]
        return {"reference": lows if lows.size else test["reference"]}

    def _test(self, model: xr.Dataset, test: State, feature: Floats) -> tuple[Alarm | None, Floats]:
        low = float(feature[0])
        if not np.isfinite(low):
            return None, np.full(model.sizes[SENSOR], np.nan)
        share = _share(low, test["reference"].min())
        score = np.full(model.sizes[SENSOR], share / RISE)
        if share > RISE:
            return Alarm(0, leak=True, days=1, shares=np.ones(1)), score
        if _share(low, float(np.median(test["reference"]))) < -RISE:
            return Alarm(0, leak=False, days=1, shares=np.ones(1)), score
        test["reference"] = np.r_[test["reference"], low][-NIGHTS:]
        return None, score

    def _names(self, model: xr.Dataset) -> list[str]:
        return [str(model["meter"].values[0])]

    def _where(self, model: xr.Dataset, alarm: Alarm) -> str:
        del alarm
        element = dict(zip(model[SENSOR].values, model["element"].values, strict=True))
        return str(element[model["meter"].values[0]])


def _share(low: float, reference: float) -> float:
    """Return how far the night lies above a reference, relative."""
    return (low - reference) / max(abs(reference), 1e-9)
