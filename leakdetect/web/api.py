"""The JSON interface: sites, events and what people say of them, maps, series, quality, key figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request

from leakdetect import pipeline
from leakdetect.errors import LeakdetectError
from leakdetect.events import Status, iso
from leakdetect.kpi import words as kpi_words
from leakdetect.kpi.export import rows as kpi_rows
from leakdetect.kpi.figures import GROUPS
from leakdetect.schema import SENSOR
from leakdetect.web import shapes, view
from leakdetect.web.asking import REFUSALS, Admin, Operator, Reader, ThePage, TheSite, address, event_of
from leakdetect.web.series import series_of
from leakdetect.web.words import texts

router = APIRouter(prefix="/api", responses={k: v for k, v in REFUSALS.items() if k not in {400, 404, 409}})
_OF_SITE: Any = {k: REFUSALS[k] for k in (400, 404, 409)}
_OF_WHICH = Annotated[str, Query(alias="id", max_length=200)]
_WHEN = Annotated[str, Query(max_length=40, description="ISO 8601; of the site's time zone without an offset.")]
Lang = Literal["en", "fr"]


@router.get("/words/{lang}", responses={k: REFUSALS[k] for k in (422, 429)})
def words(lang: Lang) -> dict[str, str]:
    """Return the texts of the page."""
    return texts(lang)


@router.get("/sites")
def sites(page: ThePage, _user: Reader) -> list[shapes.SiteCard]:
    """Return all sites; one that cannot be shown says why."""
    cards = []
    for site in page.sites:
        try:
            card = view.card(site.id, *site.overview())
            cards.append(card.model_copy(update={"error": site.without_paths(card.error)}))
        except LeakdetectError as error:
            cards.append(view.failed(site.id, site.id, site.without_paths(error)))
    return cards


@router.get("/sites/{site}/events", responses=_OF_SITE)
def events(site: TheSite) -> list[shapes.EventRow]:
    """Return the events of a site: those that may still run first."""
    return view.rows(site.results())


@router.get("/sites/{site}/news", responses=_OF_SITE)
def news(site: TheSite, lang: Lang = "en") -> shapes.News:
    """Return what is new in one sentence."""
    return view.news(site.results(), lang)


@router.get("/sites/{site}/event", responses=_OF_SITE)
def event(site: TheSite, event_id: _OF_WHICH, lang: Lang = "en") -> shapes.EventFull:
    """Return all that is known of an event."""
    results = site.results()
    event_of(results, event_id)
    return view.full(results, event_id, pipeline.history(site.folder, event_id), lang)


@router.post("/sites/{site}/words", responses=_OF_SITE)
def say(request: Request, page: ThePage, site: TheSite, user: Operator, word: shapes.Word) -> shapes.EventFull:
    """Note what a person says of an event: confirmed, dismissed, repaired."""
    results = site.results()
    event_of(results, word.event)
    time = _moment(word.time, results.site.timezone)
    now = np.datetime64("now")
    if time is not None and time > now:
        raise HTTPException(400, f"time: {word.time} is still to come")
    status = Status(word.status)
    if status is Status.DISMISSED and (word.pipe or time is not None):
        raise HTTPException(400, "pipe, time: what was no leak has neither")
    pipeline.say(
        site.folder, word.event, status, by=user.name, at=now, why=word.why.strip(), link=word.pipe.strip(), time=time
    )
    page.audit.note(
        user.name, address(request), word.status, site=site.id, event=word.event, pipe=word.pipe.strip(),
        time=iso(time) or "", why=word.why.strip(),
    )  # fmt: skip
    return view.full(site.results(), word.event, pipeline.history(site.folder, word.event))


@router.get("/sites/{site}/map", responses=_OF_SITE)
def map_(site: TheSite, event_id: _OF_WHICH = "") -> shapes.MapView:
    """Return the network with all open events, or the surroundings of one event."""
    results = site.results()
    if event_id:
        event_of(results, event_id)
    return view.map_of(results, event_id)


@router.get("/sites/{site}/quality", responses=_OF_SITE)
def quality(site: TheSite) -> shapes.Quality:
    """Return how good the readings of each sensor are, and the newest runs; customers' meters are left out."""
    found = view.quality_of(site.results(), pipeline.runs(site.folder, view.RUNS))
    told = [run.model_copy(update={"note": site.without_paths(run.note)}) for run in found.runs]
    return found.model_copy(update={"runs": told})


@router.get("/sites/{site}/series", responses=_OF_SITE)
def series(
    site: TheSite,
    sensor: Annotated[str, Query(max_length=200)],
    since: _WHEN = "",
    until: _WHEN = "",
    points: Annotated[int, Query(ge=10, le=2000)] = 600,
) -> shapes.Series:
    """Return what a sensor said and what was expected of it, in at most so many points."""
    results = site.results()
    if sensor not in set(results.data[SENSOR].values):
        raise HTTPException(404, "no such sensor")
    first, last = (_moment(text, results.site.timezone) for text in (since, until))
    return series_of(results.data, sensor, first, last, points)


@router.get("/sites/{site}/kpi", responses=_OF_SITE)
def kpi(site: TheSite, lang: Lang = "en") -> shapes.Figures:
    """Return the key figures of the last year of readings."""
    found = site.figures()
    group = {name: key for key, name in GROUPS.items()}
    heading, figures = "", []
    for row in kpi_rows(found):
        heading = group.get(row["indicator"], heading)
        figures.append(
            shapes.Figure(
                name=row["indicator"],
                label=kpi_words.say(kpi_words.LABELS, row["indicator"], lang),
                group=kpi_words.say(kpi_words.GROUPS, heading, lang),
                unit=kpi_words.unit(row["unit"], lang),
                missing=[kpi_words.say(kpi_words.MISSING, key, lang) for key in row["missing"]],
                notes=[kpi_words.say(kpi_words.NOTES, key, lang) for key in row["notes"]],
                **{key: row[key] for key in ("district", "value", "low", "high")},
            )
        )
    return shapes.Figures(since=iso(found.since) or "", until=iso(found.until) or "", figures=figures)


@router.get("/audit")
def audit(page: ThePage, _user: Admin, last: Annotated[int, Query(ge=1, le=1000)] = 200) -> list[shapes.AuditLine]:
    """Return the newest lines of the audit, for admins."""
    return [shapes.AuditLine(**line) for line in page.audit.last(last)]


def _moment(text: str, timezone: str) -> np.datetime64 | None:
    """Return a time in UTC; None for no text, 400 for one that is no time."""
    if not text.strip():
        return None
    try:
        when = datetime.fromisoformat(text.strip())
        if when.tzinfo is None:
            when = when.replace(tzinfo=ZoneInfo(timezone))
        naive = when.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise HTTPException(400, "not a time: write 2019-01-31T08:00") from None
    if not 1700 <= naive.year <= 2200:  # what fits into 64 bits of nanoseconds
        raise HTTPException(400, "not a time of ours: write 2019-01-31T08:00")
    return np.datetime64(naive, "ns")
