"""The test for a change since a past moment, against many candidate causes at once.

It compares the readings since that moment with what the filter's state of that moment predicts, so the reference stays
frozen while an anomaly lasts (a windowed generalised likelihood ratio, Willsky & Jones 1976). The work is one matrix
product and one pass over what it gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtrtri

from leakdetect.core.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

LEAST_INFORMATION = 1e-12
"""Of a cause that no sensor feels."""

_TIMES, _CAUSES = 256, 512  # whose product, 1 MB, stays in cache


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

    Raises
    ------
    LinAlgError
        If the covariance is not positive definite.
    """
    good = np.isfinite(deviation)
    known = cov if good.all() else cov[np.ix_(good, good)]
    lower, failed = dpotrf(known.T, lower=1, clean=1)
    if not failed:
        whitener, failed = dtrtri(lower, lower=1, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError("the covariance of a deviation is not positive definite")
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
    score, information = np.zeros(white.shape[1]), np.zeros(white.shape[1])
    _reduce(deviation.rest, white, score, information)
    return score, information


@compiled
def _reduce(rest: Floats, white: Floats, score: Floats, information: Floats) -> None:
    """Add up rest' white and the squares of the columns of white."""
    for m in range(white.shape[0]):
        r = rest[m]
        for n in range(white.shape[1]):
            score[n] += r * white[m, n]
            information[n] += white[m, n] * white[m, n]


def greatest(rest: Floats, whitener: Floats, candidates: Floats) -> tuple[Floats, Ints, Floats]:
    """Find the cause that best explains each of T deviations of one covariance.

    Memory does not grow with T times N: candidates and deviations go through in pieces that stay in cache. A candidate
    made white and of unit length turns a deviation into the root of its evidence, so that nothing is left to do beside
    the matrix product but to find the largest.

    Parameters
    ----------
    rest : ndarray, shape (T, m)
        White deviations.
    whitener : ndarray, shape (m, m)
        Theirs.
    candidates : ndarray, shape (m, N)
        What a unit of each cause does, N > 0.

    Returns
    -------
    evidence : ndarray, shape (T,)
        Twice the log likelihood ratio; below 0 where even the best cause would have a negative size.
    cause : ndarray of int, shape (T,)
    size : ndarray, shape (T,)
    """
    times, causes = len(rest), candidates.shape[1]
    top, cause, unit = np.full(times, -np.inf), np.zeros(times, dtype=np.int64), np.ones(times)
    product = np.empty((min(times, _TIMES), min(causes, _CAUSES)))
    for first in range(0, causes, _CAUSES):
        white = whitener @ candidates[:, first : first + _CAUSES]
        length = np.sqrt(np.maximum(np.einsum("mn,mn->n", white, white), LEAST_INFORMATION))
        white /= length
        for begin in range(0, times, _TIMES):
            piece = slice(begin, min(begin + _TIMES, times))
            roots = product[: piece.stop - begin, : white.shape[1]]
            np.matmul(rest[piece], white, out=roots)
            found = roots.argmax(axis=1)
            value = roots[np.arange(len(roots)), found]
            better = np.flatnonzero(value > top[piece]) + begin
            found, value = found[better - begin], value[better - begin]
            top[better], cause[better], unit[better] = value, first + found, length[found]
    return np.sign(top) * top**2, cause, top / unit
