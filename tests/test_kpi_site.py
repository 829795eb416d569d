"""`leakdetect kpi` on a small site whose figures are known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_results import EVENTS
from small_service import SITE, figure, write_site

from leakdetect.errors import InputError, ReadingsError, SiteError
from leakdetect.kpi.figures import NOTES, Sheet
from leakdetect.kpi.gather import KeyFigures, key_figures
from leakdetect.kpi.given import Answers, Span
from leakdetect.kpi.place import Rate
from leakdetect.kpi.service import fill_service
from leakdetect.site import load_site
from leakdetect.store import Outcome, Progress, Store

LACKS = ("mains_km", "connections", "service_connection_m")


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
        ("water_losses", "", 6320 - 4000 - 200),
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
    use = figure(found, "night_use")
    assert "assumed_night_use" in use.notes
    assert (use.low, use.high) == pytest.approx((1.2, 3.6))
    # 8 m3/h by meters that err by 2.6 %, 2.4 m3/h of use by half, 19.5 h/d with N1 of 1.
    off = 19.5 * np.hypot(0.026 * 8, 1.2)
    assert losses.value == pytest.approx((8 - 2.4) * 19.5, rel=2e-3)
    assert losses.value - losses.low == pytest.approx(np.hypot(5.6 * (19.5 - factor.low), off), rel=2e-3)
    assert losses.high - losses.value == pytest.approx(np.hypot(5.6 * (factor.high - 19.5), off), rel=2e-3)
    assert "assumed_unauthorised" in figure(found, "apparent_losses").notes
    assert "assumed_price" in figure(found, "cost_of_losses").notes


def test_the_balance_says_how_sure_it_is(tmp_path: Path, found: KeyFigures) -> None:
    block = "\n[kpi.uncertainty]\ninput = 0.02\nexported = 0.1\nbilled = 0.03\nunbilled = 0.5\n"
    sure = key_figures(write_site(tmp_path / "site", SITE + block))
    half = (134.4**2 + 40**2 + 120**2 + 100**2) ** 0.5  # of 6720, 400, 4000 and 200 m3
    losses, ili = figure(sure, "real_losses"), figure(sure, "ili")
    assert losses.notes == ("scaled_volumes", "limits_95")
    assert (losses.high - losses.value, losses.value - losses.low) == pytest.approx((half, half), rel=2e-3)
    assert (ili.high - ili.low) / ili.value == pytest.approx(2 * half / 2120, rel=2e-3)
    assert figure(sure, "cost_of_losses").high == pytest.approx(0.5 * (2120 + half), rel=2e-3)
    assert figure(sure, "unbilled").high == pytest.approx(300)
    assert figure(sure, "non_revenue_share").high > figure(sure, "non_revenue_share").value
    assert "assumed_uncertainty" in figure(found, "real_losses").notes  # without the block


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


def test_the_return_on_finding_leaks(tmp_path: Path) -> None:
    text = SITE.replace("[kpi]", "[kpi]\nawareness_days = 20\nmonitoring_cost_per_year = 3652.5")
    answers = Answers.of(load_site(write_site(tmp_path / "site", text)), "")
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
    kept = Outcome(Progress("sum", begin, later, {}), [burst, early], fresh=True)
    with Store(load_site(folder).store_path) as store, store.saving(kept):
        pass
    found = key_figures(folder)
    assert figure(found, "leaks_raised").value == 2
    hours = (begin - np.datetime64("2024-04-30T22:00")) / np.timedelta64(1, "h")  # of the early one, in the period
    assert figure(found, "leak_volume").value == pytest.approx(12 * (48 + hours))
    assert figure(found, "leak_volume").high == pytest.approx(16 * (48 + hours))
