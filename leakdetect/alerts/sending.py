"""Sends what waits in the store, in its own time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from time import monotonic
from types import TracebackType
from zoneinfo import ZoneInfo

import numpy as np

from leakdetect.alerts.ways import UndeliveredError, send
from leakdetect.alerts.words import text
from leakdetect.errors import LeakdetectError, UnavailableError
from leakdetect.live import Alert
from leakdetect.site import Site
from leakdetect.store import Message, Store, open_store

_BUDGET = 15.0
"""[s] that a run may spend on sending; what is left waits."""
_PATIENCE = 120.0  # [s] to note what came of a message, where the store is locked
_LOOK = 5.0  # [s] between a watch's looks at what waits, where nothing new is known of


@dataclass(frozen=True)
class Sent:
    """What came of what was due: how many went out, and why others did not, by alert."""

    count: int = 0
    failed: tuple[str, ...] = ()


def deliver(site: Site, budget: float = _BUDGET, patient: Callable[[], bool] | None = None) -> Sent:
    """Send what is due, for so long [s] at most; what fails, and what is left, waits in the store.

    A message may arrive twice where a process was killed as it sent; its key is the same then.

    Parameters
    ----------
    site : Site
    budget : float
    patient : callable, optional
        Whether to wait on for a store that is locked once a message was sent; two minutes if not given.

    Raises
    ------
    UnavailableError
        If the store is locked.
    """
    store = open_store(site, make=False) if site.alerts else None
    if store is None:
        return Sent()
    until = monotonic() + _PATIENCE
    with store:
        return _deliver(site, store, budget, patient or (lambda: monotonic() < until))


def _deliver(site: Site, store: Store, budget: float, patient: Callable[[], bool]) -> Sent:
    ways = {alert.name: alert for alert in site.alerts}
    end, count, failed = monotonic() + budget, 0, list[str]()
    while monotonic() < end and (message := store.next_message(_now())) is not None:
        alert = ways.get(message.alert)
        if alert is None:  # its block is gone: who put it there may bring it back
            store.settle(message, _now(), f"site.toml has no [[alerts]] of name '{message.alert}'")
            continue
        over = quiet_until(alert, site.timezone, datetime.now(UTC))
        if over is not None and message.body["kind"] != "test":
            store.settle(message, _now(), None, np.datetime64(over.replace(tzinfo=None), "s"))
            continue
        error = _attempt(site, alert, message)
        _note(store, message, error, patient)
        count += error is None
        if error is not None:
            failed.append(f"{alert.name}: {error}")
    return Sent(count, tuple(failed))


def _note(store: Store, message: Message, error: str | None, patient: Callable[[], bool]) -> None:
    """Note what came of a message, even if the store is locked: else it would be sent again."""
    while True:
        try:
            store.settle(message, _now(), error)
        except UnavailableError:
            if not patient():
                raise
            continue
        return


def _attempt(site: Site, alert: Alert, message: Message) -> str | None:
    said = text(message.body, site.name, site.timezone, site.folder.name, alert)
    try:
        send(alert, message.key, {"site": site.name, **message.body}, said, site.folder)
    except UndeliveredError as error:
        return str(error)
    return None


def test(site: Site) -> list[tuple[str, str | None]]:
    """Send a trial by every way, now; return each alert's name and why it failed, None where it arrived."""
    key = f"test:{_now()}"
    found = []
    for alert in site.alerts:
        message = Message(0, alert.name, key, {"kind": "test"}, "", "", 0, None, "")
        found.append((alert.name, _attempt(site, alert, message)))
    return found


def quiet_until(alert: Alert, timezone: str, now: datetime) -> datetime | None:
    """Return when an alert's quiet hours are over (UTC), None outside of them.

    Parameters
    ----------
    alert : Alert
    timezone : str
        The site's, in which its hours are.
    now : datetime
        With a time zone.
    """
    if not alert.quiet_hours:
        return None
    first, last = (time.fromisoformat(part) for part in alert.quiet_hours.split("-"))
    local = now.astimezone(ZoneInfo(timezone))
    for day in (-1, 0):
        start = datetime.combine(local.date() + timedelta(days=day), first, local.tzinfo)
        end = datetime.combine(start.date() + timedelta(days=int(last <= first)), last, local.tzinfo)
        if start <= local < end:  # an end that the clock change repeats, or leaves out, is the later of two
            return max(end.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return None


def _now() -> np.datetime64:
    return np.datetime64("now")


class Sender:
    """Sends in a thread of its own while in a `with`, so that no server makes readings wait.

    Parameters
    ----------
    site : callable
        Returns the site as it is now: ``[[alerts]]`` may change.
    tell : callable
        Told of what fails.
    """

    def __init__(self, site: Callable[[], Site], tell: Callable[[str], None]) -> None:
        self._site, self._tell = site, tell
        self._look, self._stop = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop = True
        self._look.set()
        self._thread.join()

    def look(self) -> None:
        """Say that something new waits."""
        self._look.set()

    def _run(self) -> None:
        said = ""
        while True:
            stop = self._stop
            self._look.clear()
            try:
                for line in deliver(self._site(), patient=lambda: not self._stop).failed:
                    self._tell(f"not delivered, tried again later: {line}")
                said = ""
            except Exception as error:  # noqa: BLE001 (a thread that ends would tell nobody of anything; the next look may do)
                why = str(error) if isinstance(error, LeakdetectError) else f"{type(error).__name__}: {error}"
                if why != said:
                    self._tell(f"alerts: {why}; trying again")
                said = why
            if stop:
                return
            self._look.wait(_LOOK)
