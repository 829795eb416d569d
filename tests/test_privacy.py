"""Households' meters: no id and no series of theirs is in what is written, printed or said; nothing else changes."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command import Command
from street import BETWEEN, CANARY, DAY, FIT_DAYS, IDS, METERS, START, make_street, write_site

from leakdetect import pipeline, privacy
from leakdetect.checks import check_site
from leakdetect.cli.privacy_words import WORDS
from leakdetect.epanet import load_network
from leakdetect.errors import ElementError, InputError, LeakdetectError, NotFittedError
from leakdetect.netcdf import load_model
from leakdetect.readings import load
from leakdetect.sealing import BLOB, SEALED, open_model, open_state, seal_state
from leakdetect.site import Site, load_site
from leakdetect.store import Store
from leakdetect.vault import Vault

UNITS = (1.0, 1 / 3.6e6, 1 / 1000, 1 / 3600)  # L/h to m3/s, m3/h, L/s


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_street(tmp_path_factory.mktemp("street"))


@pytest.fixture(scope="module")
def detected(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the site after a fit and two runs, the second of which goes on from what the first left."""
    folder = shutil.copytree(street, tmp_path_factory.mktemp("detected") / "site")
    pipeline.fit(folder, None, START + FIT_DAYS * DAY)
    pipeline.detect(folder, None, BETWEEN)
    pipeline.detect(folder)
    return folder


# -- looking into everything -----------------------------------------------------------------------------------------


def arrays(value: Any) -> Iterator[np.ndarray]:
    """Yield every array, and every text as bytes, inside a value: files in files too."""
    if isinstance(value, bytes) and value[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(value)) as packed:
            for name in packed.namelist():
                yield from arrays(np.load(io.BytesIO(packed.read(name)), allow_pickle=False))
    elif isinstance(value, bytes | str):
        yield np.frombuffer(value.encode() if isinstance(value, str) else value, dtype=np.uint8)
    else:
        yield np.asarray(value)


def inside(path: Path) -> Iterator[np.ndarray]:
    yield np.frombuffer(path.read_bytes(), dtype=np.uint8)
    if path.suffix == ".nc":
        found: list[np.ndarray] = []
        with h5py.File(path) as file:
            file.visititems(lambda _, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None)
            found += [np.asarray(v) for v in file.attrs.values()]
        for value in found:
            yield from arrays(np.asarray(value).tobytes() if value.dtype.kind in "OS" else value)
    if path.suffix in {".db", ".gpkg"}:
        with sqlite3.connect(path) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    for cell in row:
                        yield from arrays(cell if cell is not None else "")
        connection.close()


def traces(values: Iterator[np.ndarray], also: Iterable[float] = ()) -> list[str]:
    """Return what is there of a meter's id, or of the first meter's values in any unit, as number or as text."""
    wanted = np.array([value * unit for value in (*CANARY, *also) for unit in UNITS])
    found = []
    for value in values:
        if value.dtype == np.uint8:
            text = value.tobytes()
            found += [i for i in IDS if i.encode() in text or i.lower().encode() in text]
            found += [s for s in ("777.1234", "812.6543", "777,1234", "812,6543") if s.encode() in text]
            floats = [np.frombuffer(text[k : k + (len(text) - k) // 8 * 8], dtype="<f8") for k in range(8)]
        elif value.dtype.kind == "f":
            floats = [value.ravel().astype(float)]
        else:
            continue
        for each in floats:
            with np.errstate(all="ignore"):
                near = np.abs(each[:, None] - wanted) <= 1e-9 * wanted
            found += [f"value {v}" for v in each[near.any(axis=1)]]
    return found


def texts(*said: str) -> Iterator[np.ndarray]:
    for text in said:
        yield from arrays(text)


def state(folder: Path) -> dict[str, Any]:
    with Store(load_site(folder).store_path) as store:
        progress = store.progress()
    assert progress is not None
    return progress.state


def test_what_looks_for_traces_finds_them(street: Path, detected: Path, tmp_path: Path) -> None:
    site = load_site(street)
    data = load(site, network=load_network(street / "network.inp"))
    data["reading"].to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert traces(inside(tmp_path / "a.nc"))
    assert set(IDS) <= set(traces(inside(street / "meters.csv")))
    opened = open_state(state(detected), Vault.of(site), "")
    assert traces(arrays(opened["steps"]["reading"]))  # so the detector does need it, and the file does not show it
    clear = shutil.copytree(detected, tmp_path / "clear")
    with Store(load_site(clear).store_path) as store:
        store.redact(lambda _: opened)
    assert traces(inside(clear / "leakdetect.db"))


@pytest.mark.slow
def test_nothing_that_is_written_or_said_tells_of_a_meter(
    street: Path, tmp_path: Path, run: Command, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(street, tmp_path / "site")
    own = {p.name for p in folder.iterdir()}
    said = []
    for arguments in (
        ["check", folder], ["check", folder, "--format", "json"], ["fit", folder, "--to", "2024-03-20"],
        ["detect", folder, "--to", "2024-03-24"], ["detect", folder, "--format", "json"],
        ["events", folder, "list"], ["privacy", folder], ["privacy", folder, "--json", "--lang", "fr"],
        *(["report", folder, "-o", folder / f"r.{s}"] for s in ("html", "geojson", "gpkg", "csv")),
    ):  # fmt: skip
        code, out, err = run(*arguments)
        assert code in {0, 10}, err  # 10: new events
        said += [out, err]
    written = [p for p in folder.rglob("*") if p.is_file() and p.name not in own]
    assert {p.name for p in written} == {
        "model.nc", "leakdetect.db", "2024-03.nc", "r.html", "r.geojson", "r.gpkg", "r.csv"
    }  # fmt: skip
    assert pipeline.events(folder)
    assert {p.name: traces(inside(p)) for p in written} == {p.name: [] for p in written}
    assert traces(texts(*said, caplog.text)) == []
    site = load_site(folder)
    model = open_model(load_model(site)[0], Vault.of(site), "")
    means = model["load_demand"].sel(node=list(site.readings[2].columns.values())).values.ravel()
    assert (means > 0).all()
    assert traces(arrays(means), means)
    assert traces(inside(site.model_path), means) == []


def plain(folder: Path) -> list[dict[str, Any]]:
    return [e.to_dict() for e in pipeline.events(folder)]


def equal(a: Any, b: Any) -> bool:
    """Compare to the last bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.slow
def test_events_are_those_without_any_privacy(street: Path, detected: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(street, tmp_path / "site")
    site = load_site(folder)
    write_site(folder, site.readings[2].columns, "personal = false")
    pipeline.fit(folder, None, START + FIT_DAYS * DAY)
    pipeline.detect(folder)  # at once: there is nothing to seal in between
    hidden, vault = load_site(detected), Vault.of(site)
    model = open_model(load_model(hidden)[0], vault, "")
    xr.testing.assert_identical(model.drop_attrs(deep=False), load_model(load_site(folder))[0].drop_attrs(deep=False))
    assert SEALED not in state(folder)
    assert BLOB in state(detected)[SEALED]
    assert equal(open_state(state(detected), vault, ""), state(folder))
    assert [e for e in plain(folder) if e["status"] == "open"]
    assert plain(folder) == plain(detected)


def test_a_state_without_meters_is_left_alone() -> None:
    values = np.arange(6.0).reshape(2, 3)
    data = xr.Dataset(coords={"sensor": ["a", "b", "c"], "personal": ("sensor", [False, True, False])})
    vault = Vault(Path("none"))
    known = {"steps": {"reading": values, "last": values + 1}, "before": values[0], "rest": [1]}
    sealed = seal_state(known, data, vault)
    assert np.isnan(sealed["steps"]["reading"][:, 1]).all()
    assert sealed["steps"]["reading"][:, [0, 2]].tolist() == values[:, [0, 2]].tolist()
    assert equal(open_state(sealed, vault, ""), known)
    assert seal_state(known, data.assign_coords(personal=("sensor", [False] * 3)), vault) is known
    districts = {"districts": []}
    assert seal_state(districts, data, vault) is districts


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f"{CANARY[1]}", "broken 812.6543", r"meters.csv: row 3, the value of a meter \(column 2 of the file, pseud"),
        ("2024-03-04 05:00:00", "never", r"meters.csv: row 7, column 'time': what stands there is not a time"),
        (IDS[3], IDS[2], r"meters.csv: column 4 appears twice"),
        (IDS[4], "other", r"meters.csv: (no column|column) of a meter \(pseudonym meter-"),
        ("time,", "when,", r"meters.csv: no time column 'time'.*the columns are 7"),
    ],
)  # fmt: skip
def test_errors_name_the_place_and_not_the_meter(
    street: Path, tmp_path: Path, run: Command, old: str, new: str, says: str
) -> None:
    folder = shutil.copytree(street, tmp_path / "site")
    text = (folder / "meters.csv").read_text(encoding="utf-8")
    assert old in text
    (folder / "meters.csv").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(LeakdetectError, match=says):
        load(load_site(folder), network=load_network(folder / "network.inp"))
    line = run.refused("check", folder)
    assert re.search(says, line)
    assert traces(texts(line)) == []
    line = run.refused("fit", folder)
    assert traces(texts(line)) == []


def test_an_element_that_is_not_there(street: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(street, tmp_path / "site")
    network = load_network(folder / "network.inp")
    columns = load_site(folder).readings[2].columns
    write_site(folder, {k: v for k, v in columns.items() if k != IDS[0]})
    with pytest.raises(ElementError, match=r"of a meter \(pseudonym .*no element of its name: map it") as caught:
        load(load_site(folder), network=network)
    assert traces(texts(str(caught.value))) == []
    write_site(folder, columns | {IDS[0]: "n9999"})
    with pytest.raises(ElementError, match=r"the network has no 'n9999'") as caught:
        load(load_site(folder), network=network)
    assert traces(texts(str(caught.value))) == []


# -- what is shown ---------------------------------------------------------------------------------------------------


def test_check_shows_sums_of_enough_meters(street: Path, tmp_path: Path) -> None:
    report = check_site(load_site(street))
    [row] = [s for s in report.sensors if s.quantity == "demand"]
    assert row.sensor == f"{METERS} meters together"
    total = pd.read_csv(street / "meters.csv")[IDS].sum(axis=1)
    assert row.highest == pytest.approx(total.max(), rel=1e-4)
    assert row.readings == METERS * len(total)
    for more, shown in (("[privacy]\nsmallest_group = 7", 0), ("[privacy]\nsmallest_group = 1", METERS)):
        folder = shutil.copytree(street, tmp_path / f"site{shown}")
        write_site(folder, load_site(street).readings[2].columns, more=more)
        rows = [s for s in check_site(load_site(folder)).sensors if s.quantity == "demand"]
        assert sum(s.highest is not None for s in rows) == shown
        assert not {s.sensor for s in rows} & set(IDS)


def test_pseudonyms_are_keyed(street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = load(load_site(street))["sensor"].values.tolist()[-METERS:]
    again = load(load_site(street))["sensor"].values.tolist()[-METERS:]
    monkeypatch.setenv("LEAKDETECT_KEY", "5b" * 32)
    other = load(load_site(street))["sensor"].values.tolist()[-METERS:]
    assert names == again
    assert len({*names, *other}) == 2 * METERS


# -- what is held ----------------------------------------------------------------------------------------------------


def test_what_is_held_and_its_end(detected: Path, tmp_path: Path, run: Command) -> None:
    folder = shutil.copytree(detected, tmp_path / "site")
    site = load_site(folder)
    found = {h.where: h for h in privacy.held(site).holdings}
    assert (found["meters.csv"].how, found["site.toml"].how) == ("own", "own")
    assert (found["model.nc"].how, found["model.nc"].meters, found["model.nc"].until) == (
        "sealed",
        METERS,
        "2024-03-21",
    )
    assert (found["leakdetect.db"].how, found["leakdetect.db"].meters) == ("sealed", METERS)
    assert (found["leakdetect.db"].since, found["leakdetect.db"].until) == ("2024-03-04", "2024-03-27")
    assert found["leakdetect.db"].keep_until == "2026-03-27"
    before = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert privacy.enforce(site, np.datetime64("2026-03-21T23:00")) == []
    assert {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert [h.where for h in privacy.enforce(site, np.datetime64("2026-03-22"))] == ["model.nc"]
    assert [h.where for h in privacy.enforce(site, np.datetime64("2026-04-01"))] == ["leakdetect.db"]
    after = {h.where: h.how for h in privacy.held(site).holdings}
    assert (after["model.nc"], after["leakdetect.db"]) == ("removed", "removed")
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in {".csv", ".toml", ".inp"}} == {
        name: text for name, text in before.items() if Path(name).suffix in {".csv", ".toml", ".inp"}
    }
    assert plain(folder) == plain(detected)  # events stay
    opened = open_state(state(folder), Vault.of(site), "")
    assert np.isnan(opened["steps"]["reading"][:, -METERS:]).all()
    with pytest.raises(NotFittedError, match=r"model.nc: .*removed, being too old: run 'leakdetect fit' again"):
        pipeline.detect(folder)
    assert "run 'leakdetect fit' again" in run.refused("detect", folder)


def test_a_run_goes_on_without_the_meters_past(detected: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(detected, tmp_path / "site")
    (folder / "leakdetect.db").unlink()
    pipeline.detect(folder, None, BETWEEN)
    [kept] = [h.keep_until for h in privacy.held(load_site(folder)).holdings if h.kind == "state"]
    until = np.datetime64(f"{kept}") + np.timedelta64(1, "D")
    model = (folder / "model.nc").rename(tmp_path / "model.nc")  # it would go too
    removed = privacy.enforce(load_site(folder), until)
    model.rename(folder / "model.nc")
    assert [h.kind for h in removed] == ["state"]
    outcome = pipeline.detect(folder)
    assert outcome.steps > 48
    assert outcome.events


def test_the_command(detected: Path, tmp_path: Path, run: Command) -> None:
    folder = shutil.copytree(detected, tmp_path / "site")
    held = json.loads(run.ok("privacy", folder, "--json"))
    assert {h["where"] for h in held["holdings"]} == {
        "meters.csv",
        "site.toml",
        "model.nc",
        "leakdetect.db",
        "series",
    }
    assert (held["key"], held["smallest_group"], held["keep_days"]) == ("$LEAKDETECT_KEY", 5, 730)
    english, french = run.ok("privacy", folder), run.ok("privacy", folder, "--lang", "fr")
    assert "series of households' meters" in english
    assert "séries de compteurs de foyers" in french
    assert run.ok("privacy", folder, "--meter", IDS[0]).strip() in load(load_site(folder))["sensor"].values
    code, _, err = run("privacy", folder, "--enforce")  # the readings are of 2024
    assert code == 0
    assert err.count("was removed") == 2
    assert "Nothing is older than 730 days." in run("privacy", folder, "--enforce")[2]
    assert WORDS["en"].keys() == WORDS["fr"].keys() >= {*privacy.Kind, *privacy.How}


def test_a_site_without_meters_holds_nothing(tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEAKDETECT_KEY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    text = 'name = "s"\n[[readings]]\nglob = "a.csv"\nquantity = "flow"\nunit = "m3/h"\n'
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    (tmp_path / "a.csv").write_text("time,P1\n2024-01-01,1\n", encoding="utf-8")
    assert "No block of readings" in run.ok("privacy", tmp_path)
    assert load(load_site(tmp_path)).sizes["time"] == 1
    assert not (tmp_path / "data").exists()  # no key is made that nobody needs


def test_another_key_does_not_open_it(detected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(detected, tmp_path / "site")
    monkeypatch.setenv("LEAKDETECT_KEY", "5b" * 32)
    with pytest.raises(InputError, match=r"model.nc: .*sealed with another key"):
        pipeline.detect(folder)


def test_only_demand_is_personal(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="personal: is for meters of customers"):
        Site.model_validate(
            {"name": "s", "readings": [{"glob": "a", "quantity": "flow", "unit": "m3/h", "personal": True}]}
        )
