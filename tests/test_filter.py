"""The filter against steps worked by hand and against all readings at once; the test for a change by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg as sla
from hypothesis import given
from hypothesis import strategies as st

from leakdetect.core.filter import update
from leakdetect.core.scoring import change_test, whiten

NOTHING = np.array([np.nan])


def covariance(random: np.random.Generator, size: int) -> np.ndarray:
    root = random.normal(size=(size, size + 2))
    return root @ root.T / size


def test_a_step_by_hand() -> None:
    """Believed 0 with variance 4, read 2 with variance 1: gain 0.8."""
    mean, cov = update(np.zeros(1), np.eye(1) * 4, np.array([2.0]), np.eye(1), np.eye(1))
    assert mean == pytest.approx([1.6])
    assert cov == pytest.approx(np.array([[0.8]]))
    # The same again: variance 1 / (1/0.8 + 1).
    mean, cov = update(mean, cov, np.array([2.0]), np.eye(1), np.eye(1))
    assert mean == pytest.approx([16 / 9])
    assert cov == pytest.approx(np.array([[4 / 9]]))


def test_a_level_and_a_leak_by_hand() -> None:
    """One channel reads level + 2 x leak; both believed 0 with variance 1; 5 read with variance 5: gains 0.1, 0.2."""
    mean, cov = update(np.zeros(2), np.eye(2), np.array([5.0]), np.array([[1.0, 2.0]]), np.array([[5.0]]))
    assert mean == pytest.approx([0.5, 1.0])
    assert cov == pytest.approx(np.array([[0.9, -0.2], [-0.2, 0.6]]))


@given(st.integers(0, 1000))
def test_information_form(seed: int) -> None:
    random = np.random.default_rng(seed)
    states, channels = random.integers(1, 6, 2)
    mean, cov = random.normal(size=states), covariance(random, states)
    matrix, noise = random.normal(size=(channels, states)), covariance(random, channels)
    observed = random.normal(size=channels)
    silent = random.random(channels) < 0.3
    observed[silent] = np.nan
    new, spread = update(mean, cov, observed, matrix, noise)
    h, r = matrix[~silent], np.linalg.inv(noise[np.ix_(~silent, ~silent)])
    information = np.linalg.inv(cov) + h.T @ r @ h
    np.testing.assert_allclose(spread, np.linalg.inv(information), rtol=1e-6, atol=1e-8)
    right = np.linalg.solve(cov, mean) + h.T @ r @ observed[~silent]
    np.testing.assert_allclose(new, np.linalg.solve(information, right), rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(spread, spread.T)


def test_silence_changes_nothing() -> None:
    mean, cov = np.ones(2), np.eye(2)
    new, spread = update(mean, cov, NOTHING, np.ones((1, 2)), np.eye(1))
    assert new is mean
    assert spread is cov


def test_a_random_walk_one_by_one_is_all_at_once() -> None:
    random = np.random.default_rng(3)
    steps, walk, noise = 12, 0.3, 0.8
    observed = random.normal(size=steps)
    mean, cov = np.zeros(1), np.eye(1) * 2.0
    for value in observed:
        mean, cov = update(mean, cov + walk, np.array([value]), np.eye(1), np.eye(1) * noise)
    levels = 2.0 + walk * np.minimum.outer(np.arange(1, steps + 1), np.arange(1, steps + 1))
    gain = levels[-1] @ np.linalg.inv(levels + noise * np.eye(steps))
    assert mean[0] == pytest.approx(gain @ observed)
    assert cov[0, 0] == pytest.approx(levels[-1, -1] - gain @ levels[-1])


@given(st.integers(0, 1000))
def test_a_change_by_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    channels, causes = int(random.integers(2, 8)), 5
    cov, table = covariance(random, channels), random.normal(size=(channels, causes))
    deviation = random.normal(size=channels)
    deviation[random.integers(channels)] = np.nan
    score, information = change_test(whiten(deviation, cov), table)
    good = np.isfinite(deviation)
    rest, inside = deviation[good], cov[np.ix_(good, good)]
    for cause in range(causes):
        s = table[good, cause]

        def misfit(size: float, s: np.ndarray = s) -> float:
            left = rest - size * s
            return float(left @ np.linalg.solve(inside, left))

        size = score[cause] / information[cause]
        assert misfit(size) <= min(misfit(size * 1.01), misfit(size * 0.99), misfit(size + 1e-3), misfit(size - 1e-3))
        assert score[cause] ** 2 / information[cause] == pytest.approx(misfit(0) - misfit(size), rel=1e-6, abs=1e-9)


def test_evidence_of_nothing_is_chi_square() -> None:
    random = np.random.default_rng(0)
    cov = covariance(random, 6)
    table = random.normal(size=(6, 1))
    root = sla.cholesky(cov, lower=True)
    evidence = []
    for _ in range(3000):
        score, information = change_test(whiten(root @ random.normal(size=6), cov), table)
        evidence.append(score[0] ** 2 / information[0])
    assert np.mean(evidence) == pytest.approx(1, abs=0.08)
    assert np.mean(np.array(evidence) > 3.84) == pytest.approx(0.05, abs=0.015)
