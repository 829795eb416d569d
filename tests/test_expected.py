"""What readings impose on the model, and what the model then shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_networks
import wntr

from leakdetect.epanet import load_network
from leakdetect.errors import ElementError, ReadingsError
from leakdetect.network import Link, Network
from leakdetect.stages.expected.boundary import Boundary, Drive, drive, find_boundary
from leakdetect.stages.expected.customers import Leaks
from leakdetect.stages.expected.loads import find_loads, pipe_groups, total_load
from leakdetect.stages.expected.model import HydraulicModel, Physics
from leakdetect.units import M3H

WEEK = np.arange(24) * 3600.0


def boundary_of(network: Network, **sensors: str) -> Boundary:
    """Return the boundary of sensors: name=quantity, the element's name before any underscore."""
    names = list(sensors)
    return find_boundary(network, names, list(sensors.values()), [n.split("__")[0] for n in names])


def given_by(boundary: Boundary, *, net: object, level: object = 0.0, imposed: object = 0.0, steps: int = 24) -> Drive:
    """Return a drive of the same values at every step."""
    return Drive(
        net=np.broadcast_to(np.asarray(net, dtype=float), (steps, len(boundary.zone_names))).copy(),
        metered=np.full((steps, len(boundary.meters)), np.nan),
        level=np.broadcast_to(np.asarray(level, dtype=float), (steps, len(boundary.levels))).copy(),
        imposed=np.broadcast_to(np.asarray(imposed, dtype=float), (steps, len(boundary.cut))).copy(),
        week=np.arange(steps) * 3600.0,
        valid=np.ones(steps, dtype=bool),
    )


def inside(network: Network, boundary: Boundary, name: str) -> list[str]:
    zone = boundary.zone_names.index(name)
    return sorted(network.node_names[i] for i in np.flatnonzero(boundary.zone == zone))


# -- boundary ----------------------------------------------------------------------------------------------------


def test_zones_of_a_small_town(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV")
    # Two meters: R's main and the valve. The tank has a level sensor, or not.
    boundary = boundary_of(network, P1="flow", D="flow", T="level", J5="pressure")
    assert boundary.zone_names == ("P1", "D")
    assert inside(network, boundary, "P1") == ["J1", "J2", "J7"]
    assert inside(network, boundary, "D") == ["J3", "J4", "J5", "J6", "T"]
    assert boundary.inflow.tolist() == [[1, -1, 0, 0], [0, 1, 0, 0]]
    assert boundary.storage.tolist() == [[0, 0, 0, 0], pytest.approx([0, 0, np.pi * 225, 0])]
    assert boundary.zone[network.node("R")] == -1
    assert boundary.channels == 1 + 2 + 2
    assert boundary.sensors().tolist() == [3, 0, 1]
    unknown = boundary_of(network, P1="flow", D="flow", J5="pressure")
    assert unknown.zone_names == ("P1",)


def test_a_pipe_drawn_against_the_flow(tmp_path: Path) -> None:
    text = small_networks.text().replace("P1 R J1", "P1 J1 R")
    (tmp_path / "n.inp").write_text(text)
    boundary = boundary_of(load_network(tmp_path / "n.inp"), P1="flow", T="level")
    assert boundary.zone_names == ("P1",)
    assert boundary.inflow.tolist() == [[-1, 0]]


@pytest.mark.parametrize("extra", [{"STATUS": "P4 Closed\nP6 Closed"}, {}], ids=["shut", "open"])
def test_districts_end_at_what_is_drawn_shut(tmp_path: Path, extra: dict[str, str]) -> None:
    """J5 hangs between P4 and P6; fed by a meter of its own from J7, it is a district once both are shut."""
    extra = {**extra, "PIPES": "PX J7 J5 100 100 120 0 Open"}
    network = small_networks.write(tmp_path, extra=extra)
    boundary = boundary_of(network, PX="flow", J5="pressure")
    assert boundary.zone_names == (("PX",) if "STATUS" in extra else ())


def test_a_second_meter_on_a_pipe_counts_once(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path)
    boundary = boundary_of(network, P1="flow", P1__b="flow", T="level", T__b="level")
    assert boundary.inflow.tolist() == [[1, 0, 0, 0]]
    assert np.count_nonzero(boundary.storage) == 1
    assert len(boundary.flows) == 2
    assert len(boundary.levels) == 1


def test_a_metered_pump_is_cut_where_both_sides_have_a_source(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "pump 3 points")
    boundary = boundary_of(network, P1="flow", D="flow", T="level", J5="pressure")
    assert boundary.cut.tolist() == [[network.link("D"), 1]]
    assert boundary.flows[:, 0].tolist() == [network.link("P1")]
    assert boundary.zone_names == ("P1", "D")
    assert boundary.inflow[0].tolist() == [1, -1, 0, 0]
    # Without the tank nothing would hold the head behind the pump.
    (tmp_path / "n.inp").write_text(
        small_networks.text("pump 3 points").replace("P7 J4 T", "P7 J2 T"), encoding="utf-8"
    )
    boundary = boundary_of(load_network(tmp_path / "n.inp"), P1="flow", D="flow", J5="pressure")
    assert len(boundary.cut) == 0
    assert len(boundary.flows) == 2


def test_heads_and_customers(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path)
    boundary = boundary_of(network, J5="head", J6="pressure", J1="demand", P1="flow")
    assert boundary.is_head.tolist() == [False, True]
    assert boundary.pressures[:, 1].tolist() == [1, 0]
    assert boundary.meters.tolist() == [[network.node("J1"), 2]]


def test_nothing_to_compare_with(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path)
    with pytest.raises(ReadingsError, match="no pressure, head or flow sensor"):
        boundary_of(network, T="level", J1="demand")
    with pytest.raises(ElementError, match="no node 'P1'"):
        boundary_of(network, P1="pressure")
    assert find_boundary(network, ["a", "J1"], ["flow", "pressure"], ["", "J1"]).flows.size == 0


@pytest.mark.shared
def test_zones_of_ltown(ltown: Network) -> None:
    boundary = boundary_of(ltown, p227="flow", p235="flow", PUMP_1="flow", T1="level", n1="pressure")
    assert boundary.zone_names == ("PUMP_1", "p227+p235")
    assert boundary.inflow.tolist() == [[0, 0, 1, 0, 0], [1, 1, -1, 0, 0]]
    assert [ltown.link_names[i] for i in boundary.cut[:, 0]] == ["PUMP_1"]
    assert (boundary.zone >= 0).sum() == len(ltown.node_names) - 2


# -- drive -------------------------------------------------------------------------------------------------------


def test_balance_by_hand(tmp_path: Path) -> None:
    """10 and 12 L/s flow in, 4 and 4 pass on; the tank (707 m2) rises 10 cm in an hour, then falls 20 cm."""
    network = small_networks.write(tmp_path, "PRV")
    boundary = boundary_of(network, P1="flow", D="flow", T="level", J4="demand")
    reading = np.array([[0.010, 0.004, 3.05, 0.001], [0.012, 0.004, 3.0, np.nan]])
    last = np.array([[0.010, 0.004, 3.10, 0.001], [0.012, 0.004, 2.9, 0.002]])
    given = drive(boundary, reading, last, np.array([np.nan, np.nan, 3.0, np.nan]), 3600.0, WEEK[:2])
    area = np.pi * 225
    assert given.net[:, 0] == pytest.approx([0.006, 0.008])
    assert given.net[:, 1] == pytest.approx([0.004 - area * 0.1 / 3600, 0.004 + area * 0.2 / 3600])
    assert given.level[:, 0].tolist() == [3.05, 3.0]
    assert given.metered[0, 0] == 0.001
    assert np.isnan(given.metered[1, 0])
    assert given.valid.all()
    assert given[1:].net.tolist() == given.net[1:].tolist()


@pytest.mark.parametrize(
    ("row", "column", "lost"),
    [(1, 0, [1]), (1, 1, [1]), (1, 2, [1, 2]), (0, 2, [0, 1]), (1, 3, [])],
    ids=["inflow", "passing on", "level", "first level", "customer"],
)
def test_what_is_missing_spoils_its_step(tmp_path: Path, row: int, column: int, lost: list[int]) -> None:
    network = small_networks.write(tmp_path, "PRV")
    boundary = boundary_of(network, P1="flow", D="flow", T="level", J4="demand")
    reading = np.tile([0.01, 0.004, 3.0, 0.001], (4, 1))
    reading[row, column] = np.nan
    given = drive(boundary, reading, reading, np.array([0, 0, 3.0, 0]), 3600.0, WEEK[:4])
    assert np.flatnonzero(~given.valid).tolist() == lost
    fresh = drive(boundary, reading, reading, np.full(4, np.nan), 3600.0, WEEK[:4])
    assert np.flatnonzero(~fresh.valid).tolist() == sorted({0, *lost})


def test_a_silent_pump_spoils_its_step(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "pump 3 points")
    boundary = boundary_of(network, D="flow", T="level", J1="pressure")
    reading = np.array([[0.01, 3.0, 50.0], [np.nan, 3.0, 50.0], [0.01, 3.0, np.nan]])
    given = drive(boundary, reading, reading, reading[0], 3600.0, WEEK[:3])
    assert given.valid.tolist() == [True, False, True]
    assert given.imposed[[0, 2], 0].tolist() == [0.01, 0.01]


# -- model -------------------------------------------------------------------------------------------------------


def test_demand_is_scaled_to_what_flows_in(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV", extra={"PATTERNS": "1 1.0 0.5"})
    boundary = boundary_of(network, P1="flow", D="flow", T="level", J4="demand", J5="demand")
    given = given_by(boundary, net=[0.008, 0.030], level=3.0)
    given.metered[:, 0] = 0.010
    first, second = boundary.zone == 0, boundary.zone == 1
    j4, j5 = network.node("J4"), network.node("J5")
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        leaks = Leaks(np.array([network.link("P6"), network.link("P8")]), np.tile([0.004, 0.001], (24, 1)))
        for row in (0, 1):
            demand = model.customers.demand(given, Leaks())[row]
            assert demand[first].sum() == pytest.approx(0.008)
            assert demand[second].sum() == pytest.approx(0.030)
            assert demand[j4] == 0.010
            # J5's meter is silent: it takes its share of what is left, beside J3 and J6 (2 and 3 of 10 L/s).
            assert demand[j5] == pytest.approx(0.020 * 5 / 10)
            less = model.customers.demand(given, leaks)[row]
            assert less[second].sum() == pytest.approx(0.026)
            assert less[first].sum() == pytest.approx(0.007)
            assert less[j4] == 0.010
        # More is metered than flows in: the rest keeps a little and never turns into a source.
        given.metered[:, 0] = 0.050
        assert (model.customers.demand(given, Leaks())[0] >= 0).all()
    assert network.base_demand[j5].sum() == 0.005


def test_demand_without_a_balance_follows_the_drawing(tmp_path: Path) -> None:
    extra = {"PATTERNS": "1 1.0 0.5\n2 2 2 1 1", "DEMANDS": "J4 4 1\nJ4 1 2"}
    network = small_networks.write(tmp_path, extra=extra)
    boundary = boundary_of(network, J5="pressure")
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        given = given_by(boundary, net=np.zeros(0))
        shown = [model.customers.demand(given, Leaks())[row][network.node("J4")] * 1e3 for row in range(5)]
        assert shown == pytest.approx([4 + 2, 2 + 2, 4 + 1, 2 + 1, 4 + 2])
        half = Physics(model.physics.roughness, model.physics.setting, np.full_like(network.base_demand, 0.5))
        model.set_physics(half)
        assert model.customers.demand(given, Leaks())[0][network.node("J4")] * 1e3 == pytest.approx(3)


@pytest.mark.parametrize("device", ["PRV", "pump 3 points"])
def test_inflow_is_what_is_used_and_leaks(tmp_path: Path, device: str) -> None:
    network = small_networks.write(tmp_path, device, "CMH")
    boundary = boundary_of(network, P1="flow", D="flow", T="level", J1="pressure", J6="pressure", P3="flow")
    given = given_by(boundary, net=[0.011, 0.014], level=3.0, imposed=0.009)
    given.valid[5] = False
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        shown = model.run(given)
        with_leak = model.run(given, Leaks(np.array([network.link("P6")]), np.full((24, 1), 0.003)))
        again = model.run(given)
    assert np.isnan(shown[5]).all()
    assert np.isfinite(np.delete(shown, 5, axis=0)).all()
    np.testing.assert_array_equal(again, shown)
    names = [network.link_names[i] for i in boundary.flows[:, 0]]
    flows = dict(zip(names, shown[0, 2:] / M3H, strict=True))
    through = flows["D"] if device == "PRV" else 0.009
    assert flows["P1"] == pytest.approx(0.011 + through, rel=1e-4)
    # The leak pulls the far pressure down and leaves the inflow as it is measured.
    assert (with_leak[0, 1] - shown[0, 1]) < -0.2
    if device != "PRV":
        assert with_leak[0, 2] == pytest.approx(shown[0, 2], rel=1e-3)


def test_a_leak_in_the_model_is_its_signature(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV", "CMH")
    boundary = boundary_of(network, P1="flow", T="level", J1="pressure", J4="pressure", J6="pressure", P4="flow")
    given = given_by(boundary, net=[0.024], level=3.0, steps=1)
    for name in ("P2", "P5", "P6"):
        link = network.link(name)
        with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
            plain = model.run(given)[0]
            shown = model.run(given, Leaks(np.array([link]), np.full((1, 1), 0.1 / M3H)))[0]
            state = model.state(model.customers.demand(given, Leaks())[0], given.level[0], given.imposed[0])
            signature = model.signatures(state, model.rows(model.linearised(state)))[:, link]
        np.testing.assert_allclose((shown - plain) / 0.1, signature[:-1], rtol=0.03, atol=2e-3)
        assert signature[-1] == 1  # of the zone's balance


def test_a_closed_pipe_and_settings(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV")
    boundary = boundary_of(network, J3="pressure", P4="flow")
    given = given_by(boundary, net=np.zeros(0), steps=1)
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        assert model.run(given)[0, 0] == pytest.approx(30, abs=0.01)
        setting = network.setting.copy()
        setting[network.link("D")] = 25
        model.set_physics(Physics(network.roughness, setting, np.ones_like(network.base_demand)))
        assert model.run(given)[0, 0] == pytest.approx(25, abs=0.01)


@pytest.mark.parametrize("unit", ["LPS", "GPM"])
@pytest.mark.parametrize("device", ["PRV", "pump 3 points", "TCV"])
def test_the_drawing_reproduces_epanets_own_run(tmp_path: Path, device: str, unit: str) -> None:
    """Three days of EPANET, hour by hour; the model is given inflow, pump and level and must show the rest."""
    u = small_networks.Units(unit)
    extra = {
        "PATTERNS": "a 0.6 0.5 0.7 1.2 1.4 1.0\nb 0.2 1.5 1.3 1.0",
        "DEMANDS": f"J4 {u.flow(3)} a\nJ4 {u.flow(2)} b\nJ6 {u.flow(3)} b\nJ5 {u.flow(4)} a\nJ1 {u.flow(2)} a",
        "TIMES": "Pattern Timestep 1:00\nHydraulic Timestep 1:00\nReport Timestep 1:00",
    }
    network = small_networks.write(tmp_path, device, unit, extra=extra)
    model_file = network.path
    assert model_file is not None
    true = wntr.network.WaterNetworkModel(str(model_file))
    true.options.time.duration = 72 * 3600
    true.options.hydraulic.accuracy = 1e-6
    result = wntr.sim.EpanetSimulator(true).run_sim(file_prefix=str(tmp_path / "run"))
    nodes = ["J1", "J3", "J4", "J6", "J7"]
    level = result.node["pressure"]["T"].to_numpy(dtype=float)
    names = [*nodes, "P1", "D", "P4", "T"]
    boundary = find_boundary(network, names, ["pressure"] * 5 + ["flow"] * 3 + ["level"], names)
    pressure, flow = result.node["pressure"][nodes], result.link["flowrate"][["P1", "D", "P4"]]
    reading = np.column_stack([pressure, flow, level]).astype(float)[:-1]
    last = reading.copy()
    last[:, -1] = level[1:]  # at the end of each hour
    given = drive(boundary, reading, last, reading[0], 3600.0, np.arange(72) * 3600.0)
    given.valid[-1] = False
    assert given.net.sum(axis=1)[:-1] == pytest.approx(
        result.node["demand"][true.junction_name_list].sum(axis=1).to_numpy()[:71], rel=1e-3
    )
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        shown = model.run(given)[:-1]
    count = len(boundary.pressures)
    np.testing.assert_allclose(shown[:, :count], reading[:-1, boundary.pressures[:, 1]], atol=0.02)
    np.testing.assert_allclose(shown[:, count:] / M3H, reading[:-1, boundary.flows[:, 1]], atol=3e-5)
    assert np.ptp(level) > 0.1


# -- loads -------------------------------------------------------------------------------------------------------


def test_loads_rise_and_weights_meet_them(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV")
    boundary = boundary_of(network, P1="flow", T="level", J6="pressure")
    given = given_by(boundary, net=0.02, level=3.0, steps=96)
    given.net[:, 0] *= 1 + 0.5 * np.sin(np.arange(96) / 5)
    given.valid[::7] = False
    given.net[::7] = np.nan
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        loads = find_loads(model, given, count=6)
    assert (np.diff(loads.centre) > 0).all()
    assert loads.demand.sum(axis=1) == pytest.approx(loads.centre, rel=1e-6)
    assert loads.category.sum(axis=2) == pytest.approx(loads.demand)
    weights = loads.weights(total_load(given))
    assert weights.sum(axis=1) == pytest.approx(np.ones(96))
    assert (weights >= 0).all()
    assert (np.count_nonzero(weights, axis=1) <= 2).all()
    between = (total_load(given) > loads.centre[0]) & (total_load(given) < loads.centre[-1])
    assert weights[between] @ loads.centre == pytest.approx(total_load(given)[between])
    assert loads.weights(np.array([-1.0, 1e3])).tolist() == [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]]


def test_loads_need_steps(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path)
    boundary = boundary_of(network, P1="flow", T="level", J6="pressure")
    given = given_by(boundary, net=0.02, level=3.0)
    given.valid[:] = False
    with (
        HydraulicModel(network, boundary, Physics.drawn(network)) as model,
        pytest.raises(ReadingsError, match="fewer than 12 steps"),
    ):
        find_loads(model, given)


def test_loads_by_the_clock_without_a_balance(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, extra={"PATTERNS": "1 1.0 0.5 2.0"})
    boundary = boundary_of(network, J6="pressure")
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        loads = find_loads(model, given_by(boundary, net=np.zeros(0), steps=36), count=3)
    assert loads.demand.sum(axis=1) == pytest.approx(network.base_demand.sum() * np.array([0.5, 1, 2]))


def test_pipe_groups(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "PRV")
    group = pipe_groups(network)
    assert (group[network.link_kind != Link.PIPE] == -1).all()
    of = {name: int(group[network.link(name)]) for name in network.link_names}
    assert of["P4"] == of["P5"] == of["P7"]  # 100 mm, smooth
    assert len({of["P1"], of["P2"], of["P3"], of["P4"], of["P6"], of["P8"]}) == 6
    rough = replace(network, roughness=network.roughness * np.where(np.arange(9) == network.link("P4"), 0.9, 1))
    assert len(set(pipe_groups(rough).tolist())) == 8
