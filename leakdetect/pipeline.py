"""The one place that knows the order: readings, quality, detector, store."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect import readings
from leakdetect.detector import Detector, State
from leakdetect.detectors import build
from leakdetect.epanet import load_network
from leakdetect.errors import InputError, NotFittedError, ReadingsError
from leakdetect.events import Event, Repair, Status, Zone
from leakdetect.files import replacing
from leakdetect.netcdf import joined_series, load_model, load_series, series_path, write_model, write_series
from leakdetect.network import Network
from leakdetect.schema import TIME, Quantity
from leakdetect.sealing import open_model, open_state, seal_model, seal_state
from leakdetect.site import Site, load_site
from leakdetect.stages import quality
from leakdetect.store import Progress, Store
from leakdetect.vault import Vault

Tell = Callable[[str, float], None]
"""Told what is done and how far it is (0 to 1)."""

_PIECE = np.timedelta64(60, "D")  # steps that a detector takes at once
_SAME_REPAIR = np.timedelta64(7, "D")  # a repair in the list and one said of an event may differ by so much


def _quiet(_what: str, _share: float) -> None:
    pass


class _Share:
    """Tells the whole's share of a detector that knows its piece only."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._done, self._all = tell, 0, 1

    def of(self, done: int, every: int) -> None:
        self._done, self._all = done, every

    def __call__(self, what: str, share: float) -> None:
        self._tell(what, (self._done + min(share, 1.0)) / self._all)


# -- what a site holds -------------------------------------------------------------------------------------------


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

    Returns
    -------
    Dataset
        As `quality.to_steps` has it; ``last_reading`` is, of every step, the time at which it was known to be complete.

    Raises
    ------
    ReadingsError
        If there is none.
    """
    context = since - quality.CONTEXT if since is not None else None
    flagged = quality.flag(readings.load(site, since=context, until=until, network=network))
    seconds = site.step_minutes * 60
    steps = quality.to_steps(flagged, float(seconds))
    steps = steps.assign_coords(last_reading=(TIME, _complete_at(steps, flagged, seconds)))
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


def detector_of(site: Site, network: Network | None, tell: Tell = _quiet, said: Sequence[Repair] = ()) -> Detector:
    """Return the detector that fits the site: with a network and pressures the model-based one, else the inflow's.

    Parameters
    ----------
    site, network : see their classes
    tell : callable, optional
    said : sequence of Repair
        What people said of events, beside the site's list of repairs.
    """
    pressures = {Quantity.PRESSURE, Quantity.HEAD}
    name = "hydraulic" if network and any(b.quantity in pressures for b in site.readings) else "inflow"
    repairs = readings.load_repairs(site, network)
    listed = list(repairs)
    for repair in said:
        if not any(r.link == repair.link and abs(r.time - repair.time) <= _SAME_REPAIR for r in listed):
            repairs.append(repair)
    return build(
        name, network=network, timezone=site.timezone, settings=site.detection, repairs=repairs,
        zones=_zones(site, network), progress=tell,
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

    Raises
    ------
    LeakdetectError
        Of one kind or another where site, network or readings do not allow it; nothing is written then.
    """
    site, network = open_site(folder)
    detector = detector_of(site, network, tell)
    with replacing(site.model_path) as part:
        tell("read", 0.0)
        data = steps_of(site, network, since, until)
        if not data.sizes[TIME]:
            raise ReadingsError(f"{folder}: no complete step of readings between --from and --to: widen them")
        vault = Vault.of(site)
        model = write_model(seal_model(detector.fit(data), data, vault), part, detector.name)
        return open_model(model, vault, str(site.model_path))


# -- detect ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """Of a run.

    Attributes
    ----------
    events : list of Event
        Open at some time in the window.
    new : int
        How many of the site's events this run raised.
    until : datetime64 or None
        Last step that all runs so far have taken.
    steps : int
        Taken by this run.
    """

    events: list[Event]
    new: int
    until: np.datetime64 | None
    steps: int = 0


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
        Where site, model or readings do not allow it; all that is kept then stays as it was.
    """
    site, network = open_site(folder)
    vault = Vault.of(site)
    model, checksum = load_model(site)
    model = open_model(model, vault, str(site.model_path))
    progress, said, known = _left(site)
    if progress is not None and progress.model != checksum:
        progress = None  # another model: begin anew
    told = _Share(tell)
    detector = detector_of(site, network, told, said)
    if model.attrs.get("detector") != detector.name:
        raise NotFittedError(
            f"{site.model_path}: was fitted for the {model.attrs.get('detector')} detector, the site now calls for "
            f"the {detector.name} one: run 'leakdetect fit {folder}' again"
        )
    begin = since if progress is None else progress.until + np.timedelta64(site.step_minutes, "m")
    idle = Outcome(_open_between(known, since, until), 0, progress.until if progress else None)
    if begin is not None and until is not None and begin > until:
        return idle
    tell("read", 0.0)
    data = steps_of(site, network, begin, until)
    times = data[TIME].values
    if not len(times):
        if progress is None:
            raise ReadingsError(f"{folder}: no complete step of readings between --from and --to: widen them")
        return idle
    state = open_state(progress.state, vault, str(site.store_path)) if progress else detector.begin(model)
    try:
        state, events, grown = _scan(detector, model, state, data, told)
    except NotFittedError as error:
        raise NotFittedError(f"{site.model_path}: {error}") from error
    kept = seal_state(state, data, vault)
    reached = Progress(checksum, progress.begun if progress else times[0], times[-1], kept)
    series = joined_series(site, grown, fresh=progress is None)
    with replacing(series_path(site)) as part, Store(site.store_path) as store:
        write_series(series, part)
        new = store.save(reached, events, fresh=progress is None)
        return Outcome(_open_between(store.events(), since, until), new, times[-1], len(times))


def _left(site: Site) -> tuple[Progress | None, list[Repair], list[Event]]:
    """Return what earlier runs left: progress, repairs that people spoke of, events; InputError if a run cannot add."""
    if not site.store_path.is_file():
        if not os.access(site.folder, os.W_OK):
            raise InputError(f"{site.folder}: permission denied: make the folder writable")
        return None, [], []
    with Store(site.store_path) as store:
        store.claim()
        return store.progress(), store.repairs(), store.events()


def _scan(
    detector: Detector, model: xr.Dataset, state: State, data: xr.Dataset, told: _Share
) -> tuple[State, list[Event], xr.Dataset]:
    """Let a detector take steps piece by piece; return its state, its events and the grown steps."""
    events: list[Event] = []
    grown = []
    pieces = _pieces(data)
    for i, piece in enumerate(pieces):
        told.of(i, len(pieces))
        state, events, more = detector.update(model, state, piece)
        grown.append(more)
    whole = xr.concat(grown, TIME, data_vars="minimal", coords="minimal", compat="override", join="override")
    return state, events, whole


def _pieces(data: xr.Dataset) -> list[xr.Dataset]:
    """Cut steps at fixed dates, so that a piece is the same whatever run takes it."""
    number = (data[TIME].values - np.datetime64(0, "ns")) // _PIECE
    edges = np.flatnonzero(np.diff(number)) + 1
    bounds = [0, *edges.tolist(), len(number)]
    return [data.isel({TIME: slice(first, last)}) for first, last in pairwise(bounds)]


def _open_between(events: list[Event], since: np.datetime64 | None, until: np.datetime64 | None) -> list[Event]:
    """Return the events that were open at some time in the window, raised by its end."""
    return [
        e
        for e in events
        if (until is None or e.raised_at <= until) and (since is None or e.end is None or e.end > since)
    ]


# -- what runs have left -----------------------------------------------------------------------------------------


def _runs(site: Site) -> Store:
    if not site.store_path.is_file():
        raise NotFittedError(f"{site.store_path}: no run yet: run 'leakdetect detect {site.folder}' first")
    return Store(site.store_path)


def results(folder: Path) -> tuple[Site, Network | None, xr.Dataset, list[Event]]:
    """Return what a report shows: site, network, series with what was expected, events.

    Raises
    ------
    NotFittedError
        If nothing was detected yet.
    """
    site, network = open_site(folder)
    with _runs(site) as store:
        if not series_path(site).is_file():
            raise NotFittedError(f"{series_path(site)}: not there: run 'leakdetect detect {site.folder}' first")
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


def say(
    folder: Path, event_id: str, status: Status, *, by: str, at: np.datetime64, why: str = "",
    link: str = "", repaired: np.datetime64 | None = None,
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
    link, repaired : str, datetime64, optional
        Of a repair: where the leak was, and when it was mended if not `at`. The next runs know of it.

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
        return store.set_status(event_id, status, by=by, at=at, why=why, link=link, repaired=repaired)
