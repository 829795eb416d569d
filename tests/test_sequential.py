from __future__ import annotations

import numpy as np
import pytest

from leakdetect.core.sequential import (
    Glr,
    alarms,
    bootstrap,
    noise_covariance,
    ramp_shapes,
    step_shapes,
    threshold_for,
)

N = 60
AGES = np.array([2, 5, 10, 20])
SHAPES = np.vstack([step_shapes(N, AGES), ramp_shapes(N, AGES)])


def _noise(seed: int, n: int = N) -> np.ndarray:
    root = np.linalg.cholesky(noise_covariance(n, sd=1.0, rho=0.6, walk=0.1, white=0.3))
    return root @ np.random.default_rng(seed).normal(size=n)


def test_glr_is_generalised_least_squares() -> None:
    cov = noise_covariance(N, sd=1.0, rho=0.6, walk=0.1, white=0.3)
    x = _noise(4) + 7.0
    x[[3, 30]] = np.nan
    got = Glr(cov, SHAPES).test(x)
    use = np.isfinite(x)
    inverse = np.linalg.inv(cov[np.ix_(use, use)])
    for k, shape in enumerate(SHAPES):
        design = np.column_stack([np.ones(use.sum()), shape[use]])
        bread = np.linalg.inv(design.T @ inverse @ design)
        beta = bread @ design.T @ inverse @ x[use]
        assert got.amplitude[k] == pytest.approx(beta[1], rel=1e-8)
        assert got.sd[k] == pytest.approx(np.sqrt(bread[1, 1]), rel=1e-8)
        assert got.statistic[k] == pytest.approx(beta[1] ** 2 / bread[1, 1], rel=1e-7)


def test_glr_tells_step_from_ramp_and_up_from_down() -> None:
    test = Glr(noise_covariance(N, sd=1.0, rho=0.6, walk=0.1, white=0.3), SHAPES)
    for k in (2, 7):
        up = test.test(0.2 * _noise(5) + 8.0 * SHAPES[k])
        assert up.best(+1) == k
        assert up.amplitude[k] == pytest.approx(8.0, rel=0.1)
        assert np.argmax(up.weights(+1)) == k
        assert up.weights(+1).sum() == pytest.approx(1.0)
        assert test.test(0.2 * _noise(5) - 8.0 * SHAPES[k]).best(-1) == k


def test_glr_does_not_see_the_level_and_needs_values_before() -> None:
    test = Glr(noise_covariance(N, sd=1.0, rho=0.6, walk=0.1), SHAPES, before=15)
    x = _noise(6)
    np.testing.assert_allclose(test.test(x + 1000.0).statistic, test.test(x).statistic, rtol=1e-6, atol=1e-9)
    x[:30] = np.nan
    told = np.isfinite(test.test(x).statistic)
    assert told.tolist() == [True, True, True, False, True, True, True, False]
    assert test.test(np.full(N, np.nan)).best(1) is None


def test_livelier_noise_lowers_the_statistic() -> None:
    test = Glr(noise_covariance(N, sd=1.0, rho=0.6, walk=0.1), SHAPES)
    x = _noise(7)
    np.testing.assert_allclose(test.test(x, None, np.full(N, 2.0)).statistic, test.test(x).statistic / 4, rtol=1e-9)


def test_filters_are_the_test_of_a_whole_window() -> None:
    test = Glr(noise_covariance(N, sd=1.0, rho=0.6, walk=0.1), SHAPES)
    x = _noise(8)
    change = test.test(x)
    np.testing.assert_allclose(np.sign(change.amplitude) * np.sqrt(change.statistic), test.filters() @ x, atol=1e-8)


def test_forecast_beats_the_mean() -> None:
    cov = noise_covariance(N + 1, sd=1.0, rho=0.9, walk=0.2)
    test = Glr(cov[:N, :N], SHAPES)
    root = np.linalg.cholesky(cov)
    series = (root @ np.random.default_rng(9).normal(size=(N + 1, 400))).T
    error = np.array([s[-1] - test.forecast(s[:-1], cov[-1, :-1]) for s in series])
    assert error.std() == pytest.approx(root[-1, -1], rel=0.15)
    assert error.std() < 0.5 * (series[:, -1] - series[:, :-1].mean(axis=1)).std()


def test_threshold_keeps_to_the_wanted_number() -> None:
    x = np.abs(np.random.default_rng(10).normal(size=(50, 300)))
    height = threshold_for(x, wanted=40, rest=10)
    assert alarms(x, height, 10) <= 40 < alarms(x, height * 0.97, 10)


def test_bootstrap_keeps_what_follows_upon_what() -> None:
    pool = np.append(np.arange(100.0), np.nan)
    drawn = bootstrap(pool, (5, 23), block=7, rng=np.random.default_rng(0))
    assert drawn.shape == (5, 23)
    follows = np.diff(drawn, axis=1) % 100 == 1
    inside = np.arange(22) % 7 != 6
    assert follows[:, inside].all()
