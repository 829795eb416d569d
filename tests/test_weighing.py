"""What else was weighed: shares of what has changed, against least squares written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leakdetect.hydraulic.weighing import weigh
from leakdetect.stages.detection.history import Leak
from leakdetect.stages.detection.tracker import RIVAL_ODDS
from leakdetect.stages.detection.windows import Deviation, Picture

C, K, N = 4, 3, 6
NAMES = ("sensor a", "sensor b", "setting of v", "demand of z")


def invent(seed: int) -> tuple[Picture, Deviation]:
    random = np.random.default_rng(seed)
    root = random.normal(size=(2 * C, 4 * C))
    picture = Picture(
        random.normal(size=(K, C, N)), random.normal(size=(K, C, len(NAMES))), NAMES, np.array([-1, -1, 7, -1]),
        np.array([False, False, False, True]), np.zeros((2, C, C)), np.zeros((2 * C, 2 * C)), 4, np.ones(C),
    )  # fmt: skip
    return picture, Deviation(random.normal(size=2 * C) * 3, root @ root.T / 9, random.dirichlet(np.ones(K), 2))


def share(seen: Deviation, table: np.ndarray) -> tuple[float, float]:
    """Return the signed share of the weighted squares that one cause (K, C) removes, and all of them."""
    effect, weight = (seen.load @ table.reshape(K, C)).ravel(), np.linalg.inv(seen.cov)
    size = effect @ weight @ seen.value / (effect @ weight @ effect)
    left = seen.value - size * effect
    whole = seen.value @ weight @ seen.value
    return float(np.sign(size) * (1 - left @ weight @ left / whole)), float(whole)


@pytest.mark.parametrize("seed", range(6))
def test_shares_are_those_of_least_squares(seed: int) -> None:
    picture, seen = invent(seed)
    evidence = seen.against(picture.signature)[0]
    found = weigh(picture, seen, evidence, [])
    leak, whole = share(seen, picture.signature[:, :, int(np.argmax(evidence))])
    assert found[0] == {
        "cause": "leak",
        "evidence": pytest.approx(leak * whole - 2 * np.log(N), abs=0.01),
        "explained": pytest.approx(leak, abs=1e-4),
    }
    of = {name: share(seen, picture.rival[:, :, x])[0] for x, name in enumerate(NAMES)}
    best = max(NAMES[:2], key=lambda name: abs(of[name]))  # the better of two sensors stands for both
    wanted = {best: abs(of[best]), NAMES[2]: abs(of[NAMES[2]]), NAMES[3]: max(-of[NAMES[3]], 0.0)}
    told = {row["cause"]: row for row in found[1:]}
    assert set(told) == {name for name, s in wanted.items() if s > 0}
    for name, row in told.items():
        assert row["explained"] == pytest.approx(wanted[name], abs=1e-4)
        assert row["evidence"] == pytest.approx(wanted[name] * whole - 2 * np.log(RIVAL_ODDS), abs=0.01)
    assert [row["explained"] for row in found[1:]] == sorted((r["explained"] for r in found[1:]), reverse=True)


def test_growth_of_a_known_leak_is_weighed_and_its_end_is_not() -> None:
    picture, seen = invent(1)
    leak = Leak(3, 2, 0, 0, False, 0.1, flow=[5.0])
    effect = (seen.load @ picture.signature[:, :, 2]).ravel()
    grown, ended = (replace(seen, value=size * effect) for size in (2.0, -2.0))
    found = {row["cause"]: row["explained"] for row in weigh(picture, grown, np.array([1.0]), [("event-3", leak)])}
    assert found["growth of event-3"] == pytest.approx(1.0)
    assert "growth of event-3" not in {r["cause"] for r in weigh(picture, ended, np.array([1.0]), [("event-3", leak)])}
