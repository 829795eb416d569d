"""The one place that knows the order: readings, quality, detector, store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from leakdetect import readings
from leakdetect.detector import Detector
from leakdetect.detectors import build
from leakdetect.epanet import load_network
from leakdetect.errors import InputError, NotFittedError, ReadingsError
from leakdetect.events import Event, Status
from leakdetect.network import Network
from leakdetect.schema import SENSOR, TIME, Quantity
from leakdetect.site import Site, load_site
from leakdetect.stages import quality
from leakdetect.store import Progress, Store

Tell = Callable[[str, float], None]
"""Told what is done and how far it is (0 to 1)."""

_ENGINE = "h5netcdf"
_SHOWN = ("reading", "flag", "usable", "expected", "expected_sd", "residual", "score")


def _quiet(_what: str, _share: float) -> None:
    pass


def open_site(folder: Path) -> tuple[Site, Network | None]:
    """Read a site and its network; errors as `load_site` and `load_network`."""
    site = load_site(folder)
    return site, load_network(site.path(site.network)) if site.network else None


def steps_of(
    site: Site, network: Network | None, since: np.datetime64 | None = None, until: np.datetime64 | None = None
) -> xr.Dataset:
    """Return a site's readings, judged, on its step.

    Parameters
    ----------
    site, network : see their classes
    since, until : datetime64, optional
        First and last time wanted (UTC).

    Raises
    ------
    ReadingsError
        If there is none.
    """
    context = since - quality.CONTEXT if since is not None else None
    flagged = quality.flag(readings.load(site, since=context, until=until, network=network))
    steps = quality.to_steps(flagged, site.step_minutes * 60.0)
    steps.attrs["step_seconds"] = site.step_minutes * 60
    if since is not None:
        steps = steps.isel({TIME: slice(int(np.searchsorted(steps[TIME].values, since)), None)})
    return steps


def detector_of(site: Site, network: Network | None, tell: Tell = _quiet) -> Detector:
    """Return the detector that fits the site: with a network and pressures the model-based one, else the inflow's."""
    pressures = {Quantity.PRESSURE, Quantity.HEAD}
    name = "hydraulic" if network and any(b.quantity in pressures for b in site.readings) else "inflow"
    repairs = readings.load_repairs(site, network)
    return build(name, network=network, timezone=site.timezone, settings=site.detection, repairs=repairs, progress=tell)


def fit(
    folder: Path, since: np.datetime64 | None = None, until: np.datetime64 | None = None, tell: Tell = _quiet
) -> xr.Dataset:
    """Fit the leak-free picture of a site on a past window and write ``model.nc``; return the model.

    Raises
    ------
    LeakdetectError
        Of one kind or another where site, network or readings do not allow it; nothing is written then.
    """
    site, network = open_site(folder)
    tell("read", 0.0)
    data = steps_of(site, network, since, until)
    if not data.sizes[TIME]:
        raise ReadingsError(f"{folder}: no complete step of readings between --from and --to")
    model = detector_of(site, network, tell).fit(data)
    _replace(model, site.model_path)
    return model


def _replace(data: xr.Dataset, path: Path) -> None:
    part = path.with_name(path.name + ".part")
    try:
        data.to_netcdf(part, engine=_ENGINE)
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path) -> xr.Dataset:
    try:
        return xr.load_dataset(path, engine=_ENGINE)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a netCDF file that leakdetect wrote: {error}") from error


def load_model(site: Site) -> tuple[xr.Dataset, str]:
    """Return the fitted model and its checksum; `NotFittedError` where there is none."""
    path = site.model_path
    if not path.is_file():
        raise NotFittedError(f"{path}: no fitted model yet: run 'leakdetect fit {site.folder.name}' first")
    return _read(path), hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """Of a run: the events that were open at some time in the window, how many are new, and up to when data went."""

    events: list[Event]
    new: int
    until: np.datetime64 | None


def detect(
    folder: Path, since: np.datetime64 | None = None, until: np.datetime64 | None = None, tell: Tell = _quiet
) -> Outcome:
    """Take what is new since the last run, raise events, keep them.

    Parameters
    ----------
    folder : Path
    since : datetime64, optional
        On the first run, where to begin; always, the first time that listed events were open.
    until : datetime64, optional
        Last time to take readings to, and that listed events were open.

    Raises
    ------
    LeakdetectError
        Where site, model or readings do not allow it; the store then stays as it was.
    """
    site, network = open_site(folder)
    model, checksum = load_model(site)
    step = np.timedelta64(site.step_minutes, "m")
    with Store(site.store_path) as store:
        progress = store.progress()
        fresh = progress is None or progress.model != checksum
        begin = since if fresh or progress is None else progress.until + step
        if begin is not None and until is not None and begin > until:
            return Outcome(_open_between(store.events(), since, until), 0, progress.until if progress else None)
        tell("read", 0.0)
        data = steps_of(site, network, begin, until)
        if not data.sizes[TIME]:
            if fresh:
                raise ReadingsError(f"{folder}: no complete step of readings between --from and --to")
            return Outcome(_open_between(store.events(), since, until), 0, progress.until if progress else None)
        detector = detector_of(site, network, tell)
        state = detector.begin(model) if fresh or progress is None else progress.state
        state, events, grown = detector.update(model, state, data)
        times = grown[TIME].values
        begun = times[0] if fresh or progress is None else progress.begun
        _keep_series(site, grown, fresh)
        new = store.save(Progress(checksum, begun, times[-1], state), events, fresh=fresh)
        return Outcome(_open_between(store.events(), since, until), new, times[-1])


def _open_between(events: list[Event], since: np.datetime64 | None, until: np.datetime64 | None) -> list[Event]:
    """Return the events that were open at some time in the window, raised by its end."""
    return [
        e
        for e in events
        if (until is None or e.raised_at <= until) and (since is None or e.end is None or e.end > since)
    ]


def _series_path(site: Site) -> Path:
    return site.folder / "series.nc"


def _keep_series(site: Site, grown: xr.Dataset, fresh: bool) -> None:
    """Add to what reports draw: sensors that something was expected of."""
    kept = grown[list(_SHOWN)].isel({SENSOR: np.flatnonzero(grown["quantity"].values != Quantity.DEMAND)})
    kept.attrs = {}
    for coordinate in (SENSOR, "quantity", "element", "dma", "unit"):
        kept = kept.assign_coords({coordinate: (SENSOR, kept[coordinate].values.astype(str))})
    kept = kept.drop_vars("last_reading")
    path = _series_path(site)
    if not fresh and path.is_file():
        old = _read(path)
        old = old.isel({TIME: slice(0, int(np.searchsorted(old[TIME].values, kept[TIME].values[0])))})
        kept = xr.concat([old, kept], TIME, data_vars="minimal", coords="minimal", compat="override", join="override")
    kept.encoding = {}
    for variable in kept.variables.values():
        variable.encoding = {"zlib": True} if variable.ndim == 2 else {}
    _replace(kept, path)


def results(folder: Path) -> tuple[Site, Network | None, xr.Dataset, list[Event]]:
    """Return what a report shows: site, network, series with what was expected, events.

    Raises
    ------
    NotFittedError
        If nothing was detected yet.
    """
    site, network = open_site(folder)
    path = _series_path(site)
    if not path.is_file() or not site.store_path.is_file():
        raise NotFittedError(f"{folder}: nothing to show yet: run 'leakdetect detect {folder}' first")
    series = _read(path)
    series["usable"] = series["usable"].astype(bool)
    for coordinate in (SENSOR, "quantity", "element", "dma", "unit"):
        series = series.assign_coords({coordinate: (SENSOR, series[coordinate].values.astype(object))})
    with Store(site.store_path) as store:
        return site, network, series, store.events()


def say(folder: Path, event_id: str, status: Status, *, by: str, at: np.datetime64, why: str = "") -> Event:
    """Note what a person says of an event; errors as `Store.set_status`."""
    site = load_site(folder)
    if not site.store_path.is_file():
        raise NotFittedError(f"{folder}: no events yet: run 'leakdetect detect {folder}' first")
    with Store(site.store_path) as store:
        return store.set_status(event_id, status, by=by, at=at, why=why)


def changes(folder: Path, event_id: str) -> list[dict[str, str]]:
    """Return what people said of an event, oldest first."""
    with Store(load_site(folder).store_path) as store:
        return store.changes(event_id)


def events(folder: Path) -> list[Event]:
    """Return a site's events; `NotFittedError` before the first run."""
    site = load_site(folder)
    if not site.store_path.is_file():
        raise NotFittedError(f"{folder}: no events yet: run 'leakdetect detect {folder}' first")
    with Store(site.store_path) as store:
        return store.events()
