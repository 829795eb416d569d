"""Units against EPANET's and WNTR's own figures, and the names they go by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wntr.epanet.util import FlowUnits

from leakdetect.errors import UnitError
from leakdetect.units import DEFAULT, FACTORS, SI, canonical, factor, from_si

EVERY = [(quantity, unit) for quantity, units in FACTORS.items() for unit in units]


@pytest.mark.parametrize("unit", list(FlowUnits), ids=lambda u: u.name)
def test_flows_as_wntr_has_them(unit: FlowUnits) -> None:
    if unit.name == "SI":
        return
    assert factor("flow", unit.name) == pytest.approx(unit.factor, rel=1e-5)
    assert factor("flow", unit.name.lower()) == factor("flow", unit.name)


@pytest.mark.parametrize(
    ("quantity", "unit", "si"),
    [
        ("flow", "m3/h", 1 / 3600),
        ("flow", "L/s", 1e-3),
        ("flow", "gal/min", 6.30902e-5),
        ("demand", "L/h", 1 / 3.6e6),
        ("pressure", "bar", 10.19716),
        ("pressure", "psi", 0.7030696),
        ("pressure", "kPa", 0.1019716),
        ("pressure", "mbar", 0.01019716),
        ("level", "cm", 0.01),
        ("head", "ft", 0.3048),
    ],
)
def test_known_values(quantity: str, unit: str, si: float) -> None:
    assert factor(quantity, unit) == pytest.approx(si, rel=1e-6)


@given(st.sampled_from(EVERY), st.floats(-1e6, 1e6))
def test_there_and_back(which: tuple[str, str], value: float) -> None:
    assert from_si(value * factor(*which), *which) == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert canonical(*which) == which[1]
    assert canonical(which[0], f" {which[1].upper()} ") in FACTORS[which[0]]


def test_arrays() -> None:
    np.testing.assert_allclose(from_si(np.array([1e-3, np.nan]), "flow", "m3/h"), [3.6, np.nan])


def test_si_and_default_are_units() -> None:
    for quantity in FACTORS:
        assert factor(quantity, SI[quantity]) == 1
        assert DEFAULT[quantity] in FACTORS[quantity]


def test_mbar_is_not_mega() -> None:
    """Upper case is folded, but never into another unit."""
    assert canonical("pressure", "MBAR") == "mbar"
    assert canonical("pressure", "M") == "m"
    folded = [(quantity, unit.lower()) for quantity, unit in EVERY]
    assert len(set(folded)) == len(folded)


@pytest.mark.parametrize(
    ("quantity", "unit", "said"),
    [
        ("flow", "bar", "unit 'bar' does not measure flow: use one of m3/s"),
        ("pressure", "m3/h", "does not measure pressure"),
        ("volume", "m3", "unknown quantity 'volume': use one of flow"),
        ("flow", "", "unit '' does not measure flow"),
    ],
)
def test_what_does_not_measure(quantity: str, unit: str, said: str) -> None:
    with pytest.raises(UnitError, match=said):
        canonical(quantity, unit)
