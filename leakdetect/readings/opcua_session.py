"""A connection to an OPC UA server, what it keeps of a node, and what is said where that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from leakdetect.errors import MissingExtraError, ReadingsError, UnreachableError
from leakdetect.secrets import filled

if TYPE_CHECKING:
    from asyncua import Client

    from leakdetect.blocks import ReadingsBlock

_TIMEOUT = 30.0  # [s] of a request
_POLICY = "Basic256Sha256"
_MENDS = {
    "BadUserAccessDenied": "give the user the right to read history",
    "BadIdentityToken": "set the variables that user and password name",
    "BadSecurity": "set certificate, private_key and security as the server wants them, and let it trust them",
    "BadNodeIdUnknown": "correct the node under columns in site.toml",
    "BadHistoryOperation": "let the server keep this node's history, take it from columns, or write history = false",
    "Connect": "is the server up, and url right?",
    "gaierror": "is the server up, and url right?",
    "Timeout": "is the server up, and url right?",
}
_LOST = {
    "BadCommunicationError",
    "BadConnectionClosed",
    "BadSecureChannelClosed",
    "BadServerHalted",
    "BadSessionClosed",
    "BadSessionIdInvalid",
    "BadShutdown",
    "BadTimeout",
}


@asynccontextmanager
async def session(block: ReadingsBlock, folder: Path) -> AsyncIterator[Client]:
    """Give a connected client: with user and password, with a certificate, or with neither."""
    from asyncua import Client, ua
    from asyncua.crypto import security_policies

    with Told(block.url):
        client = Client(_usable(filled(block.url, "url"), block.url), timeout=_TIMEOUT)
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


def _usable(url: str, written: str) -> str:
    """Return a URL; ReadingsError, which names it as it is written in site.toml, if it is none."""
    try:
        place = urlsplit(url)
        good = place.scheme == "opc.tcp" and place.hostname and place.port != 0
    except ValueError:  # of a port, or of brackets
        good = False
    if not good:
        raise ReadingsError(f"{written}: is no URL of an OPC UA server: write opc.tcp://host:4840/path")
    return url


class Told:
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
            away = isinstance(error, OSError) or type(error).__name__ in _LOST
            raise (UnreachableError if away else ReadingsError)(f"{self.where}: {said}: {mend}") from None


async def kept_values(client: Client, name: str, first: Any, last: Any, most: int = 0) -> AsyncIterator[list[Any]]:
    """Yield pages of a node's raw values between two times; of at most so many values unless that is 0."""
    from asyncua import ua

    details = ua.ReadRawModifiedDetails()
    details.IsReadModified, details.ReturnBounds = False, False
    details.StartTime, details.EndTime, details.NumValuesPerNode = first, last, most
    node, taken = client.get_node(name), 0
    point: bytes | None = None
    await node.read_node_class()  # some servers have an empty history of what is not there
    while True:
        page = await node.history_read(details, point)
        page.StatusCode.check()
        values = [value for value in page.HistoryData.DataValues or [] if has_time(value)]
        yield values
        taken += len(values)
        before, point = point, page.ContinuationPoint
        if not point or point == before or (most and taken >= most):
            return


def require() -> None:
    """Raise MissingExtraError if asyncua is not installed."""
    try:
        import asyncua  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("format = 'opcua' needs asyncua: run pip install 'leakdetect[opcua]'") from None
    logging.getLogger("asyncua").addHandler(logging.NullHandler())  # what matters is raised


def shown(block: ReadingsBlock, name: str) -> str:
    """Return a node's name for an error: of a household's meter its place in site.toml only."""
    return f"number {list(block.columns).index(name) + 1} of columns" if block.is_personal else name


def has_time(value: Any) -> bool:
    """Say whether a value says when it was measured, or when the server had it."""
    return bool(value.SourceTimestamp or value.ServerTimestamp)


def time_of(value: Any) -> datetime:
    """Return when a value was measured, else when the server had it; UTC."""
    time: datetime = value.SourceTimestamp or value.ServerTimestamp
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def number_of(value: Any, where: str) -> float:
    """Return what was measured, NaN where the quality is Bad; ReadingsError if it is no number."""
    said = value.Value.Value if value.Value is not None else None
    if value.StatusCode.is_bad() or said is None:
        return float("nan")
    if not isinstance(said, int | float):
        raise ReadingsError(f"{where}: says no number but {type(said).__name__}: take it from columns in site.toml")
    return float(said)
