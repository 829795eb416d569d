"""The one place that knows the order: readings, quality, detector, store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect import readings
from leakdetect.daily import Outcome, shared, take
from leakdetect.detector import Detector
from leakdetect.detectors import build
from leakdetect.drawings import remembered_network
from leakdetect.due import Job, Tell
from leakdetect.errors import InputError, NotFittedError, ReadingsError
from leakdetect.events import Event, KnownLeak, Repair, Status, Zone, parse_time
from leakdetect.files import alone, replacing, sweep
from leakdetect.late import first_readings
from leakdetect.netcdf import load_model, load_series, series_folder, write_model
from leakdetect.network import Network
from leakdetect.privacy import retain
from leakdetect.schema import SENSOR, TIME, Quantity
from leakdetect.sealing import open_model, seal_model
from leakdetect.site import Site, load_site
from leakdetect.stages import quality
from leakdetect.store import News, Store, open_store
from leakdetect.store import news as latest_news
from leakdetect.vault import Vault

_WEEK = np.timedelta64(7, "D")
_SAME_REPAIR = np.timedelta64(7, "D")  # a repair in the list and one said of an event may differ by so much


def _quiet(_what: str, _share: float) -> None:
    pass


# -- what a site holds -------------------------------------------------------------------------------------------


def open_site(folder: Path) -> tuple[Site, Network | None]:
    """Read a site and its network; errors as `load_site` and `load_network`."""
    site = load_site(folder)
    return site, remembered_network(site.path(site.network)) if site.network else None


def steps_of(
    site: Site, network: Network | None, since: np.datetime64 | None = None, until: np.datetime64 | None = None
) -> xr.Dataset:
    """Return a site's readings, judged, on its step.

    Parameters
    ----------
    site, network : see their classes
    since, until : datetime64, optional
        First and last time wanted (UTC).

    Returns
    -------
    Dataset
        As `quality.to_steps` has it; ``last_reading`` is, of every step, the time at which it was known to be complete,
        ``first_reading`` that of each sensor's first reading among those that were looked at.

    Raises
    ------
    ReadingsError
        If there is none.
    """
    context = since - quality.CONTEXT if since is not None else None
    return judged(site, readings.load(site, since=context, until=until, network=network), since)


def judged(
    site: Site, data: xr.Dataset, since: np.datetime64 | None, past: quality.Past | None = None
) -> xr.Dataset:  # fmt: skip
    """Return readings, judged, on the site's step; see `steps_of`.

    Parameters
    ----------
    site : Site
    data : Dataset
        As `readings.load` has it, from `quality.CONTEXT` before `since` on.
    since : datetime64, optional
        First step wanted.
    past : Past, optional
        As `quality.flag` takes it.
    """
    flagged = quality.flag(data, since, past)
    seconds = site.step_minutes * 60
    if since is not None:  # the row before shows that nothing is left out at the beginning
        begin = max(int(np.searchsorted(data[TIME].values, since)) - 1, 0)
        flagged = flagged.isel({TIME: slice(begin, None)})
    steps = quality.to_steps(flagged, float(seconds))
    steps = steps.assign_coords(
        last_reading=(TIME, _complete_at(steps, flagged, seconds)), first_reading=(SENSOR, first_readings(data))
    )
    steps.attrs["step_seconds"] = seconds
    if since is not None:
        steps = steps.isel({TIME: slice(int(np.searchsorted(steps[TIME].values, since)), None)})
    return steps


def _complete_at(steps: xr.Dataset, data: xr.Dataset, seconds: int) -> NDArray[np.datetime64]:
    """Return the time of the reading that completed each step: its last, or the next where it fell silent, (T,)."""
    known = data[TIME].values
    finest = min(float(data["step"].values.min()), seconds)
    almost = steps[TIME].values + np.timedelta64(round((seconds - finest) * 1e9), "ns")
    reached = known[np.searchsorted(known, almost)] if len(almost) else almost
    latest: NDArray[np.datetime64] = np.fmax(steps["last_reading"].values, reached)  # fmax: NaT does not count
    return latest


def repairs_of(site: Site, network: Network | None, said: Sequence[Repair] = ()) -> list[Repair]:
    """Return the site's list of repairs, and those that people said of events and that are not in it."""
    listed = readings.load_repairs(site, network)
    known = list(listed)
    for repair in said:
        if not any(r.link == repair.link and abs(r.time - repair.time) <= _SAME_REPAIR for r in listed):
            known.append(repair)
    return known


def detector_of(
    site: Site, network: Network | None, tell: Tell = _quiet, repairs: Sequence[Repair] | None = None,
    known: Sequence[KnownLeak] = (),
) -> Detector:  # fmt: skip
    """Return the detector that fits the site: with a network and pressures the model-based one, else the inflow's.

    Parameters
    ----------
    site, network : see their classes
    tell : callable, optional
    repairs : sequence of Repair, optional
        From `repairs_of`; the site's list if not given.
    known : sequence of KnownLeak
        That a fit is to reckon with.
    """
    pressures = {Quantity.PRESSURE, Quantity.HEAD}
    name = "hydraulic" if network and any(b.quantity in pressures for b in site.readings) else "inflow"
    return build(
        name, network=network, timezone=site.timezone, settings=site.detection,
        repairs=repairs_of(site, network) if repairs is None else repairs, known=known, zones=_zones(site, network),
        progress=tell,
    )  # fmt: skip


def _zones(site: Site, network: Network | None) -> dict[str, Zone]:
    """Return the zone of a site that is one district: all its pipes. Nothing says which pipes named districts have."""
    if network is None or any(block.dma or block.dmas for block in site.readings):
        return {}
    pipes = np.flatnonzero(network.is_pipe)
    return {"": Zone(tuple(network.link_names[i] for i in pipes), float(network.length[pipes].sum()), 1.0)}


# -- fit ---------------------------------------------------------------------------------------------------------


def fit(
    folder: Path, since: np.datetime64 | None = None, until: np.datetime64 | None = None, tell: Tell = _quiet
) -> xr.Dataset:
    """Fit the leak-free picture of a site on a past window and write ``model.nc``; return the model.

    Leaks that people confirmed or mended, and said where, are known to it.

    Raises
    ------
    LeakdetectError
        Of one kind or another where site, network or readings do not allow it; nothing is written then.
    """
    site, network = open_site(folder)
    said, known = _taught(site)
    detector = detector_of(site, network, tell, repairs_of(site, network, said), known)
    with replacing(site.model_path) as part:
        tell("read", 0.0)
        data = steps_of(site, network, since, until)
        if not data.sizes[TIME]:
            raise ReadingsError(f"{folder}: no complete step of readings between --from and --to: widen them")
        vault = Vault.of(site)
        model = write_model(seal_model(detector.fit(data), data, vault), part, detector.name)
        return open_model(model, vault, str(site.model_path))


def _taught(site: Site) -> tuple[list[Repair], list[KnownLeak]]:
    """Return what people said of events that a fit can learn from."""
    store = open_store(site, make=False)
    if store is None:
        return [], []
    with store:
        return store.repairs(), store.known()


# -- detect ------------------------------------------------------------------------------------------------------


def detect(
    folder: Path, since: np.datetime64 | None = None, until: np.datetime64 | None = None, tell: Tell = _quiet
) -> Outcome:
    """Take what is new since the last run, raise events, keep them.

    What came late or was corrected in the site's `late_days`, and repairs that were told late, are taken too: the
    detector goes back to before them. First what is kept of meters for longer than the site says goes. Two runs at
    once are refused; a run that is killed leaves what was there before.

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
        Where site, model or readings do not allow it; all that is kept then stays as it was.
    """
    started = np.datetime64("now")
    site, network = open_site(folder)
    with running(site) as store:
        try:
            retain(site, started, store)
            return take(job_of(site, network, store, tell, started), store, since, until)
        except Exception as error:
            if store is not None:
                with suppress(InputError):  # where that cannot be written either, what went wrong first is said
                    store.record(started, {"outcome": "failed", "error": f"{type(error).__name__}: {error}"})
            raise


@contextmanager
def running(site: Site) -> Iterator[Store | None]:
    """Keep other runs of a site away; give its store, None before the first run. InputError if there is another run."""
    with alone(site.folder), ExitStack() as stack:
        store = open_store(site, make=False)
        if store is None and not os.access(site.folder, os.W_OK):
            raise InputError(f"{site.folder}: permission denied: make the folder writable")
        if store is not None:
            stack.enter_context(store)
            stack.enter_context(store.alone())
            store.claim()
        sweep(series_folder(site) / "*.nc")
        yield store


def job_of(
    site: Site, network: Network | None, store: Store | None, tell: Tell = _quiet, started: np.datetime64 | None = None
) -> Job:
    """Return what a run needs; errors as `detect`."""
    vault = Vault.of(site)
    model, checksum = load_model(site)
    model = open_model(model, vault, str(site.model_path))
    told = shared(tell)
    repairs = repairs_of(site, network, store.repairs() if store else ())
    detector = detector_of(site, network, told, repairs)
    if model.attrs.get("detector") != detector.name:
        raise NotFittedError(
            f"{site.model_path}: was fitted for the {model.attrs.get('detector')} detector, the site now calls for "
            f"the {detector.name} one: run 'leakdetect fit {site.folder}' again"
        )

    def read(first: np.datetime64 | None, last: np.datetime64 | None) -> xr.Dataset:
        return steps_of(site, network, first, last)

    return Job(site, detector, model, checksum, tuple(repairs), vault, read, told, started or np.datetime64("now"))


# -- what runs have left -----------------------------------------------------------------------------------------


def _runs(site: Site) -> Store:
    store = open_store(site, make=False)
    if store is None:
        raise NotFittedError(f"{site.store_path}: no run yet: run 'leakdetect detect {site.folder}' first")
    return store


def results(folder: Path) -> tuple[Site, Network | None, xr.Dataset, list[Event]]:
    """Return what a report shows: site, network, series with what was expected, events.

    Raises
    ------
    NotFittedError
        If nothing was detected yet.
    """
    site, network = open_site(folder)
    with _runs(site) as store:
        return site, network, load_series(site), store.events()


def events(folder: Path) -> list[Event]:
    """Return a site's events; `NotFittedError` before the first run."""
    with _runs(load_site(folder)) as store:
        return store.events()


def event(folder: Path, event_id: str) -> Event:
    """Return one event; errors as `say`."""
    with _runs(load_site(folder)) as store:
        return store.event(event_id)


def changes(folder: Path, event_id: str) -> list[dict[str, str]]:
    """Return what people said of an event, oldest first; errors as `say`."""
    with _runs(load_site(folder)) as store:
        store.event(event_id)
        return store.changes(event_id)


def history(folder: Path, event_id: str) -> list[dict[str, Any]]:
    """Return every change of an event, by runs and by people, as `Store.history` has it; errors as `say`."""
    with _runs(load_site(folder)) as store:
        store.event(event_id)
        return store.history(event_id)


def runs(folder: Path, last: int | None = None) -> list[dict[str, Any]]:
    """Return the records of a site's runs, oldest first, the newest few if asked; `NotFittedError` before the first."""
    with _runs(load_site(folder)) as store:
        return store.runs(last)


def overview(folder: Path) -> tuple[Site, list[Event], list[dict[str, Any]]]:
    """Return what tells how a site is without its series: site, events, the runs of the last week; errors as `runs`."""
    site = load_site(folder)
    with _runs(site) as store:
        newest = parse_time(next((run["started"] for run in store.runs(last=1)), None))
        return site, store.events(), store.runs(since=newest - _WEEK) if newest is not None else []


def news(folder: Path) -> News | None:
    """Return what the last run and people have changed; None where no run took anything; errors as `events`."""
    with _runs(load_site(folder)) as store:
        return latest_news(store)


def sensors(folder: Path) -> dict[str, dict[str, Any]]:
    """Return how far each sensor is, as `Store.sensors` has it; `NotFittedError` before the first run."""
    with _runs(load_site(folder)) as store:
        return store.sensors()


def mark(folder: Path) -> str:
    """Return what changes with each run and each change of an event; `NotFittedError` before the first run."""
    with _runs(load_site(folder)) as store:
        return store.mark()


def say(
    folder: Path, event_id: str, status: Status, *, by: str, at: np.datetime64, why: str = "",
    link: str = "", time: np.datetime64 | None = None,
) -> Event:  # fmt: skip
    """Note what a person says of an event; return it.

    Parameters
    ----------
    folder : Path
    event_id : str
    status : Status
        Confirmed, dismissed or repaired.
    by : str
        Who says so.
    at : datetime64
        When (UTC).
    why : str
    link, time : str, datetime64, optional
        Where and when the leak was found, or mended if not `at`. The next runs know of a repair, the next fit of both.

    Raises
    ------
    NotFittedError
        Before the first run.
    InputError
        If there is no such event or link.
    """
    site, network = open_site(folder) if link else (load_site(folder), None)
    if network is not None:
        network.link(link)
    with _runs(site) as store:
        return store.set_status(event_id, status, by=by, at=at, why=why, link=link, time=time)
