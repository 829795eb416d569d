"""A sensor's readings thinned out for drawing: means and extremes of buckets, in the units shown."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.schema import SENSOR, TIME
from leakdetect.units import M3H, factor
from leakdetect.web import shapes

_SECOND = np.timedelta64(1, "s")

Floats = NDArray[np.float64]


def series_of(
    data: xr.Dataset, sensor: str, since: np.datetime64 | None, until: np.datetime64 | None, points: int
) -> shapes.Series:
    """Return a sensor's readings between two times, in at most `points` buckets.

    Parameters
    ----------
    data : Dataset
        With the sensor among its own.
    sensor : str
    since, until : datetime64 or None
        UTC; from the first and to the last reading where there is none.
    points : int
    """
    one = data.sel({SENSOR: sensor})
    times = one[TIME].values
    first = int(np.searchsorted(times, since)) if since is not None else 0
    last = int(np.searchsorted(times, until, side="right")) if until is not None else times.size
    first, last = min(first, times.size), max(min(first, times.size), last)
    one, shown = one.isel({TIME: slice(first, last)}), times[first:last]
    size = max(-(-shown.size // points), 1)
    starts = np.arange(0, shown.size, size)
    quantity, unit = str(one["quantity"].values), str(one["unit"].values)
    if quantity == "flow":
        unit = "m3/h"
    scale = M3H if quantity == "flow" else 1 / factor(quantity, unit)

    def values(name: str) -> Floats:
        if name not in one:
            return np.full(shown.size, np.nan)
        return np.asarray(one[name].values, dtype=np.float64) * scale

    measured = values("reading")
    usable = np.asarray(one["usable"].values if "usable" in one else np.isfinite(measured), dtype=np.float64)
    step = int((times[1] - times[0]) / _SECOND) if times.size > 1 else 0
    seconds = shown.astype("datetime64[s]").astype(np.int64)
    ends = times[[0, -1]].astype("datetime64[s]").astype(np.int64) if times.size else np.zeros(2, dtype=np.int64)
    return shapes.Series(
        sensor=sensor,
        quantity=quantity,
        unit=unit,
        first=int(ends[0]),
        last=int(ends[1]),
        step_s=step * size,
        time=seconds[starts].tolist(),
        measured=_plain(_mean(measured, starts)),
        low=_plain(np.fmin.reduceat(measured, starts)) if starts.size else [],
        high=_plain(np.fmax.reduceat(measured, starts)) if starts.size else [],
        expected=_plain(_mean(values("expected"), starts)),
        expected_sd=_plain(_mean(values("expected_sd"), starts)),
        residual=_plain(_mean(values("residual"), starts)),
        usable=_mean(usable, starts).round(4).tolist(),
    )


def _mean(values: Floats, starts: NDArray[np.int64]) -> Floats:
    """Return the mean of the numbers in each bucket, NaN where there is none."""
    if not starts.size:
        return np.zeros(0)
    there = np.isfinite(values)
    count = np.add.reduceat(there.astype(np.float64), starts)
    total = np.add.reduceat(np.where(there, values, 0.0), starts)
    mean: Floats = np.divide(total, count, out=np.full(starts.size, np.nan), where=count > 0)
    return mean


def _plain(values: Floats) -> list[float | None]:
    return [None if not np.isfinite(v) else float(f"{v:.6g}") for v in values.tolist()]
