"""Steps and leaks solved in batches: as EPANET has them, and each on its own to the last digit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import small_networks

from leakdetect.core.hydraulics import Steady
from leakdetect.epanet import load_network
from leakdetect.errors import ConvergenceError
from leakdetect.network import Network
from leakdetect.stages.expected import model as module
from leakdetect.stages.expected.batch import Batch
from leakdetect.stages.expected.boundary import Boundary, Drive, find_boundary
from leakdetect.stages.expected.customers import Leaks
from leakdetect.stages.expected.loads import effects, find_loads
from leakdetect.stages.expected.model import HydraulicModel, Physics
from leakdetect.units import M3H

STEPS = 40
SENSORS = {
    "J1": "pressure", "J4": "pressure", "J6": "head", "P1": "flow", "P4": "flow", "T": "level", "J5": "demand",
}  # fmt: skip


def watch(network: Network, **more: str) -> Boundary:
    sensors = SENSORS | more
    return find_boundary(network, list(sensors), list(sensors.values()), list(sensors))


def drive(boundary: Boundary, steps: int = STEPS) -> Drive:
    """Return what is never twice the same: inflow, level, a meter that is silent now and then, an imposed flow."""
    random = np.random.default_rng(0)
    metered = random.uniform(0.002, 0.006, (steps, len(boundary.meters)))
    metered[::3] = np.nan
    return Drive(
        net=random.uniform(0.012, 0.025, (steps, len(boundary.zone_names))),
        metered=metered,
        level=random.uniform(0.5, 5.0, (steps, len(boundary.levels))),
        imposed=random.uniform(0.004, 0.009, (steps, len(boundary.cut))),
        week=np.arange(steps) * 3600.0,
        valid=np.arange(steps) % 7 != 3,
    )


def some_leaks(network: Network) -> Leaks:
    flow = np.random.default_rng(1).uniform(0.0, 0.003, (STEPS, 2))
    return Leaks(np.array([network.link("P3"), network.link("P6")]), flow)


def by_epanet(model: HydraulicModel, given: Drive, leaks: Leaks) -> np.ndarray:
    """Return what `run` returns where nothing settles in a batch."""
    model.__dict__["_batch"] = None
    shown = model.run(given, leaks)
    del model.__dict__["_batch"]
    return shown


def assert_same(found: np.ndarray, true: np.ndarray, boundary: Boundary) -> None:
    heads = len(boundary.pressures)
    np.testing.assert_allclose(found[:, :heads], true[:, :heads], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found[:, heads:], true[:, heads:], rtol=0, atol=0.01)


@pytest.mark.parametrize("device", small_networks.DEVICES)
def test_steps_are_as_epanet_has_them(tmp_path: Path, device: str) -> None:
    network = small_networks.write(tmp_path, device, "CMH", extra={"PATTERNS": "1 1.0 0.5 1.3"})
    boundary = watch(network)
    given, leaks = drive(boundary), some_leaks(network)
    settings = network.setting + np.where(np.isfinite(network.setting), 1.5, np.nan)
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        assert model._batch is not None
        for _ in range(2):
            shown = model.run(given, leaks)
            assert np.isnan(shown).all(axis=1).tolist() == (~given.valid).tolist()
            assert_same(shown, by_epanet(model, given, leaks), boundary)
            model.set_settings(settings)  # only PRVs and PSVs follow it


def test_a_pump_whose_flow_is_imposed(tmp_path: Path) -> None:
    network = small_networks.write(tmp_path, "pump 3 points", "GPM", "D-W")
    boundary = watch(network, D="flow")
    assert len(boundary.cut) == 1
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        shown = model.run(drive(boundary), some_leaks(network))
        assert_same(shown, by_epanet(model, drive(boundary), some_leaks(network)), boundary)


@pytest.mark.parametrize("closed", ["", "D Closed"])
def test_patterns_of_speed_and_head(tmp_path: Path, closed: str) -> None:
    """EPANET's first step counts: it starts a pump that is drawn shut, and lifts a reservoir."""
    lines = small_networks.text("pump 3 points", "LPS", extra={"PATTERNS": "s 0.8\nh 1.1", "STATUS": closed})
    lines = lines.replace("SPEED 0.95", "SPEED 0.95 PATTERN s").replace("R 60.000000", "R 60.000000 h")
    (tmp_path / "patterns.inp").write_text(lines)
    network = load_network(tmp_path / "patterns.inp")
    boundary = watch(network)
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        shown = model.run(drive(boundary), some_leaks(network))
        assert_same(shown, by_epanet(model, drive(boundary), some_leaks(network)), boundary)


def test_a_step_rests_on_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_networks.write(tmp_path, "PRV", "CMH", extra={"PATTERNS": "1 1.0 0.5 1.3"})
    boundary = watch(network)
    given, leaks = drive(boundary), some_leaks(network)
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        none = Leaks(np.zeros(0, dtype=np.int64), np.zeros((STEPS, 0)))
        np.testing.assert_array_equal(model.run(given, none), model.run(given))
        whole = model.run(given, leaks)
        monkeypatch.setattr(module, "_VALUES", 100)
        told: list[int] = []
        np.testing.assert_array_equal(model.run(given, leaks, told.append), whole)
        assert len(told) > 1
        assert sum(told) == given.valid.sum()
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        model.state(np.zeros(len(network.node_names)), given.level[0], given.imposed[0])
        model.set_settings(network.setting - 3)
        order = np.random.default_rng(2).permutation(STEPS)
        model.run(given[order])
        model.set_settings(network.setting)
        np.testing.assert_array_equal(model.run(given[order], leaks[order]), whole[order])
        for row in range(STEPS):
            alone = slice(row, row + 1)
            np.testing.assert_array_equal(model.run(given[alone], leaks[alone]), whole[alone])


def test_what_batches_cannot_do_is_left_to_epanet(tmp_path: Path) -> None:
    """EPANET takes a curve of one point, as a line of its own making."""
    lines = re.sub(r"(G [\d.]+ [\d.]+\n)+", "G 72.0 9.0\n", small_networks.text("GPV", "CMH"))
    (tmp_path / "one.inp").write_text(lines)
    network = load_network(tmp_path / "one.inp")
    boundary = watch(network)
    given = drive(boundary)
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        assert model._batch is None
        shown = model.run(given)
        assert np.isfinite(shown[given.valid]).all()
        for row in np.flatnonzero(given.valid)[::-1].tolist():
            model.state(model.customers.demand(given, Leaks())[row], given.level[row], given.imposed[row])
            np.testing.assert_array_equal(model.observe(), shown[row])


def test_what_does_not_settle_is_left_to_epanet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_networks.write(tmp_path, "PRV", "CMH")
    boundary = watch(network)
    given = drive(boundary, 8)
    given.valid[:] = True
    given.net[5] = np.nan  # nobody finds a state for that
    solve = Batch.solve

    def stubborn(self: Batch, demand: np.ndarray, level: np.ndarray, setting: np.ndarray) -> Steady:
        found = solve(self, demand, level, setting)
        for values in (found.head, found.flow, found.converged):
            values[2] = np.nan if values.dtype == float else False
        return found

    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        plain, true = model.run(given), by_epanet(model, given, Leaks())
        monkeypatch.setattr(Batch, "solve", stubborn)
        shown = model.run(given)
    np.testing.assert_array_equal(shown[2], true[2])
    rest = np.arange(8) != 2
    np.testing.assert_array_equal(shown[rest], plain[rest])
    assert np.isnan(shown[5]).all()
    assert np.isfinite(np.delete(shown, 5, axis=0)).all()


def test_whole_effects_of_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is the difference of two states, whatever other links are asked about with it."""
    network = small_networks.write(tmp_path, "PRV", "CMH")
    boundary = watch(network)
    known = Leaks(np.array([network.link("P6")]), np.array([[0.002]]))
    links, states = np.flatnonzero(network.is_pipe), np.array([0, 2])
    flow = np.where(network.link_names[links[0]] == np.array(network.link_names)[links], 2.0, 5.0)
    with HydraulicModel(network, boundary, Physics.drawn(network)) as model:
        loads = find_loads(model, drive(boundary), count=3)
        found = effects(model, loads, known, links, flow, states)
        monkeypatch.setattr(module, "_VALUES", 60)
        np.testing.assert_array_equal(effects(model, loads, known, links, flow, states), found)
        np.testing.assert_array_equal(
            effects(model, loads, known, links[[3]], flow[[3]], states[[1]]), found[1:, :, [3]]
        )
        more = Leaks(np.array([network.link("P6"), network.link("P4")]), np.array([[0.002, 5.0 / M3H]]))
        ends = []
        for leaks in (more, known):
            demand = model.customers.make_room(loads.demand[[2]], leaks.at_nodes(network))[0]
            model.state(demand, loads.level[2], loads.imposed[2])
            ends.append(model.observe())
        count = boundary.channels - len(boundary.zone_names)
        column = links.tolist().index(network.link("P4"))
        np.testing.assert_allclose(found[1, :count, column], (ends[0] - ends[1]) / 5.0, rtol=0, atol=1e-3)
        loads.demand[2] = np.nan
        with pytest.raises(ConvergenceError, match=r"no steady state with a leak of 5 m3/h"):
            effects(model, loads, known, links, flow, states)
