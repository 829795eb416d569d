"""Leak signatures by one factorisation against differences of steady states that EPANET finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_networks

from leakdetect import networks
from leakdetect.core.sensitivity import CLOSED, FREE, HOLDS_END, HOLDS_FLOW, HOLDS_START, Plan, linearise
from leakdetect.epanet import load_network
from leakdetect.epanet_state import Epanet
from leakdetect.network import Link, Network
from leakdetect.stages.expected.boundary import Boundary, Drive, find_boundary
from leakdetect.stages.expected.loads import find_loads, find_tables
from leakdetect.stages.expected.model import HydraulicModel, Physics, State
from leakdetect.units import M3H

NOTHING = np.zeros(0)
BEHAVIOUR = {
    "check valve shut": CLOSED, "PRV": HOLDS_END, "PSV": HOLDS_START, "FCV": HOLDS_FLOW,
}  # fmt: skip


class FineModel(HydraulicModel):
    """The model with EPANET run to many digits, to take differences of."""

    def __init__(self, network: Network, boundary: Boundary, accuracy: float = 1e-9) -> None:
        super().__init__(network, boundary, Physics.drawn(network))
        self._epanet.close()
        self._epanet = Epanet(network, accuracy)
        self.set_physics(self.physics)


def watch(network: Network, pressures: Sequence[str], flows: Sequence[str]) -> Boundary:
    """Return the boundary of sensors that impose nothing: every flow is watched, no pump is cut."""
    boundary = find_boundary(network, pressures, ["pressure"] * len(pressures), pressures)
    links = np.array([(network.link(f), len(pressures) + i) for i, f in enumerate(flows)], dtype=np.int64)
    return replace(boundary, flows=links.reshape(-1, 2))


def differences(model: HydraulicModel, demand: np.ndarray, nodes: Sequence[int], step: float) -> np.ndarray:
    """Return what the sensors feel of 1 m3/h withdrawn at each node, by EPANET, shape (P + F, nodes)."""
    columns = []
    for node in nodes:
        ends = []
        for sign in (1, -1):
            changed = demand.copy()
            changed[node] += sign * step
            model.solve(changed, NOTHING, NOTHING)
            ends.append(model.observe())
        columns.append((ends[0] - ends[1]) / (2 * step * M3H))
    return np.array(columns).T


def apart(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


@pytest.mark.parametrize(("unit", "formula"), [("LPS", "H-W"), ("GPM", "D-W"), ("CMH", "C-M")])
@pytest.mark.parametrize("device", small_networks.DEVICES)
def test_signatures_with_every_kind_of_link(tmp_path: Path, device: str, unit: str, formula: str) -> None:
    network = small_networks.write(tmp_path, device, unit, formula)
    junctions = np.flatnonzero(~network.is_fixed)
    boundary = watch(network, [network.node_names[j] for j in junctions], network.link_names)
    demand = network.base_demand.sum(axis=1)
    with FineModel(network, boundary) as model:
        state = model.state(demand, NOTHING, NOTHING)
        assert model.behaviour(state)[network.link("D")] == BEHAVIOUR.get(device, FREE)
        rows = model.rows(model.linearised(state))
        true = differences(model, demand, junctions.tolist(), 2e-5)
    heads = len(junctions)
    assert (rows[:, network.is_fixed] == 0).all()
    assert apart(rows[:heads, junctions], true[:heads]) < 0.005
    assert apart(rows[heads:, junctions], true[heads:]) < 0.005
    # The tank, the reservoir or both feed it: what enters is what leaves.
    sources = [heads + network.link("P1"), heads + network.link("P7")]
    assert (rows[sources[0]] - rows[sources[1]])[junctions] == pytest.approx(np.ones(heads), abs=1e-6)


def test_a_leak_in_the_middle_of_a_pipe(tmp_path: Path) -> None:
    """It feels as half of it at either end, and as EPANET has it with the pipe cut in two."""
    network = small_networks.write(tmp_path, "PRV", "CMH")
    half = "P3b M J4 200.000000 150.000000 130.00000000 0 Open\nP3 J3 M 200.000000"
    lines = small_networks.text("PRV", "CMH").replace("P3 J3 J4 400.000000", half)
    (tmp_path / "split.inp").write_text(lines.replace("[RESERVOIRS]", "M 5 0\n[RESERVOIRS]"))
    cut = load_network(tmp_path / "split.inp")
    seen = ["J2", "J4", "J6"]
    with FineModel(cut, watch(cut, seen, ["P1", "P4"])) as model:
        true = differences(model, cut.base_demand.sum(axis=1), [cut.node("M")], 2e-5)[:, 0]
    with FineModel(network, watch(network, seen, ["P1", "P4"])) as model:
        state = model.state(network.base_demand.sum(axis=1), NOTHING, NOTHING)
        found = model.signatures(state, model.rows(model.linearised(state)))[:, network.link("P3")]
    assert apart(found, true) < 0.005


@pytest.mark.parametrize("name", ["town", pytest.param("ltown", marks=pytest.mark.shared)])
def test_signatures_of_a_town(name: str, request: pytest.FixtureRequest) -> None:
    network = networks.load("town") if name == "town" else request.getfixturevalue("ltown")
    random = np.random.default_rng(0)
    seen = [network.node_names[i] for i in random.choice(np.flatnonzero(~network.is_fixed), 12, replace=False)]
    flows = [network.link_names[i] for i in np.flatnonzero(network.link_kind != Link.PIPE)]
    flows += [network.link_names[i] for i in random.choice(np.flatnonzero(network.is_pipe), 6, replace=False)]
    with FineModel(network, watch(network, seen, flows), accuracy=1e-5) as model:
        demand = model.customers.nominal(np.array([12 * 3600.0]))[0]
        state = model.state(demand, NOTHING, NOTHING)
        rows = model.rows(model.linearised(state))
        nodes = random.choice(np.flatnonzero(~network.is_fixed), 15, replace=False).tolist()
        true = differences(model, demand, nodes, 1e-3 * float(demand.sum()))
    heads = len(seen)
    assert (model.behaviour(state)[network.link_kind == Link.PRV] == HOLDS_END).all()
    assert apart(rows[:heads, nodes], true[:heads]) < 0.01
    assert apart(rows[heads:, nodes], true[heads:]) < 0.01


def drive_of(boundary: Boundary, hours: int = 48) -> Drive:
    """Return two days in which every zone takes in 30 L/s, more or less."""
    factor = 1 + 0.4 * np.sin(np.arange(hours) / 4)
    return Drive(
        net=np.outer(factor, np.full(len(boundary.zone_names), 0.03)),
        metered=np.zeros((hours, 0)),
        level=np.full((hours, len(boundary.levels)), 3.0),
        imposed=np.full((hours, len(boundary.cut)), 0.004),
        week=np.arange(hours) * 3600.0,
        valid=np.ones(hours, dtype=bool),
    )


def test_tables_against_epanet(tmp_path: Path) -> None:
    """Leaks beside a measured inflow, settings, roughness and customers' mix: every table, by changed runs."""
    extra = {"PATTERNS": "a 1.0 0.5\nb 0.4 1.0", "DEMANDS": "J4 3 a\nJ4 2 b\nJ6 3 b\nJ5 4 a"}
    network = small_networks.write(tmp_path, "PRV", "LPS", extra=extra)
    names = ["J1", "J4", "J6", "P1", "P4", "T"]
    boundary = find_boundary(network, names, ["pressure"] * 3 + ["flow"] * 2 + ["level"], names)
    given = drive_of(boundary)
    with FineModel(network, boundary) as model:
        loads = find_loads(model, given, count=3)
        tables = find_tables(model, loads)
        drawn, inside = model.physics, boundary.zone == 0

        def seen(physics: Physics, demand: np.ndarray, k: int) -> np.ndarray:
            model.set_physics(physics)
            model.solve(demand, loads.level[k], loads.imposed[k])
            out = model.observe()
            model.set_physics(drawn)
            return out

        for k in range(3):
            demand = loads.demand[k]
            net = demand[inside].sum()

            def leaking(link: int, q: float, demand: np.ndarray = demand, net: float = net) -> np.ndarray:
                out = np.where(inside, demand * (1 - q / net), demand)
                for node in (network.start[link], network.end[link]):
                    out[node] += q / 2
                return out

            for link in (network.link("P3"), network.link("P6")):
                ends = [seen(drawn, leaking(link, q / M3H), k) for q in (0.2, -0.2)]
                assert apart(tables.signature[k, :5, link], (ends[0] - ends[1]) / 0.4) < 0.01
            (valve,) = tables.valves
            ends = []
            for up in (0.2, -0.2):
                setting = drawn.setting.copy()
                setting[valve] += up
                ends.append(seen(replace(drawn, setting=setting), demand, k))
            assert apart(tables.valve[k, :5, 0], (ends[0] - ends[1]) / 0.4) < 0.01
            for group in range(tables.rough.shape[2]):
                ends = []
                for up in (0.01, -0.01):
                    rough = np.where(tables.group == group, np.exp(-up / 1.852), 1.0) * drawn.roughness
                    ends.append(seen(replace(drawn, roughness=rough), demand, k))
                assert np.abs(tables.rough[k, :5, group] - (ends[0] - ends[1]) / 0.02).max() < 2e-3
            for column, (zone, category) in enumerate(tables.mixes):
                assert zone == 0
                ends = []
                for up in (0.01, -0.01):
                    used = loads.category[k].copy()
                    one, others = used[:, category].copy(), used.sum(axis=1) - used[:, category]
                    more = up * one[inside].sum()
                    used = one + others
                    used[inside] = one[inside] * (1 + up) + others[inside] * (1 - more / others[inside].sum())
                    ends.append(seen(drawn, used, k))
                assert apart(tables.mix[k, :5, column], (ends[0] - ends[1]) / 0.02) < 0.02
    assert len(tables.mixes) >= 1


@pytest.mark.parametrize("seed", range(6))
def test_rows_by_the_whole_matrix(seed: int) -> None:
    """Any mixture of links, valves in series and side by side too, against the unreduced equations, dense."""
    random = np.random.default_rng(seed)
    nodes = 30
    start = np.r_[np.arange(nodes - 1), random.integers(0, nodes, 25)]
    end = np.r_[np.arange(1, nodes), random.integers(0, nodes, 25)]
    start, end = start[start != end], end[start != end]
    fixed = np.zeros(nodes, dtype=bool)
    fixed[[0, 17]] = True
    slope, behaviour = random.uniform(10, 1000, len(start)), np.zeros(len(start), dtype=np.int64)
    behaviour[random.choice(np.arange(nodes - 1, len(start)), 8, replace=False)] = [
        CLOSED,
        CLOSED,
        HOLDS_FLOW,
        *[HOLDS_END, HOLDS_START] * 2,
        CLOSED,
    ]
    behaviour[5], behaviour[6] = HOLDS_END, HOLDS_END  # one begins where the other's head is held
    node = np.where(behaviour == HOLDS_END, end, start)
    for link in np.flatnonzero(behaviour >= HOLDS_END):  # one head is held once, and not where it is given
        others = (behaviour[:link] >= HOLDS_END) & (behaviour[:link] != HOLDS_FLOW) & (node[:link] == node[link])
        if behaviour[link] != HOLDS_FLOW and (fixed[node[link]] or others.any()):
            behaviour[link] = FREE
    links, unknown = len(start), np.flatnonzero(~fixed)
    # Unknowns: all heads, all flows. Balances of the free nodes, then one equation for each link.
    matrix = np.zeros((nodes + links, nodes + links))
    for n in range(nodes):
        if fixed[n]:
            matrix[n, n] = 1.0
            continue
        matrix[n, nodes:] = (start == n).astype(float) - (end == n)
    for k in range(links):
        row = nodes + k
        if behaviour[k] == FREE:
            matrix[row, [start[k], end[k]]] = 1.0, -1.0
            matrix[row, row] = -slope[k]
        elif behaviour[k] in (HOLDS_END, HOLDS_START):
            matrix[row, node[k]] = 1.0
        else:
            matrix[row, row] = 1.0
    withdrawn = np.zeros((nodes + links, len(unknown)))
    withdrawn[unknown, np.arange(len(unknown))] = -1.0
    true = np.linalg.solve(matrix, withdrawn)
    at = linearise(Plan.of(fixed, start, end), slope, behaviour)
    assert (behaviour >= HOLDS_END).sum() >= 3
    found = np.vstack([at.of_heads(np.arange(nodes)), at.of_flows(np.arange(links))])[:, unknown]
    np.testing.assert_allclose(found, true, rtol=1e-7, atol=1e-7 * np.abs(true).max())


def test_a_ring_of_valves() -> None:
    """1 and 2 hold each other's heads, on both ways between them: how much goes round is left open."""
    plan = Plan.of(np.array([True, False, False]), np.array([0, 1, 2]), np.array([1, 2, 1]))
    with pytest.raises(ValueError, match="singular"):
        linearise(plan, np.ones(3), np.array([CLOSED, HOLDS_END, HOLDS_END]))


def test_a_head_held_twice() -> None:
    plan = Plan.of(np.array([True, False]), np.array([0, 0, 0]), np.array([1, 1, 1]))
    with pytest.raises(ValueError, match="two valves hold the pressure of one node"):
        linearise(plan, np.ones(3), np.array([HOLDS_END, HOLDS_END, FREE]))


def test_parts_without_a_source() -> None:
    """A - B - C with B - C shut, or B - C an FCV that holds: C sees nothing and is seen by nothing."""
    fixed = np.array([True, False, False])
    start, end = np.array([0, 1]), np.array([1, 2])
    slope = np.array([100.0, 50.0])
    for last in (CLOSED, HOLDS_FLOW):
        at = linearise(Plan.of(fixed, start, end), slope, np.array([FREE, last]))
        heads = at.of_heads(np.array([0, 1, 2]))
        assert heads[1] == pytest.approx([0, -100, 0])
        assert heads[0] == pytest.approx([0, 0, 0])
        assert np.isfinite(heads).all()
        assert at.of_flows(np.array([0, 1])) == pytest.approx(np.array([[0, 1, 0], [0, 0, 0]]))
    at = linearise(Plan.of(fixed, start, end), slope, np.array([FREE, FREE]))
    assert at.of_heads(np.array([2]))[0] == pytest.approx([0, -100, -150])
    assert at.of_flows(np.array([0, 1])) == pytest.approx(np.array([[0, 1, 1], [0, 0, 1]]))


def test_no_source_at_all() -> None:
    at = linearise(Plan.of(np.array([False, False]), np.array([0]), np.array([1])), np.ones(1), np.array([FREE]))
    assert np.isfinite(at.of_heads(np.array([0]))).all()


def test_state_keeps_what_slopes_need(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "pump by segments")
    with FineModel(network, watch(network, ["J1"], [])) as model:
        state: State = model.state(network.base_demand.sum(axis=1), NOTHING, NOTHING)
        assert state.speed[network.link("D")] == pytest.approx(0.95)
        assert state.speed[network.link("P1")] == 1
