"""Head loss against EPANET's own results; slopes against differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_networks
from hypothesis import given
from hypothesis import strategies as st

from leakdetect.core.headloss import SLOPE_FLOOR, VISCOSITY, loss, pump_slope, segment_slope
from leakdetect.epanet import load_network
from leakdetect.epanet_state import Epanet
from leakdetect.network import Network

FLOWS = np.geomspace(0.005, 60, 40)  # L/s through 100 mm: Reynolds numbers from 60 to 750,000
LENGTH, DIAMETER, MINOR = 200.0, 100.0, 4.0


def star(folder: Path, unit: str, formula: str, options: str = "") -> Network:
    """Return a reservoir with one dead-end pipe for each of `FLOWS`."""
    u = small_networks.Units(unit)
    rough = u.roughness({"H-W": 120, "D-W": 0.3, "C-M": 0.012}[formula], formula)
    junctions = "\n".join(f"J{i} 0 {u.flow(q):.10f}" for i, q in enumerate(FLOWS))
    pipes = "\n".join(
        f"P{i} R J{i} {u.length(LENGTH):.8f} {u.diameter(DIAMETER):.8f} {rough:.8f} {MINOR} Open"
        for i in range(len(FLOWS))
    )
    path = folder / "star.inp"
    path.write_text(
        f"[JUNCTIONS]\n{junctions}\n[RESERVOIRS]\nR {u.length(10):.6f}\n[PIPES]\n{pipes}\n"
        f"[OPTIONS]\nUnits {unit}\nHeadloss {formula}\n{options}\n[END]\n"
    )
    return load_network(path)


def of_epanet(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return flow and head loss of every link, as EPANET finds them."""
    junctions = np.flatnonzero(~network.is_fixed)
    with Epanet(network, accuracy=1e-6) as epanet:
        epanet.set_demands(junctions, network.base_demand.sum(axis=1)[junctions])
        epanet.solve()
        head = epanet.heads(np.arange(len(network.node_names)))
        return epanet.flows(np.arange(len(network.link_names))), head[network.start] - head[network.end]


def of_network(network: Network, flow: np.ndarray, viscosity: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return loss(
        flow, network.length, network.diameter, network.roughness, network.minor_loss, network.headloss, viscosity
    )


@pytest.mark.parametrize("formula", ["H-W", "D-W", "C-M"])
@pytest.mark.parametrize("unit", ["CMH", "LPS", "MLD", "GPM", "CFS", "IMGD"])
def test_epanet_loses_the_same_head(tmp_path: Path, unit: str, formula: str) -> None:
    network = star(tmp_path, unit, formula)
    flow, lost = of_epanet(network)
    np.testing.assert_allclose(flow * 1e3, FLOWS, rtol=1e-5)
    head, slope = of_network(network, flow)
    # EPANET works with a straight line below the slope's floor.
    head = np.where(slope > SLOPE_FLOOR * 1.0001, head, SLOPE_FLOOR * flow)
    np.testing.assert_allclose(head, lost, rtol=2e-4, atol=1e-7)
    reynolds = 4 * flow / (np.pi * DIAMETER * 1e-3 * VISCOSITY)
    assert ((reynolds < 2000).sum() > 3) & ((reynolds > 4000).sum() > 3) & ((reynolds > 2000) & (reynolds < 4000)).any()


def test_thicker_water(tmp_path: Path) -> None:
    network = star(tmp_path, "LPS", "D-W", "Viscosity 2.5")
    flow, lost = of_epanet(network)
    with Epanet(network) as epanet:
        assert epanet.viscosity == pytest.approx(2.5, rel=1e-3)
    np.testing.assert_allclose(of_network(network, flow, 2.5)[0], lost, rtol=2e-4)
    assert np.abs(of_network(network, flow)[0] / lost - 1).max() > 0.3


def test_no_minor_loss_and_whole_network(tmp_path: Path) -> None:
    for formula in ("H-W", "D-W", "C-M"):
        network = small_networks.write(tmp_path, "pipe", "CMH", formula)
        flow, lost = of_epanet(network)
        np.testing.assert_allclose(of_network(network, flow)[0], lost, rtol=1e-3, atol=1e-6)


@given(
    st.sampled_from(["H-W", "D-W", "C-M"]),
    st.floats(-0.08, 0.08).filter(lambda q: abs(q) > 1e-5),
    st.floats(0.05, 0.6),
    st.sampled_from([0.0, 7.0]),
)
def test_slope_is_the_derivative(formula: str, flow: float, diameter: float, minor: float) -> None:
    rough = {"H-W": 110.0, "D-W": 2e-4, "C-M": 0.013}[formula]
    step = abs(flow) * 1e-4

    def head(q: float) -> float:
        return float(loss(q, 300.0, diameter, rough, minor, formula)[0])

    slope = float(loss(flow, 300.0, diameter, rough, minor, formula)[1])
    assert slope == pytest.approx(max((head(flow + step) - head(flow - step)) / (2 * step), SLOPE_FLOOR), rel=1e-3)
    assert head(-flow) == -head(flow)


def test_standing_water_has_the_least_slope() -> None:
    for formula, rough in (("H-W", 120.0), ("C-M", 0.01)):
        head, slope = loss(0.0, 100.0, 0.1, rough, 0.0, formula)
        assert head == 0
        assert slope == SLOPE_FLOOR
    # Laminar flow has a slope of its own at rest: Hagen and Poiseuille's.
    laminar = 128 * VISCOSITY * 100 / (np.pi * 9.81456 * 0.1**4)
    assert loss(0.0, 100.0, 0.1, 1e-4, 0.0, "D-W")[1] == pytest.approx(laminar, rel=1e-5)


def test_unknown_formula() -> None:
    with pytest.raises(ValueError, match="use H-W, D-W or C-M"):
        loss(1.0, 1.0, 1.0, 1.0, 0.0, "X")


def test_slopes_of_curves() -> None:
    x, y = np.array([0.0, 0.02, 0.04]), np.array([20.0, 15.0, 4.0])
    c = np.log((20 - 4) / (20 - 15)) / np.log(2)
    b = 5 / 0.02**c

    def lift(q: float, speed: float) -> float:
        return float(speed**2 * (20 - b * (q / speed) ** c))

    assert lift(0.04, 1.0) == pytest.approx(4)
    for q, speed in ((0.01, 1.0), (0.025, 0.8), (0.05, 1.1)):
        difference = (lift(q - 1e-6, speed) - lift(q + 1e-6, speed)) / 2e-6
        assert pump_slope(q, speed, x, y) == pytest.approx(difference, rel=1e-6)
    # One point: a parabola from 4/3 of its head.
    assert pump_slope(0.03, 1.0, np.array([0.02]), np.array([15.0])) == pytest.approx(2 * 5 / 0.02**2 * 0.03)
    assert segment_slope(0.01, x, y) == pytest.approx(-250)
    assert segment_slope(0.03, x, y) == segment_slope(0.9, x, y) == pytest.approx(-550)
