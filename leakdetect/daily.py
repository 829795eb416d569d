"""One run over a site: what is new, what came late or was told late, and what becomes of the events."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Any

import numpy as np
import xarray as xr

from leakdetect import __version__, late
from leakdetect.detector import Detector, State
from leakdetect.errors import NotFittedError, ReadingsError
from leakdetect.events import Event, Repair, iso
from leakdetect.netcdf import series_until, write_series
from leakdetect.schema import SENSOR, TIME, Flag
from leakdetect.sealing import open_state, seal_state
from leakdetect.site import Site
from leakdetect.stages import quality
from leakdetect.store import Outcome as Kept
from leakdetect.store import Progress, Store, cuts, open_store
from leakdetect.vault import Vault

Tell = Callable[[str, float], None]
"""Told what is done and how far it is (0 to 1)."""

_PIECE = np.timedelta64(56, "D")  # steps that a detector takes at once
_DAY = np.timedelta64(1, "D")
_MOST_NAMED = 3  # sensors in a note


@dataclass(frozen=True)
class Outcome:
    """Of a run.

    Attributes
    ----------
    events : list of Event
        Open at some time in the window.
    new : int
        How many of the site's events this run raised, or raised again since they have grown after they were dismissed.
    until : datetime64 or None
        Last step that all runs so far have taken.
    steps : int
        Taken for the first time by this run.
    restarted : datetime64 or None
        First step that was taken again.
    note : str
        Why.
    raised : tuple of str
        Ids of those that are new.
    """

    events: list[Event]
    new: int
    until: np.datetime64 | None
    steps: int = 0
    restarted: np.datetime64 | None = None
    note: str = ""
    raised: tuple[str, ...] = ()


@dataclass
class Job:
    """What a run needs of a site.

    Attributes
    ----------
    site, detector, model : see their classes
    checksum : str
        Of the model.
    repairs : tuple of Repair
        That the detector was told of.
    vault : Vault
        With which the states that are kept are sealed.
    read : callable
        ``read(since, until)`` returns the site's judged steps, with the coordinate ``first_reading``.
    tell : callable
    started : datetime64
        UTC.
    seconds : dict
        What each part of the run took.
    settled : bool
        Nothing has come late or was corrected since the last run: what was taken need not be compared.
    keep_series : callable
        As `write_series`. One that keeps them later, as `watch` does, may lose some: the next run makes them again.
    """

    site: Site
    detector: Detector
    model: xr.Dataset
    checksum: str
    repairs: tuple[Repair, ...]
    vault: Vault
    read: Callable[[np.datetime64 | None, np.datetime64 | None], xr.Dataset]
    tell: Tell
    started: np.datetime64
    seconds: dict[str, float] = field(default_factory=dict)
    settled: bool = False
    keep_series: Callable[[Site, xr.Dataset, bool], None] = write_series

    @property
    def step(self) -> np.timedelta64:
        """Length of a step."""
        return np.timedelta64(self.site.step_minutes, "m")

    def opened(self, state: State) -> State:
        """Return a state that was kept, with the meters' readings."""
        return open_state(state, self.vault, str(self.site.store_path))

    def timed(self, what: str, since: float) -> None:
        """Note what a part took."""
        self.seconds[what] = round(monotonic() - since, 3)


@dataclass(frozen=True)
class _Plan:
    """What a run takes.

    Attributes
    ----------
    data : Dataset
        Steps to take.
    read : Dataset
        Those, and the days before them that were looked at.
    state : dict
        From which they are taken.
    restarted, note
        As in `Outcome`.
    """

    data: xr.Dataset
    read: xr.Dataset
    state: State
    restarted: np.datetime64 | None = None
    note: str = ""


def take(job: Job, store: Store | None, since: np.datetime64 | None, until: np.datetime64 | None) -> Outcome:
    """Take what is new, keep what comes of it; see `pipeline.detect`.

    Parameters
    ----------
    job : Job
    store : Store, optional
        What earlier runs left; None before the first.
    since, until : datetime64, optional
    """
    progress = store.progress() if store else None
    fresh = progress is None or progress.model != job.checksum  # another model: begin anew
    plan = _from_the_beginning(job, since, until) if fresh or not progress else _from(job, store, progress, until)
    if plan is None:
        return _idle(job, store, progress, since, until)
    start = monotonic()
    times = plan.data[TIME].values
    begun = times[0] if fresh or progress is None else progress.begun
    stops = cuts(times[0], times[-1])
    try:
        state, events, grown, states = _scan(job, plan, stops)
    except NotFittedError as error:
        raise NotFittedError(f"{job.site.model_path}: {error}") from error
    job.timed("detect", start)
    start = monotonic()
    known = store.sensors() if store and not fresh else {}
    oldest = late.midnight(times[-1]) - job.site.late_days * _DAY
    states = [(at, seal_state(one, plan.data, job.vault)) for at, one in [*states, (times[-1], state)]]
    kept = Kept(
        Progress(job.checksum, begun, *states.pop(), job.repairs, progress.run if progress else None),
        events, fresh=fresh, restarted=plan.restarted, note=plan.note, checkpoints=states,
        days=late.digests(plan.read, max(oldest, begun), times[-1]), days_from=str(oldest.astype("datetime64[D]")),
        sensors=late.progress_of(plan.read, known), started=job.started, record=_record(job, plan),
        alerts=job.site.alerts,
    )  # fmt: skip
    job.timed("prepare", start)
    with nullcontext(store) if store else _made(job.site) as open_one:
        # The series first: steps that they hold beyond the progress are replaced by the next run.
        with open_one.saving(kept) as saved:
            job.keep_series(job.site, grown, fresh)
        listed = open_between(open_one.events(), since, until)
    taken = times if fresh or progress is None else times[times > progress.until]
    return Outcome(listed, len(saved.raised), times[-1], len(taken), plan.restarted, plan.note, saved.raised)


def _made(site: Site) -> Store:
    store = open_store(site)
    assert store is not None
    return store


def _idle(
    job: Job, store: Store | None, progress: Progress | None, since: np.datetime64 | None, until: np.datetime64 | None
) -> Outcome:
    if store is None or progress is None:
        raise ReadingsError(f"{job.site.folder}: no complete step of readings between --from and --to: widen them")
    store.record(job.started, {**_versions(job), "outcome": "nothing new", "steps": 0, "new": 0})
    return Outcome(open_between(store.events(), since, until), 0, progress.until)


# -- what there is to take -----------------------------------------------------------------------------------------


def _read(job: Job, since: np.datetime64 | None, until: np.datetime64 | None) -> xr.Dataset:
    job.tell("read", 0.0)
    start = monotonic()
    data = job.read(since, until)
    job.timed("read", start)
    return data


def _from_the_beginning(job: Job, since: np.datetime64 | None, until: np.datetime64 | None) -> _Plan:
    data = _read(job, since, until)
    if not data.sizes[TIME]:
        raise ReadingsError(f"{job.site.folder}: no complete step of readings between --from and --to: widen them")
    return _Plan(data, data, job.detector.begin(job.model))


def _from(job: Job, store: Store | None, progress: Progress, until: np.datetime64 | None) -> _Plan | None:
    """Go on where the last run stopped, or from where something has changed; None if there is nothing to do."""
    assert store is not None
    following = progress.until + job.step
    if until is not None and following > until:
        return None
    days = 0 if job.settled else job.site.late_days
    back = max(progress.begun, late.midnight(progress.until) - days * _DAY)
    # A day more than is compared, to see that its flags rest on all they need.
    data = _read(job, back if job.settled else back - _DAY, until)
    times = data[TIME].values
    new = data.isel({TIME: slice(int(np.searchsorted(times, following)), None)})
    if not len(times) or times[-1] < progress.until:  # files were put away: nothing to compare with
        return None
    reasons = []
    seen = data.isel({TIME: slice(int(np.searchsorted(times, back)), None)})
    came = None
    if not job.settled:
        shown = series_until(job.site)
        if shown is not None and shown < progress.until:
            reasons.append((max(shown + job.step, progress.begun), "the last steps of the series were not kept"))
        came = late.changed(store.days(), seen, progress.until, store.sensors(), quality.CONTEXT)
    if came is not None:
        reasons.append((max(came.day, progress.begun), _named(came.sensors)))
    told = _told_late(job.repairs, progress.repairs, following)
    if told is not None:
        reasons.append((told.time, f"repair of {told.link or 'a leak'} told late or taken back"))
    if not reasons:
        return _Plan(new, seen, job.opened(progress.state)) if new.sizes[TIME] else None
    at, note = min(reasons)[0], "; ".join(text for _, text in sorted(reasons))
    past = store.checkpoint(at - job.step + np.timedelta64(1, "s"))
    start, state = (
        (progress.begun, job.detector.begin(job.model)) if past is None else (past[0] + job.step, job.opened(past[1]))
    )
    if start < times[0]:
        data = _read(job, start, until)
        times = data[TIME].values
    again = data.isel({TIME: slice(int(np.searchsorted(times, start)), None)})
    return _Plan(again, data.isel({TIME: slice(int(np.searchsorted(times, min(back, start))), None)}), state, at, note)


def _named(sensors: Sequence[str]) -> str:
    more = f" and {len(sensors) - _MOST_NAMED} more" if len(sensors) > _MOST_NAMED else ""
    return f"readings of {', '.join(sensors[:_MOST_NAMED])}{more} came late or were corrected"


def _told_late(now: Sequence[Repair], before: Sequence[Repair] | None, following: np.datetime64) -> Repair | None:
    """Return the earliest repair, of steps taken, that the state does not know of, or knows wrongly."""
    differing = set() if before is None else set(now) ^ set(before)
    return min((r for r in differing if r.time < following), key=lambda r: (r.time, r.link), default=None)


# -- taking it ---------------------------------------------------------------------------------------------------


class _Share:
    """Tells the whole's share of a detector that knows its piece only."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._done, self._all = tell, 0, 1

    def of(self, done: int, every: int) -> None:
        self._done, self._all = done, every

    def __call__(self, what: str, share: float) -> None:
        self._tell(what, (self._done + min(share, 1.0)) / self._all)


def shared(tell: Tell) -> Tell:
    """Return what a detector of a run is to tell its progress to."""
    return _Share(tell)


def _scan(
    job: Job, plan: _Plan, stops: Sequence[np.datetime64]
) -> tuple[State, list[Event], xr.Dataset, list[tuple[np.datetime64, State]]]:
    """Let a detector take steps piece by piece; return its state, its events, the grown steps, states on the way."""
    state, events = plan.state, list[Event]()
    grown, states = [], []
    pieces = _pieces(plan.data, stops)
    for i, piece in enumerate(pieces):
        if isinstance(job.tell, _Share):
            job.tell.of(i, len(pieces))
        state, events, more = job.detector.update(job.model, state, piece)
        grown.append(more)
        if i + 1 < len(pieces) and _between(stops, piece, pieces[i + 1]):
            states.append((piece[TIME].values[-1], state))
    whole = xr.concat(grown, TIME, data_vars="minimal", coords="minimal", compat="override", join="override")
    return state, events, whole, states


def _between(stops: Sequence[np.datetime64], piece: xr.Dataset, following: xr.Dataset) -> bool:
    return any(piece[TIME].values[-1] < stop <= following[TIME].values[0] for stop in stops)


def _pieces(data: xr.Dataset, stops: Sequence[np.datetime64]) -> list[xr.Dataset]:
    """Cut steps at fixed dates, so that a piece is the same whatever run takes it, and at `stops`."""
    times = data[TIME].values
    number = (times - np.datetime64(0, "ns")) // _PIECE
    edges = set((np.flatnonzero(np.diff(number)) + 1).tolist()) | set(np.searchsorted(times, list(stops)).tolist())
    bounds = sorted({0, *edges, len(times)})
    return [data.isel({TIME: slice(first, last)}) for first, last in pairwise(bounds)]


def open_between(events: list[Event], since: np.datetime64 | None, until: np.datetime64 | None) -> list[Event]:
    """Return the events that were open at some time in the window, raised by its end."""
    return [
        e
        for e in events
        if (until is None or e.raised_at <= until) and (since is None or e.end is None or e.end > since)
    ]


# -- the record ----------------------------------------------------------------------------------------------------


def _versions(job: Job) -> dict[str, Any]:
    versions = {"leakdetect": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return {"seconds": job.seconds, "versions": versions, "model": job.checksum[:12]}


def _record(job: Job, plan: _Plan) -> dict[str, Any]:
    """Return what is kept of a run that took something: JSON values."""
    data = plan.data
    usable, flags = data["usable"].values, data["flag"].values
    names = [str(name) for name in data[SENSOR].values]
    return {
        **_versions(job),
        "outcome": "taken",
        "from": iso(data[TIME].values[0]),
        "until": iso(data[TIME].values[-1]),
        "steps": data.sizes[TIME],
        "restarted": iso(plan.restarted),
        "note": plan.note,
        "quality": {
            "sensors": len(names),
            "silent": [names[s] for s in np.flatnonzero(~usable.any(axis=0))],
            "usable": round(float(usable.mean()), 4),
            "flags": {flag.name.lower(): int((flags & int(flag) > 0).sum()) for flag in Flag if flag.name},
            **{key: int(data.attrs.get(key, 0)) for key in ("duplicates_conflicting", "not_finite")},
        },
    }
