"""A Kalman filter over levels and leak flows.

The state is (levels of the channels by night, by day, flows of the known leaks); it wanders as a random walk. The
filter follows it; `core.window` and `core.scoring` test for a change since any past moment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

Floats = NDArray[np.float64]


def update(mean: Floats, cov: Floats, observed: Floats, matrix: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Take one observation (Joseph form; channels that are NaN are left out).

    Parameters
    ----------
    mean, cov : ndarray, shape (X,), (X, X)
    observed : ndarray, shape (C,)
    matrix : ndarray, shape (C, X)
    noise : ndarray, shape (C, C)

    Raises
    ------
    LinAlgError
        If the covariance of what is observed is not positive definite.
    """
    good = np.isfinite(observed)
    if not good.any():
        return mean, cov
    h, r = matrix[good], noise[np.ix_(good, good)]
    ph = cov @ h.T
    _, turned, failed = dposv(h @ ph + r, ph.T)
    if failed:
        raise np.linalg.LinAlgError("the covariance of what is observed is not positive definite")
    gain = turned.T
    rest = np.eye(len(mean)) - gain @ h
    new = rest @ cov @ rest.T + gain @ r @ gain.T
    return mean + gain @ (observed[good] - h @ mean), (new + new.T) / 2
