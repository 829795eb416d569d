"""The application: sites, users and what guards them, put together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from leakdetect import __version__
from leakdetect.errors import LeakdetectError, NotFittedError
from leakdetect.web import api, doors
from leakdetect.web.asking import Page
from leakdetect.web.audit import Audit
from leakdetect.web.auth import Gate
from leakdetect.web.guard import Guard
from leakdetect.web.limits import Limiter
from leakdetect.web.live import EVERY, Marks
from leakdetect.web.sites import Sites
from leakdetect.web.users import Users

_STATIC = Path(__file__).parent / "static"
_BURST, _PER_MINUTE = 300, 600.0  # requests of one address


def create_app(
    folders: Sequence[Path], *, users: Users | None = None, audit: Path | None = None, secure: bool = False,
    hosts: Collection[str] = (), limiter: Limiter | None = None, every: float = EVERY,
) -> FastAPI:  # fmt: skip
    """Return the web page of some sites, as an ASGI application.

    Parameters
    ----------
    folders : sequence of Path
        The site folders.
    users : Users, optional
        Who may log in. Without them whoever reaches the page may do everything.
    audit : Path, optional
        File to which a line is added of whatever is done.
    secure : bool
        The page is reached by HTTPS alone: cookies say so.
    hosts : collection of str
        The only names it answers to, as `Guard` has it.
    limiter : Limiter, optional
        How often an address may ask.
    every : float
        How often the stores are looked at for changes [s].

    Raises
    ------
    LeakdetectError
        If a folder is no site, or the audit cannot be written.
    """
    sites, log = Sites(folders), Audit(audit)
    app = FastAPI(
        title="leakdetect", version=__version__, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None,  # they load scripts from elsewhere
        description="Suspected leaks of water networks: events and what people say of them, series, key figures.",
    )  # fmt: skip
    app.state.page = Page(sites, Gate(users, log, secure=secure), log, Marks(sites, every))
    app.include_router(doors.router)
    app.include_router(api.router)
    app.add_exception_handler(LeakdetectError, _cannot)
    app.add_exception_handler(RequestValidationError, _not_so)
    app.add_middleware(GZipMiddleware, minimum_size=2048, compresslevel=5)
    app.add_middleware(Guard, limiter=limiter or Limiter(_BURST, _PER_MINUTE), hosts=hosts, secure=secure)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app


async def _cannot(request: Request, error: Exception) -> JSONResponse:
    """Answer what a user can mend in a line, this machine's folders left out."""
    site = request.app.state.page.sites.get(request.path_params.get("site", ""))
    text = site.without_paths(error) if site is not None else "the server cannot do this now: see its own messages"
    return JSONResponse({"detail": text}, 409 if isinstance(error, NotFittedError) else 400)


async def _not_so(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)
