"""The noise of a district's daily level, and the thresholds that keep false alarms to the wanted number.

The level wanders: from day to day with a memory (an autoregression) and over the seasons (a random walk). Both are
read off the level's differences over one day to six weeks, whose lower quantiles a few leaks do not bend. Thresholds
come from a simulation: the fit window's own whitened residuals, drawn in blocks, so neither independence nor a normal
distribution is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky
from scipy.optimize import nnls

from leakdetect.core import robust
from leakdetect.core.sequential import (
    Glr,
    bootstrap,
    noise_covariance,
    ramp_shapes,
    step_shapes,
    threshold_for,
)
from leakdetect.stages.inflow.calendar import Floats

WINDOW = 120
"""Days that the test looks back."""
STEPS = np.array([2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 21, 28])
"""Ages of the steps tried, in days; of a single day nobody knows whether it is a spike."""
RAMPS = np.array([7, 10, 14, 21, 28, 42, 56, 70, 84])
"""Ages of the ramps tried, in days."""
BEFORE = 14
"""Days that must lie before a change."""
REST = 28
"""Days after an alarm in which another, in the simulation, belongs to the same."""
_LAGS = np.array([1, 2, 3, 4, 5, 7, 10, 14, 21, 28, 42])
_CLEAN = 0.4  # share of the differences taken to be free of leaks
_LIVELY = (21, 42)  # days
_CALMEST = 0.5
_JUMP = 2.5  # standard deviations
_CUT = 4.0  # standard deviations at which an innovation of the fit window counts as a leak's, and is cut
_TRUST = 0.4  # of the walk, in the test
IDEAL = 13.0
"""Threshold that two false alarms a year would need if the noise were all that the test takes it for."""
_YEARS = 150
_DAYS = 365
_BLOCK = 7


@dataclass(frozen=True)
class Noise:
    """Noise of the daily level: ``noise_covariance`` with these [m3/s]."""

    sd: float
    rho: float
    walk: float
    white: float

    def covariance(self, n: int) -> Floats:
        """Return the covariance of n days."""
        return noise_covariance(n, sd=self.sd, rho=self.rho, walk=self.walk, white=self.white)

    def test(self) -> Glr:
        """Return the test for steps and ramps in a window of days.

        It trusts the level to wander less than it does: that costs a higher threshold, which is simulated with all
        its wandering, and finds more slow leaks at the same number of false alarms.
        """
        shapes = np.vstack([step_shapes(WINDOW, STEPS), ramp_shapes(WINDOW, RAMPS)])
        calm = replace(self, walk=_TRUST * self.walk, white=max(self.white, 0.05 * (self.sd + self.walk)))
        return Glr(calm.covariance(WINDOW), shapes, before=BEFORE)

    def forecaster(self) -> Glr:
        """Return the best linear forecast of a day from the window before it."""
        return Glr(self.covariance(WINDOW), np.zeros((1, WINDOW)))

    @property
    def ahead_sd(self) -> float:
        """Standard deviation of a forecast error."""
        return float(np.asarray(cholesky(self.covariance(WINDOW + 1), lower=True))[-1, -1])

    def ahead(self) -> Floats:
        """Return the covariance of the next day with each of the window."""
        return np.asarray(self.covariance(WINDOW + 1)[-1, :-1])


def fit_noise(level: Floats) -> Noise:
    """Fit the noise to a past window of the daily level without spikes, shape (N,), NaN allowed."""
    variance, lags = [], []
    for lag in _LAGS[max(3, len(level) // 3) >= _LAGS]:
        change = level[lag:] - level[:-lag]
        if np.isfinite(change).sum() >= 10:
            variance.append(float(robust.scale(change, centre=0.0, part=_CLEAN)) ** 2)
            lags.append(int(lag))
    v, k = np.array(variance), np.array(lags)
    floor = 1e-4 * max(float(np.abs(robust.location(level))), 1e-9)  # a flat, made-up series still has some noise
    v = np.maximum(v, floor**2)
    best, noise = np.inf, Noise(floor, 0.0, 0.0, floor)
    for rho in np.arange(0.3, 0.96, 0.05):
        design = np.column_stack([2 * (1 - rho**k), k, np.full(len(k), 2.0)])
        parts, miss = nnls(design / v[:, None], np.ones(len(v)))
        if miss < best:
            best = miss
            sd, walk, white = (float(np.sqrt(part)) for part in parts)
            noise = Noise(sd, float(rho), walk, max(white, 0.2 * float(np.sqrt(v[0]))))
    return noise


def jump(level: Floats) -> float:
    """Return the difference between successive days that is out of the ordinary, from a past window (N,)."""
    return _JUMP * float(robust.scale(np.diff(level), centre=0.0))


def forecasts(level: Floats, noise: Noise) -> Floats:
    """Return each day's level as forecast from the days before it: shape (N,)."""
    test, ahead = noise.forecaster(), noise.ahead()
    padded = np.concatenate([np.full(WINDOW, np.nan), level])
    return np.array([test.forecast(padded[i : i + WINDOW], ahead) for i in range(len(level))])


def liveliness(errors: Floats, usual: float) -> float:
    """Return how lively the noise is against the usual: robust scale of the last forecast errors over it.

    A summer of sprinklers is livelier than a winter. Leaks make few large errors and do not count; of the last ten
    days and the last four weeks, the livelier one does.

    Parameters
    ----------
    errors : ndarray, shape (N,)
        Forecast errors of the days before, newest last.
    usual : float
        Their robust standard deviation in the fit window.
    """
    found = [float(robust.scale(errors[-n:], centre=0.0)) for n in _LIVELY if np.isfinite(errors[-n:]).sum() >= n // 2]
    return 1.0 if not found else max(_CALMEST, max(found) / usual)


def daily_threshold(white: Floats, noise: Noise, false_alarms: float, *, seed: int = 0) -> float:
    """Return the threshold of the daily test that noise alone reaches `false_alarms` times a year.

    Parameters
    ----------
    white : ndarray, shape (N,)
        Forecast errors of the fit window over `liveliness` and the noise's own standard deviation ahead; those beyond
        four robust standard deviations are cut: they may be leaks.
    noise : Noise
    false_alarms : float
    """
    spread = float(robust.scale(white, centre=0.0))
    white = np.clip(white, -_CUT * spread, _CUT * spread)
    length = WINDOW + _DAYS
    drawn = bootstrap(white, (_YEARS, length), block=_BLOCK, rng=np.random.default_rng(seed))
    series = drawn @ cholesky(noise.covariance(length), lower=True).T
    filters = noise.test().filters().T
    top = np.empty((_YEARS, _DAYS))
    for t in range(_DAYS):
        top[:, t] = (series[:, t + 1 : t + 1 + WINDOW] @ filters).max(axis=1)
    return threshold_for(np.maximum(top, 0.0) ** 2, false_alarms * _YEARS, REST)


def tail_threshold(peaks: Floats, per_year: float) -> float:
    """Return the height that the largest value of a day comes to `per_year` times a year.

    The tail above the 80 % quantile is taken as exponential, its scale from the 80 and 97 % quantiles: the highest 3 %
    of the days, where leaks of the fit window would be, have no say.

    Parameters
    ----------
    peaks : ndarray, shape (N,)
        Largest value of each past day.
    per_year : float
    """
    base, high = float(robust.quantile(peaks, 0.80)), float(robust.quantile(peaks, 0.97))
    scale = (high - base) / float(np.log(0.20 / 0.03))
    unsure = 1.0 + 1.28 / float(np.sqrt(0.20 * len(peaks)))  # upper end of the scale's 80 % interval
    return base + scale * unsure * float(np.log(0.20 * _DAYS / per_year))
