"""What changed, told as it happens: server-sent events fed by the stores' marks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool

from leakdetect.errors import LeakdetectError
from leakdetect.web.sites import Sites

EVERY = 2.0
"""[s] between two looks at the stores, however many listen."""
_BLINK = 0.25  # [s] after which a listener sees that the server ends
_ALIVE = 15.0  # [s] after which a comment tells proxies that the line is alive
MOST = 100
"""Listeners at once."""


class Marks:
    """The newest mark of each site, looked up only as often as `every` [s] says."""

    def __init__(self, sites: Sites, every: float = EVERY) -> None:
        self.every = every
        self.listeners = 0
        self.closing = False  # the server is about to end: nobody is kept waiting
        self._sites, self._lock = sites, threading.Lock()
        self._then, self._known = -every, dict[str, str]()

    def now(self) -> dict[str, str]:
        """Return the marks by site; '' of one whose store cannot be read now."""
        with self._lock:
            if time.monotonic() - self._then >= self.every:
                self._known = {site.id: _mark(site.mark) for site in self._sites}
                self._then = time.monotonic()
            return self._known


def _mark(read: Callable[[], str]) -> str:
    try:
        return read()
    except LeakdetectError:  # no run yet, or a store that is locked: the site's own page says which
        return ""


async def stream(marks: Marks, welcome: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield a message for each site that changed, until the listener is no longer welcome.

    Each is ``event: change`` with ``{"site": ID, "mark": TEXT}``; the first ones tell how things are.
    """
    told: dict[str, str] = {}
    silent = 0.0
    while welcome() and not marks.closing:
        known = await run_in_threadpool(marks.now)
        for site, mark in known.items():
            if told.get(site) != mark:
                silent = 0.0
                yield f"event: {'change' if told else 'state'}\ndata: {json.dumps({'site': site, 'mark': mark})}\n\n"
        told = dict(known)
        for _ in range(max(round(marks.every / _BLINK), 1)):
            await asyncio.sleep(min(marks.every, _BLINK))
            if marks.closing:
                return
        silent += marks.every
        if silent >= _ALIVE:
            silent = 0.0
            yield ": alive\n\n"
