"""Noise of block residuals: estimates on simulated noise whose covariances are known."""

from __future__ import annotations

import numpy as np
import pytest

from leakdetect.stages.residuals import block_means, fit_noise

PER_DAY = 4
FLOOR = np.full(4, 1e-3)


def simulate(days: int, white: np.ndarray, walk: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return block residuals (B, C) of white noise by band about a random walk by band, and the bands."""
    random = np.random.default_rng(seed)
    channels = white.shape[1]
    blocks = days * PER_DAY
    band = (np.arange(blocks) % PER_DAY >= 2).astype(np.int64)
    roots = [np.linalg.cholesky(w) for w in white]
    step = np.linalg.cholesky(walk / PER_DAY)
    level = np.cumsum(random.normal(size=(blocks, 2 * channels)) @ step.T, axis=0)
    noise = random.normal(size=(blocks, channels))
    rows = [level[i, band[i] * channels : (band[i] + 1) * channels] + roots[band[i]] @ noise[i] for i in range(blocks)]
    return np.array(rows), band


def known() -> tuple[np.ndarray, np.ndarray]:
    together = 0.5 + 0.5 * np.eye(4)
    white = np.array([0.02**2 * together, 0.05**2 * together])
    sd = np.r_[np.full(4, 0.01), np.full(4, 0.02)]
    return white, np.outer(sd, sd) * (0.3 + 0.7 * np.eye(8))


def test_both_parts_are_recovered() -> None:
    white, walk = known()
    residual, band = simulate(1500, white, walk)
    noise = fit_noise(residual, band, PER_DAY, FLOOR)
    for b in (0, 1):
        assert np.sqrt(np.diag(noise.white[b])) == pytest.approx(np.sqrt(np.diag(white[b])), rel=0.12)
        correlation = noise.white[b][0, 1] / noise.white[b][0, 0]
        assert correlation == pytest.approx(0.5, abs=0.12)
    assert np.sqrt(np.diag(noise.walk)) == pytest.approx(np.sqrt(np.diag(walk)), rel=0.25)
    assert 0.1 < noise.walk[0, 1] / noise.walk[0, 0] < 0.35


def test_they_are_covariances_even_with_gaps_and_a_short_window() -> None:
    white, walk = known()
    residual, band = simulate(21, white, walk, seed=5)
    residual[np.random.default_rng(0).random(residual.shape) < 0.3] = np.nan
    residual[:, 3] = np.nan
    noise = fit_noise(residual, band, PER_DAY, FLOOR)
    for matrix in (*noise.white, noise.walk):
        np.testing.assert_allclose(matrix, matrix.T)
        assert np.linalg.eigvalsh(matrix).min() > 0
    # A sensor that was silent throughout proves nothing when it speaks again.
    assert (noise.white[:, 3, 3] > 1e3).all()
    assert (noise.white[:, :3, :3] < 0.1).all()
    assert (np.diagonal(noise.white, axis1=1, axis2=2) >= FLOOR**2 * 0.999).all()


def test_a_leak_that_comes_and_goes_hardly_touches_them() -> None:
    white, walk = known()
    residual, band = simulate(400, white, walk)
    leaking = residual.copy()
    leaking[500:700] -= np.array([0.5, 0.8, 0.1, 1.0])
    quiet, loud = fit_noise(residual, band, PER_DAY, FLOOR), fit_noise(leaking, band, PER_DAY, FLOOR)
    assert np.sqrt(np.diag(loud.white[0])) == pytest.approx(np.sqrt(np.diag(quiet.white[0])), rel=0.1)
    assert (np.sqrt(np.diag(loud.walk)) < 1.5 * np.sqrt(np.diag(quiet.walk))).all()
    # Taken plainly, the two jumps would be most of the wandering.
    weeks = [r[: 57 * 28, 3].reshape(57, 28).mean(axis=1) for r in (leaking, residual)]
    assert np.diff(weeks[0]).std() > 2 * np.diff(weeks[1]).std()


def test_block_means() -> None:
    values = np.array([[1.0, np.nan], [3, np.nan], [np.nan, np.nan], [np.nan, 4], [5, 1], [5, 2], [5, 3], [9, 6]])
    means = block_means(values, 4)
    assert means[0, 0] == 2
    assert np.isnan(means[0, 1])
    assert means[1].tolist() == [6, 3]
