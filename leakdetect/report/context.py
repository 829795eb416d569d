"""What the page shows, gathered from the results: no computing beyond sums and formatting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from leakdetect import __version__
from leakdetect.events import Candidate, Event, Evidence
from leakdetect.network import Network
from leakdetect.plot import colour, window
from leakdetect.report import charts, facts
from leakdetect.report.language import Language
from leakdetect.report.svgmap import Drawing, Map
from leakdetect.schema import SENSOR, TIME, Flag
from leakdetect.site import Site

RANKED = 10  # pipes listed of each event
_CHARTS = 4  # sensors drawn of each event
_SHARES = 6  # sensors named in the list of evidence
_GOOD = 0.995  # usable share from which a sensor needs no row of its own
_ROWS = 25  # sensors that are listed even if all are good


@dataclass(frozen=True)
class Pipe:
    """A row of the list of pipes to search."""

    name: str
    between: str
    length: float
    probability: float
    walked: float
    found: float


@dataclass(frozen=True)
class Chart:
    """A picture and its alternative text."""

    title: str
    uri: str
    alt: str


@dataclass(frozen=True)
class EventView:
    """An event as shown: `event` holds the newest estimate, `raised` the first."""

    number: int
    colour: str
    event: Event
    raised: Event
    new: bool
    lost: facts.Amount
    monthly: float
    dma: str
    pipes: tuple[Pipe, ...]
    more: tuple[int, float]
    evidence: tuple[Evidence, ...]
    others: tuple[int, float]
    map: Map | None
    charts: tuple[Chart, ...]
    window: tuple[np.datetime64, np.datetime64] | None


@dataclass(frozen=True)
class SensorRow:
    """A row of the data quality table; shares of the time."""

    name: str
    element: str
    quantity: str
    unit: str
    dma: str
    usable: float
    flags: tuple[float, ...]


@dataclass(frozen=True)
class _Page:
    """What all parts of a page share."""

    site: Site
    network: Network | None
    drawing: Drawing | None
    data: xr.Dataset
    now: np.datetime64
    lang: Language


def build(
    site: Site, network: Network | None, data: xr.Dataset, events: Sequence[Event], lang: Language
) -> dict[str, Any]:
    """Return the template's context."""
    active, over = facts.in_order(events)
    now = _now(data, events)
    drawing = Drawing(network, data) if network is not None else None
    if drawing is not None and not drawing.exists:
        drawing = None
    page = _Page(site, network, drawing, data, now, lang)
    views = [_view(page, e, i) for i, e in enumerate(active)]
    rows = quality(data)
    price = site.costs.water_per_m3
    bad = [row for row in rows if row.usable < _GOOD] if len(rows) > _ROWS else rows
    return {
        "L": lang,
        "site": site,
        "network": network,
        "version": __version__,
        "now": now,
        "start": data[TIME].values[0] if data.sizes[TIME] else None,
        "headline": headline(views, site.timezone, lang),
        "views": views,
        "drawing": drawing,
        "base": drawing.base() if drawing is not None else "",
        "kinds": {
            kind: drawing is not None and any(m.kind == kind for m in drawing.sensors) for kind in ("flow", "demand")
        },
        "map_events": ", ".join(str(v.number) for v in views) or lang.say("map_none"),
        "overview": drawing.overview([v.event for v in views]) if drawing is not None else None,
        "inflows": () if drawing is not None else _inflows(page, [v.event for v in views]),
        "rows": rows,
        "bad_rows": bad,
        "good": _GOOD,
        "flags": [(i, f) for i, f in enumerate(Flag) if any(row.flags[i] > 0 for row in rows)],
        "all_flags": list(Flag),
        "money": lambda volume: f"{lang.number(volume * price)}\u00a0{site.costs.currency}",
        "price": f"{lang.number(price, 2)}\u00a0{site.costs.currency}",
        "history": [_past(e) for e in over],
    }


def headline(views: Sequence[EventView], timezone: str, lang: Language) -> str:
    """Return the one sentence of what is new."""
    new = [v for v in views if v.new]
    old = len(views) - len(new)
    total = lang.flow(sum(v.event.flow_m3h for v in (new or views)))
    if not new:
        state = lang.count("open", len(views), flow=total) if views else lang.say("none_open")
        return f"{lang.say('nothing_new')} {state}"
    first = max(new, key=lambda v: v.event.flow_m3h)
    since, place = lang.date(first.event.start, timezone), _place(first, lang)
    if len(new) == 1:
        text = lang.say("new_one", what=lang.say(f"a_{first.event.kind}"), flow=total, since=since, place=place)
    else:
        largest = lang.flow(first.event.flow_m3h)
        text = lang.say("new_many", n=len(new), flow=total, largest=largest, since=since, place=place)
    return f"{text} {lang.count('open_more', old)}" if old else text


def quality(data: xr.Dataset) -> list[SensorRow]:
    """Return a row for each sensor, the least usable first."""
    steps = max(data.sizes[TIME], 1)
    reading = np.isfinite(data["reading"].values)
    usable = (data["usable"].values if "usable" in data else reading).sum(axis=0) / steps
    flag = data["flag"].values if "flag" in data else np.where(reading, 0, int(Flag.MISSING))
    shares = [((flag & int(f)) > 0).sum(axis=0) / steps for f in Flag]
    rows = [
        SensorRow(
            name=str(name),
            element=str(data["element"].values[i]),
            quantity=str(data["quantity"].values[i]),
            unit=str(data["unit"].values[i]),
            dma=str(data["dma"].values[i]),
            usable=float(usable[i]),
            flags=tuple(float(share[i]) for share in shares),
        )
        for i, name in enumerate(data[SENSOR].values)
    ]
    return sorted(rows, key=lambda row: row.usable)


def _view(page: _Page, raised: Event, number: int) -> EventView:
    data, drawing = page.data, page.drawing
    event = facts.current(raised)
    known = {str(name): str(dma) for name, dma in zip(data[SENSOR].values, data["dma"].values, strict=True)}
    seen = [e for e in event.evidence if e.sensor in known]
    times = data[TIME].values
    shown = window(event, times[0], times[-1]) if times.size else None
    rest = event.candidates[RANKED:]
    hidden = event.evidence[_SHARES:]
    return EventView(
        number=number + 1,
        colour=colour(number),
        event=event,
        raised=raised,
        new=facts.is_new(raised, page.now),
        lost=facts.lost(raised),
        monthly=facts.monthly(raised),
        dma=known[seen[0].sensor] if seen else "",
        pipes=_pipes(event.candidates[:RANKED], page.network),
        more=(len(rest), sum(c.probability for c in rest)),
        evidence=event.evidence[:_SHARES],
        others=(len(hidden), sum(e.share for e in hidden)),
        map=drawing.closeup(event, number) if drawing is not None else None,
        charts=tuple(_chart(page, e, event, number, shown) for e in seen[:_CHARTS] if shown),
        window=shown,
    )


def _pipes(candidates: Sequence[Candidate], network: Network | None) -> tuple[Pipe, ...]:
    rows: list[Pipe] = []
    walked = found = 0.0
    for candidate in candidates:
        length, between = float("nan"), ""
        if network is not None and network.has_link(candidate.link):
            j = network.link(candidate.link)
            length = float(network.length[j])
            between = f"{network.node_names[network.start[j]]} – {network.node_names[network.end[j]]}"
        walked += length
        found += candidate.probability
        rows.append(Pipe(candidate.link, between, length, candidate.probability, walked, found))
    return tuple(rows)


def _chart(
    page: _Page, evidence: Evidence, event: Event, number: int, shown: tuple[np.datetime64, np.datetime64]
) -> Chart:
    data, lang, timezone = page.data, page.lang, page.site.timezone
    quantity = str(data["quantity"].values[list(data[SENSOR].values).index(evidence.sensor)])
    share = lang.percent(evidence.share)
    alt = lang.say(
        "series_alt",
        sensor=evidence.sensor,
        share=share,
        quantity=lang.say(f"{quantity}_q"),
        start=lang.date(shown[0], timezone),
        end=lang.date(shown[1], timezone),
        low=lang.time(event.start_low, timezone),
        high=lang.time(event.start_high, timezone),
        raised=lang.time(event.raised_at, timezone),
    )
    title = f"{evidence.sensor} · {lang.say(f'{quantity}_q')} · {share}"
    return Chart(title, charts.sensor(data, evidence.sensor, event, lang, timezone=timezone, shade=colour(number)), alt)


def _inflows(page: _Page, events: Sequence[Event]) -> tuple[Chart, ...]:
    data, lang = page.data, page.lang
    names = [str(n) for n, q in zip(data[SENSOR].values, data["quantity"].values, strict=True) if q == "flow"]
    if not data.sizes[TIME]:
        return ()
    return tuple(
        Chart(
            name,
            charts.inflow(data, name, events, lang, timezone=page.site.timezone),
            lang.say("inflow_alt", sensor=name),
        )
        for name in names
    )


def _past(event: Event) -> dict[str, Any]:
    return {"event": facts.current(event), "lost": facts.lost(event)}


def _place(view: EventView, lang: Language) -> str:
    if view.event.candidates:
        return lang.say("place_pipe", link=view.event.candidates[0].link)
    return lang.say("place_dma", dma=view.dma) if view.dma else ""


def _now(data: xr.Dataset, events: Sequence[Event]) -> np.datetime64:
    """Return the time of the last reading."""
    last = [data[TIME].values[-1]] if data.sizes[TIME] else []
    known: list[np.datetime64] = [*last, *(e.data_until for e in events)]
    return max(known, default=np.datetime64("NaT", "ns"))
