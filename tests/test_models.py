"""The fitted models that are shipped: what their cards say, that they work, and that they can be made again."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from leakdetect import models, networks, pipeline
from leakdetect.detector import Detector
from leakdetect.detectors import build
from leakdetect.errors import InputError
from leakdetect.models.make import FITTED, SEED, make, world
from leakdetect.site import Site

Feed = tuple[Site, xr.Dataset]


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    """Return the first ten days of the world that the town was fitted on."""
    return world("town", tmp_path_factory.mktemp("town"), days=10)


def detector(name: str = "town") -> Detector:
    return build("hydraulic", network=networks.load(name), timezone="UTC", repairs=())


@pytest.mark.parametrize("name", models.names())
def test_the_card_tells_the_truth(name: str) -> None:
    card = models.card(name)
    file = models.path(name)
    assert name in FITTED
    assert card.id == name
    assert hashlib.sha256(file.read_bytes()).hexdigest() == card.checksum
    assert file.stat().st_size < 1_000_000
    entry = next(e for e in networks.catalogue() if e.id == card.network)
    assert card.network_checksum == entry.checksum
    assert card.sensors == entry.sensors
    assert card.seed == SEED
    model = models.load(name)
    assert model.attrs["window_start"] + "Z" == card.first
    assert model.attrs["window_end"] + "Z" == card.last
    assert model.attrs["step_seconds"] == card.step_minutes * 60
    assert model.attrs["detector"] == card.detector
    network = networks.load(card.network)
    assert model["link"].values.tolist() == list(network.link_names)


def test_the_detector_takes_it(feed: Feed) -> None:
    """The same loggers, read from the same day on: what is left over is noise, and no leak is seen where none is."""
    _, data = feed
    model = models.load("town")
    _, events, out = detector().update(model, {}, data)
    assert events == []
    rest = out["residual"].values[:, out["quantity"].values == "pressure"]
    assert np.isfinite(rest).mean() > 0.9
    assert np.nanstd(rest, axis=0).max() < 0.06
    assert np.median(np.nanstd(rest, axis=0)) < 2 * models.card("town").pressure_error_m


def test_it_serves_a_site(feed: Feed, tmp_path: Path) -> None:
    site, _ = feed
    folder = tmp_path / "site"
    shutil.copytree(site.folder, folder)
    copied = (folder / "site.toml").read_text(encoding="utf-8")
    (folder / "site.toml").write_text(copied.replace("../world", str(site.folder.parent / "world")), encoding="utf-8")
    shutil.copy(models.path("town"), folder / "model.nc")
    outcome = pipeline.detect(folder)
    assert outcome.events == []
    assert outcome.until == np.datetime64("2024-01-10T23:00:00")


@pytest.mark.slow
@pytest.mark.parametrize("name", FITTED)
def test_it_can_be_made_again(name: str, feed: Feed, tmp_path: Path) -> None:
    """Another machine's last digits may differ; what the model expects may not, by more than a centimetre or two."""
    card = make(tmp_path, name)
    shipped = models.card(name)
    assert card.pressure_error_m == pytest.approx(shipped.pressure_error_m, rel=0.3)
    for field in fields(card):
        if field.name not in {"checksum", "pressure_error_m", "flow_error_m3h", "version"}:
            assert getattr(card, field.name) == getattr(shipped, field.name)
    with xr.open_dataset(tmp_path / f"{name}.nc", engine="h5netcdf") as file:
        again = file.load()
    kept = models.load(name)
    assert again.sizes == kept.sizes
    assert set(again.variables) == set(kept.variables)
    assert set(again.attrs) == set(kept.attrs)
    data = feed[1] if name == "town" else world(name, tmp_path / "world", days=5)[1]
    week = data.isel(time=slice(0, 96))
    expected = [detector(name).update(m, {}, week)[2]["expected"].values for m in (kept, again)]
    pressure = week["quantity"].values == "pressure"
    assert np.nanmax(np.abs(expected[0] - expected[1])[:, pressure]) < 0.02


def test_what_is_not_there() -> None:
    with pytest.raises(InputError, match="no fitted model 'city': there are town, village"):
        models.load("city")


def test_a_spoilt_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in models.folder().glob("town.*"):
        shutil.copy(file, tmp_path)
    with (tmp_path / "town.nc").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    with pytest.raises(InputError, match="not the model of its card: install leakdetect anew"):
        models.load("town")
