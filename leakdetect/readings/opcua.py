"""Readings of an OPC UA server: the history of its nodes, and what they say from now on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from leakdetect.errors import UnreachableError
from leakdetect.readings.files import Chunk
from leakdetect.readings.opcua_session import Told, has_time, kept_values, number_of, require, session, shown, time_of
from leakdetect.readings.sources import Window
from leakdetect.readings.times import Kind, limits

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD = 200  # first values of a node, from which its step is learnt
_MOST = 50_000  # values that wait for who reads them
_LOOK = 1.0  # [s] between looks at whether the connection is lost


class Reading(NamedTuple):
    """What a node said: `time` in UTC, `sensor` as site.toml's columns name the node, `value` in the block's unit."""

    time: np.datetime64
    sensor: str
    value: float


class History:
    """What a server keeps of some nodes; see `sources.Source`. Nothing, where the block says that it keeps none.

    A value of Bad quality is a missing reading; one of Uncertain quality is judged as any other.

    Parameters
    ----------
    block : ReadingsBlock
        Of format ``opcua``.
    folder : path
        Of the site, to which certificate and private key are relative.
    window : Window

    Raises
    ------
    MissingExtraError
        If asyncua is not installed.
    """

    windowed = True

    def __init__(self, block: ReadingsBlock, folder: Path, window: Window) -> None:
        self.block, self.folder, self.window = block, folder, window
        require()

    def __str__(self) -> str:
        return self.block.url

    def columns(self) -> list[str]:
        """See `Source`: as of a long table."""
        return [self.block.time, self.block.sensor, self.block.value]

    def names(self, sensor: str) -> list[str]:
        """Return the nodes that the block names."""
        return list(self.block.columns)

    def chunks(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`: page by page as the server gives them, node after node."""
        first, last = limits(Kind.UTC, self.window.since, self.window.until)
        if self.block.history:
            yield from _stepped(self._pages(first or _FIRST, last or _soon(), 0))

    def head(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`."""
        if self.block.history and self.window.since is not None:
            yield from _stepped(self._pages(_FIRST, _soon(), _HEAD))

    async def _pages(self, first: Any, last: Any, most: int) -> AsyncGenerator[Chunk]:
        """Yield the raw values of each node between two times; at most so many of each unless that is 0."""
        async with session(self.block, self.folder) as client:
            for name in self.block.columns:
                with Told(f"{self}: node '{shown(self.block, name)}'"):
                    async for values in kept_values(client, name, first, last, most):
                        yield self._chunk(name, values)

    def _chunk(self, name: str, values: list[Any]) -> Chunk:
        rows = [(time_of(v), name, number_of(v, f"{self}: node '{shown(self.block, name)}'")) for v in values]
        frame = pd.DataFrame.from_records(rows, columns=self.columns())
        return Chunk(frame.astype({self.block.value: "float64", self.block.time: "datetime64[ns, UTC]"}), None)


async def subscribe(
    block: ReadingsBlock, folder: Path, period: float = 1.0, since: Mapping[str, np.datetime64] | None = None
) -> AsyncGenerator[Reading]:
    """Yield what the block's nodes say from now on, first what they said last.

    A value that is what it was, measured anew, is said too, where the server can: a reading that stands still is one.

    Parameters
    ----------
    block : ReadingsBlock
        Of format ``opcua``.
    folder : path
        Of the site.
    period : float
        How often the server tells of changes [s].
    since : mapping of str to datetime64, optional
        From when on (UTC) the history of a node is wanted before all else. Nothing is missed between the two.

    Yields
    ------
    Reading
        NaN where the quality is Bad.

    Raises
    ------
    ReadingsError
        If the server cannot be reached, refuses, or is lost, or says more than is read.
    MissingExtraError
        If asyncua is not installed.
    """
    require()
    said: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(_MOST)
    errors: list[Exception] = []

    class Handler:
        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            if errors:
                return
            try:
                said.put_nowait((names[node.nodeid], data.monitored_item.Value))
            except asyncio.QueueFull:
                errors.append(UnreachableError(f"{block.url}: says more than is taken"))

    async def lost(error: Exception) -> None:
        errors.append(error)

    async with session(block, folder) as client:
        client.connection_lost_callback = lost
        with Told(block.url):
            nodes = {name: client.get_node(name) for name in block.columns}
            names = {node.nodeid: name for name, node in nodes.items()}
            subscription = await client.create_subscription(period * 1000, Handler())
            for number, (name, node) in enumerate(nodes.items(), 1):
                with Told(f"{block.url}: node '{shown(block, name)}'"):
                    [made] = await subscription.create_monitored_items([_wanted(node, number, period * 1000)])
                    if not isinstance(made, int):
                        made.check()
            for name, first in (since or {}).items():
                with Told(f"{block.url}: node '{shown(block, name)}'"):
                    begin = pd.Timestamp(first, tz=UTC).to_pydatetime(warn=False)
                    async for values in kept_values(client, name, begin, _soon()):
                        for value in values:
                            yield _reading(block, name, value)
            while True:
                try:
                    name, value = said.get_nowait() if said.qsize() else await asyncio.wait_for(said.get(), _LOOK)
                except TimeoutError:
                    if errors:  # only once all is taken that came before
                        raise errors[0] from None
                    continue
                if has_time(value):
                    yield _reading(block, name, value)


def _wanted(node: Any, number: int, period: float) -> Any:
    """Return a request to be told of a node's values, and of times at which it was measured anew."""
    from asyncua import ua

    asked = ua.MonitoredItemCreateRequest()
    asked.ItemToMonitor = ua.ReadValueId()
    asked.ItemToMonitor.NodeId, asked.ItemToMonitor.AttributeId = node.nodeid, ua.AttributeIds.Value
    asked.MonitoringMode = ua.MonitoringMode.Reporting
    how = asked.RequestedParameters = ua.MonitoringParameters()
    how.ClientHandle, how.SamplingInterval, how.QueueSize, how.DiscardOldest = number, period, 1000, True
    how.Filter = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
    return asked


def _reading(block: ReadingsBlock, name: str, value: Any) -> Reading:
    where = f"{block.url}: node '{shown(block, name)}'"
    return Reading(np.datetime64(time_of(value).replace(tzinfo=None), "ns"), name, number_of(value, where))


def _soon() -> datetime:
    """Return a time after which a server has no history."""
    return datetime.now(UTC) + timedelta(days=1)


def _stepped(pages: AsyncGenerator[Chunk]) -> Iterator[Chunk]:
    """Yield what an asynchronous generator does: in a thread with a loop of its own, as a notebook has one already."""

    async def following() -> Chunk | None:
        return await anext(pages, None)

    with ThreadPoolExecutor(1) as pool:
        runner = asyncio.Runner()
        try:
            while (chunk := pool.submit(runner.run, following()).result()) is not None:
                yield chunk
        finally:
            pool.submit(runner.run, pages.aclose()).result()
            pool.submit(runner.close).result()
