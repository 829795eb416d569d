"""Takes readings as they arrive: onto the disk, then into the recursion of the daily run, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import xarray as xr

from leakdetect import pipeline
from leakdetect.daily import Outcome, take
from leakdetect.errors import UnavailableError
from leakdetect.events import Event
from leakdetect.network import Network
from leakdetect.privacy import retain
from leakdetect.readings import load_with_sensors
from leakdetect.readings.spool import Spool
from leakdetect.schema import SENSOR, TIME
from leakdetect.site import FILE, Site
from leakdetect.stages import quality
from leakdetect.store import Store, open_store
from leakdetect.vault import Vault
from leakdetect.watch import patience
from leakdetect.watch.messages import Decoder, Raw
from leakdetect.watch.recent import Recent
from leakdetect.watch.series import Series
from leakdetect.watch.silence import Silence
from leakdetect.watch.sources import Source

_POLL = 0.2  # [s]
_LATE = 60.0  # [s] between runs that go back for what came late
_DAY = np.timedelta64(1, "D")
_NS = 1_000_000_000


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
        self._spool, self._series = Spool(site.spool_path, Vault.of(site)), Series(site)
        self._retained: np.datetime64 | None = None  # day of the last look at what meters said long ago
        self._waits = 0.0  # until when, where something could not be had
        self._rest = monotonic()
        self._told: object = None  # of repairs, at the last look
        self._late = False
        self._late_at = self._heard = monotonic()
        self._stamp = self._inputs()
        self._job = pipeline.job_of(site, network, self._store)
        self._begin()
        stack.callback(self._spool.close)
        stack.callback(self._series.write)

    def _begin(self) -> None:
        progress = self._store.progress() if self._store else None
        since = None if progress is None else progress.until - quality.CONTEXT - 2 * _DAY
        self._next = None if progress is None else progress.until + self._job.step
        data, sensors = load_with_sensors(self.site, since, network=self.network)
        self.decoder = Decoder(sensors, self._tell)
        self._recent, self._past = Recent(data), quality.Past()
        names, personal = [str(name) for name in data[SENSOR].values], self.decoder.personal
        self._silence = Silence(self.site, names, personal, self._recent, begun=progress is not None)
        self._late = True  # what came while nobody watched

    def _inputs(self) -> tuple[int, ...]:
        return _changed(self.site.folder / FILE, self.site.model_path)

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

    def newest(self, quantity: str, column: str) -> np.datetime64:
        """Return the time of a sensor's newest reading (UTC); that of the oldest known of any, where it said none."""
        times = self._recent.time
        first = times[0] if len(times) else np.datetime64("now", "ns").astype(np.int64)
        number = self.decoder.number(f"{column} {quantity}")
        return np.datetime64(int(first if number is None else max(first, self._recent.last[number])), "ns")

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
        if self._store is None:
            self._store = self._made()
        self._retain()
        with patience.mended_meanwhile():
            self._renew()
        if self._store is not None:  # before the first run nobody can be silent
            self._silence.say(self.site, self._store, self._tell)
        limit = self._limit(final=final)
        again = self._late and (final or self._next is None or monotonic() - self._late_at >= _LATE)
        if not again and not self._anything(limit):
            return None
        job = replace(
            self._job,
            read=self._reader(limit, whole=again),
            settled=not again,
            seconds={},
            keep_series=self._series.now if again else self._series.later,
            started=np.datetime64("now"),
        )
        outcome = take(job, self._store, None, None)
        if again:
            self._late, self._late_at = False, monotonic()
        if outcome.until is not None:
            self._next = outcome.until + self._job.step
            self._recent.forget(outcome.until - quality.CONTEXT - 2 * _DAY)
        self._rest = 2 * monotonic() - begun
        return Taken([event for event in outcome.events if event.id in outcome.raised], outcome)

    def _anything(self, limit: np.datetime64 | None) -> bool:
        """Say whether there are steps to take up to a limit."""
        if self._next is None:
            return False
        if limit is not None:
            return bool(limit > self._next)
        return self._recent.newest >= int(self._next.astype("datetime64[ns]").astype(np.int64))

    def _retain(self) -> None:
        """Once a day, let go what is kept of meters for longer than the site says."""
        today = np.datetime64("today")
        if today != self._retained:
            self._spool.close()  # a file that goes must not be written to any more
            retain(self.site, today.astype("datetime64[s]"), self._store)
            self._retained = today

    def _made(self) -> Store | None:
        """Return the store once a run has made it."""
        store = open_store(self.site, make=False)
        return None if store is None else self._stack.enter_context(store)

    def _limit(self, *, final: bool) -> np.datetime64 | None:
        """Return up to when steps may be taken; None: all that are complete."""
        if final or self._next is None:
            return None
        wait = round(self.site.stream.wait_seconds * _NS)
        live = ~self._silence.now() & (self._recent.last > np.iinfo(np.int64).min)
        if (monotonic() - self._heard) * _NS >= wait:  # nothing more arrives
            live, wait = np.zeros_like(live), 0
        return self._recent.complete(self._next, self._job.step, wait, live)

    def _reader(self, limit: np.datetime64 | None, *, whole: bool) -> Callable[..., xr.Dataset]:
        def read(since: np.datetime64 | None, until: np.datetime64 | None) -> xr.Dataset:
            if whole or since is None:
                with patience.mended_meanwhile():
                    steps = pipeline.steps_of(self.site, self.network, since, until)
            else:
                steps = pipeline.judged(self.site, self._recent.dataset(since - quality.CONTEXT), since, self._past)
            if limit is None:
                return steps
            return steps.isel({TIME: slice(0, int(np.searchsorted(steps[TIME].values, limit)))})

        return read

    def _renew(self) -> None:
        """Reckon with what people said of events, or mended, and with another model, since the last look."""
        stamp = self._inputs()
        if stamp != self._stamp:
            self.site, self.network = pipeline.open_site(self.site.folder)
            self._job = pipeline.job_of(self.site, self.network, self._store)
            self._begin()
            self._stamp = stamp
            return
        said = self._store.repairs() if self._store else []
        listed = (self.site.path(self.site.repairs),) if self.site.repairs else ()
        told = (_changed(*listed), said)
        if told == self._told:
            return
        if tuple(pipeline.repairs_of(self.site, self.network, said)) != self._job.repairs:
            self._job = pipeline.job_of(self.site, self.network, self._store)
            self._late = True
        self._told = told

    def follow(self, source: Source, stop: Callable[[], bool]) -> Iterator[Taken]:
        """Take what a source gives until it ends or `stop` says so; yield what came of it.

        Where the store is locked, or a server of readings down, what arrives is kept, and taken when it can be.
        """
        try:
            while not stop():
                arrival = source.take(_POLL)
                if arrival is None:
                    break
                self.receive(list(arrival.raw))
                arrival.kept()
                if (taken := self._attempt(busy=bool(arrival.raw))) is not None:
                    yield taken
            else:
                return
            while not stop():
                if (taken := self._attempt(final=True)) is not None:
                    yield taken
                if not self._waits:
                    return
                sleep(_POLL)
        finally:
            source.close()

    def _attempt(self, *, final: bool = False, busy: bool = False) -> Taken | None:
        """Advance, unless something was not to be had a moment ago; say so once."""
        if monotonic() < self._waits:
            return None
        try:
            if self._waits and self._store is not None:
                self._store.claim(wait=0.0)  # a run that cannot be kept would be for nothing
            taken = self.advance(final=final, busy=busy and not self._waits)
        except UnavailableError as error:
            if not self._waits:
                self._tell(f"{error}; readings are kept meanwhile, trying again")
            self._waits = monotonic() + patience.AGAIN
            return None
        self._waits = 0.0
        return taken


def _changed(*paths: Path) -> tuple[int, ...]:
    """Return when files last changed, 0 for one that is not there."""
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)


@contextmanager
def watch(folder: Path, tell: Callable[[str], None], stop: Callable[[], bool] = lambda: False) -> Iterator[Watch]:
    """Give a site to be watched, all to itself; errors as `pipeline.detect`.

    Parameters
    ----------
    folder : Path
    tell : callable
        Told of what is refused, of what is waited for, and of sensors that fall silent.
    stop : callable
        Whether to wait no longer for another run, a store or a server.
    """
    site, network = pipeline.open_site(folder)
    with ExitStack() as stack:
        store = patience.had(lambda: stack.enter_context(pipeline.running(site)), tell, stop)
        yield patience.had(lambda: Watch(site, network, store, stack, tell), tell, stop)
