"""Fit the inflow model of each district to a past window: pattern, noise, thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from leakdetect.core import robust
from leakdetect.events import KnownLeak
from leakdetect.site import Detection
from leakdetect.stages.inflow.burst import WINDOWS, scores
from leakdetect.stages.inflow.calendar import SUNDAY, Calendar, Floats, Ints, mean_step, weekday
from leakdetect.stages.inflow.demand import fit_demand, net_inflow
from leakdetect.stages.inflow.noise import (
    WINDOW,
    daily_threshold,
    fit_noise,
    forecasts,
    jump,
    liveliness,
    tail_threshold,
)
from leakdetect.units import M3H

BURST_SHARE = 0.25
"""Share of the wanted false alarms that the hourly look for bursts may use."""
HISTORY = WINDOW


def fit(data: xr.Dataset, timezone: str, settings: Detection, known: Sequence[KnownLeak] = ()) -> xr.Dataset:
    """Return the fitted model of every district as a dataset that netCDF can hold; SI units.

    Parameters
    ----------
    data : Dataset
    timezone : str
    settings : Detection
    known : sequence of KnownLeak
        Their flow is taken out of the inflow of the district whose meters told of them.

    Raises
    ------
    InputError
        If the step does not divide an hour.
    ReadingsError
        If there is no flow sensor, or too few whole days.
    """
    time = data["time"].values
    names, inflow, district = net_inflow(data)
    sensors = [str(name) for name in data["sensor"].values]
    for leak in known:
        inside = (time >= leak.start) & (True if leak.end is None else time < leak.end)
        for k in {int(district[sensors.index(name)]) for name in leak.sensors if name in sensors} - {-1}:
            inflow[inside, k] -= leak.flow_m3h / M3H
    calendar = Calendar(timezone, mean_step(time))
    day, slot = calendar.place(time)
    parts = []
    for k, name in enumerate(names):
        days, table = calendar.table(day, slot, inflow[:, k])
        parts.append(_fit_one(calendar, days, table, name, settings))
    merged: dict[str, tuple[tuple[str, ...], Floats]] = {
        key: (("dma", *dims), np.stack([part[key][1] for part in parts])) for key, (dims, _) in parts[0].items()
    }
    return xr.Dataset(
        merged,
        coords={"dma": np.asarray(names, dtype=object)},
        attrs={
            "kind": "inflow",
            "timezone": timezone,
            "step": calendar.step,
            "units": "SI (m3/s)",
            "fitted_from": str(np.datetime_as_string(time[0], unit="s")),
            "fitted_until": str(np.datetime_as_string(time[-1], unit="s")),
            "history_until": int(day[-1]) - 1 if slot[-1] < calendar.slots - 1 else int(day[-1]),
            "false_alarms_per_year": settings.false_alarms_per_year,
        },
    )


def _fit_one(
    calendar: Calendar, days: Ints, table: Floats, name: str, settings: Detection
) -> dict[str, tuple[tuple[str, ...], Floats]]:
    demand = fit_demand(calendar, days, table, name)
    kept = weekday(days).copy()
    raw = np.full(len(days), np.nan)
    for i, d in enumerate(days):
        raw[i], kept[i] = demand.level(calendar, int(d), table[i])
    level = robust.without_spikes(raw, jump(raw))
    noise = fit_noise(level)
    reference = forecasts(level, noise)
    errors = level - reference
    usual = max(float(robust.scale(errors, centre=0.0)), 1e-3 * noise.sd)
    lively = np.array([liveliness(errors[max(0, i - 42) : i], usual) for i in range(len(errors))])
    threshold = daily_threshold(
        errors / lively / noise.ahead_sd, noise, settings.false_alarms_per_year * (1.0 - BURST_SHARE)
    )
    rest = table - reference[:, None] - demand.pattern[weekday(days)]
    slot_sd = _slot_sd(rest, calendar.step)
    slot_sd = np.maximum(slot_sd, 1e-3 * max(float(robust.location(np.abs(table))), 1e-9))
    above = table - reference[:, None] - np.maximum(demand.pattern[weekday(days)], demand.pattern[SUNDAY])
    peaks = [
        scores((above / slot_sd).ravel(), calendar.step, hours).reshape(rest.shape).max(axis=1) for hours in WINDOWS
    ]
    per_year = settings.false_alarms_per_year * BURST_SHARE / len(WINDOWS)
    burst = np.array([tail_threshold(p[np.isfinite(p)], per_year) for p in peaks])
    whole_until = len(days) if np.isfinite(table[-1, -1]) or np.isfinite(raw[-1]) else len(days) - 1
    return {
        "pattern": (("weekday", "slot"), demand.pattern),
        "covariance": (("block", "block_"), demand.covariance),
        "odd": ((), np.array(demand.odd)),
        "noise": (("term",), np.array([noise.sd, noise.rho, noise.walk, noise.white])),
        "jump": ((), np.array(jump(raw))),
        "slot_sd": (("slot",), slot_sd),
        "threshold": ((), np.array(threshold)),
        "burst_threshold": (("burst_window",), burst),
        "history": (("past_day",), _last(raw[:whole_until])),
        "errors": (("past_day",), _last(errors[:whole_until])),
        "lively": (("past_day",), np.nan_to_num(_last(lively[:whole_until]), nan=1.0)),
        "usual_error": ((), np.array(usual)),
    }


def _slot_sd(rest: Floats, step: int) -> Floats:
    """Return the robust standard deviation of each slot's residual, smoothed over two hours: shape (slots,)."""
    sd = robust.scale(rest, axis=0, centre=0.0)
    sd = np.where(np.isfinite(sd), sd, robust.location(sd))
    wide = 2 * (3600 // step) + 1
    around = np.pad(sd, wide // 2, mode="wrap")
    return np.convolve(around, np.full(wide, 1.0 / wide), mode="valid")


def _last(values: Floats) -> Floats:
    """Return the last values of a fit window, NaN before its beginning: shape (HISTORY,)."""
    return np.concatenate([np.full(HISTORY, np.nan), values])[-HISTORY:]
