"""Sequential change detection: a GLR test for steps and ramps in correlated noise.

The test remembers a sliding window; the level before the change is unknown and drops out, so a slow season counts as
noise, not as a change.

Sources: Willsky and Jones (1976), IEEE Trans. Automatic Control 21; Basseville and Nikiforov (1993), Detection of
Abrupt Changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, solve_triangular

Floats = NDArray[np.float64]


def noise_covariance(n: int, *, sd: float, rho: float, walk: float, white: float = 0.0) -> Floats:
    """Return the covariance of n successive values of a first-order autoregression plus a random walk.

    Parameters
    ----------
    n : int
    sd, rho : float
        Standard deviation of the autoregression and its correlation from one value to the next.
    walk : float
        Standard deviation of the walk's step; it starts at the first value.
    white : float
        Standard deviation of independent noise on top.
    """
    place = np.arange(n)
    lag = np.abs(place[:, None] - place[None, :])
    together = np.minimum(place[:, None], place[None, :])
    return np.asarray(sd**2 * rho**lag + walk**2 * together + white**2 * (lag == 0))


def step_shapes(n: int, ages: ArrayLike) -> Floats:
    """Return steps of height 1 whose last `age` values of n are up: shape (len(ages), n)."""
    back = np.arange(n)[::-1]
    return (back[None, :] < np.asarray(ages)[:, None]).astype(float)


def ramp_shapes(n: int, ages: ArrayLike) -> Floats:
    """Return ramps that began `age` values ago and reach 1 at the last value: shape (len(ages), n)."""
    back = np.arange(n)[::-1]
    age = np.asarray(ages, dtype=float)[:, None]
    return np.asarray(np.clip(1.0 - back[None, :] / age, 0.0, None))


@dataclass(frozen=True)
class Change:
    """What the GLR test says of each shape.

    Attributes
    ----------
    statistic : ndarray, shape (S,)
        Twice the log likelihood ratio of this shape against no change; NaN where it cannot be told.
    amplitude, sd : ndarray, shape (S,)
        The shape's best height and its standard error, in the values' units.
    """

    statistic: Floats
    amplitude: Floats
    sd: Floats

    def best(self, sign: int) -> int | None:
        """Return the shape with the largest statistic among those of a sign, or None."""
        worth = np.where(self.amplitude * sign > 0, self.statistic, np.nan)
        return None if np.isnan(worth).all() else int(np.nanargmax(worth))

    def weights(self, sign: int, trust: float = 1.0) -> Floats:
        """Return how likely each shape of a sign is, adding up to 1 (flat prior); statistics count times `trust`."""
        worth = np.where((self.amplitude * sign > 0) & np.isfinite(self.statistic), self.statistic, -np.inf)
        likely = np.exp(0.5 * trust * (worth - worth.max()))
        return np.asarray(likely / likely.sum())


class Glr:
    """Generalised likelihood ratio test of a window of values against step and ramp changes.

    Parameters
    ----------
    covariance : array_like, shape (W, W)
        Of the window's noise.
    shapes : array_like, shape (S, W)
        Changes of height 1, newest value last.
    before : int
        A shape is tried only where so many usable values lie before it.
    """

    def __init__(self, covariance: ArrayLike, shapes: ArrayLike, *, before: int = 1) -> None:
        self.covariance = np.asarray(covariance, dtype=float)
        self.shapes = np.asarray(shapes, dtype=float)
        self.before = before
        self._last: tuple[bytes, Floats] = (b"", self.covariance)

    def test(self, window: ArrayLike, shapes: ArrayLike | None = None, spread: ArrayLike | None = None) -> Change:
        """Test the window.

        Parameters
        ----------
        window : array_like, shape (W,)
            Newest last; NaN where there is no value.
        shapes : array_like, shape (S, W), optional
            Other shapes than the ones given at the start.
        spread : array_like, shape (W,), optional
            How much livelier than usual the noise was at each value: whitened values are divided by it.
        """
        x = np.asarray(window, dtype=float)
        s = self.shapes if shapes is None else np.asarray(shapes, dtype=float)
        use = np.isfinite(x)
        none = np.full(len(s), np.nan)
        if use.sum() < 2:
            return Change(none, none.copy(), none.copy())
        white = self._white(use, np.vstack([np.ones(use.sum()), x[use], s[:, use]]).T)
        if spread is not None:
            white = np.asarray(white / np.asarray(spread, dtype=float)[use][:, None])
        level = white[:, 0] / np.linalg.norm(white[:, 0])
        white = white[:, 1:] - np.outer(level, level @ white[:, 1:])  # the level before the change drops out
        value, shape = white[:, 0], white[:, 1:]
        power = (shape**2).sum(axis=0)
        told = ((s[:, use] == 0).sum(axis=1) >= self.before) & (power > 1e-12 * np.maximum(1e-300, power.max()))
        safe = np.where(told, power, 1.0)
        amplitude = np.where(told, (value @ shape) / safe, np.nan)
        return Change(amplitude**2 * power, amplitude, np.where(told, 1.0 / np.sqrt(safe), np.nan))

    def forecast(self, window: ArrayLike, noise: ArrayLike) -> float:
        """Return the best linear forecast of the value after the window.

        Parameters
        ----------
        window : array_like, shape (W,)
        noise : array_like, shape (W,)
            Covariance of the next value with each of the window's.
        """
        x, c = np.asarray(window, dtype=float), np.asarray(noise, dtype=float)
        use = np.isfinite(x)
        if not use.any():
            return float("nan")
        white = self._white(use, np.vstack([np.ones(use.sum()), x[use], c[use]]).T)
        mean = (white[:, 0] @ white[:, 1]) / (white[:, 0] @ white[:, 0])
        return float(mean + white[:, 2] @ (white[:, 1] - mean * white[:, 0]))

    def filters(self) -> Floats:
        """Return F, shape (S, W), such that a whole window x has statistics (F x)^2, signed as F x."""
        root = self._root
        white = solve_triangular(root, np.column_stack([np.ones(len(root)), self.shapes.T]), lower=True)
        level = white[:, 0] / np.linalg.norm(white[:, 0])
        shape = white[:, 1:] - np.outer(level, level @ white[:, 1:])
        shape /= np.linalg.norm(shape, axis=0)
        return np.asarray(solve_triangular(root.T, shape, lower=False).T)

    @cached_property
    def _root(self) -> Floats:
        return np.asarray(cholesky(self.covariance, lower=True))

    def _white(self, use: NDArray[np.bool_], columns: Floats) -> Floats:
        if use.all():
            root = self._root
        else:  # the same gaps are asked for again and again
            key = use.tobytes()
            if self._last[0] != key:
                self._last = key, np.asarray(cholesky(self.covariance[np.ix_(use, use)], lower=True))
            root = self._last[1]
        return np.asarray(solve_triangular(root, columns, lower=True))


def bootstrap(innovations: ArrayLike, shape: tuple[int, int], *, block: int, rng: np.random.Generator) -> Floats:
    """Draw series of innovations in blocks, so that what follows upon what stays as it was.

    Parameters
    ----------
    innovations : array_like, shape (n,)
        Whitened residuals of a past window; NaN are left out.
    shape : tuple of int
        Number of series and their length.
    block : int
        Length of a block.
    rng : numpy.random.Generator
    """
    pool = np.asarray(innovations, dtype=float)
    pool = pool[np.isfinite(pool)]
    count, length = shape
    pieces = -(-length // block)
    first = rng.integers(0, len(pool), size=(count, pieces))
    place = (first[:, :, None] + np.arange(block)) % len(pool)
    return np.asarray(pool[place.reshape(count, -1)[:, :length]])


def alarms(statistic: ArrayLike, threshold: float, rest: int) -> int:
    """Count how often series of statistics, shape (N, T), come to the threshold, at most once in `rest` values."""
    above = np.asarray(statistic) >= threshold
    count = 0
    free = np.zeros(len(above), dtype=int)
    for t in np.flatnonzero(above.any(axis=0)):
        now = above[:, t] & (free <= t)
        count += int(now.sum())
        free[now] = t + rest
    return count


def threshold_for(statistic: ArrayLike, wanted: float, rest: int) -> float:
    """Return the smallest threshold that is reached at most `wanted` times in all, by bisection.

    Parameters
    ----------
    statistic : array_like, shape (N, T)
        N series without a change.
    wanted : float
        Number of alarms in all N series together.
    rest : int
        Values after an alarm in which another is not counted.
    """
    x = np.asarray(statistic, dtype=float)
    low, high = 0.0, float(np.nanmax(x)) * 1.001 + 1e-12
    for _ in range(40):
        middle = 0.5 * (low + high)
        if alarms(x, middle, rest) > wanted:
            low = middle
        else:
            high = middle
    return high
