from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from leakdetect.core import robust

values = arrays(float, st.integers(1, 30), elements=st.floats(-1e6, 1e6) | st.just(np.nan))


@given(values, st.floats(0, 1))
def test_quantile_is_numpys_without_nan(x: np.ndarray, q: float) -> None:
    got = robust.quantile(x, q)
    if np.isfinite(x).any():
        assert got == pytest.approx(np.nanquantile(x, q), rel=1e-9, abs=1e-6)
    else:
        assert np.isnan(got)


def test_quantile_along_an_axis() -> None:
    x = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, 4.0]])
    np.testing.assert_allclose(robust.quantile(x, 0.5, axis=0), [2.0, 4.0])
    assert robust.quantile(np.empty((0,)), 0.5).shape == ()


def test_scale_estimates_the_standard_deviation_and_stands_outliers() -> None:
    x = np.random.default_rng(1).normal(5.0, 2.0, 4000)
    assert robust.scale(x) == pytest.approx(2.0, rel=0.05)
    x[:800] += 50.0
    assert robust.scale(x) == pytest.approx(2.0, rel=0.4)
    assert robust.scale(x - 5.0, centre=0.0, part=0.3) == pytest.approx(2.0, rel=0.35)


def test_covariance_is_near_the_truth_with_outlying_rows() -> None:
    rng = np.random.default_rng(2)
    truth = np.array([[4.0, 1.2], [1.2, 1.0]])
    x = rng.multivariate_normal([0, 0], truth, 5000)
    x[:40] = [100.0, -100.0]
    x[40] = np.nan
    np.testing.assert_allclose(robust.covariance(x, shrink=0.0), truth, rtol=0.2)
    with pytest.raises(ValueError, match="three whole rows"):
        robust.covariance(np.full((5, 2), np.nan))


def test_spikes_go_and_steps_stay() -> None:
    x = np.zeros(20)
    x[5] = 10.0
    x[12:] = 7.0
    clean = robust.without_spikes(x, 1.0)
    assert np.isnan(clean[5])
    assert np.array_equal(np.delete(clean, 5), np.delete(x, 5))


def test_the_newest_value_is_cut_until_the_next_tells() -> None:
    x = np.array([0.0, 0.0, 0.0, 8.0])
    assert robust.without_spikes(x, 1.0)[-1] == 1.0
    assert robust.without_spikes(np.append(x, 8.0), 1.0)[-2:].tolist() == [8.0, 8.0]
    assert x[-1] == 8.0  # the input stays as it was
