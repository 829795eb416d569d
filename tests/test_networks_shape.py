"""Invented networks beside published ones: those that WNTR brings, whose authors drew real towns."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from leakdetect import networks
from leakdetect.networks.shape import QUANTILES, Shape, shape, usual_pressures

PUBLISHED = ("Net3", "Net6", "ky4", "ky10")


@cache
def known(name: str) -> Shape:
    return shape(networks.load(name))


@cache
def pressures(name: str) -> np.ndarray:
    return np.quantile(usual_pressures(networks.load(name)), QUANTILES)


def within(name: str, what: str, slack: float = 1.0) -> bool:
    """Say whether a figure lies between the published ones, widened on both sides by a factor."""
    among = [getattr(known(each), what) for each in PUBLISHED]
    return min(among) / slack <= getattr(known(name), what) <= max(among) * slack


@pytest.mark.parametrize("name", ["village", "town", "city"])
def test_streets_hang_together_as_in_real_towns(name: str) -> None:
    assert within(name, "degree", 1.05)
    assert within(name, "dead_ends")
    assert within(name, "crossings", 1.4)
    assert within(name, "meshedness", 1.15)


def test_pipes_are_as_long_and_as_wide_as_real_ones() -> None:
    """Longer and wider in America; the lengths of a small town vary less than those of a city."""
    middle = QUANTILES.index(0.5)
    for name in ("town", "city"):
        median = known(name).length[middle]
        assert 0.4 < median / min(known(each).length[middle] for each in PUBLISHED) < 1
        ratio = known(name).diameter / known("ky10").diameter  # of about the same demand for each km
        assert (np.abs(np.log2(ratio)) <= 1).all()
    spread = {each: known(each).length[-1] / known(each).length[0] for each in (*PUBLISHED, "city")}
    assert spread["city"] > 8
    assert spread["city"] < max(spread.values())


@pytest.mark.parametrize("name", ["village", "town", "city"])
def test_usual_pressures_are_those_of_real_towns(name: str) -> None:
    real = np.array([pressures(each) for each in PUBLISHED])
    assert (pressures(name) >= 0.9 * real.min(axis=0)).all()
    assert (pressures(name) <= 1.1 * real.max(axis=0)).all()
