"""What a set of places is worth that is monotone and submodular: leaks found, leaks told apart.

A concave growing function of a sum to which each place adds what is not negative; so a further place adds the less,
the more there are. See `core.submodular` for the choice.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from leakdetect.core.compiled import compiled

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

_TOLD_APART = 1e-2  # of the mean pair


class Coverage:
    """How many leaks are found: sum over leaks of weight x chance(sum of the evidence of the places).

    Evidence T is twice a log likelihood ratio, and its root scatters by 1, so that a leak is raised with the chance
    Phi(sqrt(T) - sqrt(h)). In its place stands the least concave function above it: a line from 0 to where it touches,
    then the chance itself (h is so large that nothing is found without evidence). A concave
    growing function of a sum of non-negative terms is monotone and submodular.

    Parameters
    ----------
    response : ndarray of float32, shape (S, K, M)
        What each place shows of each leak, in standard deviations: its squares add up to the evidence.
    weight : ndarray, shape (M,)
    needed : float
        h.
    kept_for_others : float
        Evidence that one place alone cannot give of what it takes to touch.
    """

    def __init__(self, response: Singles, weight: Floats, needed: float, kept_for_others: float = 0.0) -> None:
        self._response, self._weight, self._root = response, weight, float(np.sqrt(needed))
        self._touch = touching(needed)
        self._most = max(self._touch - kept_for_others, 0.0)
        self.gathered: Floats = np.zeros(len(weight))

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add; see `Objective`."""
        out = np.empty(len(places))
        slope = chance(self._touch, self._root) / self._touch
        _coverage_gains(
            self._response, places, self._weight, self.gathered, self._most, self._root, self._touch, slope, out
        )  # fmt: skip
        return out

    def add(self, place: int) -> None:
        """Take a place into the set."""
        evidence = (self._response[place].astype(float) ** 2).sum(axis=0)
        self.gathered = self.gathered + np.minimum(evidence, self._most)


def chance(evidence: float, root: float) -> float:
    """Return Phi(sqrt(evidence) - root)."""
    return 0.5 * math.erfc((root - math.sqrt(evidence)) / math.sqrt(2))


def touching(needed: float) -> float:
    """Return the evidence at which the line from 0 touches the chance of being found: where chance / evidence is most.

    Parameters
    ----------
    needed : float
        At which the chance is a half.
    """
    root = math.sqrt(needed)
    found = minimize_scalar(lambda r: -chance(r * r, root) / (r * r), bounds=(root, root + 6), method="bounded")
    return float(found.x) ** 2


class Separation:
    """How much of what a leak may be confused with has been told apart: sum over pairs of weight x (1 - confusion).

    The confusion of a pair is the product of what each place leaves of it, exp(-|x_a - x_b|^2 / 8): a concave function
    of a sum, so monotone and submodular.

    Parameters
    ----------
    response : ndarray of float32, shape (S, K, M)
        What each place shows of each leak, in standard deviations of its noise.
    begin : ndarray of int, shape (M + 1,)
        Where the pairs of each leak begin.
    second : ndarray of int, shape (P,)
        The other leak of each pair.
    weight : ndarray, shape (P,)
    """

    def __init__(self, response: Singles, begin: Ints, second: Ints, weight: Floats) -> None:
        self._response = response
        self._first = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
        self._second = second
        self.left: Floats = weight.astype(float)
        """Weight x confusion of each pair."""
        self._lay_out()

    def _lay_out(self) -> None:
        self._begin = np.searchsorted(self._first, np.arange(self._response.shape[2] + 1))
        self._single = self.left.astype(np.float32)

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add; see `Objective`."""
        out = np.empty(len(places))
        _separation_gains(self._response, places, self._begin, self._second, self._single, out)
        return out

    def add(self, place: int) -> None:
        """Take a place into the set."""
        at = self._response[place].astype(float)
        apart = at[:, self._first] - at[:, self._second]
        left = self.left * np.exp(-(apart**2).sum(axis=0) / 8)
        # Pairs that are told apart take time and add nothing: together less than a hundredth of what is left.
        keep = left > _TOLD_APART * self.left.sum() / max(len(left), 1)
        self._first, self._second, self.left = self._first[keep], self._second[keep], left[keep]
        self._lay_out()


@compiled
def _coverage_gains(
    response: Singles, places: Ints, weight: Floats, gathered: Floats, most: float, root: float, touch: float,
    slope: float, out: Floats,
) -> None:  # fmt: skip
    now = np.empty(len(weight))
    for j in range(len(weight)):
        e = gathered[j]
        now[j] = slope * e if e < touch else 0.5 * math.erfc((root - math.sqrt(e)) / math.sqrt(2.0))
    for i in range(len(places)):
        row, total = response[places[i]], 0.0
        for j in range(len(weight)):
            e = 0.0
            for k in range(row.shape[0]):
                e += row[k, j] * row[k, j]
            e = gathered[j] + min(e, most)
            then = slope * e if e < touch else 0.5 * math.erfc((root - math.sqrt(e)) / math.sqrt(2.0))
            total += weight[j] * (then - now[j])
        out[i] = total


@compiled
def _separation_gains(
    response: Singles, places: Ints, begin: Ints, second: Ints, left: Singles, out: Floats
) -> None:  # fmt: skip
    loads, leaks = response.shape[1], response.shape[2]
    most = 0
    for a in range(leaks):
        most = max(most, begin[a + 1] - begin[a])
    term = np.empty(most + 4, np.float32)
    for i in range(len(places)):
        at = response[places[i]]
        out[i] = 0.0
        for a in range(leaks):
            first, count = begin[a], begin[a + 1] - begin[a]
            for q in range(count):
                x = np.float32(0.0)
                for k in range(loads):
                    d = at[k, a] - at[k, second[first + q]]
                    x += d * d
                # 1 / e^x as the 32nd power of a short series at x / 32: the compiler does several pairs at once.
                t = min(x * np.float32(0.125), np.float32(20.0)) * np.float32(1 / 32)
                e = t * (np.float32(1 / 24) + t * np.float32(1 / 120))
                e = np.float32(1.0) + t * (np.float32(1.0) + t * (np.float32(1 / 2) + t * (np.float32(1 / 6) + e)))
                e *= e
                e *= e
                e *= e
                e *= e
                e *= e
                term[q] = left[first + q] * (np.float32(1.0) - np.float32(1.0) / e)
            for q in range(count, count + 4):
                term[q] = 0.0
            s0, s1, s2, s3 = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for q in range(0, count, 4):
                s0 += term[q]
                s1 += term[q + 1]
                s2 += term[q + 2]
                s3 += term[q + 3]
            out[i] += (s0 + s1) + (s2 + s3)
