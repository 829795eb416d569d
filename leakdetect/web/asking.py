"""What every request is asked first: who it is of, what they may, whether it is of this page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from leakdetect.events import Event
from leakdetect.web import shapes
from leakdetect.web.audit import Audit
from leakdetect.web.auth import Gate, Session, bears
from leakdetect.web.live import Marks
from leakdetect.web.sites import Results, Shown, Sites
from leakdetect.web.users import Role

TOKEN = "X-CSRF-Token"  # noqa: S105 (the header's name)
"""Header that a change bears: the session's token, and at login anything, which a form of another site cannot set."""


@dataclass(frozen=True)
class Page:
    """What the whole page shares."""

    sites: Sites
    gate: Gate
    audit: Audit
    marks: Marks


def page_of(request: Request) -> Page:
    """Return what the whole page shares."""
    page: Page = request.app.state.page
    return page


ThePage = Annotated[Page, Depends(page_of)]


def address(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else "?"


def session_of(request: Request, page: ThePage) -> Session | None:
    """Return the session of a request, None before login."""
    return page.gate.session(request.cookies.get(page.gate.cookie))


def _user(session: Annotated[Session | None, Depends(session_of)]) -> Session:
    if session is None:
        raise HTTPException(401, "log in first")
    return session


Reader = Annotated[Session, Depends(_user)]
"""Whoever is logged in."""


def _changing(request: Request, page: ThePage, session: Reader) -> Session:
    if not bears(session, request.headers.get(TOKEN)):
        page.audit.note(session.name, address(request), "refused", why=f"no token: {request.url.path}")
        raise HTTPException(403, f"the request bears no valid {TOKEN}: load the page again")
    return session


Changing = Annotated[Session, Depends(_changing)]
"""Whoever is logged in, and changes something from this very page."""


def _needs(request: Request, page: Page, session: Session, role: Role) -> Session:
    if not session.role.may(role):
        page.audit.note(session.name, address(request), "refused", why=f"not {role}: {request.url.path}")
        raise HTTPException(403, f"only {role}s may do this, you are {session.role}")
    return session


def _operator(request: Request, page: ThePage, session: Changing) -> Session:
    return _needs(request, page, session, Role.OPERATOR)


def _admin(request: Request, page: ThePage, session: Reader) -> Session:
    return _needs(request, page, session, Role.ADMIN)


Operator = Annotated[Session, Depends(_operator)]
Admin = Annotated[Session, Depends(_admin)]


def _site(page: ThePage, site: str, _session: Reader) -> Shown:
    found = page.sites.get(site)
    if found is None:
        raise HTTPException(404, "no such site")
    return found


TheSite = Annotated[Shown, Depends(_site)]
"""A site by its id in the path."""


def event_of(results: Results, event_id: str) -> Event:
    """Return an event of a site; 404 where there is none."""
    for event in results.events:
        if event.id == event_id:
            return event
    raise HTTPException(404, "no such event")


REFUSALS = {
    400: {"model": shapes.Problem, "description": "Something given cannot be used."},
    401: {"model": shapes.Problem, "description": "Nobody is logged in."},
    403: {"model": shapes.Problem, "description": "Not allowed to this user, or without the page's token."},
    404: {"model": shapes.Problem, "description": "There is no such site, event or sensor."},
    409: {"model": shapes.Problem, "description": "The site cannot tell yet: not fitted, or no run."},
    422: {"model": shapes.Problem, "description": "A value is missing or not of its kind."},
    429: {"model": shapes.Problem, "description": "Too many requests: Retry-After says when."},
}  # fmt: skip
"""What may be answered instead, for the OpenAPI description."""
