"""Key figures with a network, and of published readings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_service import figure
from small_site import INP, write_network

from leakdetect.epanet import load_network
from leakdetect.errors import LeakdetectError, ReadingsError
from leakdetect.kpi.gather import key_figures
from leakdetect.kpi.places import parts
from leakdetect.kpi.pressure import drawn_pressures, mean_pressure
from leakdetect.pipeline import steps_of
from leakdetect.site import load_site


def write_tank(folder: Path, sensors: str = "") -> Path:
    """Write a site of a reservoir, three junctions and a tank: 20 L/s come in, the tank fills by 3 cm in the hour."""
    folder.mkdir()
    write_network(folder / "network.inp")
    time = pd.date_range("2024-05-01", periods=7 * 96, freq="15min")
    rows = np.arange(time.size)
    wave = np.where(rows % 2, 0.01, -0.01)
    saw = rows % 192  # up for a day, down for a day
    level = 2 + 0.0075 * np.minimum(saw, 192 - saw)
    pd.DataFrame({"time": time, "P1": 20 + wave}).to_csv(folder / "flow.csv", index=False)
    pd.DataFrame({"time": time, "T1": level}).to_csv(folder / "level.csv", index=False)
    text = 'name = "tank"\nnetwork = "network.inp"\n'
    for name, quantity, unit in (("flow", "flow", "L/s"), ("level", "level", "m")):
        text += f'[[readings]]\nglob = "{name}.csv"\nquantity = "{quantity}"\nunit = "{unit}"\n{sensors}'
    (folder / "site.toml").write_text(text, encoding="utf-8")
    return folder


def test_what_a_tank_stores_is_not_used(tmp_path: Path) -> None:
    folder = write_tank(tmp_path / "site")
    site = load_site(folder)
    network = load_network(folder / "network.inp")
    data = steps_of(site.model_copy(update={"step_minutes": 15}), network)
    (whole,) = parts(data, network)
    area = np.pi / 4 * 10**2
    stored = area * 0.03 / 3600  # [m3/s]
    assert network.tank_area[network.node("T1")] == pytest.approx(area)
    np.testing.assert_allclose(whole.inflow[1:96], 0.020 - stored, atol=2e-5)
    np.testing.assert_allclose(whole.inflow[98:190], 0.020 + stored, atol=2e-5)
    assert whole.mains(network) == pytest.approx(1500)


def test_districts_are_the_zones_that_their_meters_feed(tmp_path: Path) -> None:
    folder = write_tank(tmp_path / "site")
    flow = pd.read_csv(folder / "flow.csv")
    flow["P3"] = 8.0 + np.where(np.arange(len(flow)) % 2, 0.01, -0.01)
    flow.to_csv(folder / "flow.csv", index=False)
    text = (folder / "site.toml").read_text(encoding="utf-8")
    dmas = 'unit = "L/s"\ndmas = { P1 = "low", P3 = "high" }\n'
    (folder / "site.toml").write_text(text.replace('unit = "L/s"\n', dmas), encoding="utf-8")
    network = load_network(folder / "network.inp")
    data = steps_of(load_site(folder).model_copy(update={"step_minutes": 15}), network)
    whole, low, high = parts(data, network)
    assert (low.name, high.name) == ("low", "high")
    np.testing.assert_allclose(low.inflow[1:], 0.012, atol=1e-9)  # what goes on to the other is not its own
    np.testing.assert_allclose(low.inflow + high.inflow, whole.inflow, atol=1e-9)
    np.testing.assert_allclose(high.inflow[1:96], 0.008 - np.pi / 4 * 100 * 0.03 / 3600, atol=2e-5)
    assert (low.mains(network), high.mains(network)) == (500 / 2 + 400 + 300 / 2, 300 / 2 + 300)


def test_a_balance_that_does_not_close_is_refused(tmp_path: Path) -> None:
    folder = write_tank(tmp_path / "site")
    text = (folder / "site.toml").read_text(encoding="utf-8")
    (folder / "site.toml").write_text(text[: text.rindex("[[readings]]")], encoding="utf-8")
    with pytest.raises(ReadingsError, match=r"such as that at 'J1' is fed past .* level sensor"):
        key_figures(folder)


def test_pressure_is_epanets(tmp_path: Path) -> None:
    import wntr

    network = load_network(write_network(tmp_path / "network.inp"))
    pressures = drawn_pressures(network)
    model = wntr.network.WaterNetworkModel(str(tmp_path / "network.inp"))
    model.options.time.hydraulic_timestep = model.options.time.report_timestep = 3600
    told = wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(tmp_path / "run")).node["pressure"]
    names = ["J1", "J2", "J3"]
    expected = told[names].to_numpy()[:24]
    at = [network.node(name) for name in names]
    np.testing.assert_allclose(pressures[:, at], expected, atol=0.02)
    mean = mean_pressure(network, pressures, np.ones(len(network.node_names), dtype=bool))
    np.testing.assert_allclose(mean, expected @ [900, 700, 600] / 2200, atol=0.02)  # P1 + P2, P2 + P3, P3 + P4
    assert "P1   R1   J1   500" in INP


def test_a_network_that_epanet_refuses(tmp_path: Path) -> None:
    folder = write_tank(tmp_path / "site")
    write_network(folder / "network.inp", " J3   11   1\n", " J3   11   1\n J9   10   0\n")
    with pytest.raises(LeakdetectError) as caught:
        key_figures(folder)
    assert "kpi.average_pressure_m and kpi.night_day_factor_h" in str(caught.value)
    text = "[kpi]\naverage_pressure_m = 40\nnight_day_factor_h = 24\n[[readings]]"
    site = (folder / "site.toml").read_text(encoding="utf-8").replace("[[readings]]", text, 1)
    (folder / "site.toml").write_text(site, encoding="utf-8")
    assert figure(key_figures(folder), "night_day_factor").value == 24


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Not all curves were used")  # of the published file, says WNTR
def test_pressure_of_a_large_network(shared: Path, tmp_path: Path) -> None:
    import wntr

    network = load_network(shared / "networks" / "BWSN_Network_2.inp")
    weight = np.zeros(len(network.node_names))
    for ends in (network.start, network.end):
        np.add.at(weight, ends[network.is_pipe], network.length[network.is_pipe])
    weight[network.is_fixed] = 0.0
    model = wntr.network.WaterNetworkModel(str(network.path))
    model.options.time.duration = 23 * 3600
    told = wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(tmp_path / "run")).node["pressure"]
    expected = told[list(network.node_names)].to_numpy() @ weight / weight.sum()
    everywhere = np.ones(len(network.node_names), dtype=bool)
    found = mean_pressure(network, drawn_pressures(network), everywhere)
    np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.shared
@pytest.mark.slow
def test_ltown_against_its_leaks(tmp_path: Path, shared: Path) -> None:
    folder = shared / "battledim"
    blocks = "".join(
        f'[[readings]]\nglob = "{folder}/2018_SCADA_{name}.csv.gz"\nquantity = "{quantity}"\nunit = "{unit}"\n'
        'delimiter = ";"\ndecimal = ","\ntime = "Timestamp"\n'
        for name, quantity, unit in (
            ("Flows", "flow", "m3/h"),
            ("Levels", "level", "m"),
            ("Pressures", "pressure", "m"),
        )
    )
    text = f'name = "L"\nnetwork = "{folder}/L-TOWN.inp"\n[kpi]\naverage_pressure_m = 46\n'
    (tmp_path / "site.toml").write_text(text + blocks, encoding="utf-8")
    found = key_figures(tmp_path)
    flow = pd.read_csv(folder / "2018_SCADA_Flows.csv.gz", sep=";", decimal=",")
    entered = flow[["p227", "p235"]].to_numpy().sum() / 12  # the pump is inside
    assert figure(found, "system_input").value == pytest.approx(entered, rel=2e-3)
    assert figure(found, "nights").value == 365
    # The night flow rises with the leaks that were put in, and they lose in a day what the pressures say.
    truth = pd.read_csv(folder / "2018_Leakages.csv.gz", sep=";", decimal=",", index_col=0, parse_dates=True)
    leaks = truth.sum(axis=1)
    night = leaks[np.isin(leaks.index.hour, [2, 3])].resample("D").mean()
    (slope, _) = np.polyfit(night, found.nights[""].lowest * 3600, 1)
    assert slope == pytest.approx(1, abs=0.05)
    factor = figure(found, "night_day_factor")
    assert factor.low < 24 * leaks.mean() / night.mean() < factor.high
    assert factor.high - factor.low < 0.4


@pytest.mark.shared
@pytest.mark.slow
def test_ferrara_by_its_local_nights(tmp_path: Path, shared: Path) -> None:
    path = shared / "ferrara" / "InflowData.xlsx"
    text = f"""
name = "Ferrara"
timezone = "Europe/Rome"
[[readings]]
glob = "{path}"
format = "xlsx"
quantity = "flow"
unit = "L/s"
time = "Date-time CET-CEST (DD/MM/YYYY HH:mm)"
time_format = "%d/%m/%Y %H:%M"
ignore = ["DMA 1 *", "DMA 3*", "DMA 4*", "DMA 6*", "DMA 7*", "DMA 8*", "DMA 9*", "DMA 10*"]
[readings.dmas]
"DMA 2 (L/s)" = "B"
"DMA 5 (L/s)" = "E"
"""
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    found = key_figures(tmp_path, np.datetime64("2022-01-01", "ns"), np.datetime64("2022-12-31T22:00", "ns"))
    table = pd.read_excel(path)
    local = pd.to_datetime(table.iloc[:, 0], format="%d/%m/%Y %H:%M")
    for name, column in (("B", "DMA 2 (L/s)"), ("E", "DMA 5 (L/s)")):
        ours = dict(zip(found.nights[name].day.astype(str), found.nights[name].lowest * 1000, strict=True))
        agree = 0
        for date in pd.date_range("2022-01-02", "2022-12-30"):
            night = table[column][(local.dt.date == date.date()) & local.dt.hour.isin([2, 3])]
            one = ours[str(date.date())]
            agree += not np.isfinite(one) or one == pytest.approx(night.min())
        assert agree >= 362  # a reading or two are flagged as faults
        assert np.isfinite(list(ours.values())).sum() > 340
