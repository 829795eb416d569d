"""What stands before everything: names the page answers to, how often and how much one may ask, security headers."""

from __future__ import annotations

import json
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leakdetect.web.limits import Limiter

LARGEST = 65_536
"""Bytes that a request may carry."""

_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
))  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware.

    Parameters
    ----------
    app : ASGI application
    limiter : Limiter
    hosts : collection of str
        The only names that the page answers to; any where there are none. Without users they keep the pages of other
        sites out, which a browser would let in under a name of theirs that leads here (DNS rebinding).
    secure : bool
        The page is reached by HTTPS alone.
    """

    def __init__(self, app: ASGIApp, *, limiter: Limiter, hosts: Collection[str] = (), secure: bool = False) -> None:
        self._app, self._limiter, self._hosts = app, limiter, frozenset(hosts)
        self._headers = dict(_HEADERS)
        if secure:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        path = scope["path"]

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers["Cache-Control"] = "no-store" if path.startswith("/api/") else "no-cache"
            await send(message)

        refused = self._refused(request)
        if refused is not None:
            await _answer(*refused, dressed)
        else:
            await self._app(scope, receive, dressed)

    def _refused(self, request: Request) -> tuple[int, str, int] | None:
        """Return status, reason and seconds to wait of a request that goes no further."""
        if self._hosts and _name(request.headers.get("host", "")) not in self._hosts:
            return 421, f"this page answers to {', '.join(sorted(self._hosts))} only", 0
        wait = self._limiter.wait(request.client.host if request.client else "?")
        if wait:
            return 429, f"too many requests: wait {wait} s", wait
        length = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers or not length.isdecimal() or int(length) > LARGEST:
            return 413, f"a request carries at most {LARGEST} bytes, and says how many", 0
        return None


def _name(host: str) -> str:
    """Return a Host header without its port."""
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0].lower()


async def _answer(status: int, why: str, wait: int, send: Send) -> None:
    body = json.dumps({"detail": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if wait:
        headers.append((b"retry-after", str(wait).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
