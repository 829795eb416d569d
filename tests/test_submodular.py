"""Greedy choice: diminishing returns, the best choice by trying all, and bounds that are never below it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from leakdetect.core.joint import Conditioned
from leakdetect.core.objectives import Coverage, Separation, touching
from leakdetect.core.submodular import Objective, best_choice, gains_of, greedy

PLACES, LEAKS = 9, 14
random = np.random.default_rng(3)
RESPONSE = (2.0 * random.standard_normal((PLACES, 2, LEAKS)) * random.uniform(0.1, 1, (PLACES, 1, 1))).astype(
    np.float32
)
WEIGHT = random.uniform(1, 3, LEAKS)
FIRST, SECOND = np.triu_indices(LEAKS, 1)
BEGIN = np.searchsorted(FIRST, np.arange(LEAKS + 1))
PAIR = random.uniform(1, 2, len(FIRST))

OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "coverage": lambda: Coverage(RESPONSE, WEIGHT, 12.0, 3.0),
    "separation": lambda: Separation(RESPONSE, BEGIN, SECOND, PAIR),
}


def value(name: str, chosen: tuple[int, ...]) -> float:
    """Return the objective of a set, from its definition."""
    at = RESPONSE[list(chosen)].astype(float)
    if name == "separation":
        apart = ((at[:, :, FIRST] - at[:, :, SECOND]) ** 2).sum(axis=(0, 1))
        return float((PAIR * (1 - np.exp(-apart / 8))).sum())
    touch = touching(12.0)
    evidence = np.minimum((at**2).sum(axis=1), touch - 3.0).sum(axis=0)
    found = np.array([0.5 * math.erfc((math.sqrt(12) - math.sqrt(e)) / math.sqrt(2)) for e in evidence])
    line = evidence * 0.5 * math.erfc((math.sqrt(12) - math.sqrt(touch)) / math.sqrt(2)) / touch
    return float((WEIGHT * np.where(evidence < touch, line, found)).sum())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gains_are_those_of_the_definition(name: str) -> None:
    order = np.array([4, 0, 7, 2])
    found = np.cumsum(gains_of(OBJECTIVES[name](), order))
    # Pairs that are told apart to a hundredth of the mean are left out.
    assert found == pytest.approx([value(name, tuple(order[: k + 1])) for k in range(4)], rel=1e-3)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_more_places_add_less(name: str) -> None:
    """The definition is monotone and submodular: on all pairs of nested sets of up to four places."""
    sets = [s for n in range(4) for s in itertools.combinations(range(PLACES), n)]
    known = {s: value(name, s) for n in range(6) for s in itertools.combinations(range(PLACES), n)}
    for small in sets:
        for more in set(range(PLACES)) - set(small):
            large = tuple(sorted({*small, more}))
            for new in set(range(PLACES)) - set(large):
                gain = known[tuple(sorted({*small, new}))] - known[small]
                later = known[tuple(sorted({*large, new}))] - known[large]
                assert later >= -1e-9
                assert later <= gain + 1e-9


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_greedy_beside_all_choices(name: str, count: int) -> None:
    best = max(value(name, s) for s in itertools.combinations(range(PLACES), count))
    choice = greedy(OBJECTIVES[name](), np.arange(PLACES), np.ones(PLACES), count)
    assert len(choice.places) == count
    assert choice.gain.sum() >= (1 - 1 / np.e) * best
    assert choice.gain.sum() <= best * (1 + 1e-6)
    assert choice.bound >= best * (1 - 1e-6)
    if count == 1:
        assert choice.gain.sum() == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_lazy_is_greedy(name: str) -> None:
    """What a place added earlier bounds what it adds now: the choice is that of asking all of them each time."""
    objective, chosen = OBJECTIVES[name](), []
    for _ in range(5):
        gain = objective.gains(np.arange(PLACES))
        gain[chosen] = -1.0
        chosen.append(int(gain.argmax()))
        objective.add(chosen[-1])
    assert greedy(OBJECTIVES[name](), np.arange(PLACES), np.ones(PLACES), 5).places.tolist() == chosen


@pytest.mark.parametrize("name", OBJECTIVES)
def test_budget(name: str) -> None:
    cost = np.random.default_rng(1).uniform(0.5, 3.0, PLACES)
    within = [
        s for n in range(1, PLACES + 1) for s in itertools.combinations(range(PLACES), n) if cost[list(s)].sum() <= 4
    ]
    best = max(value(name, s) for s in within)
    choice = best_choice(OBJECTIVES[name], np.arange(PLACES), cost, 4.0)
    assert cost[choice.places].sum() <= 4.0
    assert choice.gain.sum() >= (1 - 1 / np.e) / 2 * best
    assert choice.bound >= best * (1 - 1e-6)


def test_the_line_touches_the_chance() -> None:
    """Above the chance everywhere, and at it where it touches."""
    for needed in (25.0, 30.0, 45.0):
        at = np.linspace(1e-3, 6 * needed, 4000)
        chance = np.array([0.5 * math.erfc((math.sqrt(needed) - math.sqrt(e)) / math.sqrt(2)) for e in at])
        touch = touching(needed)
        slope = np.interp(touch, at, chance) / touch
        assert needed < touch < 6 * needed
        assert (slope * at[at < touch] >= chance[at < touch] - 1e-5).all()
        assert slope == pytest.approx((chance / at).max(), rel=1e-4)


class Evidence:
    """Adds up squares: what `Conditioned` must make of shared noise."""

    def __init__(self, response: np.ndarray) -> None:
        self.response = response

    def gains(self, places: np.ndarray) -> np.ndarray:
        return (self.response[places].astype(float) ** 2).sum(axis=(1, 2))

    def add(self, place: int) -> None:
        pass


def test_shared_noise_is_taken_off_exactly() -> None:
    """What places add one after the other is s' W s with the inverse of the whole covariance."""
    shared = random.standard_normal((PLACES, 2, 3))
    shared *= (random.uniform(0.1, 0.95, (PLACES, 2, 1)) ** 0.5) / np.linalg.norm(shared, axis=2, keepdims=True)
    response = RESPONSE.copy()
    inner = Evidence(response)
    order = np.array([5, 1, 8, 3, 0])
    found = gains_of(Conditioned(inner, response, shared.astype(np.float32)), order)
    want = 0.0
    for kind in range(2):
        cov = shared[order, kind] @ shared[order, kind].T
        np.fill_diagonal(cov, 1.0)
        s = RESPONSE[order, kind].astype(float)
        want += np.einsum("im,im->", s, np.linalg.solve(cov, s))
    assert found.sum() == pytest.approx(want, rel=1e-4)
    assert inner.gains(order) == pytest.approx(np.zeros(5), abs=1e-9)  # nothing new comes from them
