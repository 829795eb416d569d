"""The test against many candidates at once: the fast way against the plain one."""

from __future__ import annotations

import numpy as np
import pytest

from leakdetect.core import scoring
from leakdetect.core.scoring import change_test, greatest, whiten


@pytest.mark.parametrize(("times", "causes"), [(1, 1), (7, 300), (300, 7), (257, 513), (600, 1100)])
def test_the_greatest_is_that_of_all_one_by_one(times: int, causes: int) -> None:
    """Sizes below, at and beyond the pieces; one cause that no sensor feels; the same cause twice."""
    random = np.random.default_rng(times)
    root = random.normal(size=(9, 20))
    cov, table = root @ root.T, random.normal(size=(9, causes))
    if causes > 1:
        table[:, causes // 2] = 0.0
        table[:, -1] = table[:, 0]
    deviations = random.normal(size=(times, 9)) * 3
    white = whiten(deviations[0], cov)
    evidence, cause, size = greatest(deviations @ white.whitener.T, white.whitener, table)
    inverse = np.linalg.inv(cov)
    score = deviations @ inverse @ table
    information = np.maximum(np.einsum("mn,mk,kn->n", table, inverse, table), scoring.LEAST_INFORMATION)
    every = np.sign(score) * score**2 / information
    assert evidence == pytest.approx(every.max(axis=1), rel=1e-9, abs=1e-12)
    assert every[np.arange(times), cause] == pytest.approx(evidence, rel=1e-9, abs=1e-12)
    assert size == pytest.approx((score / information)[np.arange(times), cause], rel=1e-9, abs=1e-9)
    assert (cause < max(causes - 1, 1)).all()  # of two that are the same, the first


def test_the_greatest_of_a_window_is_that_of_its_test() -> None:
    random = np.random.default_rng(1)
    root = random.normal(size=(6, 12))
    white = whiten(random.normal(size=6), root @ root.T)
    table = random.normal(size=(6, 50))
    score, information = change_test(white, table)
    evidence = np.sign(score) * score**2 / information
    found, cause, size = greatest(white.rest[None], white.whitener, table)
    assert found[0] == pytest.approx(evidence.max())
    assert cause[0] == evidence.argmax()
    assert size[0] == pytest.approx((score / information)[cause[0]])


def test_a_covariance_that_is_none() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        whiten(np.ones(2), np.array([[1.0, 2.0], [2.0, 1.0]]))
