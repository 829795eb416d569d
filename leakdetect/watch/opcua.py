"""Readings that OPC UA servers say, and after a connection was lost what they have kept meanwhile."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import numpy as np

from leakdetect.errors import InputError, ReadingsError, UnreachableError
from leakdetect.readings.opcua import Reading, subscribe
from leakdetect.watch.messages import Raw
from leakdetect.watch.sources import Arrival, drained

if TYPE_CHECKING:
    from leakdetect.site import Site

_MOST = 20_000  # readings that wait; where there are more, the servers' wait in turn
_BATCH = 5_000  # readings at once
_BACK_OFF = (1.0, 60.0)  # [s] between attempts to connect anew: the first, the longest
_PERIOD = 1.0  # [s] after which a server tells what is new

Newest = Callable[[str, str], np.datetime64]
"""Time of the newest reading that is kept of a quantity and column (UTC)."""


class Servers:
    """A subscription to the nodes of each OPC UA block of a site; see `sources.Source`.

    What was said while there was no connection, or was not kept, is read from the history of the server, from each
    node's newest reading that was kept on; where the server keeps none that is lost.

    Parameters
    ----------
    site : Site
    newest : callable
        ``newest(quantity, column)``: from when on the history is wanted at first.
    tell : callable
        Told when a connection is lost and found.

    Raises
    ------
    InputError
        If the site has no such block.
    """

    def __init__(self, site: Site, newest: Newest, tell: Callable[[str], None]) -> None:
        self._folder, self._tell = site.folder, tell
        self._blocks = [block for block in site.readings if block.format == "opcua"]
        if not self._blocks:
            raise InputError(f"{site.folder}: no server to listen to: write a [[readings]] block of format = 'opcua'")
        self._kept = [{name: newest(block.quantity, name) for name in block.columns} for block in self._blocks]
        self._waiting: queue.Queue[tuple[int, Reading]] = queue.Queue(_MOST)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, "opcua")
        self._over = self._pool.submit(self._run)

    # -- in the thread of the connections ----------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen_to_all())

    async def _listen_to_all(self) -> None:
        tasks = [asyncio.create_task(self._listen(number)) for number in range(len(self._blocks))]
        stop = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (stop, *tasks):
                task.cancel()
            await asyncio.gather(stop, *tasks, return_exceptions=True)

    async def _listen(self, number: int) -> None:
        """Listen to a block's nodes, again and again; ReadingsError if the server refuses that at first."""
        block, met, said, pause = self._blocks[number], False, "", _BACK_OFF[0]
        while True:
            up = False
            try:
                since = dict(self._kept[number]) if block.history else None
                async with aclosing(subscribe(block, self._folder, _PERIOD, since)) as source:
                    async for reading in source:
                        if not up:
                            self._tell(f"connected to {block.url}")
                            up, met, said, pause = True, True, "", _BACK_OFF[0]
                        await self._put(number, reading)
            except ReadingsError as error:
                if not (met or isinstance(error, UnreachableError)):
                    raise
                if str(error) != said:
                    self._tell(f"{'lost ' if up else ''}{error}; trying again")
                said = str(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _BACK_OFF[1])

    async def _put(self, number: int, reading: Reading) -> None:
        while True:
            try:
                self._waiting.put_nowait((number, reading))
            except queue.Full:
                await asyncio.sleep(0.05)
                continue
            return

    # -- in that of the watch ----------------------------------------------------------------------------------

    def take(self, wait: float) -> Arrival | None:
        """See `Source`; raises ReadingsError if a server refuses to be listened to at first."""
        found = drained(self._waiting, wait, _BATCH)
        if not found:
            if self._over.done():
                self._over.result()
            return Arrival(())
        raw = [Raw(f"{r.time}Z", f"{r.sensor} {self._blocks[number].quantity}", r.value) for number, r in found]
        return Arrival(raw, lambda: self._note(found))

    def _note(self, found: list[tuple[int, Reading]]) -> None:
        for number, reading in found:
            kept = self._kept[number]
            kept[reading.sensor] = max(kept[reading.sensor], reading.time)

    def close(self) -> None:
        """See `Source`."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._pool.shutdown()
