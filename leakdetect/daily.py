"""One run over a site: what is new, what came late or was told late, and what becomes of the events."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Any

import numpy as np
import xarray as xr

from leakdetect import __version__, late
from leakdetect.detector import State
from leakdetect.due import Job, Plan, Tell, plan
from leakdetect.errors import NotFittedError
from leakdetect.events import Event, iso
from leakdetect.schema import SENSOR, TIME, Flag, joined
from leakdetect.sealing import seal_state
from leakdetect.site import Site
from leakdetect.store import Outcome as Kept
from leakdetect.store import Progress, Store, cuts, open_store

_PIECE = np.timedelta64(56, "D")  # steps that a detector takes at once
_DAY = np.timedelta64(1, "D")


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
    due = plan(job, store, None if fresh else progress, since, until)
    if due is None:
        return _idle(job, store, progress, since, until)
    start = monotonic()
    times = due.data[TIME].values
    begun = times[0] if fresh or progress is None else progress.begun
    stops = cuts(times[0], times[-1])
    try:
        state, events, grown, states = _scan(job, due, stops)
    except NotFittedError as error:
        raise NotFittedError(f"{job.site.model_path}: {error}") from error
    job.timed("detect", start)
    start = monotonic()
    known = store.sensors() if store and not fresh else {}
    oldest = late.midnight(times[-1]) - job.site.late_days * _DAY
    states = [(at, seal_state(one, due.data, job.vault)) for at, one in [*states, (times[-1], state)]]
    kept = Kept(
        Progress(job.checksum, begun, *states.pop(), job.repairs, progress.run if progress else None),
        events, fresh=fresh, restarted=due.restarted, note=due.note, checkpoints=states,
        days=late.digests(due.read, max(oldest, begun), times[-1]), days_from=str(oldest.astype("datetime64[D]")),
        sensors=late.progress_of(due.read, known), started=job.started, record=_record(job, due),
        alerts=job.site.alerts,
    )  # fmt: skip
    job.timed("prepare", start)
    with nullcontext(store) if store else _made(job.site) as open_one:
        # The series first: steps that they hold beyond the progress are replaced by the next run.
        with open_one.saving(kept) as saved:
            job.keep_series(job.site, grown, fresh)
        listed = open_between(open_one.events(), since, until)
    taken = times if fresh or progress is None else times[times > progress.until]
    return Outcome(listed, len(saved.raised), times[-1], len(taken), due.restarted, due.note, saved.raised)


def _made(site: Site) -> Store:
    store = open_store(site)
    assert store is not None
    return store


def _idle(
    job: Job, store: Store | None, progress: Progress | None, since: np.datetime64 | None, until: np.datetime64 | None
) -> Outcome:
    assert store is not None  # else the run begins anew, and has something to take
    assert progress is not None
    store.record(job.started, {**_versions(job), "outcome": "nothing new", "steps": 0, "new": 0})
    return Outcome(open_between(store.events(), since, until), 0, progress.until)


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
    job: Job, plan: Plan, stops: Sequence[np.datetime64]
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
    return state, events, joined(grown), states


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


def _record(job: Job, plan: Plan) -> dict[str, Any]:
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
            **{key: int(data.attrs.get(key, 0)) for key in ("duplicates_conflicting", "not_finite", "ahead")},
        },
    }
