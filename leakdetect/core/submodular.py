"""Choosing places one after the other, each where it adds most, and how far from the best choice that can be.

A set function with diminishing returns (monotone and submodular) is served within 1 - 1/e of the best choice of k by
taking, k times, what adds most (Nemhauser, Wolsey, Fisher 1978, Math. Program. 14). What a place would have added
earlier bounds what it adds now, so that few are asked again (Minoux 1978, Lecture Notes Control Inf. Sci. 7). From the
same gains follows a bound for the very problem, mostly far closer to 1 (Leskovec et al. 2007, KDD).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from leakdetect.core.compiled import compiled

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]

_TOLD_APART = 1e-2  # of the mean pair


class Objective(Protocol):
    """A monotone submodular function of a set of places that grows."""

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add to the set, shape (len(places),)."""

    def add(self, place: int) -> None:
        """Take a place into the set."""


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


@dataclass(frozen=True)
class Choice:
    """Places in the order in which they were chosen.

    Attributes
    ----------
    places : ndarray of int, shape (n,)
    gain : ndarray, shape (n,)
        What each added.
    bound : float
        No choice that costs as little adds more than this in all.
    """

    places: Ints
    gain: Floats
    bound: float


def greedy(objective: Objective, places: Ints, cost: Floats, budget: float, by_cost: bool = False) -> Choice:
    """Choose places while the budget lasts, each time the one that adds most, or most for its cost.

    Parameters
    ----------
    objective : Objective
        Is added to.
    places : ndarray of int, shape (S,)
        That may be chosen.
    cost : ndarray, shape (S,)
        Of each, above 0.
    budget : float
    by_cost : bool
        Whether what adds most for its cost is taken.
    """
    worth = cost if by_cost else np.ones(len(places))
    upper = objective.gains(places)
    bound = _bound(upper, cost, budget)
    queue = [(-g / w, i) for i, (g, w) in enumerate(zip(upper.tolist(), worth.tolist(), strict=True))]
    heapq.heapify(queue)
    chosen: list[int] = []
    gain: list[float] = []
    left, slack, taken = budget, 1e-9 * budget, np.full(len(places), -1)
    while queue:
        i = heapq.heappop(queue)[1]
        if cost[i] > left + slack:
            continue
        if taken[i] == len(chosen):
            if upper[i] <= 0:
                break
            objective.add(int(places[i]))
            chosen.append(i)
            gain.append(float(upper[i]))
            left -= cost[i]
        else:  # rounding must not let an upper bound grow
            upper[i] = min(float(objective.gains(places[i : i + 1])[0]), upper[i])
            taken[i] = len(chosen)
            heapq.heappush(queue, (-upper[i] / worth[i], i))
    taken_in = places[chosen]
    return Choice(taken_in, np.array(gain), min(bound, bound_at(objective, taken_in, sum(gain), places, cost, budget)))


def bound_at(objective: Objective, chosen: Ints, gain: float, places: Ints, cost: Floats, budget: float) -> float:
    """Return what no choice gains more than, from what places add to a set (Leskovec et al. 2007).

    Parameters
    ----------
    objective : Objective
        With the set in it.
    chosen : ndarray of int
        The set.
    gain : float
        Of the set.
    places, cost, budget : see `greedy`
    """
    rest = objective.gains(places)
    rest[np.isin(places, chosen)] = 0.0
    return gain + _bound(rest, cost, budget)


def best_choice(
    objective: Callable[[], Objective], places: Ints, cost: Floats, budget: float
) -> Choice:  # fmt: skip
    """Choose by what adds most and, where costs differ, also by what adds most for its cost; return the better.

    The better of the two is at least (1 - 1/e) / 2 of the best where costs differ (Leskovec et al. 2007), and at least
    1 - 1/e where they do not.

    Parameters
    ----------
    objective : callable
        Returns it without any of the places.
    places, cost, budget : see `greedy`
    """
    plain = greedy(objective(), places, cost, budget)
    if np.ptp(cost) == 0:
        return plain
    other = greedy(objective(), places, cost, budget, by_cost=True)
    best = max((plain, other), key=lambda c: c.gain.sum())
    return Choice(best.places, best.gain, min(plain.bound, other.bound))


def gains_of(objective: Objective, places: Ints) -> Floats:
    """Return what places add one after the other, shape (n,); they are in the objective then."""
    out = np.empty(len(places))
    for k, place in enumerate(places.tolist()):
        out[k] = objective.gains(np.array([place], dtype=np.int64))[0]
        objective.add(place)
    return out


def _bound(gain: Floats, cost: Floats, budget: float) -> float:
    """Return the most that places could add within a budget if none took from another: a knapsack, the last in part."""
    order = np.argsort(-gain / cost, kind="stable")
    filled = np.clip((budget - np.r_[0.0, np.cumsum(cost[order])[:-1]]) / cost[order], 0.0, 1.0)
    return float((filled * gain[order]).sum())


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
