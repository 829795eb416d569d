import hashlib
import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import wntr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra
from typer.testing import CliRunner

from leakdetect import networks
from leakdetect.cli import app
from leakdetect.epanet import load_network
from leakdetect.epanet_run import EpanetRun, write_variant
from leakdetect.errors import ElementError, InputError, MissingFileError
from leakdetect.network import Link, Network, Node
from leakdetect.networks import Sensors, read_sensors, sensors_csv, spread_sensors
from leakdetect.networks.cache import cached
from leakdetect.networks.generator import MATERIALS, PLANS, Plan, generate
from leakdetect.networks.inp import commercial, residential
from leakdetect.networks.layout import draw_streets
from leakdetect.networks.make import INVENTED, LIBRARY, make

HERE = [entry.id for entry in networks.catalogue() if entry.kept == "here"]
SHIPPED = [entry.id for entry in networks.catalogue() if entry.kept != "made"]


@cache
def load(name: str) -> Network:
    return networks.load(name)


def test_the_catalogue_tells_the_truth():
    assert HERE == ["village", "town", "city"]
    assert [entry.id for entry in networks.catalogue()] == [*INVENTED, *LIBRARY]
    for entry in map(networks.entry, SHIPPED):
        network, sensors = load(entry.id), networks.sensors(entry.id)
        assert hashlib.sha256(networks.path(entry.id).read_bytes()).hexdigest() == entry.checksum
        assert (network.node_kind == Node.JUNCTION).sum() == entry.junctions
        assert network.is_pipe.sum() == entry.pipes
        assert len(sensors) == entry.sensors
        assert entry.licence.startswith("Apache-2.0" if entry.id in INVENTED else "BSD-3-Clause")
        sensors.check(network)


def test_the_shipped_files_are_what_the_generator_makes(tmp_path):
    names = [*HERE, "Net3"]
    assert make(tmp_path, names) == [networks.entry(name) for name in names]
    made = sorted(p.name for p in tmp_path.iterdir() if p.name != "catalogue.csv")
    assert len(made) == len(HERE) + len(names)
    for name in made:
        assert (tmp_path / name).read_bytes() == (networks.folder() / name).read_bytes(), name


def test_the_page_holds_the_catalogue():
    page = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
    for entry in networks.catalogue():
        cells = [f"`{entry.id}`", f"{entry.junctions:,}", f"{entry.pipes:,}", f"{entry.sensors}", entry.kept]
        assert f"| {' | '.join(cells)} |" in page, entry.id


def test_village_and_town_are_what_they_should_be():
    village, town = networks.load("village"), networks.load("town")
    assert village.base_demand.sum() * 86400 == pytest.approx(1_400 * 0.150, rel=1e-3)
    assert town.base_demand.sum() * 86400 == pytest.approx(10_000 * 0.150, rel=1e-3)
    assert len(networks.sensors("village").pressures) == 2
    assert len(networks.sensors("village").flows) == 1
    assert len(networks.sensors("town").pressures) == 15
    for kind in (Link.PUMP, Link.PRV):
        assert (town.link_kind == kind).any()
    assert (town.node_kind == Node.TANK).any()
    assert (town.node_kind == Node.RESERVOIR).sum() == 2
    loops = len(town.link_names) - len(town.node_names) + 1
    dead_ends = (np.bincount(np.r_[town.start, town.end]) == 1).sum()
    assert loops > 50
    assert dead_ends > 40
    assert set(np.unique(town.roughness[town.is_pipe])) == {c for _, c in MATERIALS}


def test_every_inflow_of_the_samples_is_metered():
    for name in SHIPPED:
        network, flows = load(name), networks.sensors(name).flows
        for i, link in enumerate(network.link_names):
            if {network.node_kind[network.start[i]], network.node_kind[network.end[i]]} & {Node.RESERVOIR}:
                assert link in flows


@pytest.mark.parametrize("name", HERE)
def test_epanet_runs_for_days_without_a_warning(name, tmp_path):
    path, network = networks.path(name), load(name)
    days = 2 if name == "city" else 7
    inp = tmp_path / "week.inp"
    write_variant(path, inp, step=3600)
    junctions = [n for n, k in zip(network.node_names, network.node_kind, strict=True) if k == Node.JUNCTION]
    tanks = [n for n, k in zip(network.node_names, network.node_kind, strict=True) if k == Node.TANK]
    pipes = [n for n, k in zip(network.link_names, network.is_pipe, strict=True) if k]
    pressure, level, flow = [], [], []
    with EpanetRun(inp) as run:
        nodes, stores = ([run.node(n) for n in names] for names in (junctions, tanks))
        links = [run.link(n) for n in pipes]
        run.begin(days * 86400)
        while True:
            run.solve()
            pressure.append(run.pressures(nodes))
            level.append(run.pressures(stores))
            flow.append(run.flows(links))
            if not run.advance():
                break
        assert not run.warnings
    assert np.min(pressure) > 20
    assert np.max(pressure) < 80
    if tanks:
        assert np.min(level) > 0.5
        assert np.max(level) < 4.5
    # Head losses at the busiest hour: some metres a kilometre where water really flows, nowhere absurd.
    q = np.abs(np.array(flow)).max(axis=0) / 3600
    which = network.is_pipe
    slope = 10670 * (q / network.roughness[which]) ** 1.852 / network.diameter[which] ** 4.871
    assert 0.5 < np.average(slope, weights=q) < 5
    assert np.percentile(slope, 99) < 8


@pytest.mark.parametrize("seed", [2, 3, 7])
def test_other_towns_run_without_a_warning_too(seed, tmp_path):
    path = tmp_path / "town.inp"
    path.write_text(generate("town", seed))
    model = wntr.network.WaterNetworkModel(str(path))
    model.options.time.duration = 2 * 86400
    result = wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(tmp_path / "run"))
    assert "WARNING" not in (tmp_path / "run.rpt").read_text()
    pressure = result.node["pressure"][model.junction_name_list]
    assert pressure.to_numpy().min() > 20
    assert pressure.to_numpy().max() < 80


def test_same_seed_same_network_other_seed_another():
    assert generate("village", 5) == generate("village", 5)
    assert generate("village", 5) != generate("village", 6)


@settings(max_examples=15, deadline=None)
@given(st.integers(20, 900), st.integers(0, 10_000))
def test_streets_have_as_many_places_as_wanted_and_hang_together(places, seed):
    streets = draw_streets(places, np.random.default_rng(seed))
    assert len(streets.xy) == places
    assert streets.length.min() > 1
    assert not (streets.start == streets.end).any()
    pairs = {frozenset(p) for p in zip(streets.start.tolist(), streets.end.tolist(), strict=True)}
    assert len(pairs) == len(streets.start)
    reached, edge = {0}, True
    while edge:
        edge = {x for p in pairs if len(p & reached) == 1 for x in p} - reached
        reached |= edge
    assert len(reached) == places


def test_a_city_has_many_zones_and_is_connected(tmp_path):
    path = tmp_path / "city.inp"
    path.write_text(
        generate(Plan(junctions=3000, inhabitants=60_000, sources=2, rise=42, low=0.3, high=0.2, zone=400), 1)
    )
    network = load_network(path)
    assert (network.link_kind == Link.PRV).sum() == 3
    assert (network.link_kind == Link.PUMP).sum() == 2
    assert network.components().max() == 0
    without = np.flatnonzero(~network.is_pipe)
    # Each PRV zone and each tank zone is an island but for its valve or pump; so is each rising main's tank.
    assert network.components(without).max() == 3 + 2


def test_the_city_has_twelve_districts_each_with_a_meter():
    city, sensors = load("city"), networks.sensors("city")
    named = [i for i, name in enumerate(city.link_names) if name.startswith("DMA_")]
    valves, pumps = (np.flatnonzero(city.link_kind == kind) for kind in (Link.PRV, Link.PUMP))
    inlets = [*named, *valves, *pumps]
    assert len(inlets) == 12
    assert {city.link_names[i] for i in inlets} <= set(sensors.flows)
    assert {city.node_names[i] for i in np.flatnonzero(city.node_kind == Node.TANK)} == set(sensors.levels)
    part = city.components(np.array(inlets))
    districts = np.bincount(part)[np.unique(part[city.end[inlets]])]
    assert len(np.unique(part)) == 12 + 1  # and the rest of the city
    assert (districts <= 1.05 * PLANS["city"].zone).all()
    tags = [line.split() for line in networks.path("city").read_text().splitlines() if line.startswith("NODE n")]
    assert len(tags) == networks.entry("city").junctions
    zone = {name: tag for _, name, tag in tags}
    inside = {
        p: {zone[n] for n, k in zip(city.node_names, part, strict=True) if k == p and n in zone} for p in set(part)
    }
    assert all(len(tags) <= 1 for tags in inside.values())


def test_no_room_for_so_many_districts():
    with pytest.raises(InputError, match="no room for 90 districts"):
        generate(Plan(junctions=2000, inhabitants=9000, rise=42, low=0.3, high=0.3, zone=100, districts=90), 1)


def test_memory_grows_no_faster_than_the_network():
    def peak(junctions: int) -> float:
        tracemalloc.start()
        generate(replace(PLANS["metropolis"], junctions=junctions, sources=4, zone=junctions // 50), 1)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most / junctions

    assert peak(8_000) < 1.3 * peak(4_000) < 26_000  # bytes: a hundred thousand in 3 GB ten times over


def test_what_is_made_is_kept_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAKDETECT_CACHE", str(tmp_path / "kept"))
    checksum = networks.entry("village").checksum
    path = cached("village", checksum)
    assert path.read_bytes() == networks.path("village").read_bytes()
    before = path.stat().st_ino
    assert cached("village", checksum).stat().st_ino == before
    path.write_text("[TITLE]")  # spoilt: made anew
    assert cached("village", checksum).read_bytes() == networks.path("village").read_bytes()
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["village.inp"]
    with pytest.raises(InputError, match=r"not that of the catalogue: install .*lock\.txt"):
        cached("town", checksum)
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEAKDETECT_CACHE", str(tmp_path / "file" / "sub"))
    with pytest.raises(InputError, match=r"cannot be made: Not a directory: name a folder .* LEAKDETECT_CACHE"):
        cached("village", checksum)
    (tmp_path / "full" / "village.inp").mkdir(parents=True)
    monkeypatch.setenv("LEAKDETECT_CACHE", str(tmp_path / "full"))
    with pytest.raises(InputError, match=r"village.inp: is a folder.* LEAKDETECT_CACHE"):
        cached("village", checksum)


@pytest.mark.slow
def test_the_metropolis_is_made_where_it_is_asked_for_and_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAKDETECT_CACHE", str(tmp_path))
    path = networks.path("metropolis")
    text = path.read_text()
    entry = networks.entry("metropolis")
    assert hashlib.sha256(text.encode()).hexdigest() == entry.checksum
    names = {line.split()[0] for line in text[: text.index("[RESERVOIRS]")].splitlines() if line.startswith("n")}
    assert len(names) == entry.junctions >= 100_000
    sensors = networks.sensors("metropolis")
    assert len(sensors) == entry.sensors
    assert set(sensors.pressures) <= names
    epanet = wntr.epanet.toolkit.ENepanet(version=2.2)
    epanet.ENopen(str(path), str(tmp_path / "run.rpt"), "")
    epanet.ENsettimeparam(0, 0)
    epanet.ENopenH()
    for hour in (3, 7.5):  # the quietest and the busiest
        epanet.ENsettimeparam(4, int(hour * 3600))  # where patterns begin
        epanet.ENinitH(0)
        epanet.ENrunH()
        assert epanet.errcode == 0
        pressure = [epanet.ENgetnodevalue(i, 11) for i in range(1, entry.junctions + 1, 7)]
        assert 20 < min(pressure) < max(pressure) < 100
    epanet.ENclose()


def test_the_command_lists_and_copies(tmp_path):
    run = CliRunner()
    listed = run.invoke(app, ["networks"], catch_exceptions=False).stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [entry.id for entry in networks.catalogue()]
    assert listed[2].split()[1:5] == ["522", "588", "22", "here"]
    where = run.invoke(app, ["networks", "path", "Net3"], catch_exceptions=False).stdout.strip()
    assert Path(where).name == "Net3.inp"
    run.invoke(app, ["networks", "copy", "ky4", str(tmp_path / "mine")], catch_exceptions=False)
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["ky4.inp", "ky4_sensors.csv"]
    assert networks.load(str(tmp_path / "mine" / "ky4.inp")).link_names == networks.load("ky4").link_names
    with pytest.raises(InputError, match="no sample network 'ky99'"):
        run.invoke(app, ["networks", "path", "ky99"], catch_exceptions=False)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        run.invoke(app, ["networks", "copy", "ky4", str(tmp_path / "file")], catch_exceptions=False)


def test_a_model_file_may_have_any_name_but_a_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("model.net", "village"):
        (tmp_path / name).touch()
    assert networks.path("model.net") == Path("model.net")
    assert networks.path("none.inp") == Path("none.inp")
    assert networks.path("village").name == "village.inp"
    with pytest.raises(InputError, match=r"no sample network 'none\.net'"):
        networks.path("none.net")


def test_unknown_kinds_and_ids_are_refused():
    with pytest.raises(InputError, match="hamlet"):
        generate("hamlet", 1)
    with pytest.raises(InputError, match="village, town"):
        networks.load("hamlet")
    with pytest.raises(InputError, match="20 junctions"):
        Plan(junctions=3, inhabitants=10)


def test_patterns_are_a_week_with_mean_one_and_quiet_nights():
    for week in (residential(), commercial()):
        assert week.shape == (2016,)
        assert week.mean() == pytest.approx(1)
        day = week[:288]
        assert day[3 * 12 : 4 * 12].mean() < 0.4
    assert residential()[5 * 288 + 7 * 12] < residential()[7 * 12]  # people sleep in on Saturday


def test_sensor_lists_round_trip_and_complain(tmp_path):
    sensors = Sensors(("n1", "n2"), ("p1",), ("T1",), ("n3",))
    path = tmp_path / "s.csv"
    path.write_text(sensors_csv(sensors))
    assert read_sensors(path) == sensors
    path.write_text("quantity,element\npresure,n1\n")
    with pytest.raises(InputError, match="row 2"):
        read_sensors(path)
    path.write_text("a,b\n")
    with pytest.raises(InputError, match="quantity,element"):
        read_sensors(path)
    with pytest.raises(MissingFileError):
        read_sensors(tmp_path / "none.csv")
    town = networks.load("town")
    with pytest.raises(ElementError, match="nowhere"):
        Sensors(pressures=("nowhere",)).check(town)
    with pytest.raises(ElementError, match="not a tank"):
        Sensors(levels=("n1",)).check(town)
    with pytest.raises(InputError, match="twice"):
        Sensors(pressures=("n1", "n1")).check(town)


def test_loggers_are_spread_out():
    town = networks.load("town")
    chosen = [town.node(n) for n in spread_sensors(town, 15).pressures]
    assert len(set(chosen)) == 15
    rng = np.random.default_rng(0)

    def closest(nodes: list[int]) -> float:
        apart = dijkstra(town.graph(), indices=nodes)[:, nodes] + np.eye(len(nodes)) * 1e9
        return float(apart.min())

    random = [closest(rng.choice(500, 15, replace=False).tolist()) for _ in range(50)]
    assert closest(chosen) > max(random)


def test_samples_are_found_beside_the_source_tree_or_inside_the_package():
    assert isinstance(networks.load("village"), Network)
    assert networks.folder() in {
        Path(networks.__file__).parent / "data",
        Path(networks.__file__).resolve().parents[2] / "networks",
    }
