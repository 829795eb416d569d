"""Fit the models that are shipped: ``python -m leakdetect.models.make models``."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tomlkit
import xarray as xr

from leakdetect import __version__, networks, pipeline
from leakdetect.detectors import build
from leakdetect.files import replace_text, replacing
from leakdetect.init import init_site
from leakdetect.models import Card
from leakdetect.netcdf import write_model
from leakdetect.scenarios import Scenario, SensorError, simulate
from leakdetect.site import Site
from leakdetect.units import M3H

FITTED = ("village", "town")
START = np.datetime64("2024-01-01T00:00:00")
SEED, FIT_DAYS, TEST_DAYS, STEP = 7, 42, 14, 900
DETECTOR = "hydraulic"
ERROR = SensorError(noise=0.02, offset=0.2, meter_noise=0.005, missing=0.002)
COMMAND = "python -m leakdetect.models.make models"


def world(name: str, folder: Path, *, seed: int = SEED, days: int = FIT_DAYS + TEST_DAYS) -> tuple[Site, xr.Dataset]:
    """Simulate a sample network without a leak, as its sensors read it; return it as a site, and its readings by step.

    Parameters
    ----------
    name : str
        Id of the sample network.
    folder : Path
        To be filled.
    seed : int
    days : int
        From `START` on.
    """
    made = Scenario(seed=seed, start=START, days=days, step=STEP, leaks=(), error=ERROR)
    simulate(networks.path(name), folder / "world", made, sensors=networks.sensors(name))
    readings = [str(path) for path in sorted((folder / "world").glob("*_SCADA_*.csv.gz"))]
    init_site(folder / "site", networks.path(name), readings, {"flow": "m3/h"})
    site, network = pipeline.open_site(folder / "site")
    return site, pipeline.steps_of(site, network)


def make(folder: Path, name: str) -> Card:
    """Fit a model, measure it on what follows, write both it and its card into `folder`; return the card."""
    entry = next(e for e in networks.catalogue() if e.id == name)
    with tempfile.TemporaryDirectory() as work:
        site, data = world(name, Path(work))
    detector = build(DETECTOR, network=networks.load(name), timezone=site.timezone, settings=site.detection, repairs=())
    until = int(np.searchsorted(data["time"].values, START + np.timedelta64(FIT_DAYS, "D")))
    model = detector.fit(data.isel(time=slice(0, until)))
    _, _, out = detector.update(model, detector.begin(model), data.isel(time=slice(until, None)))
    with replacing(folder / f"{name}.nc") as part:
        write_model(model, part, DETECTOR)
        checksum = hashlib.sha256(part.read_bytes()).hexdigest()
    made = Card(
        id=name,
        network=name,
        network_checksum=entry.checksum,
        detector=DETECTOR,
        sensors=entry.sensors,
        first=model.attrs["window_start"] + "Z",
        last=model.attrs["window_end"] + "Z",
        step_minutes=site.step_minutes,
        readings=f"invented: no leak, {ERROR.noise * 100:g} cm of noise, loggers {ERROR.offset * 100:g} cm off",
        seed=SEED,
        pressure_error_m=round(_spread(out, "pressure"), 4),
        flow_error_m3h=round(_spread(out, "flow") * M3H, 3),
        made_by=COMMAND,
        version=__version__,
        licence="Apache-2.0",
        checksum=checksum,
    )
    replace_text(folder / f"{name}.toml", tomlkit.dumps(asdict(made)))
    return made


def _spread(out: xr.Dataset, quantity: str) -> float:
    """Return the median sensor's standard deviation of reading minus expected; of those that are compared."""
    rest = out["residual"].values[:, out["quantity"].values == quantity]
    return float(np.median(np.nanstd(rest[:, np.isfinite(rest).any(axis=0)], axis=0)))


if __name__ == "__main__":
    for fitted in FITTED:
        print(make(Path(sys.argv[1]), fitted), file=sys.stderr)
