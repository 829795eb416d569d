"""Placing by whole effects: every candidate at the flow that it would need."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leakdetect.hydraulic.engine import FLOW_GRID
from leakdetect.hydraulic.placing import Placer
from leakdetect.stages.detection.windows import Deviation

CHANNELS, LINKS = 6, 30
BEND = 0.85  # head loss grows as flow^1.85


class Mains:
    """An engine whose leaks do 1 m3/h of `effect` at 1 m3/h and more than in proportion beyond; small mains bend."""

    def __init__(self) -> None:
        random = np.random.default_rng(3)
        self.effect = -0.02 * random.uniform(0.2, 1, (CHANNELS, LINKS))
        self.bend = np.where(np.arange(LINKS) % 2, BEND, 0.1)
        self.candidates = np.arange(LINKS)
        self.picture = SimpleNamespace(signature=self.effect[None])

    def whole_effects(self, columns: Any, flow: Any, _leaks: Any) -> tuple[np.ndarray, np.ndarray]:
        at = np.exp(np.round(np.log(flow) / FLOW_GRID) * FLOW_GRID)
        return self.of(columns, at)[None], at

    def of(self, columns: Any, flow: Any) -> np.ndarray:
        return self.effect[:, columns] * flow ** self.bend[columns]


@pytest.mark.parametrize(("link", "flow"), [(4, 20.0), (7, 20.0), (7, 4.0)])
def test_the_leak_is_found_at_its_flow_where_small_mains_bend(link: int, flow: float) -> None:
    mains = Mains()
    tracker = SimpleNamespace(settings=SimpleNamespace(largest=500.0))
    placer = Placer(SimpleNamespace(), mains, tracker)  # type: ignore[arg-type]
    value = mains.of(np.array([link]), np.array([flow]))[:, 0] * flow
    seen = Deviation(np.r_[value, value], np.eye(2 * CHANNELS) * 0.002**2, np.ones((2, 1)))
    evidence, found, effect = placer.whole_evidence([], seen, None)
    assert int(np.argmax(evidence)) == link
    assert found == pytest.approx(flow, rel=0.1)
    assert effect[0] == pytest.approx(value / flow, rel=0.1)
