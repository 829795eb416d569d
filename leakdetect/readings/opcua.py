"""Readings of an OPC UA server: the history of its nodes, and what they say from now on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from leakdetect.errors import MissingExtraError, ReadingsError
from leakdetect.readings.files import Chunk
from leakdetect.readings.sources import Window
from leakdetect.readings.times import Kind, limits
from leakdetect.secrets import filled

if TYPE_CHECKING:
    from asyncua import Client

    from leakdetect.blocks import ReadingsBlock

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD = 200  # first values of a node, from which its step is learnt
_TIMEOUT = 30.0  # [s] of a request
_POLICY = "Basic256Sha256"
_SILENT = 10.0  # [s] without a word after which the connection is looked after
_MENDS = {
    "BadUserAccessDenied": "give the user the right to read history",
    "BadIdentityToken": "set the variables that user and password name",
    "BadSecurity": "set certificate, private_key and security as the server wants them, and let it trust them",
    "BadNodeIdUnknown": "correct the node under columns in site.toml",
    "BadHistoryOperation": "let the server keep this node's history, or take it from columns",
    "Connect": "is the server up, and url right?",
    "Timeout": "is the server up, and url right?",
}


class Reading(NamedTuple):
    """What a node said: `time` in UTC, `sensor` as site.toml's columns name the node, `value` in the block's unit."""

    time: np.datetime64
    sensor: str
    value: float


class History:
    """What a server keeps of some nodes; see `sources.Source`.

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
        _require()

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
        yield from _stepped(self._pages(first or _FIRST, last or datetime.now(UTC) + timedelta(days=1), 0))

    def head(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`."""
        if self.window.since is not None:
            yield from _stepped(self._pages(_FIRST, datetime.now(UTC) + timedelta(days=1), _HEAD))

    async def _pages(self, first: Any, last: Any, most: int) -> AsyncGenerator[Chunk]:
        """Yield the raw values of each node between two times; at most so many of each unless that is 0."""
        from asyncua import ua

        details = ua.ReadRawModifiedDetails()
        details.IsReadModified, details.ReturnBounds = False, False
        details.StartTime, details.EndTime, details.NumValuesPerNode = first, last, most
        async with _session(self.block, self.folder) as client:
            for name in self.block.columns:
                with _Told(f"{self}: node '{_shown(self.block, name)}'"):
                    node, taken = client.get_node(name), 0
                    point: bytes | None = None
                    await node.read_node_class()  # some servers have an empty history of what is not there
                    while True:
                        page = await node.history_read(details, point)
                        page.StatusCode.check()
                        values = page.HistoryData.DataValues or []
                        yield self._chunk(name, values)
                        taken += len(values)
                        before, point = point, page.ContinuationPoint
                        if not point or point == before or (most and taken >= most):
                            break

    def _chunk(self, name: str, values: list[Any]) -> Chunk:
        rows = [(_time(v), name, _number(v, f"{self}: node '{_shown(self.block, name)}'")) for v in values]
        frame = pd.DataFrame.from_records(rows, columns=self.columns())
        return Chunk(frame.astype({self.block.value: "float64", self.block.time: "datetime64[ns, UTC]"}), None)


async def subscribe(block: ReadingsBlock, folder: Path, period: float = 1.0) -> AsyncIterator[Reading]:
    """Yield what the block's nodes say from now on, first what they said last.

    Parameters
    ----------
    block : ReadingsBlock
        Of format ``opcua``.
    folder : path
        Of the site.
    period : float
        How often the server tells of changes [s].

    Yields
    ------
    Reading
        NaN where the quality is Bad.

    Raises
    ------
    ReadingsError
        If the server cannot be reached, refuses, or is lost.
    MissingExtraError
        If asyncua is not installed.
    """
    _require()
    said: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    class Handler:
        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            said.put_nowait((names[node.nodeid], data.monitored_item.Value))

    async with _session(block, folder) as client:
        with _Told(block.url):
            nodes = {name: client.get_node(name) for name in block.columns}
            names = {node.nodeid: name for name, node in nodes.items()}
            subscription = await client.create_subscription(period * 1000, Handler())
            for name, node in nodes.items():
                with _Told(f"{block.url}: node '{_shown(block, name)}'"):
                    await subscription.subscribe_data_change(node, queuesize=1000, sampling_interval=period * 1000)
            while True:
                try:
                    name, value = await asyncio.wait_for(said.get(), _SILENT)
                except TimeoutError:
                    await client.check_connection()  # raises where it is lost
                    continue
                where = f"{block.url}: node '{_shown(block, name)}'"
                time = np.datetime64(_time(value).replace(tzinfo=None), "ns")
                yield Reading(time, name, _number(value, where))


@asynccontextmanager
async def _session(block: ReadingsBlock, folder: Path) -> AsyncIterator[Client]:
    """Give a connected client: with user and password, with a certificate, or with neither."""
    from asyncua import Client, ua
    from asyncua.crypto import security_policies

    with _Told(block.url):
        client = Client(filled(block.url, "url"), timeout=_TIMEOUT)
        if block.user:
            client.set_user(filled(block.user, "user"))
            client.set_password(filled(block.password, "password"))
        if block.certificate:
            paths = [folder / filled(getattr(block, key), key) for key in ("certificate", "private_key")]
            for path in paths:
                if not path.is_file():
                    raise ReadingsError(f"{path}: no such file: correct certificate and private_key in site.toml")
            mode = ua.MessageSecurityMode[block.security or "SignAndEncrypt"]
            policy = getattr(security_policies, f"SecurityPolicy{_POLICY}")
            await client.set_security(policy, *paths, mode=mode)
        async with client:
            yield client


class _Told:
    """Turns what asyncua raises into one line of ours."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from asyncua import ua

        if isinstance(error, ua.UaError | OSError | asyncio.TimeoutError) and not isinstance(error, ReadingsError):
            said = " ".join(str(error).split()) or type(error).__name__
            about = f"{type(error).__name__} {said}"
            mend = next((mend for key, mend in _MENDS.items() if key.lower() in about.lower()), "correct site.toml")
            raise ReadingsError(f"{self.where}: {said}: {mend}") from None


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


def _require() -> None:
    try:
        import asyncua  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("format = 'opcua' needs asyncua: run pip install 'leakdetect[opcua]'") from None
    logging.getLogger("asyncua").addHandler(logging.NullHandler())  # what matters is raised


def _shown(block: ReadingsBlock, name: str) -> str:
    """Return a node's name for an error: of a household's meter its place in site.toml only."""
    return f"number {list(block.columns).index(name) + 1} of columns" if block.is_personal else name


def _time(value: Any) -> datetime:
    """Return when a value was measured, else when the server had it; UTC."""
    time: datetime = value.SourceTimestamp or value.ServerTimestamp
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _number(value: Any, where: str) -> float:
    said = value.Value.Value if value.Value is not None else None
    if value.StatusCode.is_bad() or said is None:
        return float("nan")
    if not isinstance(said, int | float):
        raise ReadingsError(f"{where}: says no number but {type(said).__name__}: take it from columns in site.toml")
    return float(said)
