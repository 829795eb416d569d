import gzip
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wntr
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from leakdetect import networks
from leakdetect.cli import app
from leakdetect.epanet import load_network
from leakdetect.epanet_run import EpanetRun, write_variant
from leakdetect.errors import ElementError, InputError, NetworkError
from leakdetect.evaluate import truth as truth_files
from leakdetect.network import Link
from leakdetect.networks import Sensors
from leakdetect.scenarios import DemandNoise, Leak, Scenario, SensorError, Trouble, simulate
from leakdetect.scenarios.demand import Demands
from leakdetect.scenarios.leaks import draw_leaks, emitter_coefficient, orifice_flow
from leakdetect.scenarios.measure import Readings, add_errors, add_faults, add_outages
from leakdetect.scenarios.scenario import whole_years
from leakdetect.scenarios.world import run

START = np.datetime64("2021-03-01T00:00:00")
HOUR = np.timedelta64(3600, "s")
VILLAGE, TOWN = networks.path("village"), networks.path("town")


def leak(pipe="p10", *, start=24, peak=24, end=None, diameter=0.008):
    return Leak(pipe, START + start * HOUR, START + peak * HOUR, None if end is None else START + end * HOUR, diameter)


def read(path):
    return pd.read_csv(path, sep=";", decimal=",", index_col=0, parse_dates=True)


@pytest.fixture(scope="module")
def town_world():
    leaks = [leak("p100", start=10, peak=40, end=60, diameter=0.012), leak("p200", start=20, peak=20, diameter=0.015)]
    scenario = Scenario(seed=3, start=START, days=4, step=900, leaks=leaks)
    return run(TOWN, networks.load("town"), scenario, sensors=networks.sensors("town"))


def test_supply_is_demand_and_leaks_and_storage_at_every_step(town_world):
    supply, stored, customers, leaking = town_world.balance.T
    assert np.abs(supply - stored - customers - leaking).max() < 0.02  # m3/h of some 60
    assert np.abs(stored).max() > 1
    assert leaking.max() > 10
    assert not town_world.warnings


def test_the_tank_stores_what_flows_in(town_world):
    network = town_world.network
    area = network.tank_area[network.node("T1")]
    level = town_world.levels[:, 0]
    stored = town_world.balance[:, 1]
    # Where the pump is left alone and the flow is steady, level follows inflow; both ends' mean over a step.
    pump = town_world.flows[:, town_world.sensors.flows.index("PUMP_1")] > 0
    calm = (pump[1:] == pump[:-1]) & (np.abs(np.diff(stored)) < 2)
    rise = np.diff(level)[calm] * area / 0.25
    assert calm.sum() > 100
    # EPANET holds a step's flows constant over the step.
    assert rise == pytest.approx(stored[:-1][calm], abs=0.1)


def test_a_leak_follows_the_orifice_law_by_hand(town_world):
    second = next(k for k, each in enumerate(town_world.leaks) if each.pipe == "p200")
    flow, pressure = town_world.leak_flow[:, second], town_world.leak_pressure[:, second]
    by_hand = 0.75 * (3.14159265 * 0.015**2 / 4) * np.sqrt(2 * 9.81 * pressure) * 3600
    begins = 20 * 4
    assert flow[:begins].max() == 0
    assert flow[begins:] == pytest.approx(by_hand[begins:], rel=1e-3)
    assert np.unique(np.round(pressure, 1)).size > 10


def test_an_incipient_leak_grows_evenly_in_diameter_and_ends_at_its_repair(town_world):
    flow, pressure = town_world.leak_flow[:, 0], town_world.leak_pressure[:, 0]
    assert flow[: 10 * 4].max() == 0
    diameter = np.sqrt(flow / (0.75 * np.pi / 4 * np.sqrt(2 * 9.81 * pressure) * 3600))
    growing = slice(12 * 4, 40 * 4)
    assert np.diff(diameter[growing]) == pytest.approx(0.012 / (30 * 4), rel=0.03)
    assert diameter[41 * 4 : 60 * 4] == pytest.approx(0.012, rel=1e-3)
    assert flow[60 * 4 :].max() == 0


@given(st.floats(0.002, 0.03), st.floats(1, 100))
def test_emitter_and_orifice_are_one_law(diameter, pressure):
    area = np.pi * diameter**2 / 4
    assert emitter_coefficient(area) * np.sqrt(pressure) / 3600 == pytest.approx(orifice_flow(area, pressure))
    assert orifice_flow(area, -1.0) == 0


def test_an_independent_run_of_epanet_agrees(tmp_path):
    """The same truth, drawn as a fixed model and run by WNTR's own simulator."""
    quiet = DemandNoise(node=0, category=0, profile=0, season=0, day=0, group_day=0, hour=0, group_hour=0, quick=0)
    hole = leak("p20", start=0, peak=0, diameter=0.010)
    scenario = Scenario(start=START, days=1, step=3600, leaks=[hole], roughness=0.0, demand=quiet)
    network = networks.load("village")
    sensors = Sensors(pressures=("n5", "n50"), flows=("p67",))
    world = run(VILLAGE, network, scenario, sensors=sensors)
    model = wntr.network.WaterNetworkModel(str(VILLAGE))
    wntr.morph.split_pipe(model, "p20", "p20b", "hole", return_copy=False)
    # SI: m3/s per sqrt(m).
    model.get_node("hole").emitter_coefficient = 0.75 * np.pi * 0.010**2 / 4 * np.sqrt(2 * 9.81)
    model.options.time.duration = 23 * 3600
    for name in model.pattern_name_list:
        five = np.asarray(model.get_pattern(name).multipliers)
        model.get_pattern(name).multipliers = five.reshape(-1, 12).mean(axis=1)
    for option in ("hydraulic_timestep", "pattern_timestep", "report_timestep"):
        setattr(model.options.time, option, 3600)
    result = wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(tmp_path / "run"))
    assert world.pressures == pytest.approx(result.node["pressure"][["n5", "n50"]].to_numpy(), abs=0.01)
    assert world.flows[:, 0] == pytest.approx(result.link["flowrate"]["p67"].to_numpy() * 3600, abs=0.05)
    assert world.leak_flow[:, 0] == pytest.approx(result.node["demand"]["hole"].to_numpy() * 3600, abs=0.01)


def test_same_seed_same_files_other_seed_others(tmp_path):
    scenario = Scenario(seed=4, days=3, step=900, error=SensorError(noise=0.03, offset=0.2), trouble=Trouble.usual())
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        simulate(VILLAGE, tmp_path / name, replace(scenario, seed=seed), sensors=networks.sensors("village"))
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert "2018_SCADA_Pressures.csv.gz" in files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    for name in ("leaks.csv", "2018_SCADA_Flows.csv.gz"):
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "c" / name).read_bytes()


def test_files_are_in_the_published_layout_and_balance_to_rounding(tmp_path):
    network = networks.load("village")
    everyone = tuple(n for n, d in zip(network.node_names, network.base_demand, strict=True) if d.any())
    sensors = Sensors(pressures=("n3",), flows=("p67",), demands=everyone)
    start = np.datetime64("2020-12-30T00:00:00")
    holes = [Leak("p8", start + HOUR * 30, start + HOUR * 30, start + HOUR * 80, 0.006)]
    world = simulate(VILLAGE, tmp_path / "w", Scenario(start=start, days=4, leaks=holes), sensors=sensors)
    folder = tmp_path / "w"
    for year, days in ((2020, 2), (2021, 2)):
        flows, demands, leaks = (
            read(folder / f"{year}_{name}.csv.gz") for name in ("SCADA_Flows", "SCADA_Demands", "Leakages")
        )
        assert len(flows) == days * 288
        assert len(demands) == days * 24
        assert flows.index[0] == pd.Timestamp(year, 12 if year == 2020 else 1, 30 if year == 2020 else 1)
        inflow = flows["p67"].resample("h").mean().to_numpy()
        used = demands.to_numpy().sum(axis=1) / 1000
        assert inflow == pytest.approx(used + leaks["p8"].resample("h").mean().to_numpy(), abs=0.02)
    text = gzip.decompress((folder / "2020_SCADA_Pressures.csv.gz").read_bytes()).decode().splitlines()
    assert text[0] == "Timestamp;n3"
    stamp, value = text[1].split(";")
    assert stamp == "2020-12-30 00:00:00"
    assert value == f"{world.pressures[0, 0]:.2f}".replace(".", ",")
    lines = (folder / "leaks.csv").read_text().splitlines()
    assert lines == [
        "pipe,start,end,diameter_m,kind,peak",
        "p8,2020-12-31 06:00,2021-01-02 08:00,0.006,abrupt,2020-12-31 06:00",
    ]
    assert (folder / "2020_Fixing_Reports.txt").read_text() == "# linkID, fixTime\n"
    assert not (folder / "2021_Fixing_Reports.txt").exists()
    assert (folder / "village.inp").read_bytes() == VILLAGE.read_bytes()


def test_repairs_of_every_year_when_asked(tmp_path):
    scenario = Scenario(start=START, days=3, step=3600, leaks=[leak("p8", start=5, peak=5, end=30)], all_repairs=True)
    simulate(VILLAGE, tmp_path / "w", scenario)
    assert (tmp_path / "w" / "2021_Fixing_Reports.txt").read_text() == "# linkID, fixTime\np8, 2021-03-02 06:00\n"


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="not an empty folder"):
        simulate(VILLAGE, tmp_path, Scenario(days=1))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_left_when_the_world_cannot_be_made(tmp_path):
    with pytest.raises(ElementError, match="nowhere"):
        simulate(VILLAGE, tmp_path / "w", Scenario(days=1, leaks=[leak("nowhere")]))
    with pytest.raises(InputError, match="not a pipe"):
        simulate(TOWN, tmp_path / "w", Scenario(days=1, leaks=[leak("PUMP_1")]))
    with pytest.raises(InputError, match="two leaks"):
        simulate(VILLAGE, tmp_path / "w", Scenario(days=1, leaks=[leak("p8"), leak("p8")]))
    with pytest.raises(InputError, match="no pressure reducing valve"):
        simulate(VILLAGE, tmp_path / "w", Scenario(days=1, prv_reset=-1))
    with pytest.raises(InputError, match="can be shut"):
        simulate(VILLAGE, tmp_path / "w", Scenario(days=1, shut=60))
    assert not list(tmp_path.iterdir())


def test_a_scenario_of_no_sense_is_refused():
    with pytest.raises(InputError, match="0 days"):
        Scenario(days=0)
    with pytest.raises(InputError, match="divisor"):
        Scenario(step=420)
    with pytest.raises(ValueError, match="noise"):
        SensorError(noise=-1)


def test_demands_keep_the_models_mean_and_do_not_depend_on_chunks():
    network = networks.load("town")
    seed = np.random.SeedSequence(1)

    def made(size):
        demands = Demands(
            network, np.random.SeedSequence(1), start=START, steps=2016 * 4, step=300, noise=DemandNoise()
        )
        return np.concatenate([demands.chunk(k, size) for k in range(0, 2016, size)])

    assert made(2016) == pytest.approx(made(288))
    year = Demands(network, seed, start=START, steps=365 * 24, step=3600, noise=DemandNoise())
    total = np.concatenate([year.chunk(k, 168) for k in range(0, 364 * 24, 168)]).sum(axis=1)
    assert total.mean() == pytest.approx(network.base_demand.sum() * 3600, rel=0.06)
    assert total.min() > 0
    day = total.reshape(-1, 24).mean(axis=0)
    assert day[3] < 0.5 * day[19]
    months = total.reshape(-1, 28 * 24).mean(axis=1)
    assert 0.05 < np.ptp(months) / months.mean() < 0.4


def test_demand_patterns_begin_on_monday_whatever_the_start():
    network = networks.load("village")
    quiet = DemandNoise(node=0, category=0, profile=0, season=0, day=0, group_day=0, hour=0, group_hour=0, quick=0)
    thursday = np.datetime64("2021-03-04T00:00:00")
    monday_first, thursday_first = (
        Demands(network, np.random.SeedSequence(1), start=s, steps=168, step=3600, noise=quiet).chunk(0, 168)
        for s in (START, thursday)
    )
    assert thursday_first == pytest.approx(np.roll(monday_first, -72, axis=0))
    assert thursday_first[:24] != pytest.approx(thursday_first[48:72])


def test_drawn_leaks_look_like_the_competitions():
    network = networks.load("town")
    rng = np.random.default_rng(0)
    drawn = [
        each
        for _ in range(20)
        for each in draw_leaks(network, rng, counts=[12, 18], start=START, days=730, step=300, without=("p585",))
    ]
    assert len(drawn) == 600
    assert "p585" not in {each.pipe for each in drawn}
    diameters = np.array([each.diameter for each in drawn])
    assert diameters.min() >= 0.009
    assert diameters.max() <= 0.0225
    assert 0.4 < np.mean([each.kind == "incipient" for each in drawn]) < 0.65
    unfixed = [each for each in drawn if each.end is None]
    assert 0.3 < len(unfixed) / 600 < 0.5
    for each in drawn:
        assert START <= each.start <= each.peak
        if each.end is not None:
            assert each.peak <= each.end
            assert 9 < (each.end - each.start) / np.timedelta64(1, "D") < 61
        assert (each.start - START) % np.timedelta64(300, "s") == np.timedelta64(0)


def test_a_zone_fed_by_a_tank_is_not_drained():
    network = networks.load("town")
    part = network.components(np.flatnonzero(~network.is_pipe))
    zone = part == part[network.node("T1")]
    bears = 0.6 * network.base_demand[zone].sum()
    rng = np.random.default_rng(1)
    hours = START + np.arange(0, 365 * 24, 6) * HOUR
    for _ in range(10):
        leaks = draw_leaks(network, rng, counts=[40], start=START, days=365, step=3600, size=0.7)
        inside = [each for each in leaks if zone[network.start[network.link(each.pipe)]]]
        flow = sum(orifice_flow(each.area(hours), np.array(40.0)) for each in inside)
        assert np.max(flow, initial=0) <= bears


def test_more_leaks_than_pipes_are_refused():
    with pytest.raises(InputError, match="ask for fewer"):
        draw_leaks(networks.load("village"), np.random.default_rng(0), counts=[99], start=START, days=9, step=300)


def test_the_truth_differs_from_the_drawing_but_by_little():
    network = networks.load("town")
    world = run(TOWN, network, Scenario(days=1, step=3600, leaks=[]), sensors=networks.sensors("town"))
    drawn = run(TOWN, network, Scenario(days=1, step=3600, leaks=[], roughness=0.0), sensors=networks.sensors("town"))
    assert 0.01 < np.abs(world.pressures - drawn.pressures).max() < 5
    assert world.demands.shape == (24, 0)
    assert world.balance[:, 2] == pytest.approx(drawn.balance[:, 2])


def test_a_valve_set_anew_and_a_shut_pipe_change_pressures():
    network = networks.load("town")
    prv = network.node_names[network.end[network.link("PRV_1")]]
    sensors = Sensors(pressures=(prv,), flows=("PRV_1",))
    plain = Scenario(days=2, step=3600, leaks=[], shut=2)
    world = run(TOWN, network, replace(plain, prv_reset=-4.0), sensors=sensors)
    setting = float(network.setting[network.link("PRV_1")])
    pressure = world.pressures[:, 0]
    assert pressure[:20] == pytest.approx(setting, abs=0.01)
    assert pressure[-3:] == pytest.approx(setting - 4, abs=0.01)
    assert [line.split()[0] for line in world.nuisances] == ["shut", "shut", "PRV_1"]
    for line in world.nuisances[:2]:
        assert network.link_kind[network.link(line.split()[1])] == Link.PIPE
    assert not world.warnings


def readings(days=365, sensors=4):
    steps = days * 288
    values = 40 + np.sin(np.arange(steps) / 46)[:, None] * np.ones(sensors)
    return Readings("pressure", tuple(f"n{i}" for i in range(sensors)), values), START + np.arange(steps) * HOUR / 12


def test_sensor_errors_have_the_size_they_are_given():
    data, _ = readings(sensors=200, days=10)
    true = data.values.copy()
    add_errors(data, SensorError(noise=0.03, offset=0.3, missing=0.01), np.random.default_rng(0))
    error = data.values - true
    assert np.isnan(error).mean() == pytest.approx(0.01, rel=0.1)
    offset = np.nanmean(error, axis=0)
    assert offset.std() == pytest.approx(0.3, rel=0.15)
    assert np.nanstd(error - offset) == pytest.approx(0.03, rel=0.05)
    flow = Readings("flow", ("p1",), np.full((1000, 1), 100.0))
    add_errors(flow, SensorError(noise=9, meter=0.02), np.random.default_rng(0))
    assert np.ptp(flow.values) == 0
    assert 0 < abs(flow.values[0, 0] - 100) < 8


def test_every_fault_that_is_listed_is_there():
    data, times = readings()
    true = data.values.copy()
    lines = add_faults(data, Trouble.usual(), np.random.default_rng(3), times=times, step=300)
    assert [line.split()[0] for line in lines] == ["stuck", "drift", "spikes", "dead"]
    touched = np.array([not np.array_equal(data.values[:, i], true[:, i]) for i in range(4)])
    assert {line.split()[1] for line in lines} == {f"n{i}" for i in np.flatnonzero(touched)}
    column = int(lines[3].split()[1][1:])
    dead = np.isnan(data.values[:, column])
    assert dead.sum() * 300 / 86400 == pytest.approx(float(lines[3].split("+")[1][:-1]), abs=0.1)
    assert str(times[np.argmax(dead)].astype("datetime64[s]")).replace("T", " ") == " ".join(lines[3].split()[2:4])
    assert add_faults(data, Trouble(), np.random.default_rng(3), times=times, step=300) == []


def test_an_outage_takes_every_sensor():
    one, times = readings()
    two, _ = readings(sensors=2)
    lines = add_outages([one, two], Trouble(outages=5), np.random.default_rng(0), times=times, step=300)
    assert len(lines) == 5
    assert (np.isnan(one.values).all(axis=1) == np.isnan(two.values).all(axis=1)).all()
    assert np.isnan(one.values).any()


def test_us_units_and_other_patterns_run_alike(tmp_path):
    model = wntr.network.WaterNetworkModel(str(VILLAGE))
    path = tmp_path / "us.inp"
    wntr.network.write_inpfile(model, str(path), units="GPM")
    scenario = Scenario(start=START, days=1, step=1800, leaks=[leak("p20", start=4, peak=4)])
    worlds = [run(p, load_network(p), scenario, sensors=networks.sensors("village")) for p in (VILLAGE, path)]
    assert worlds[0].pressures == pytest.approx(worlds[1].pressures, abs=0.02)
    assert worlds[0].leak_flow == pytest.approx(worlds[1].leak_flow, abs=0.02)


def test_a_network_with_emitters_of_another_law_is_refused(tmp_path):
    model = wntr.network.WaterNetworkModel(str(VILLAGE))
    model.get_node("n1").emitter_coefficient = 1e-5
    model.options.hydraulic.emitter_exponent = 1.1
    path = tmp_path / "odd.inp"
    wntr.network.write_inpfile(model, str(path), units="CMH")
    with pytest.raises(NetworkError, match="exponent"):
        simulate(path, tmp_path / "w", Scenario(days=1, leaks=[leak("p20")]))


def test_epanet_names_what_it_does_not_know(tmp_path):
    write_variant(VILLAGE, tmp_path / "v.inp", step=3600)
    with EpanetRun(tmp_path / "v.inp") as epanet, pytest.raises(NetworkError, match="EPANET error 203"):
        epanet.node("nowhere")


@pytest.mark.shared
def test_a_users_own_network_runs_with_its_own_sensors():
    data = Path(os.environ.get("LEAKDETECT_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    path = data / "battledim" / "L-TOWN.inp"
    if not path.is_file():
        pytest.skip("the data folder is not there")
    published = [
        pd.read_csv(data / "ltown-b" / f"2018_SCADA_{name}.csv.gz", sep=";", decimal=",", index_col=0, nrows=24)
        for name in ("Pressures", "Flows", "Levels", "Demands")
    ]
    sensors = Sensors(*(tuple(table.columns) for table in published))
    assert len(sensors) == 33 + 3 + 1 + 82
    world = run(path, load_network(path), Scenario(days=1, leaks=[]), sensors=sensors)
    assert not world.warnings
    # Like the published town on its first hours, before it leaks: pressures within a metre or two, inflow in the range.
    assert world.pressures[:24].mean(axis=0) == pytest.approx(published[0].to_numpy().mean(axis=0), abs=2.5)
    inflow = world.flows[:24, 1:].sum(axis=1).mean()
    assert inflow == pytest.approx(published[1][["p227", "p235"]].iloc[:24].sum(axis=1).mean(), rel=0.35)


def test_whole_years_know_leap_years():
    assert whole_years(np.datetime64("2018-01-01"), 2) == 730
    assert whole_years(np.datetime64("2020-01-01"), 1) == 366
    assert whole_years(np.datetime64("2019-07-15"), 1) == 366


def test_the_command_makes_a_world(tmp_path):
    out = tmp_path / "w"
    command = ["simulate", "--network", "village", "--out", str(out), "--days", "6", "--step", "15", "--leaks", "2"]
    result = CliRunner().invoke(app, [*command, "--noise", "0.03", "--trouble"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "6 days, 3 sensors, 2 leaks" in result.stdout
    known = truth_files.read_truth(out / "leaks.csv", networks.load("village"))
    assert len(known) == 2
    assert all(each.pipe in networks.load("village").link_names for each in known)
    assert len(read(out / "2018_SCADA_Flows.csv.gz")) == 6 * 96
    with pytest.raises(InputError, match="--leaks"):
        CliRunner().invoke(app, [*command[:4], str(tmp_path / "x"), "--leaks", "two"], catch_exceptions=False)
    with pytest.raises(InputError, match="--start"):
        CliRunner().invoke(app, [*command[:4], str(tmp_path / "x"), "--start", "soon"], catch_exceptions=False)
