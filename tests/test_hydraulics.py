"""The batch solver against EPANET, link by link, and against what a steady state must obey."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_networks
import wntr

from leakdetect.core.hydraulics import Curve, Problem, Solver, Steady, supplied
from leakdetect.core.hydraulics.devices import ACTIVE, OPEN, SHUT, TOO_HIGH
from leakdetect.core.hydraulics.elementary import exp2, log2
from leakdetect.core.hydraulics.linear import solve
from leakdetect.core.hydraulics.ordering import find_forest, find_pattern
from leakdetect.core.hydraulics.problem import FCV, GPV, PIPE, PRV, PSV, PUMP, TCV
from leakdetect.epanet import load_network
from leakdetect.epanet_state import Epanet
from leakdetect.errors import ConvergenceError
from leakdetect.network import Link, Network, Node
from leakdetect.steady import to_problem, to_settings

LIBRARY = Path(wntr.__file__).parent / "library" / "networks"


def loads(network: Network, rows: int, seed: int = 0, spread: tuple[float, float] = (0.1, 2.2)) -> np.ndarray:
    """Return the drawn demand, more or less of it overall and at each node."""
    random = np.random.default_rng(seed)
    drawn = (network.base_demand * network.patterns[0]).sum(axis=1)
    each = random.uniform(0.5, 1.5, (rows, len(drawn)))
    return drawn * random.uniform(*spread, (rows, 1)) * each  # type: ignore[no-any-return]


def apart(
    network: Network, problem: Problem, found: Steady, epanet: Epanet, demand: np.ndarray, levels: np.ndarray
) -> tuple[float, float]:
    """Return how far heads [m] and flows [m3/s] are from EPANET's at most, where it found a state.

    EPANET may leave a pump of constant power without flow, its curve being too steep there to find a way back. That is
    no state, and which loads end so depends on what was solved before.
    """
    nodes, links = np.arange(len(network.node_names)), np.arange(len(network.link_names))
    junctions = np.flatnonzero(~network.is_fixed)
    tanks = np.flatnonzero(network.node_kind == Node.TANK)
    powered = np.array([link for link, curve in problem.curves.items() if curve.kind == "power"], dtype=np.int64)
    head, flow, compared = 0.0, 0.0, 0
    for row in range(len(demand)):
        epanet.set_demands(junctions, demand[row, junctions])
        for tank, level in zip(tanks.tolist(), levels[row].tolist(), strict=True):
            epanet.set_level(tank, level)
        try:
            epanet.solve()
        except ConvergenceError:
            continue
        if (epanet.is_open(powered) & (np.abs(epanet.flows(powered)) < 1e-6)).any():
            continue
        assert found.converged[row]
        here = supplied(problem, found.status[row])
        head = max(head, float(np.abs(epanet.heads(nodes) - found.head[row])[here].max()))
        flow = max(flow, float(np.abs(epanet.flows(links) - found.flow[row]).max()))
        np.testing.assert_array_equal(epanet.is_open(problem.devices), found.status[row] > SHUT)
        compared += 1
    assert compared > 0
    return head, flow


def given_heads(network: Network, epanet: Epanet, levels: np.ndarray) -> np.ndarray:
    """Return the heads of reservoirs, as EPANET has them, and of tanks [m], shape (B, F)."""
    fixed = np.flatnonzero(network.is_fixed)
    with contextlib.suppress(ConvergenceError):  # it need not find a state for them
        epanet.solve()
    heads = np.tile(epanet.heads(fixed), (len(levels), 1))
    tanks = network.node_kind[fixed] == Node.TANK
    heads[:, tanks] = network.elevation[fixed[tanks]] + levels
    return heads


@pytest.mark.parametrize(("unit", "formula"), [("LPS", "H-W"), ("GPM", "D-W"), ("CMH", "C-M"), ("AFD", "D-W")])
@pytest.mark.parametrize("device", small_networks.DEVICES)
def test_every_kind_of_link(tmp_path: Path, device: str, unit: str, formula: str) -> None:
    """PRVs here hold, shut and open, PSVs hold and open, as the demand and the tank's level have it."""
    network = small_networks.write(tmp_path, device, unit, formula)
    demand, levels = loads(network, 12), np.random.default_rng(1).uniform(0.2, 5.0, (12, 1))
    with Epanet(network, 1e-5 if device == "PBV" else 1e-7) as epanet:
        problem = to_problem(network, epanet)
        found = Solver(problem, tolerance=1e-6).solve(demand, given_heads(network, epanet, levels))
        head, flow = apart(network, problem, found, epanet, demand, levels)
    assert found.converged.all()
    assert head < (1e-3 if device == "PBV" else 1e-4)
    assert flow < 1e-6
    if device == "PRV" and unit == "CMH":
        assert set(found.status.ravel()) == {SHUT, OPEN, ACTIVE}
    if device == "PSV" and unit == "LPS":
        assert set(found.status.ravel()) == {OPEN, ACTIVE}


@pytest.mark.parametrize("name", ["Net1", "Net2", "Net3", "ky4", "ky10"])
def test_known_networks(name: str) -> None:
    network = load_network(LIBRARY / f"{name}.inp")
    tanks = int((network.node_kind == Node.TANK).sum())
    demand, levels = loads(network, 6, spread=(0.5, 1.5)), np.random.default_rng(1).uniform(1.0, 4.0, (6, tanks))
    with Epanet(network, 1e-6) as epanet:
        problem = to_problem(network, epanet)
        found = Solver(problem).solve(demand, given_heads(network, epanet, levels))
        head, flow = apart(network, problem, found, epanet, demand, levels)
    assert found.converged.all()
    assert head < 1e-3
    assert flow < 1e-5 * np.abs(found.flow).sum(axis=1).max()


@pytest.mark.shared
def test_ltown(ltown: Network) -> None:
    demand, levels = loads(ltown, 30, spread=(0.5, 1.5)), np.random.default_rng(1).uniform(1.0, 4.0, (30, 1))
    with Epanet(ltown, 1e-5) as epanet:
        problem = to_problem(ltown, epanet)
        solver = Solver(problem)
        heads = given_heads(ltown, epanet, levels)
        found = solver.solve(demand, heads, guess=solver.solve(demand.mean(axis=0), heads[0]))
        head, flow = apart(ltown, problem, found, epanet, demand, levels)
    assert (found.status[:, problem.kind[problem.devices] == PRV] == ACTIVE).all()
    assert found.trials.mean() < 6
    assert head < 1e-4
    assert flow < 1e-6


def test_mass_and_energy_balance() -> None:
    network = load_network(LIBRARY / "ky10.inp")
    demand = loads(network, 5)
    with Epanet(network) as epanet:
        problem = to_problem(network, epanet)
        found = Solver(problem, tolerance=1e-8).solve(demand, epanet.heads(np.flatnonzero(network.is_fixed)) + 50.0)
    into = np.zeros_like(demand)
    for row in range(len(demand)):
        np.add.at(into[row], network.end, found.flow[row])
        np.subtract.at(into[row], network.start, found.flow[row])
    junctions = ~network.is_fixed
    assert np.abs(into - demand)[:, junctions].max() < 1e-7
    pipes = np.setdiff1d(np.flatnonzero(network.is_pipe), problem.devices)
    q = found.flow[:, pipes]
    friction = problem.resistance[pipes] * np.abs(q) ** 0.852 * q
    loss = friction + (problem.minor * problem.local)[pipes] * np.abs(q) * q
    drop = found.head[:, network.start[pipes]] - found.head[:, network.end[pipes]]
    assert np.abs(drop - loss).max() < 1e-5  # EPANET's straight line for standing water included


def test_a_row_rests_on_itself_only(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV", "CMH", "H-W")
    demand, levels = loads(network, 50), np.random.default_rng(1).uniform(0.2, 5.0, (50, 1))
    with Epanet(network) as epanet:
        problem = to_problem(network, epanet)
        heads = given_heads(network, epanet, levels)
    together = Solver(problem).solve(demand, heads)
    assert len(set(together.trials)) > 1  # they leave and enter at different times
    order = np.random.default_rng(2).permutation(50)
    mixed = Solver(problem).solve(demand[order], heads[order])
    np.testing.assert_array_equal(mixed.head, together.head[order])
    np.testing.assert_array_equal(mixed.flow, together.flow[order])
    np.testing.assert_array_equal(mixed.status, together.status[order])
    for row in (0, 7, 49):
        alone = Solver(problem).solve(demand[row], heads[row])
        np.testing.assert_array_equal(alone.head[0], together.head[row])
        np.testing.assert_array_equal(alone.flow[0], together.flow[row])
    warm = Solver(problem).solve(demand, heads, guess=Solver(problem).solve(demand[7], heads[7]))
    np.testing.assert_allclose(warm.head, together.head, rtol=0, atol=1e-4)


def test_settings_differ_from_row_to_row(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV", "LPS", "H-W")
    demand = loads(network, 1, spread=(1.0, 1.0))
    pressures = np.array([20.0, 25.0, 30.0, 35.0, 80.0])
    with Epanet(network, 1e-6) as epanet:
        problem = to_problem(network, epanet)
        heads = given_heads(network, epanet, np.full((1, 1), 1.0))
        settings = np.array(
            [to_settings(network, np.where(network.link_kind == Link.PRV, p, np.nan)) for p in pressures]
        )[:, problem.devices]
        found = Solver(problem).solve(np.repeat(demand, 5, axis=0), heads[0], settings)
        for row, pressure in enumerate(pressures):
            epanet.set_pressure_setting(network.link("D"), pressure)
            apart(network, problem, found_row(found, row), epanet, demand, np.full((1, 1), 1.0))
    held = found.head[:, network.node("J3")] - network.elevation[network.node("J3")]
    assert held[:4] == pytest.approx(pressures[:4], abs=1e-6)
    assert found.status[4, 0] == OPEN


def found_row(found: Steady, row: int) -> Steady:
    pick = slice(row, row + 1)
    return Steady(found.head[pick], found.flow[pick], found.status[pick], found.converged[pick], found.trials[pick])


def test_pump_off_and_too_weak(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "pump 3 points")
    demand = np.repeat(loads(network, 1, spread=(0.1, 0.1)), 3, axis=0)
    with Epanet(network) as epanet:
        problem = to_problem(network, epanet)
    at = network.link("D")
    high = np.array([[60.0, 60.0], [60.0, 60.0], [60.0, 90.0]])  # the tank above what the pump lifts
    found = Solver(problem).solve(demand, high, np.array([[0.95], [0.0], [0.95]]))
    assert found.converged.all()
    assert found.status[:, 0].tolist() == [OPEN, SHUT, TOO_HIGH]
    assert found.flow[0, at] > 1e-3
    assert np.abs(found.flow[1:, at]).max() < 1e-6


def test_what_has_no_solution_is_said_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "pipe")
    demand = loads(network, 10)
    with Epanet(network) as epanet:
        problem = to_problem(network, epanet)
    heads = np.array([60.0, 50.0])
    right = Solver(problem).solve(demand, heads)
    demand[4, network.node("J5")] = np.nan
    found = Solver(problem).solve(demand, heads)
    assert found.converged.tolist() == [row != 4 for row in range(10)]
    assert np.isnan(found.head[4]).all()
    assert np.isnan(found.flow[4]).all()
    rest = np.arange(10) != 4
    np.testing.assert_array_equal(found.head[rest], right.head[rest])


def a_problem(**changes: object) -> Problem:
    """Return a given head, a link to be changed and a pipe: 0 - 1 - 2."""
    links = {
        "start": np.array([0, 1]), "end": np.array([1, 2]), "kind": np.array([PIPE, PIPE]),
        "closed": np.zeros(2, dtype=bool), "check": np.zeros(2, dtype=bool), "resistance": np.array([100.0, 200.0]),
        "minor": np.array([0.0, 3.0]), "local": np.array([10.0, 20.0]), "exponent": 2.0,
        "setting": np.full(2, np.nan), "guess": np.full(2, 0.1), "fixed": np.array([True, False, False]),
    }  # fmt: skip
    return Problem(**{**links, **changes})  # type: ignore[arg-type]


def test_a_tree_by_hand() -> None:
    """All is forest, and the arithmetic can be done on paper."""
    found = Solver(a_problem()).solve([[0.0, 0.02, 0.03]], [10.0])
    assert found.flow[0] == pytest.approx([0.05, 0.03])
    assert found.head[0] == pytest.approx([10.0, 10 - 0.25, 10 - 0.25 - 260 * 0.0009])


@pytest.mark.parametrize(
    ("kind", "setting", "curve", "drop"),
    [
        (TCV, 5.0, None, 10.0 * 5 * 0.0025),
        (FCV, 0.08, None, 0.0),
        (PRV, 6.0, None, 4.0),
        (PUMP, 1.0, Curve("function", np.array([0.0, 0.1, 0.2]), np.array([8.0, 6.0, 0.0])), -(8 - 200 * 0.0025)),
        (PUMP, 1.0, Curve("power", np.array([0.1]), np.array([6.0])), -12.0),
        (GPV, np.nan, Curve("segments", np.array([0.0, 0.04, 0.06]), np.array([0.0, 1.0, 3.0])), 2.0),
    ],
)
def test_devices_by_hand(kind: int, setting: float, curve: Curve | None, drop: float) -> None:
    problem = a_problem(
        kind=np.array([kind, PIPE]), setting=np.array([setting, np.nan]), curves={0: curve} if curve else {}
    )
    found = Solver(problem, tolerance=1e-9).solve([0.0, 0.02, 0.03], [10.0])
    assert found.converged.all()
    assert found.flow[0] == pytest.approx([0.05, 0.03], abs=1e-7)
    assert found.head[0, 1] == pytest.approx(10 - drop, abs=1e-5)


def test_problems_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match=r"kind has shape \(1,\)"):
        a_problem(kind=np.zeros(1, dtype=int))
    with pytest.raises(ValueError, match="without a curve"):
        a_problem(kind=np.array([PUMP, PIPE]))
    with pytest.raises(ValueError, match="has one point"):
        a_problem(kind=np.array([GPV, PIPE]), curves={0: Curve("segments", np.ones(1), np.ones(1))})
    with pytest.raises(ValueError, match="no node has a given head"):
        a_problem(fixed=np.zeros(3, dtype=bool))
    for kind, fixed in ((PRV, [False, True, False]), (PSV, [True, False, False])):
        with pytest.raises(ValueError, match="put a pipe between"):
            a_problem(kind=np.array([kind, PIPE]), fixed=np.array(fixed))


def test_forest_stops_at_devices_and_sources() -> None:
    assert set(find_forest(a_problem()).link) == {0, 1}
    assert find_forest(replace(a_problem(), check=np.array([True, False]))).link.tolist() == [1]
    assert find_forest(replace(a_problem(), fixed=np.array([True, False, True]))).link.size == 0


def test_supplied() -> None:
    problem = replace(a_problem(), closed=np.array([False, True]))
    assert supplied(problem, np.array([SHUT], dtype=np.int8)).tolist() == [True, True, False]
    assert supplied(problem, np.array([OPEN], dtype=np.int8)).all()


def test_factors_of_a_random_network() -> None:
    """Against dense algebra, eight systems at once."""
    random = np.random.default_rng(0)
    size = 60
    i, j = random.integers(0, size, (2, 110))
    i, j = i[i != j], j[i != j]
    pattern = find_pattern(size, np.arange(size), i, j)
    rows = np.empty(size, dtype=np.int64)
    rows[pattern.node] = np.arange(size)
    entry = pattern.entry(rows[i], rows[j])
    weight = random.uniform(0.1, 2.0, (len(i), 8))
    diagonal, below = random.uniform(0.1, 0.2, (size, 8)), np.zeros((len(pattern.row), 8))
    dense = np.zeros((8, size, size))
    for k in range(len(i)):
        a, b = rows[i[k]], rows[j[k]]
        diagonal[a] += weight[k]
        diagonal[b] += weight[k]
        below[entry[k]] -= weight[k]
        dense[:, a, b] -= weight[k]
        dense[:, b, a] -= weight[k]
    dense[:, np.arange(size), np.arange(size)] = diagonal.T
    right, head = random.normal(size=(size, 8)), np.zeros((size, 8))
    wanted = np.linalg.solve(dense, right.T[:, :, None])[:, :, 0].T
    solve(pattern.group, pattern.column, pattern.row, pattern.update, diagonal, below, right, head)
    np.testing.assert_allclose(head, wanted, rtol=1e-10, atol=1e-12)


def test_powers() -> None:
    x = np.r_[10 ** np.random.default_rng(0).uniform(-12, 6, 3000), 1.0, 2.0, 0.5, np.sqrt(2)]
    logarithm, power = np.empty_like(x), np.empty_like(x)
    log2(-x, logarithm)
    np.testing.assert_allclose(logarithm, np.log2(x), rtol=0, atol=1e-12)
    exp2(logarithm, 0.852, power)
    np.testing.assert_allclose(power, x**0.852, rtol=1e-11)
    log2(np.zeros(3), logarithm[:3])
    exp2(logarithm[:3], 0.852, power[:3])
    assert (power[:3] < 1e-200).all()
