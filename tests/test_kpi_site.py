"""`leakdetect kpi` on small sites whose figures are known."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import Command
from sample_results import EVENTS
from small_site import INP, write_network

from leakdetect.epanet import load_network
from leakdetect.errors import InputError, LeakdetectError, MissingFileError, ReadingsError, SiteError
from leakdetect.kpi import export, words
from leakdetect.kpi.figures import GROUPS, NOTES, UNITS, Figure, Sheet
from leakdetect.kpi.gather import KeyFigures, key_figures
from leakdetect.kpi.given import Answers, Span
from leakdetect.kpi.place import Rate
from leakdetect.kpi.places import parts
from leakdetect.kpi.pressure import drawn_pressures, mean_pressure
from leakdetect.kpi.service import fill_service
from leakdetect.pipeline import steps_of
from leakdetect.site import load_site
from leakdetect.store import Progress, Store

PROJECT = Path(__file__).parents[1]

SITE = """
name = "two districts"
timezone = "Europe/Paris"
inhabitants = 4000
connections = 1600
[[readings]]
glob = "flow.csv"
quantity = "flow"
unit = "m3/h"
dmas = { north = "north", south = "south" }
[[readings]]
glob = "pressure.csv"
quantity = "pressure"
unit = "m"
dma = "north"
[costs]
water_per_m3 = 0.5
[kpi]
billed_m3 = 73050
service_m3 = 3652.5
exported_m3 = 7305
mains_km = 20
average_pressure_m = 40
service_connection_m = 5
meter_error_share = 0.0
unauthorised_share = 0.0
night_use_l_per_inhabitant_h = 0.5
n1 = 1.0
energy_kwh_per_m3 = 0.6
co2_kg_per_kwh = 0.05
[kpi.districts.north]
inhabitants = 1000
"""
DAYS = 20
LACKS = ("mains_km", "connections", "service_connection_m")


def write_site(folder: Path, text: str = SITE, minutes: int = 15) -> Path:
    """Write a site of twenty days: north takes 6 m3/h by day and 3 at night, south 10 and 5, from 00 to 06 local."""
    folder.mkdir(exist_ok=True)
    (folder / "site.toml").write_text(text, encoding="utf-8")
    time = pd.date_range("2024-05-01", periods=DAYS * 24 * 60 // minutes, freq=f"{minutes}min")
    night = (time.hour < 6).astype(float)
    wave = np.where(np.arange(time.size) % 2, 0.01, -0.01)  # a meter that stood still would be a fault
    flow = pd.DataFrame({"time": time, "north": 6 - 3 * night + wave, "south": 10 - 5 * night + wave})
    flow.to_csv(folder / "flow.csv", index=False)
    pd.DataFrame({"time": time, "logger": 30 + 10 * night + wave}).to_csv(folder / "pressure.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("kpi") / "site")


@pytest.fixture(scope="module")
def found(site: Path) -> KeyFigures:
    return key_figures(site)


def figure(found: KeyFigures, name: str, district: str = "") -> Figure:
    (one,) = (f for f in found.figures if (f.name, f.district) == (name, district))
    return one


# -- the figures of a site, worked by hand ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "district", "value"),
    [
        ("min_night_flow", "", 8.0),
        ("min_night_flow", "north", 3.0),
        ("nights", "", 20),
        ("night_use", "", 2.0),  # 4000 x 0.5 L/h
        ("night_day_factor", "", (6 + 18 * 30 / 40) * 1.0),
        ("real_losses_night", "", 6.0 * 19.5),
        ("real_losses_night", "north", 2.5 * 19.5),
        ("system_input", "", 20 * (18 * 16 + 6 * 8)),  # 6720
        ("water_supplied", "", 6720 - 400),
        ("billed", "", 4000),  # 73 050 x 20 / 365.25
        ("real_losses", "", 6320 - 4000 - 200),
        ("non_revenue_share", "", 100 * 2320 / 6320),
        ("uarl", "", (18 * 20 + 0.8 * 1600 + 25 * 8) * 40 / 1000),  # 73.6
        ("ili", "", 2120 / 20 / 73.6),
        ("losses_per_connection", "", 106e3 / 1600),
        ("losses_per_mains", "", 106 / 20),
        ("p104_3", "", 100 * (4200 + 400) / 6720),
        ("p104_3_threshold", "", 65 + 4600 / 20 / 20 / 5),
        ("p105_3", "", (6720 - 400 - 4000) / 20 / 20),
        ("p106_3", "", 2120 / 20 / 20),
        ("daily_volume", "", 316),
        ("eu_in_scope", "", 0),
        ("cost_of_losses", "", 1060),
        ("energy_of_losses", "", 1272),
        ("co2_of_losses", "", 63.6),
    ],
)
def test_worked_by_hand(found: KeyFigures, name: str, district: str, value: float) -> None:
    one = figure(found, name, district)
    assert one.missing == ()
    assert one.value == pytest.approx(value, rel=2e-3)  # the wave


def test_what_is_said_of_them(found: KeyFigures) -> None:
    assert {"by_balance", "scaled_volumes", "small_network"} <= set(figure(found, "ili").notes)
    assert {"meets_threshold", "not_a_year"} <= set(figure(found, "p104_3").notes)
    assert {n for f in found.figures for n in f.notes} <= set(NOTES)
    assert figure(found, "p104_3").unit == "%"
    assert figure(found, "cost_of_losses").unit == "EUR"


@pytest.mark.parametrize(
    ("name", "district", "missing"),
    [
        ("leak_volume", "", ("detect",)),
        ("return_on_investment", "", ("detect", "kpi.awareness_days", "kpi.monitoring_cost_per_year")),
        ("billed", "north", ("kpi.districts.north.billed_m3",)),
        ("night_use", "south", ("kpi.districts.south.inhabitants",)),
        ("night_day_factor", "south", ("kpi.night_day_factor_h",)),  # has no logger
        ("uarl", "north", tuple(f"kpi.districts.north.{k}" for k in LACKS)),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(found: KeyFigures, name: str, district: str, missing: tuple[str, ...]) -> None:
    one = figure(found, name, district)
    assert (one.value, one.missing) == (None, missing)


def test_assumptions_are_said_and_widen_the_interval(tmp_path: Path) -> None:
    bare = re.sub(r"(n1|night_use_l\w+|unauthorised_share|water_per_m3) = .*\n", "", SITE)
    found = key_figures(write_site(tmp_path / "site", bare))
    factor, losses = figure(found, "night_day_factor"), figure(found, "real_losses_night")
    assert factor.notes == ("assumed_n1",)
    assert factor.low == pytest.approx(6 + 18 * 0.75**1.5, rel=1e-3)
    assert factor.high == pytest.approx(6 + 18 * 0.75**0.5, rel=1e-3)
    assert losses.low == pytest.approx((8 - 2.4) * (6 + 18 * 0.75**1.5), rel=2e-3)
    assert "assumed_night_use" in figure(found, "night_use").notes
    assert "assumed_unauthorised" in figure(found, "apparent_losses").notes
    assert "assumed_price" in figure(found, "cost_of_losses").notes


def test_a_year_takes_its_volumes_whole() -> None:
    def span(first: str, last: str) -> Span:
        return Span(np.datetime64(first, "ns"), np.datetime64(last, "ns"))

    for year in (span("2023-01-01", "2024-01-01"), span("2024-01-01", "2025-01-01")):
        assert year.is_year
        assert year.years == 1
    assert span("2024-01-01", "2024-01-21").years == pytest.approx(20 / 365.25)


def test_hourly_readings_do(tmp_path: Path) -> None:
    found = key_figures(write_site(tmp_path / "site", minutes=60))
    assert figure(found, "min_night_flow").value == pytest.approx(8, rel=3e-3)
    assert figure(found, "nights").value == 20
    with pytest.raises(InputError, match=r"flow sensor 'north' speaks every 120 min"):
        key_figures(write_site(tmp_path / "site", minutes=120))


def test_days_that_are_not_whole(tmp_path: Path) -> None:
    folder = write_site(tmp_path / "site")
    flow = pd.read_csv(folder / "flow.csv", parse_dates=["time"])
    noon = (flow["time"].dt.hour >= 11) & (flow["time"].dt.hour < 14)
    flow.loc[noon & (flow["time"].dt.day > 5), "north"] = np.nan
    flow.to_csv(folder / "flow.csv", index=False)
    found = key_figures(folder)
    assert figure(found, "nights").value == 5
    assert figure(found, "system_input").missing == ("readings",)
    assert figure(found, "p104_3").missing == ("readings",)


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ("districts.north]", "districts.west]", SiteError, r"kpi.districts.west: no such district .* north, south"),
        ("mains_km = 20", "mains_km = -2", SiteError, r"site.toml: kpi.mains_km"),
        ("n1 = 1.0", "nl = 1.0", SiteError, r"kpi.nl: no such key"),
        ('quantity = "flow"\nunit = "m3/h"', 'quantity = "demand"\nunit = "m3/h"', ReadingsError, r"no flow sensor"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, old: str, new: str, error: type[Exception], says: str) -> None:
    assert old in SITE
    folder = write_site(tmp_path / "site", SITE.replace(old, new))
    with pytest.raises(error, match=says) as caught:
        key_figures(folder)
    assert "\n" not in str(caught.value)


def test_inflow_the_wrong_way_round(tmp_path: Path) -> None:
    folder = write_site(tmp_path / "site")
    flow = pd.read_csv(folder / "flow.csv")
    flow["south"] *= -1
    flow.to_csv(folder / "flow.csv", index=False)
    found = key_figures(folder)
    entered = figure(found, "system_input")
    assert entered.value == pytest.approx(20 * (18 * (6 - 10) + 6 * (3 - 5)), rel=2e-3)
    assert entered.notes == ("below_zero",)
    assert figure(found, "p104_3").value is None


def test_more_is_exported_than_comes_in(tmp_path: Path) -> None:
    folder = write_site(tmp_path / "site", SITE.replace("exported_m3 = 7305", "exported_m3 = 1e6"))
    with pytest.raises(InputError, match=r"6720 m3 come in and 54757 m3 are exported: correct exported_m3"):
        key_figures(folder)


def test_customers_meters_are_not_read(tmp_path: Path) -> None:
    meters = '[[readings]]\nglob = "not there.csv"\nquantity = "demand"\nunit = "L/h"\n[costs]'
    folder = write_site(tmp_path / "site", SITE.replace("[costs]", meters))
    assert figure(key_figures(folder), "min_night_flow").value == pytest.approx(8, rel=2e-3)


# -- leaks -------------------------------------------------------------------------------------------------------


def test_the_return_on_finding_leaks(site: Path) -> None:
    text = SITE.replace("[kpi]", "[kpi]\nawareness_days = 20\nmonitoring_cost_per_year = 3652.5")
    (site / "site.toml").write_text(text, encoding="utf-8")
    answers = Answers.of(load_site(site), "")
    (site / "site.toml").write_text(SITE, encoding="utf-8")
    span = Span(np.datetime64("2024-02-20", "ns"), np.datetime64("2024-03-11", "ns"))
    sheet = Sheet("", "EUR")
    dismissed = replace(EVENTS[2], id="none", status="dismissed")
    fill_service(sheet, answers, span, Rate(lacks_input=("readings",), lacks_real=("readings",)), [*EVENTS, dismissed])
    got = {f.name: f for f in sheet.figures}
    # Mended: 24 h instead of 480, 12 (9 to 16) m3/h; growing, confirmed: 120 h, 2 (1 to 3) m3/h; no other counts.
    saved = np.array([12 * 456 + 2 * 360, 9 * 456 + 360, 16 * 456 + 3 * 360])
    cost = 200 + 500  # twenty days of monitoring, a visit in vain
    np.testing.assert_allclose([getattr(got["saved_volume"], k) for k in ("value", "low", "high")], saved)
    back = [getattr(got["return_on_investment"], k) for k in ("value", "low", "high")]
    np.testing.assert_allclose(back, 100 * (saved * 0.5 / cost - 1))
    assert got["leaks_raised"].value == 3
    assert got["leaks_raised"].notes == ("still_open",)
    assert got["cost_of_losses"].missing == ("readings",)


def test_leaks_come_from_what_runs_left(tmp_path: Path) -> None:
    folder = write_site(tmp_path / "site")
    begin, later = np.datetime64("2024-05-10T04:00", "ns"), np.datetime64("2024-05-12T04:00", "ns")
    burst = replace(EVENTS[2], start=begin, raised_at=begin + np.timedelta64(6, "h"), end=later, data_until=later)
    early = replace(burst, id="early", start=begin - np.timedelta64(99, "D"), end=begin, raised_at=begin)
    with Store(load_site(folder).store_path) as store:
        store.save(Progress("sum", begin, later, {}), [burst, early], fresh=True)
    found = key_figures(folder)
    assert figure(found, "leaks_raised").value == 2
    hours = (begin - np.datetime64("2024-04-30T22:00")) / np.timedelta64(1, "h")  # of the early one, in the period
    assert figure(found, "leak_volume").value == pytest.approx(12 * (48 + hours))
    assert figure(found, "leak_volume").high == pytest.approx(16 * (48 + hours))


# -- with a network ------------------------------------------------------------------------------------------------


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


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_every_word_is_there_in_both_languages() -> None:
    assert set(words.LABELS) == set(UNITS)
    assert set(words.NOTES) == set(NOTES)
    assert set(words.GROUPS) == set(GROUPS)
    assert set(GROUPS.values()) <= set(UNITS)
    assert all(all(pair) for table in (words.LABELS, words.NOTES, words.GROUPS) for pair in table.values())


def test_the_page_explains_every_figure() -> None:
    page = (PROJECT / "docs" / "kpi.md").read_text(encoding="utf-8")
    assert {name for name in (*UNITS, *NOTES) if f"`{name}`" not in page} == set()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_the_table(command: Command, site: Path) -> None:
    shown = command.ok("kpi", site)
    assert "two districts: 2024-05-01 00:00 to 2024-05-21 00:00" in shown
    assert re.search(r"minimum night flow +8 +m³/h", shown)
    assert "District north" in shown
    assert re.search(r"^kpi\.monitoring_cost_per_year +cost of finding leaks; return on it", shown, re.MULTILINE)
    assert re.search(r"^kpi\.districts\.south\.inhabitants +legitimate night use", shown, re.MULTILINE)
    french = command.ok("kpi", site, "--language", "fr")
    assert re.search(r"P104\.3 rendement du réseau +68,\d +% +atteint le seuil \[(\d)\]", french)
    assert re.search(r"^\[\d\] pas douze mois : indicatif", french, re.MULTILINE)
    assert "m³/j/km" in french


def test_json_and_csv_agree(command: Command, site: Path, found: KeyFigures) -> None:
    told: list[dict[str, Any]] = json.loads(command.ok("kpi", site, "--format", "json"))
    assert len(told) == len(found.figures)
    lines = list(csv.DictReader(command.ok("kpi", site, "--format", "csv").splitlines()))
    assert [line["value"] for line in lines] == ["" if t["value"] is None else str(t["value"]) for t in told]
    assert told[0]["from"] == "2024-04-30T22:00:00Z"
    days = json.loads(command.ok("kpi", site, "--format", "json", "--from", "2024-05-03", "--to", "2024-05-04"))
    assert next(d["value"] for d in days if d["indicator"] == "nights") == 2


def valid(value: str, field: dict[str, Any]) -> bool:
    """Say whether a cell is as its field's schema wants it."""
    limits = field.get("constraints", {})
    if not value:
        return not limits.get("required", False)
    read = {"number": float, "string": str, "date": np.datetime64, "datetime": lambda v: np.datetime64(v.rstrip("Z"))}
    read[field["type"]](value)
    return value in limits.get("enum", [value]) and re.fullmatch(limits.get("pattern", ".*"), value) is not None


def test_open_data_keeps_its_schema(command: Command, site: Path, tmp_path: Path) -> None:
    command.ok("kpi", site, "--out", tmp_path / "open")
    assert sorted(p.name for p in (tmp_path / "open").iterdir()) == ["datapackage.json", "indicators.csv", "nights.csv"]
    package = json.loads((tmp_path / "open" / "datapackage.json").read_text(encoding="utf-8"))
    for resource in package["resources"]:
        fields = {f["name"]: f for f in resource["schema"]["fields"]}
        with (tmp_path / "open" / resource["path"]).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows
        assert list(rows[0]) == list(fields)
        assert all(valid(value, fields[name]) for row in rows for name, value in row.items())
        keys = [tuple(row[k] for k in resource["schema"]["primaryKey"]) for row in rows]
        assert len(set(keys)) == len(keys)
    assert not valid("x y", fields["date"] | {"constraints": {"enum": ["a"]}, "type": "string"})


def test_the_schema_is_a_table_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    # https://specs.frictionlessdata.io/schemas/table-schema.json, as published (version 1)
    published = json.loads((PROJECT / "tests" / "table_schema.json").read_text(encoding="utf-8"))
    check = jsonschema.Draft4Validator(published)
    for name in (export.FIGURES, export.NIGHTS):
        assert list(check.iter_errors(export.schema(name))) == []
    assert list(check.iter_errors({"fields": [{"type": "number"}]}))  # a field without a name


def test_a_handful_of_households_is_not_published(found: KeyFigures, tmp_path: Path) -> None:
    few = replace(found, site=found.site.model_copy(deep=True))
    north = few.site.kpi.districts["north"].model_copy(update={"connections": 10})
    few.site.kpi.districts["north"] = north
    export.write_package(few, tmp_path / "open")
    for name in (export.FIGURES, export.NIGHTS):
        text = (tmp_path / "open" / name).read_text(encoding="utf-8")
        assert ",south," in text
        assert ",north," not in text
    with pytest.raises(MissingFileError, match="no such folder"):
        export.write_package(found, tmp_path / "no" / "open")
