"""A Kalman filter over levels and leak flows, and the test for a change since any past moment.

The state is (levels of the channels by night, by day, flows of the known leaks); it wanders as a random walk. The
filter follows it. The test compares the readings since a past moment with what the state of that moment predicts, so
the reference stays frozen while an anomaly lasts (a windowed generalised likelihood ratio, Willsky & Jones 1976).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def update(mean: Floats, cov: Floats, observed: Floats, matrix: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Take one observation (Joseph form; channels that are NaN are left out).

    Parameters
    ----------
    mean, cov : ndarray, shape (X,), (X, X)
    observed : ndarray, shape (C,)
    matrix : ndarray, shape (C, X)
    noise : ndarray, shape (C, C)
    """
    good = np.isfinite(observed)
    if not good.any():
        return mean, cov
    h, r = matrix[good], noise[np.ix_(good, good)]
    ph = cov @ h.T
    gain = sla.cho_solve(sla.cho_factor(h @ ph + r), ph.T).T
    rest = np.eye(len(mean)) - gain @ h
    new = rest @ cov @ rest.T + gain @ r @ gain.T
    return mean + gain @ (observed[good] - h @ mean), (new + new.T) / 2


@dataclass(frozen=True)
class Whitened:
    """A deviation made white: which entries are there, (M,); what whitens them, (m, m); the white deviation, (m,)."""

    good: Mask
    whitener: Floats
    rest: Floats


def whiten(deviation: Floats, cov: Floats) -> Whitened:
    """Whiten a deviation.

    Parameters
    ----------
    deviation : ndarray, shape (M,)
        NaN where there is none.
    cov : ndarray, shape (M, M)
        Its covariance when nothing changed.
    """
    good = np.isfinite(deviation)
    lower = np.linalg.cholesky(cov[np.ix_(good, good)])
    whitener = sla.solve_triangular(lower, np.eye(len(lower)), lower=True, check_finite=False)
    return Whitened(good, whitener, whitener @ deviation[good])


def change_test(deviation: Whitened, candidates: Floats) -> tuple[Floats, Floats]:
    """Test a deviation against many candidate causes at once.

    Parameters
    ----------
    deviation : Whitened
    candidates : ndarray, shape (M, N)
        What a unit of each cause does.

    Returns
    -------
    score : ndarray, shape (N,)
        s' W r.
    information : ndarray, shape (N,)
        s' W s. The size is score / information, its evidence score^2 / information (twice the log likelihood ratio).
    """
    white = deviation.whitener @ (candidates if deviation.good.all() else candidates[deviation.good])
    return deviation.rest @ white, np.einsum("mn,mn->n", white, white)
