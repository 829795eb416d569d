"""What a check says of a network and of readings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_site import write_network, write_readings

from leakdetect.checks import Severity, check_network, check_site
from leakdetect.epanet import load_network
from leakdetect.init import init_site
from leakdetect.site import load_site


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    write_readings(tmp_path / "scada")
    init_site(tmp_path / "site", write_network(tmp_path / "town.inp"), [str(tmp_path / "scada" / "*")])
    return tmp_path / "site"


def test_a_good_site_is_usable(site_folder: Path) -> None:
    report = check_site(load_site(site_folder))
    assert report.usable
    assert {f.severity for f in report.findings} == {Severity.INFO}
    flow = next(s for s in report.sensors if s.sensor == "P1")
    assert (flow.readings, flow.step_s, flow.unit, flow.flags) == (1920, 900, "L/s", {})
    assert flow.middle == pytest.approx(6, abs=0.1)
    assert flow.usable_share == 1


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        (" J3   11   1\n", " J3   11   1\n J9   11   1\n", "J9", "1 nodes: no pipe leads"),
        ("P1   R1   J1   500   200   120   0   Open", "P1   R1   J1   500   200   120   0   Closed", None, None),
        (" J2   12   3", " J2   80   3", "J2", "negative pressure"),
        (
            "[COORDINATES]\n J1   0   0\n J2   100   0\n J3   200   50\n R1   -100   0\n T1   300   50\n",
            "",
            "network",
            "map",
        ),
    ],
)
def test_networks(tmp_path: Path, old: str, new: str, where: str | None, says: str | None) -> None:
    found = check_network(load_network(write_network(tmp_path / "a.inp", old, new)))
    if where is None:
        assert not found  # the tank still feeds it
    else:
        assert [(f.where, says in f.what) for f in found if says and says in f.what] == [(where, True)]


def test_no_demand(tmp_path: Path) -> None:
    text = write_network(tmp_path / "a.inp").read_text(encoding="utf-8")
    for line in ("J1   10   2", "J2   12   3", "J3   11   1"):
        text = text.replace(line, line[:-1] + "0")
    (tmp_path / "a.inp").write_text(text, encoding="utf-8")
    assert any("no junction has a demand" in f.what for f in check_network(load_network(tmp_path / "a.inp")))


def test_cut_off_by_closed_links(tmp_path: Path) -> None:
    old = "P2   J1   J2   400   150   120   0   Open\n P3   J2   J3   300   150   120   0   Open"
    path = write_network(tmp_path / "a.inp", old, old.replace("Open", "Closed"))
    found = check_network(load_network(path))
    assert any(f.where == "J2" and "cut off by closed links" in f.what for f in found)


def test_what_cannot_be_used_is_an_error(site_folder: Path) -> None:
    (site_folder / "network.inp").write_text("no network", encoding="utf-8")
    report = check_site(load_site(site_folder))
    assert not report.usable
    assert report.findings[0].severity is Severity.ERROR
    assert "not an EPANET input file" in report.findings[0].what
    assert len(report.sensors) == 5  # readings are looked at all the same


def test_sensor_trouble_is_named(tmp_path: Path) -> None:
    time = pd.date_range("2021-03-20", periods=15 * 96, freq="15min", tz="UTC").tz_convert("Europe/Rome")
    values = 5 + np.sin(np.arange(time.size) * 2 * np.pi / 96)
    table = pd.DataFrame(
        {"time": time.strftime("%Y-%m-%d %H:%M"), "flow_a": values, "flow_b": values, "flow_c": np.nan}
    )
    table.loc[5 * 96 :, "flow_b"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)
    init_site(tmp_path / "s", None, [str(tmp_path / "a.csv")])
    findings = check_site(load_site(tmp_path / "s")).findings
    found = {(f.where, f.what.split(":")[0]) for f in findings if f.severity == Severity.WARNING}
    assert found == {
        ("flow_b", "silent since 2021-03-25T00"),
        ("flow_b", "33% of readings usable"),
        ("flow_c", "no reading at all"),
        ("readings", "an hour is missing on 2021-03-28, as where clocks go forward"),
    }
    site = load_site(tmp_path / "s").model_copy(update={"timezone": "Europe/Rome"})
    assert any("1 clock changes" in f.what for f in check_site(site).findings)


@pytest.mark.shared
def test_a_file_that_epanet_refuses(tmp_path: Path, shared: Path) -> None:
    write_readings(tmp_path)
    init_site(tmp_path / "s", None, [str(tmp_path / "flow.csv")])
    site = load_site(tmp_path / "s").model_copy(update={"network": str(shared / "networks" / "exnet.inp")})
    report = check_site(site)
    assert not report.usable
    assert report.findings[0].where == "network"
    assert "\n" not in report.findings[0].what
