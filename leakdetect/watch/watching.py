"""Takes readings as they arrive: onto the disk, then into the recursion of the daily run, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
import xarray as xr

from leakdetect import pipeline
from leakdetect.daily import Outcome, take
from leakdetect.events import Event
from leakdetect.netcdf import write_series
from leakdetect.network import Network
from leakdetect.readings import load_with_sensors
from leakdetect.readings.spool import Spool
from leakdetect.schema import SENSOR, TIME
from leakdetect.site import FILE, Site
from leakdetect.stages import quality
from leakdetect.store import Quiet, Store, open_store
from leakdetect.vault import Vault
from leakdetect.watch.messages import Decoder, Raw
from leakdetect.watch.recent import Recent
from leakdetect.watch.sources import Source

_POLL = 0.2  # [s]
_LATE = 60.0  # [s] between runs that go back for what came late
_SERIES = 60.0  # [s] between writings of the series that reports draw
_DAY = np.timedelta64(1, "D")
_NS = 1_000_000_000
_QUIET_STEPS, _QUIET_LEAST = 4, 3600 * _NS


@dataclass(frozen=True)
class Taken:
    """What a look at the readings brought: events raised, and the outcome."""

    raised: list[Event]
    outcome: Outcome


class Watch:
    """A site whose readings arrive one by one; made by `watch`.

    A run here is one of `daily.take`, over the steps that have become complete; it is given the readings from memory
    instead of from files. Where something came late it is a whole run, over files and all that was received.
    """

    def __init__(
        self, site: Site, network: Network | None, store: Store | None, stack: ExitStack, tell: Callable[[str], None]
    ) -> None:
        self.site, self.network, self._store, self._stack, self._tell = site, network, store, stack, tell
        self._spool = Spool(site.spool_path, Vault.of(site))
        stack.callback(self._spool.close)
        stack.callback(self._keep_series)
        self._series: list[xr.Dataset] = []
        self._rest = self._series_at = monotonic()
        self._late = False
        self._late_at = self._heard = monotonic()
        self._stamp = self._inputs()
        self._job = pipeline.job_of(site, network, self._store)
        self._begin()

    def _begin(self) -> None:
        progress = self._store.progress() if self._store else None
        since = None if progress is None else progress.until - quality.CONTEXT - 2 * _DAY
        self._next = None if progress is None else progress.until + self._job.step
        data, sensors = load_with_sensors(self.site, since, network=self.network)
        self.decoder = Decoder(sensors, self._tell)
        self.names = [str(name) for name in data[SENSOR].values]
        self._recent, self._past = Recent(data), quality.Past()
        quiet = self.site.stream.quiet_minutes
        own = np.maximum(_QUIET_STEPS * self._recent.step, _QUIET_LEAST)
        self._patience = own if quiet is None else np.full(len(own), round(quiet * 60 * _NS))
        self._silent = self._recent.quiet(self._patience)
        self._late = True  # what came while nobody watched

    def _inputs(self) -> tuple[int, ...]:
        paths = (self.site.folder / FILE, self.site.model_path)
        return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)

    # -- what arrives ------------------------------------------------------------------------------------------

    def receive(self, raw: list[Raw] | tuple[Raw, ...]) -> None:
        """Keep readings: they are on the disk when this returns. InputError if they cannot be."""
        batch = self.decoder.batch(raw)
        if not len(batch.time):
            return
        self._heard = monotonic()
        self._spool.append(batch, self.decoder.personal)
        changed = self._recent.add(batch.time, batch.sensor.astype(np.int64), batch.value)
        if changed is not None:
            self._past.forget(changed)
        if self._next is not None and changed is not None:
            self._late = self._late or changed < int(self._next.astype("datetime64[ns]").astype(np.int64))

    # -- what becomes of it ------------------------------------------------------------------------------------

    def advance(self, *, final: bool = False, busy: bool = False) -> Taken | None:
        """Take the steps that have become complete, if there are any.

        Parameters
        ----------
        final : bool
            Wait for nothing more.
        busy : bool
            More readings are coming in: leave as much time to them as the last run took, so that more is taken at once.

        Raises
        ------
        LeakdetectError
            As `pipeline.detect`.
        """
        begun = monotonic()
        if busy and begun < self._rest:
            return None
        self._renew()
        quiet = self._recent.quiet(self._patience)
        limit = self._limit(quiet, final=final)
        again = self._late and (final or self._next is None or monotonic() - self._late_at >= _LATE)
        if not again and (self._next is None or limit is None or limit <= self._next):
            self._say_quiet(quiet)
            return None
        job = replace(
            self._job,
            read=self._reader(limit, whole=again),
            settled=not again,
            seconds={},
            keep_series=self._later if self._store else write_series,
            started=np.datetime64("now"),
        )
        outcome = take(job, self._store, None, None)
        if again:
            self._late, self._late_at = False, monotonic()
        if self._store is None:
            store = open_store(self.site)
            self._store = None if store is None else self._stack.enter_context(store)
        if outcome.until is not None:
            self._next = outcome.until + self._job.step
            self._recent.forget(outcome.until - quality.CONTEXT - 2 * _DAY)
        self._say_quiet(quiet)
        self._rest = 2 * monotonic() - begun
        return Taken([event for event in outcome.events if event.id in outcome.raised], outcome)

    def _limit(self, quiet: np.ndarray, *, final: bool) -> np.datetime64 | None:
        """Return up to when steps may be taken; None: all that are complete."""
        if final or self._next is None:
            return None
        wait = round(self.site.stream.wait_seconds * _NS)
        live = ~quiet & (self._recent.last > np.iinfo(np.int64).min)
        if (monotonic() - self._heard) * _NS >= wait:  # nothing more arrives
            live, wait = np.zeros_like(live), 0
        return self._recent.complete(self._next, self._job.step, wait, live)

    def _reader(self, limit: np.datetime64 | None, *, whole: bool) -> Callable[..., xr.Dataset]:
        def read(since: np.datetime64 | None, until: np.datetime64 | None) -> xr.Dataset:
            if whole or since is None:
                steps = pipeline.steps_of(self.site, self.network, since, until)
            else:
                steps = pipeline.judged(self.site, self._recent.dataset(since - quality.CONTEXT), since, self._past)
            if limit is None:
                return steps
            return steps.isel({TIME: slice(0, int(np.searchsorted(steps[TIME].values, limit)))})

        return read

    def _later(self, site: Site, grown: xr.Dataset, fresh: bool) -> None:
        """Put the series off: to write them takes longer than all the rest of a step."""
        if fresh:
            self._series.clear()
            write_series(site, grown, fresh)
            return
        self._series.append(grown)
        if monotonic() - self._series_at >= _SERIES:
            self._keep_series()

    def _keep_series(self) -> None:
        self._series_at = monotonic()
        if self._series:
            parts, self._series = self._series, []
            for part in _forward(parts):
                write_series(self.site, part, False)

    def _renew(self) -> None:
        """Reckon with what people said of events, or mended, and with another model, since the last look."""
        stamp = self._inputs()
        if stamp != self._stamp:
            self._stamp = stamp
            self.site, self.network = pipeline.open_site(self.site.folder)
            self._job = pipeline.job_of(self.site, self.network, self._store)
            self._begin()
            return
        repairs = pipeline.repairs_of(self.site, self.network, self._store.repairs() if self._store else ())
        if tuple(repairs) != self._job.repairs:
            self._job = pipeline.job_of(self.site, self.network, self._store)
            self._late = True

    def _say_quiet(self, quiet: np.ndarray) -> None:
        """Tell of sensors that fell silent, or speak again."""
        turned = np.flatnonzero(quiet != self._silent)
        self._silent = quiet
        if not turned.size:
            return
        last = self._recent.last.astype("datetime64[ns]")
        said = [Quiet(self.names[s], last[s], bool(quiet[s])) for s in turned]
        for one in said:
            self._tell(f"{one.sensor} {'has been silent since' if one.silent else 'speaks again, until'} {one.last}Z")
        if self._store is not None:
            worth = [one for one, s in zip(said, turned, strict=True) if one.silent and not self.decoder.personal[s]]
            self._store.tell_quiet(self.site.alerts, worth)

    def follow(self, source: Source, stop: Callable[[], bool]) -> Iterator[Taken]:
        """Take what a source gives until it ends or `stop` says so; yield what came of it."""
        try:
            while not stop():
                arrival = source.take(_POLL)
                if arrival is None:
                    break
                self.receive(list(arrival.raw))
                arrival.kept()
                if (taken := self.advance(busy=bool(arrival.raw))) is not None:
                    yield taken
            else:
                return
            if (taken := self.advance(final=True)) is not None:
                yield taken
        finally:
            source.close()


def _forward(parts: list[xr.Dataset]) -> Iterator[xr.Dataset]:
    """Join pieces that go on where the one before stopped; one that goes back begins anew."""
    held: list[xr.Dataset] = []
    for part in parts:
        if held and part[TIME].values[0] <= held[-1][TIME].values[-1]:
            yield _joined(held)
            held = []
        held.append(part)
    yield _joined(held)


def _joined(parts: list[xr.Dataset]) -> xr.Dataset:
    return xr.concat(parts, TIME, data_vars="minimal", coords="minimal", compat="override", join="override")


@contextmanager
def watch(folder: Path, tell: Callable[[str], None]) -> Iterator[Watch]:
    """Give a site to be watched, all to itself; errors as `pipeline.detect`.

    Parameters
    ----------
    folder : Path
    tell : callable
        Told of what is refused, and of sensors that fall silent.
    """
    site, network = pipeline.open_site(folder)
    with pipeline.running(site) as store, ExitStack() as stack:
        yield Watch(site, network, store, stack, tell)
