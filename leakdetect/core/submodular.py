"""Choosing places one after the other, each where it adds most, and how far from the best choice that can be.

A set function with diminishing returns (monotone and submodular) is served within 1 - 1/e of the best choice of k by
taking, k times, what adds most (Nemhauser, Wolsey, Fisher 1978, Math. Program. 14). What a place would have added
earlier bounds what it adds now, so that few are asked again (Minoux 1978, Lecture Notes Control Inf. Sci. 7). From the
same gains follows a bound for the very problem, mostly far closer to 1 (Leskovec et al. 2007, KDD).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Objective(Protocol):
    """A monotone submodular function of a set of places that grows."""

    def gains(self, places: Ints) -> Floats:
        """Return what each of these places would add to the set, shape (len(places),)."""

    def add(self, place: int) -> None:
        """Take a place into the set."""


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
