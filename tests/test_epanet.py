"""EPANET in process: units, setters, what it is freed of, errors; reading model files as users have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_networks
import wntr

from leakdetect import networks
from leakdetect.epanet import load_network, read_wntr
from leakdetect.epanet_state import Epanet
from leakdetect.errors import ConvergenceError, MissingFileError, NetworkError
from leakdetect.network import Link, Network, Node

UNITS = sorted(small_networks._FLOW)


def solved(network: Network, accuracy: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """Return all heads and flows under the base demand."""
    with Epanet(network, accuracy) as epanet:
        lay_in(epanet, network)
        epanet.solve()
        return everything(epanet, network)


def lay_in(epanet: Epanet, network: Network) -> None:
    junctions = np.flatnonzero(~network.is_fixed)
    epanet.set_demands(junctions, network.base_demand.sum(axis=1)[junctions])


def everything(epanet: Epanet, network: Network) -> tuple[np.ndarray, np.ndarray]:
    return epanet.heads(np.arange(len(network.node_names))), epanet.flows(np.arange(len(network.link_names)))


def with_wntr(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of the file as it stands, by WNTR's own run of EPANET."""
    assert network.path is not None
    model = read_wntr(network.path)
    folder = network.path.parent
    result = wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(folder / "run"))
    head = result.node["head"].iloc[0][list(network.node_names)].to_numpy(dtype=float)
    return head, result.link["flowrate"].iloc[0][list(network.link_names)].to_numpy(dtype=float)


@pytest.mark.parametrize("device", ["PRV", "FCV", "pump 3 points", "PBV"])
@pytest.mark.parametrize("unit", UNITS)
def test_units_round_trip(tmp_path: Path, unit: str, device: str) -> None:
    """The same town, written in any units, is the same town in SI and has the same state."""
    network = small_networks.write(tmp_path, device, unit, "D-W")
    like = small_networks.write(tmp_path, device, "LPS", "D-W")
    rough = {"rtol": 2e-5, "atol": 1e-9}
    for name in ("elevation", "base_demand", "length", "diameter", "roughness", "setting", "tank_area"):
        np.testing.assert_allclose(getattr(network, name), getattr(like, name), err_msg=name, **rough)
    for found, true in zip(solved(network), solved(like), strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-3, atol=2e-3)
    for found, true in zip(solved(network), with_wntr(network), strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(("unit", "formula"), [("CMH", "D-W"), ("GPM", "D-W"), ("MGD", "H-W"), ("CFS", "C-M")])
def test_setters_do_what_a_changed_file_does(tmp_path: Path, unit: str, formula: str) -> None:
    network = small_networks.write(tmp_path, "PRV", unit, formula)
    u = small_networks.Units(unit)
    value = u.roughness({"D-W": 1.1, "H-W": 90, "C-M": 0.014}[formula], formula)
    text = small_networks.text("PRV", unit, formula)
    row = next(line for line in text.splitlines() if line.startswith("P3 "))
    cells = row.split()
    text = text.replace(row, " ".join([*cells[:5], f"{value:.8f}", *cells[6:]]))
    for old, new in (
        (f"J6 {u.length(7):.6f} {u.flow(3):.6f}", f"J6 {u.length(7):.6f} {u.flow(8):.6f}"),
        (f"T {u.length(34):.6f} {u.length(3):.6f}", f"T {u.length(34):.6f} {u.length(1.5):.6f}"),
        (f"PRV {u.pressure(30):.8f}", f"PRV {u.pressure(24):.8f}"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "changed.inp").write_text(text)
    changed = load_network(tmp_path / "changed.inp")
    with Epanet(network, 1e-6) as epanet:
        lay_in(epanet, network)
        epanet.set_roughness(np.array([network.link("P3")]), changed.roughness[[network.link("P3")]])
        epanet.set_demands(np.array([network.node("J6")]), np.array([8e-3]))
        epanet.set_level(network.node("T"), 1.5)
        epanet.set_pressure_setting(network.link("D"), 24.0)
        epanet.solve()
        for found, true in zip(everything(epanet, network), with_wntr(changed), strict=True):
            np.testing.assert_allclose(found, true, rtol=1e-3, atol=1e-3)
        held = epanet.heads(np.array([network.node("J3")]))[0] - network.elevation[network.node("J3")]
        assert held == pytest.approx(24, abs=1e-3)
        epanet.set_open(network.link("P4"), False)
        epanet.solve()
        flows, opened = epanet.flows(np.array([network.link("P4")])), epanet.is_open(np.array([network.link("P4")]))
        assert flows[0] == pytest.approx(0, abs=1e-6)
        assert not opened[0]
        epanet.set_open(network.link("P4"), True)
        epanet.solve()
        assert epanet.flows(np.array([network.link("P4")]))[0] > 1e-3


def test_levels_beyond_the_drawing(tmp_path: Path) -> None:
    """A reading above the overflow or below the bottom is taken as near as it can be, and shuts no pipe."""
    network = small_networks.write(tmp_path)
    tank, inlet = network.node("T"), np.array([network.link("P7")])
    with Epanet(network) as epanet:
        lay_in(epanet, network)
        flows = []
        for level in (-0.2, 0.0, 0.5, 3.0, 6.0, 6.4):
            epanet.set_level(tank, level)
            epanet.solve()
            assert epanet.heads(np.array([tank]))[0] == pytest.approx(48 + max(level, 0.01), abs=1e-6)
            assert epanet.is_open(inlet)[0]
            flows.append(float(epanet.flows(inlet)[0]))
    assert flows[-1] < flows[-2] < flows[3] < flows[2] < flows[1]
    assert flows[1] == pytest.approx(flows[0])


def test_level_stays_within_a_table_of_volumes(tmp_path: Path) -> None:
    text = small_networks.text(extra={"CURVES": "V 0 0\nV 6 700"})
    row = next(line for line in text.splitlines() if line.startswith("T "))
    (tmp_path / "v.inp").write_text(text.replace(row, row + " V"))
    network = load_network(tmp_path / "v.inp")
    with Epanet(network) as epanet:
        lay_in(epanet, network)
        epanet.set_level(network.node("T"), 9.0)
        epanet.solve()
        assert epanet.heads(np.array([network.node("T")]))[0] == pytest.approx(54.0, abs=1e-3)


@pytest.mark.parametrize(
    "extra",
    [
        {"CONTROLS": "LINK P4 CLOSED AT TIME 0\nLINK P5 CLOSED IF NODE T ABOVE 1"},
        {"RULES": "RULE 1\nIF TANK T LEVEL ABOVE 1\nTHEN PIPE P5 STATUS IS CLOSED\nPRIORITY 1"},
        {"PATTERNS": "1 2.0 0.5"},
        {"OPTIONS": "Demand Model PDA\nMinimum Pressure 0\nRequired Pressure 60"},
        {"OPTIONS": "Trials 2\nUnbalanced Stop"},
        {"EMITTERS": "J5 0.4\nJ6 0.2"},
    ],
    ids=["controls", "rules", "default pattern", "pressure-driven", "few trials", "emitters"],
)
def test_what_it_is_freed_of(tmp_path: Path, extra: dict[str, str]) -> None:
    plain = small_networks.write(tmp_path)
    heads, flows = solved(plain)
    for found, true in zip(solved(small_networks.write(tmp_path, extra=extra)), (heads, flows), strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-4, atol=1e-5)


def test_demand_multiplier_and_categories(tmp_path: Path) -> None:
    extra = {
        "OPTIONS": "Demand Multiplier 1.5",
        "PATTERNS": "a 1.0 0.5\nb 0.4 1.0 1.6",
        "DEMANDS": "J4 3 a\nJ4 2 b\nJ6 3 b",
    }
    network = small_networks.write(tmp_path, extra=extra)
    at = network.base_demand[[network.node(n) for n in ("J4", "J6", "J1")]] * 1e3 / 1.5
    column = [network.categories.index(c) for c in ("a", "b")]
    assert at[0, column] == pytest.approx([3, 2])
    assert at[1, column] == pytest.approx([0, 3])
    assert at[2].sum() == pytest.approx(2)
    assert network.patterns.shape[0] == 6
    assert network.patterns[:, column[0]] == pytest.approx([1, 0.5] * 3)
    assert network.patterns[:, column[1]] == pytest.approx([0.4, 1, 1.6] * 2)
    for found, true in zip(solved(network), with_wntr(load_network(network.path)), strict=True):  # type: ignore[arg-type]
        assert found.shape == true.shape
    with Epanet(network) as epanet:  # a node with several demands takes what it is given and no more
        lay_in(epanet, network)
        epanet.set_demands(np.array([network.node("J4")]), np.array([1e-3]))
        epanet.solve()
        flows = epanet.flows(np.array([network.link(n) for n in ("P3", "P5", "P7")]))
    assert flows[0] - flows[1:].sum() == pytest.approx(1e-3, abs=1e-6)


@pytest.mark.parametrize(("status", "flow"), [("Closed", 0.0), ("Open", None)])
@pytest.mark.parametrize("kind", ["PRV", "PSV", "FCV", "TCV", "PBV"])
def test_valves_fixed_by_status_have_no_setting(tmp_path: Path, kind: str, status: str, flow: float | None) -> None:
    network = small_networks.write(tmp_path, kind, extra={"STATUS": f"D {status}"})
    valve = network.link("D")
    assert np.isnan(network.setting[valve])
    assert network.open[valve] == (status == "Open")
    through = solved(network)[1][valve]
    assert through == pytest.approx(with_wntr(network)[1][valve], abs=1e-5)
    assert flow is None or through == flow


@pytest.mark.parametrize(
    ("option", "written"), [("Pressure KPA", 30 * 9.8018), ("Specific Gravity 0.8", 24.0), ("Pressure METERS", 30.0)]
)
def test_other_measures_of_pressure(tmp_path: Path, option: str, written: float) -> None:
    """A PRV holds 30 m of the liquid, whatever the file counts pressure in."""
    text = small_networks.text("PRV", extra={"OPTIONS": option}).replace("PRV 30.00000000", f"PRV {written:.6f}")
    (tmp_path / "p.inp").write_text(text)
    network = load_network(tmp_path / "p.inp")
    valve, below = network.link("D"), network.node("J3")
    assert network.setting[valve] == pytest.approx(30, rel=2e-4)
    with Epanet(network) as epanet:
        lay_in(epanet, network)
        for setting in (None, 25.0):
            if setting is not None:
                epanet.set_pressure_setting(valve, setting)
            epanet.solve()
            assert epanet.heads(np.array([below]))[0] - 6 == pytest.approx(setting or 30, abs=0.01)


def test_curves(tmp_path: Path) -> None:
    for unit in ("GPM", "CMH"):
        for device, kind, points in (
            ("pump 1 point", "function", 1),
            ("pump 3 points", "function", 3),
            ("pump by segments", "segments", 5),
            ("GPV", "segments", 4),
            ("pump of power", "power", 0),
        ):
            network = small_networks.write(tmp_path, device, unit)
            with Epanet(network) as epanet:
                curve = epanet.curve(network.link("D"))
                assert curve is not None
                assert curve.kind == kind
                assert len(curve.flow) == len(curve.head) == points
                assert epanet.curve(network.link("P1")) is None
                if device == "pump by segments":
                    assert curve.flow == pytest.approx([0, 0.01, 0.02, 0.03, 0.04], rel=1e-4, abs=1e-9)
                    assert curve.head == pytest.approx([20, 18, 15, 10, 4], rel=1e-4)


def test_no_state_is_an_error() -> None:
    network = networks.load("town")
    with Epanet(network, accuracy=1e-8) as epanet:
        lay_in(epanet, network)
        with pytest.raises(ConvergenceError, match=r"town.*: EPANET found no steady state: did not balance"):
            epanet.solve()


def test_a_state_from_scratch_hangs_on_nothing() -> None:
    network = networks.load("town")
    with Epanet(network) as epanet:
        lay_in(epanet, network)
        epanet.solve()
        first = everything(epanet, network)
        junctions = np.flatnonzero(~network.is_fixed)
        epanet.set_demands(junctions, 2 * network.base_demand.sum(axis=1)[junctions])
        epanet.solve()
        lay_in(epanet, network)
        epanet.forget()
        epanet.solve()
        for found, true in zip(everything(epanet, network), first, strict=True):
            np.testing.assert_array_equal(found, true)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_open_and_close_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    network = small_networks.write(tmp_path)
    before = open_files()
    folder = {p.name for p in tmp_path.iterdir()}
    for _ in range(30):
        epanet = Epanet(network)
        lay_in(epanet, network)
        epanet.solve()
        assert any(scratch.iterdir())
        epanet.close()
        epanet.close()
    assert open_files() <= before + 1
    assert not any(scratch.iterdir())
    assert {p.name for p in tmp_path.iterdir()} == folder


def test_two_at_once(tmp_path: Path) -> None:
    one, two = small_networks.write(tmp_path, "PRV"), small_networks.write(tmp_path, "TCV", "GPM")
    with Epanet(one, 1e-6) as first, Epanet(two, 1e-6) as second:
        lay_in(first, one)
        lay_in(second, two)
        first.solve()
        second.solve()
        for found, true in zip(everything(first, one), solved(one), strict=True):
            np.testing.assert_array_equal(found, true)


@pytest.mark.parametrize("name", ["réseau d'été", "żółw", "with space"])
def test_folders_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    network = small_networks.write(folder)
    np.testing.assert_array_equal(solved(network)[0], solved(small_networks.write(tmp_path))[0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_files_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    text = "[TITLE]\nréseau à l'été\n" + small_networks.text().replace("J5", "Jé5").replace("P4 ", "Pü4 ")
    (tmp_path / "e.inp").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    network = load_network(tmp_path / "e.inp")
    assert network.has_node("Jé5")
    assert network.has_link("Pü4")
    np.testing.assert_array_equal(solved(network)[0], solved(small_networks.write(tmp_path))[0])


def test_read_network(tmp_path: Path) -> None:
    text = small_networks.text("PRV").replace("P6 J5 J6 300.000000 80.000000 130.00000000 0 Open",
                                              "P6 J5 J6 300.000000 80.000000 130.00000000 0 Closed")  # fmt: skip
    (tmp_path / "n.inp").write_text(text)
    network = load_network(tmp_path / "n.inp")
    assert network.name == "n"
    assert network.node_names == ("J1", "J2", "J3", "J4", "J5", "J6", "J7", "R", "T")
    assert network.link_names == (*[f"P{i}" for i in range(1, 9)], "D")
    assert network.link_kind[-1] == Link.PRV
    assert network.node_kind[-2:].tolist() == [Node.RESERVOIR, Node.TANK]
    assert network.elevation[-2:].tolist() == [60, 34]
    assert not network.open[network.link("P6")]
    assert network.open.sum() == 8
    assert network.tank_area[-1] == pytest.approx(np.pi * 225)
    assert np.isnan(network.setting[:-1]).all()
    assert network.setting[-1] == 30
    assert network.flow_unit == "L/s"
    assert solved(network)[1][network.link("P6")] == 0


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.inp: no such file"):
        load_network(tmp_path / "none.inp")
    for name, content in (
        ("csv.inp", "time;p\n1;2\n"),
        ("empty.inp", "[JUNCTIONS]\n[END]\n"),
        ("broken.inp", small_networks.text().replace("P2 J1 J2", "P2 J1 J99")),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(NetworkError) as caught:
            load_network(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.shared
def test_a_file_that_epanet_refuses(shared: Path) -> None:
    with pytest.raises(NetworkError, match=r"exnet\.inp"):
        Epanet(load_network(shared / "networks" / "exnet.inp"))
