"""The JSON interface of logging in and out, and the line on which changes are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from leakdetect import __version__
from leakdetect.web import shapes
from leakdetect.web.asking import REFUSALS, TOKEN, Changing, Page, Reader, ThePage, address, session_of
from leakdetect.web.auth import Session
from leakdetect.web.live import MOST, stream

router = APIRouter(prefix="/api", responses={k: REFUSALS[k] for k in (401, 403, 422, 429)})


def _me(page: Page, session: Session | None) -> shapes.Me:
    return shapes.Me(
        name=session.name if session else None,
        role=session.role if session else None,
        token=session.token if session else None,
        users=page.gate.users is not None,
        version=__version__,
    )


@router.get("/me")
def me(page: ThePage, session: Annotated[Session | None, Depends(session_of)]) -> shapes.Me:
    """Return who is asking, and the token that changes must bear."""
    return _me(page, session)


@router.post("/login", responses={400: REFUSALS[400]})
def login(request: Request, response: Response, page: ThePage, given: shapes.Credentials) -> shapes.Me:
    """Begin a session; the cookie that is set stands for it. Needs an X-CSRF-Token, whatever it says."""
    if TOKEN not in request.headers:
        raise HTTPException(403, f"the request bears no {TOKEN}")
    found = page.gate.login(given.name, given.password, address(request))
    if isinstance(found, int):
        if found:
            raise HTTPException(429, "too many tries: wait", {"Retry-After": str(found)})
        raise HTTPException(401, "name and password do not belong together")
    key, session = found
    response.set_cookie(page.gate.cookie, key, httponly=True, samesite="strict", secure=page.gate.secure, path="/")
    return _me(page, session)


@router.post("/logout", status_code=204)
def logout(request: Request, response: Response, page: ThePage, user: Changing) -> None:
    """End the session."""
    page.gate.logout(request.cookies.get(page.gate.cookie))
    page.audit.note(user.name, address(request), "logout")
    response.delete_cookie(page.gate.cookie, httponly=True, samesite="strict", secure=page.gate.secure, path="/")


@router.get("/live", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
def live(request: Request, page: ThePage, _user: Reader) -> StreamingResponse:
    """Tell of each site that changes, as server-sent events: ``event: change`` with ``{"site", "mark"}``."""
    if page.marks.listeners >= MOST:
        raise HTTPException(429, "too many listen already", {"Retry-After": "60"})
    key = request.cookies.get(page.gate.cookie)

    async def told() -> AsyncIterator[str]:
        page.marks.listeners += 1
        try:
            async for message in stream(page.marks, lambda: page.gate.session(key, used=False) is not None):
                yield message
        finally:
            page.marks.listeners -= 1

    return StreamingResponse(told(), media_type="text/event-stream")
