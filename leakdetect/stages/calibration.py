"""Calibration: what of the drawing must change so that the model meets a past window of readings.

Two parts, both linear about the present model and both held near the drawing by a prior:

- physics shared by all sensors (roughness of pipe groups, valve settings, customers' mix), by Gauss-Newton steps on
  the analytic sensitivities;
- a correction per channel (offset of the logger, a share of the modelled head loss, an hourly shape), which takes what
  the physics cannot: logger heights, local demand.

A leak in the window pulls at both. It is slow where calibration looks at how readings vary within days, and what it
still leaves is taken out when the fit is repeated with the leaks found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

HOURS = 24
"""A shape has a value for each hour of the day. Not of the week: which days are quiet shifts (holidays, calendars)."""

_CORRELATED = 24.0  # hourly residuals repeat from day to day: so many count as one
_OFFSET_SD, _SHARE_SD = 10.0, 0.1  # [m or m3/h], [-]
_MOST_SHARE = 0.3  # beyond that the drawing is wrong nearby, and what a leak does is not wrong by the same share
_FEWEST = 10  # readings in an hour of the day before its shape is believed


def physics_step(
    residual: Floats, weights: Floats, tables: Floats, noise: Floats, prior: Floats, present: Floats
) -> Floats:
    """Return the change of the shared parameters (one Gauss-Newton step, ridge prior).

    Parameters
    ----------
    residual : ndarray, shape (T, C)
        Reading minus model; NaN where there is none.
    weights : ndarray, shape (T, K)
        Of the load states.
    tables : ndarray, shape (K, C, X)
        What each parameter does to each channel at each load state.
    noise : ndarray, shape (C,)
        Standard deviation of a residual that the model is not asked to explain.
    prior : ndarray, shape (X,)
        Standard deviation of the parameters about the drawing.
    present : ndarray, shape (X,)
        Their change so far.
    """
    size = len(prior)
    left = np.diag(1 / prior**2)
    right = -present / prior**2
    for channel in range(residual.shape[1]):
        good = np.isfinite(residual[:, channel])
        if good.sum() < HOURS:
            continue
        effect = weights[good] @ tables[:, channel, :]
        effect = effect - effect.mean(axis=0)  # the logger's offset is its own
        rest = residual[good, channel] - residual[good, channel].mean()
        scale = 1 / (noise[channel] ** 2 * _CORRELATED)
        left += effect.T @ effect * scale
        right += effect.T @ rest * scale
    step: Floats = np.linalg.solve(left + 1e-12 * np.eye(size), right).astype(float)
    return step


def _own(model: Floats, noise: float) -> tuple[Floats, Floats]:
    own = np.column_stack([np.ones(len(model)), model - np.median(model)])
    return own, noise**2 * np.diag(1 / np.array([_OFFSET_SD, _SHARE_SD]) ** 2)


@dataclass(frozen=True)
class Correction:
    """What is added to the model at each channel; C channels.

    Attributes
    ----------
    offset : ndarray, shape (C,)
        [m] or [m3/h].
    share : ndarray, shape (C,)
        Of the model's own swing about `centre`.
    centre : ndarray, shape (C,)
    shape : ndarray, shape (24, C)
        By the hour of the day.
    """

    offset: Floats
    share: Floats
    centre: Floats
    shape: Floats

    def of(self, model: Floats, week: Floats) -> Floats:
        """Return the correction at T steps, shape (T, C), from the model (T, C) and the second of the week (T,)."""
        return self.offset + self.share * (model - self.centre) + self.shape[hour_row(week)]


def hour_row(week: Floats) -> NDArray[np.int64]:
    """Return the row of `Correction.shape` for seconds since Monday 00:00 local time."""
    hour = (week // 3600).astype(np.int64)
    rows: NDArray[np.int64] = hour % HOURS
    return rows


def fit_correction(residual: Floats, model: Floats, week: Floats, noise: Floats) -> Correction:
    """Fit each channel's own correction; robust to spells (medians for the hourly shape).

    Parameters
    ----------
    residual, model : ndarray, shape (T, C)
        NaN where there is none.
    week : ndarray, shape (T,)
    noise : ndarray, shape (C,)
    """
    channels = residual.shape[1]
    offset, share, centre = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    shape = np.zeros((HOURS, channels))
    rows = hour_row(week)
    for channel in range(channels):
        good = np.isfinite(residual[:, channel]) & np.isfinite(model[:, channel])
        if good.sum() < HOURS:
            continue
        own, shrink = _own(model[good, channel], noise[channel])
        free = np.linalg.solve(own.T @ own + shrink, own.T @ residual[good, channel])[1]
        share[channel] = np.clip(free, -_MOST_SHARE, _MOST_SHARE)
        offset[channel] = (residual[good, channel] - share[channel] * own[:, 1]).mean()
        centre[channel] = np.median(model[good, channel])
        rest = residual[good, channel] - own @ np.array([offset[channel], share[channel]])
        for hour in range(HOURS):
            here = rest[rows[good] == hour]
            if len(here) >= _FEWEST:
                shape[hour, channel] = np.median(here)
    return Correction(offset, share, centre, shape)
