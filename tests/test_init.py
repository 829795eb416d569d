"""A site folder is made from guesses, and loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_site import write_network, write_readings

from leakdetect.epanet import load_network
from leakdetect.errors import InputError, LeakdetectError, MissingFileError, SiteError, UnitError
from leakdetect.guess import Elements, guess, quantity_of, unit_of
from leakdetect.init import init_site
from leakdetect.network import Network
from leakdetect.readings import load, load_repairs
from leakdetect.schema import Quantity
from leakdetect.site import load_site
from leakdetect.vault import Vault


def test_every_file_becomes_what_it_is(tmp_path: Path) -> None:
    network = write_network(tmp_path / "town.inp")
    write_readings(tmp_path / "scada")
    (tmp_path / "scada" / "Leakages.csv").write_text("time,P1\n2021-01-01,1\n", encoding="utf-8")
    repairs = tmp_path / "fixed.txt"
    repairs.write_text("# linkID, fixTime\nP2, 2021-01-05 10:00\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    said = init_site(tmp_path / "site", network, [str(tmp_path / "scada" / "*")], repairs=repairs)
    assert {path: path.read_bytes() for path in before} == before
    text = "\n".join(said)
    assert "Leakages.csv: left out" in text
    assert "1 x level in m (assumed): T1" in text
    assert "1 repairs" in text
    site = load_site(tmp_path / "site")
    model = load_network(site.path(site.network or ""))
    assert [r.link for r in load_repairs(site, model)] == ["P2"]
    data = load(site, network=model)
    found = {
        (str(s), str(q), str(e), str(u))
        for s, q, e, u in zip(*(data[c].values for c in ("sensor", "quantity", "element", "unit")), strict=True)
    }
    meter = Vault.of(site).pseudonym("J2")
    assert found == {
        ("J1", "pressure", "J1", "m"),
        ("J3", "pressure", "J3", "m"),
        ("P1", "flow", "P1", "L/s"),
        ("T1", "level", "T1", "m"),
        (meter, "demand", "J2", "L/h"),
    }
    assert data["step"].sel(sensor=meter) == 3600
    assert float(data["reading"].sel(sensor="P1").mean()) == pytest.approx(0.006, rel=0.01)
    assert str(data["time"].values[-1])[:16] == "2021-01-20T23:45"


def test_readings_in_the_folder_are_relative(tmp_path: Path) -> None:
    write_readings(tmp_path / "site" / "readings")
    write_network(tmp_path / "site" / "network.inp")
    init_site(tmp_path / "site", tmp_path / "site" / "network.inp", [str(tmp_path / "site" / "readings" / "*.csv")])
    site = load_site(tmp_path / "site")
    assert {block.glob for block in site.readings} == {
        "readings/Druck_*.csv",
        "readings/flow.csv",
        "readings/meters.csv",
    }
    (tmp_path / "site").rename(tmp_path / "moved")
    assert load(load_site(tmp_path / "moved")).sizes["sensor"] == 4


def test_nothing_is_overwritten_unless_said(tmp_path: Path) -> None:
    write_readings(tmp_path)
    glob = str(tmp_path / "flow.csv")
    init_site(tmp_path / "site", None, [glob])
    first = (tmp_path / "site" / "site.toml").read_bytes()
    with pytest.raises(SiteError, match=r"site.toml: is there already.*--force"):
        init_site(tmp_path / "site", None, [glob], {"flow": "m3/h"})
    assert (tmp_path / "site" / "site.toml").read_bytes() == first
    init_site(tmp_path / "site", None, [glob], {"flow": "m3/h"}, force=True)
    assert load_site(tmp_path / "site").readings[0].unit == "m3/h"
    other = tmp_path / "other"
    other.mkdir()
    (other / "network.inp").write_text("mine", encoding="utf-8")
    with pytest.raises(SiteError, match=r"network.inp: is there already"):
        init_site(other, write_network(tmp_path / "town.inp"), [glob])
    assert (other / "network.inp").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("glob", "units", "timezone", "error", "says"),
    [
        ("none*.csv", {}, "UTC", MissingFileError, r"none\*.csv: no file matches"),
        ("flow.csv", {"flow": "mm"}, "UTC", UnitError, r"'mm' does not measure flow"),
        ("flow.csv", {"smell": "m"}, "UTC", UnitError, r"no such quantity"),
        ("flow.csv", {}, "Mars", SiteError, r"unknown time zone 'Mars'"),
        ("empty.csv", {}, "UTC", InputError, r"empty.csv: the file is empty"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(
    tmp_path: Path, glob: str, units: dict[str, str], timezone: str, error: type[LeakdetectError], says: str
) -> None:
    write_readings(tmp_path)
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(error, match=says) as caught:
        init_site(tmp_path / "site", None, [str(tmp_path / glob)], units, timezone=timezone)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "site").exists()


def test_a_village_with_one_meter(tmp_path: Path) -> None:
    (tmp_path / "compteur.csv").write_text("date;v\n01/02/2020 00:00;1,5\n01/02/2020 01:00;2,5\n", encoding="utf-8")
    init_site(tmp_path / "v", None, [str(tmp_path / "compteur.csv")], {"demand": "m3/h", "flow": "m3/h"})
    data = load(load_site(tmp_path / "v"))
    assert data.sizes == {"time": 2, "sensor": 1}
    (tmp_path / "x.csv").write_text("date;v\n01/02/2020 00:00;1,5\n01/02/2020 01:00;2,5\n", encoding="utf-8")
    init_site(tmp_path / "w", None, [str(tmp_path / "x.csv")])
    assert load_site(tmp_path / "w").readings[0].quantity is Quantity.FLOW


def test_low_pressures_may_be_bar(tmp_path: Path) -> None:
    (tmp_path / "pressure.csv").write_text("time,a\n2020-01-01 00:00,4.5\n2020-01-01 01:00,4.6\n", encoding="utf-8")
    assert any("--unit pressure=bar" in line for line in init_site(tmp_path / "s", None, [str(tmp_path / "*.csv")]))


def test_names_and_units() -> None:
    assert quantity_of("2018_SCADA_Pressures.csv.gz") is Quantity.PRESSURE
    assert quantity_of("debit_reservoir_sud") is Quantity.FLOW or quantity_of("debit_sud") is Quantity.FLOW
    assert quantity_of("scen1_dem_node_ 2") is Quantity.DEMAND
    assert quantity_of("inflowSouth") is Quantity.FLOW
    assert quantity_of("n1") is None
    assert unit_of("DMA 1 (L/s)", Quantity.FLOW) == "L/s"
    assert unit_of("debit_m3h", Quantity.FLOW) == "m3/h"
    assert unit_of("p [bar]", Quantity.PRESSURE) == "bar"
    assert unit_of("n1", Quantity.FLOW) is None


def test_elements_in_names(tmp_path: Path) -> None:
    network = load_network(write_network(tmp_path / "a.inp"))
    elements = Elements(network)
    assert elements.find("scen1_dem_node_ j2", Quantity.DEMAND) == "J2"
    assert elements.find("P-P1:flow", Quantity.FLOW) == "P1"
    assert elements.find("P9", None) == ""
    values = np.array([50.0, 51, 49])
    named = {c: guess(c, values, None, elements, {}) for c in ("J1", "P1", "T1", "X", "DMA 3")}
    assert {c: g and g.quantity for c, g in named.items()} == {
        "J1": Quantity.PRESSURE, "P1": Quantity.FLOW, "T1": Quantity.LEVEL, "X": None, "DMA 3": Quantity.FLOW,
    }  # fmt: skip
    meter = guess("J1", np.array([0.0, 300, 20]), None, elements, {})
    assert meter is not None
    assert meter.quantity is Quantity.DEMAND


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "glob", "sensors"),
    [
        ("battledim", "2018_SCADA_*.csv.gz", 119),
        ("ltown-b", "*s.csv.gz", 119),
        ("ltown-c", "201[89]_SCADA_[FL]*.gz", 4),
    ],
)
def test_published_towns(tmp_path: Path, shared: Path, ltown: Network, name: str, glob: str, sensors: int) -> None:
    model = shared / "battledim" / "L-TOWN.inp"
    repairs = shared / name / "2018_Fixing_Reports.txt"
    init_site(tmp_path / "s", model, [str(shared / name / glob)], {"flow": "m3/h", "demand": "L/h"}, repairs)
    site = load_site(tmp_path / "s")
    assert len({block.quantity for block in site.readings}) == len({(b.glob, b.quantity) for b in site.readings})
    if name != "ltown-b":  # two years are read elsewhere
        data = load(site, np.datetime64("2018-12-31"), network=ltown)
        assert data.sizes["sensor"] == sensors
    assert (tmp_path / "s" / "network.inp").read_bytes() == model.read_bytes()
    assert (tmp_path / "s" / "repairs.csv").read_bytes() == repairs.read_bytes()


@pytest.mark.shared
def test_ten_districts(tmp_path: Path, shared: Path) -> None:
    said = init_site(tmp_path / "f", None, [str(shared / "ferrara" / "*.xlsx")], timezone="Europe/Rome")
    assert any("10 x flow in L/s" in line for line in said)
    data = load(load_site(tmp_path / "f"))
    assert data["dma"].values.tolist() == [f"DMA {i}" for i in range(1, 11)]
    assert data["sensor"].values.tolist() == data["dma"].values.tolist()
    assert set(data["element"].values) == {""}
    assert data.sizes["time"] == 19_679
    assert set(np.diff(data["time"].values)) == {np.timedelta64(3600, "s")}  # both clock changes, three years
    assert data.attrs["duplicates_conflicting"] == 0


@pytest.mark.shared
def test_a_table_of_everything(tmp_path: Path, shared: Path) -> None:
    init_site(tmp_path / "h", None, [str(shared / "leakdb" / "*.gz")], {"demand": "m3/h"})
    data = load(load_site(tmp_path / "h"))
    assert {str(q): int((data["quantity"] == q).sum()) for q in set(data["quantity"].values)} == {
        "demand": 32, "flow": 34, "pressure": 32,
    }  # fmt: skip
    assert data.sizes["time"] == 17_520
    assert data["time"].values[0] == np.datetime64("2017-01-01")
