"""Which steps a run over a site takes: what is new, and what must be taken again since something has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import numpy as np
import xarray as xr

from leakdetect import late
from leakdetect.detector import Detector, State
from leakdetect.errors import ReadingsError
from leakdetect.events import Repair
from leakdetect.netcdf import series_until, write_series
from leakdetect.schema import TIME
from leakdetect.sealing import open_state
from leakdetect.site import Site
from leakdetect.stages import quality
from leakdetect.store import Progress, Store
from leakdetect.vault import Vault

Tell = Callable[[str, float], None]
"""Told what is done and how far it is (0 to 1)."""

_DAY = np.timedelta64(1, "D")
_MOST_NAMED = 3  # sensors in a note


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
class Plan:
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
        The first step that is taken again, and why; as in `daily.Outcome`.
    """

    data: xr.Dataset
    read: xr.Dataset
    state: State
    restarted: np.datetime64 | None = None
    note: str = ""


def _read(job: Job, since: np.datetime64 | None, until: np.datetime64 | None) -> xr.Dataset:
    job.tell("read", 0.0)
    start = monotonic()
    data = job.read(since, until)
    job.timed("read", start)
    return data


def plan(
    job: Job, store: Store | None, progress: Progress | None, since: np.datetime64 | None, until: np.datetime64 | None
) -> Plan | None:
    """Return what a run is to take, None where there is nothing to do.

    Parameters
    ----------
    job : Job
    store : Store, optional
        What earlier runs left; None before the first.
    progress : Progress, optional
        Of those on which this one builds; None if it begins anew.
    since, until : datetime64, optional
        As in `pipeline.detect`.

    Raises
    ------
    ReadingsError
        If a run that begins anew finds no complete step.
    """
    if progress is None:
        return _from_the_beginning(job, since, until)
    return _from(job, store, progress, until)


def _from_the_beginning(job: Job, since: np.datetime64 | None, until: np.datetime64 | None) -> Plan:
    data = _read(job, since, until)
    if not data.sizes[TIME]:
        raise ReadingsError(f"{job.site.folder}: no complete step of readings between --from and --to: widen them")
    return Plan(data, data, job.detector.begin(job.model))


def _from(job: Job, store: Store | None, progress: Progress, until: np.datetime64 | None) -> Plan | None:
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
        return Plan(new, seen, job.opened(progress.state)) if new.sizes[TIME] else None
    at, note = min(reasons)[0], "; ".join(text for _, text in sorted(reasons))
    past = store.checkpoint(at - job.step + np.timedelta64(1, "s"))
    start, state = (
        (progress.begun, job.detector.begin(job.model)) if past is None else (past[0] + job.step, job.opened(past[1]))
    )
    if start < times[0]:
        data = _read(job, start, until)
        times = data[TIME].values
    again = data.isel({TIME: slice(int(np.searchsorted(times, start)), None)})
    return Plan(again, data.isel({TIME: slice(int(np.searchsorted(times, min(back, start))), None)}), state, at, note)


def _named(sensors: Sequence[str]) -> str:
    more = f" and {len(sensors) - _MOST_NAMED} more" if len(sensors) > _MOST_NAMED else ""
    return f"readings of {', '.join(sensors[:_MOST_NAMED])}{more} came late or were corrected"


def _told_late(now: Sequence[Repair], before: Sequence[Repair] | None, following: np.datetime64) -> Repair | None:
    """Return the earliest repair, of steps taken, that the state does not know of, or knows wrongly."""
    differing = set() if before is None else set(now) ^ set(before)
    return min((r for r in differing if r.time < following), key=lambda r: (r.time, r.link), default=None)
