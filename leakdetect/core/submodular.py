"""Choosing places one after the other, each where it adds most, and how far from the best choice that can be.

A set function with diminishing returns (monotone and submodular) is served within 1 - 1/e of the best choice of k by
taking, k times, what adds most (Nemhauser, Wolsey, Fisher 1978, Math. Program. 14). What a place would have added
earlier bounds what it adds now, so that few are asked again (Minoux 1978, Lecture Notes Control Inf. Sci. 7). From the
same gains follows a bound for the very problem, mostly far closer to 1 (Leskovec et al. 2007, KDD).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.compiled import compiled

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]


class Objective(Protocol):
    """A monotone submodular function of a set of places that grows."""

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add to the set, shape (len(places),)."""

    def add(self, place: int) -> None:
        """Take a place into the set."""


class Coverage:
    """How much of what each leak needs has been gathered: sum over leaks of weight x min(1, sum of evidence).

    Each place's evidence counts to `most` only. Sums of non-negative terms, cut at a ceiling: monotone and submodular.

    Parameters
    ----------
    evidence : ndarray of float32, shape (S, M)
        Of each place for each leak, as a share of what is needed.
    weight : ndarray, shape (M,)
    most : float
        Share that one place may count for.
    """

    def __init__(self, evidence: Singles, weight: Floats, most: float = 1.0) -> None:
        self._evidence, self._weight, self._most = evidence, weight, np.float32(most)
        self.missing: Floats = np.ones(len(weight))

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add; see `Objective`."""
        out = np.empty(len(places))
        _coverage_gains(self._evidence, places, self._weight, self.missing, self._most, out)
        return out

    def add(self, place: int) -> None:
        """Take a place into the set."""
        self.missing = np.maximum(self.missing - np.minimum(self._evidence[place], self._most), 0.0)


class Separation:
    """How much of what a leak may be confused with has been told apart: sum over pairs of weight x (1 - confusion).

    The confusion of a pair is the product of what each place leaves of it, exp(-|x_a - x_b|^2 / 8): a concave function
    of a sum, so monotone and submodular.

    Parameters
    ----------
    response : ndarray of float32, shape (S, K, M)
        What each place shows of each leak, in standard deviations of its noise.
    first, second : ndarray of int, shape (P,)
        The leaks of each pair.
    weight : ndarray, shape (P,)
    """

    def __init__(self, response: Singles, first: Ints, second: Ints, weight: Floats) -> None:
        self._response, self._first, self._second = response, first, second
        self.left: Floats = weight.astype(float)
        """Weight x confusion of each pair."""

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add; see `Objective`."""
        out = np.empty(len(places))
        _separation_gains(self._response, places, self._first, self._second, self.left, out)
        return out

    def add(self, place: int) -> None:
        """Take a place into the set."""
        apart = self._response[place][:, self._first] - self._response[place][:, self._second]
        self.left = self.left * np.exp(-(apart.astype(float) ** 2).sum(axis=0) / 8)


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
            upper[i] = 0.0
            bound = min(bound, sum(gain) + _bound(upper, cost, budget))
        else:  # rounding must not let an upper bound grow
            upper[i] = min(float(objective.gains(places[i : i + 1])[0]), upper[i])
            taken[i] = len(chosen)
            heapq.heappush(queue, (-upper[i] / worth[i], i))
    rest = objective.gains(places)
    rest[chosen] = 0.0
    bound = min(bound, sum(gain) + _bound(rest, cost, budget))
    return Choice(places[chosen], np.array(gain), bound)


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


def value_of(objective: Objective, places: Sequence[int]) -> float:
    """Return what places add together, one after the other."""
    total = 0.0
    for place in places:
        total += float(objective.gains(np.array([place], dtype=np.int64))[0])
        objective.add(int(place))
    return total


def _bound(gain: Floats, cost: Floats, budget: float) -> float:
    """Return the most that places could add within a budget if none took from another: a knapsack, the last in part."""
    order = np.argsort(-gain / cost, kind="stable")
    filled = np.clip((budget - np.r_[0.0, np.cumsum(cost[order])[:-1]]) / cost[order], 0.0, 1.0)
    return float((filled * gain[order]).sum())


@compiled
def _coverage_gains(
    evidence: Singles, places: Ints, weight: Floats, missing: Floats, most: np.float32, out: Floats
) -> None:  # fmt: skip
    for i in range(len(places)):
        row, sum_ = evidence[places[i]], 0.0
        for j in range(len(weight)):
            sum_ += weight[j] * min(min(row[j], most), missing[j])
        out[i] = sum_


@compiled
def _separation_gains(
    response: Singles, places: Ints, first: Ints, second: Ints, left: Floats, out: Floats
) -> None:  # fmt: skip
    for i in range(len(places)):
        at, sum_ = response[places[i]], 0.0
        for p in range(len(first)):
            apart = np.float32(0.0)
            for k in range(at.shape[0]):
                d = at[k, first[p]] - at[k, second[p]]
                apart += d * d
            sum_ += left[p] * (np.float32(1.0) - np.exp(np.float32(-0.125) * apart))
        out[i] = sum_
