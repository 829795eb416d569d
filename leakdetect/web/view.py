"""Results as plain values for the browser: no computing beyond sums, means of what is drawn, and units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakdetect.events import Event, iso, parse_time
from leakdetect.plot import colour, window
from leakdetect.report import facts
from leakdetect.report.geojson import finite
from leakdetect.report.language import language
from leakdetect.report.news import headline
from leakdetect.report.quality import quality
from leakdetect.report.svgmap import Map
from leakdetect.report.weighed import channel, explanations, is_balance, remarks
from leakdetect.schema import SENSOR, TIME, Flag
from leakdetect.site import Site
from leakdetect.web import shapes
from leakdetect.web.sites import Results

_MARKED = 5  # pipes with their rank on the map of an event
RUNS = 20  # that are listed


def _text(time: np.datetime64) -> str:
    return iso(time) or ""


# -- sites ----------------------------------------------------------------------------------------------------------


def card(name: str, site: Site, events: Sequence[Event], runs: Sequence[dict[str, Any]]) -> shapes.SiteCard:
    """Return a site as the overview shows it; `runs` are those of the last week."""
    ends = [time for run in runs if (time := parse_time(run.get("until"))) is not None]
    now = max([*ends, *(event.data_until for event in events)], default=np.datetime64("NaT", "ns"))
    active = [facts.current(event) for event in facts.in_order(events)[0]]
    taken = [(run["steps"], run["quality"]["usable"]) for run in runs if run.get("quality")]
    steps = sum(count for count, _ in taken)
    last = runs[-1] if runs else {}
    return shapes.SiteCard(
        id=name,
        name=site.name,
        timezone=site.timezone,
        open=len(active),
        new=sum(facts.is_new(event, now) for event in active),
        flow_m3h=round(sum(event.flow_m3h for event in active if np.isfinite(event.flow_m3h)), 3),
        usable=round(sum(count * usable for count, usable in taken) / steps, 4) if steps else None,
        until=None if np.isnat(now) else _text(now),
        last_run=last.get("started"),
        outcome=str(last.get("outcome", "")),
        error=str(last.get("error") or ""),
    )


def failed(name: str, title: str, error: str) -> shapes.SiteCard:
    """Return a site that cannot be shown."""
    return shapes.SiteCard(
        id=name,
        name=title,
        timezone="UTC",
        open=0,
        new=0,
        flow_m3h=0.0,
        usable=None,
        until=None,
        last_run=None,
        outcome="",
        error=error,
    )


# -- events ---------------------------------------------------------------------------------------------------------


def _row(results: Results, raised: Event, number: int | None) -> dict[str, Any]:
    event, lost = facts.current(raised), facts.lost(raised).best
    first = event.candidates[0] if event.candidates else None
    return {
        "id": event.id,
        "number": None if number is None else number + 1,
        "colour": "" if number is None else colour(number),
        "status": str(event.status),
        "kind": str(event.kind),
        "new": facts.is_active(event) and facts.is_new(event, results.now),
        "raised_at": _text(event.raised_at),
        "start": _text(event.start),
        "end": iso(event.end),
        "flow_m3h": finite(event.flow_m3h),
        "mean_m3h": finite(facts.mean_flow(raised)),
        "lost_m3": finite(lost),
        "money": _worth(results, lost),
        "currency": results.site.costs.currency,
        "first_link": first.link if first else None,
        "first_probability": finite(first.probability) if first else None,
        "dma": _dma(results, raised),
        "zone_length_m": finite(event.zone.length_m),
        "zone_probability": finite(event.zone.probability),
    }


def _worth(results: Results, volume: float) -> float | None:
    price = results.site.costs.water_per_m3
    return finite(volume * price) if price else None


def _dma(results: Results, event: Event) -> str:
    known = dict(zip(results.data[SENSOR].values.tolist(), results.data["dma"].values.tolist(), strict=True))
    return next((str(known[e.sensor]) for e in event.evidence if e.sensor in known), "")


def rows(results: Results) -> list[shapes.EventRow]:
    """Return all events: those that may still run first, newest first."""
    active, over = facts.in_order(results.events)
    return [shapes.EventRow(**_row(results, event, i)) for i, event in enumerate(active)] + [
        shapes.EventRow(**_row(results, event, None)) for event in over
    ]


@dataclass(frozen=True)
class _Active:
    """An event that may still run, as the sentence on top wants it."""

    number: int
    event: Event
    new: bool
    dma: str


def news(results: Results, lang: str) -> shapes.News:
    """Return the sentence that the report has on top, of the last day of readings."""
    shown = [
        _Active(number, facts.current(raised), facts.is_new(raised, results.now), _dma(results, raised))
        for number, raised in enumerate(facts.in_order(results.events)[0], 1)
    ]
    text = headline(shown, results.now, results.site.timezone, language(lang))
    return shapes.News(text=text, until=iso(results.now))


def full(results: Results, event_id: str, history: Sequence[dict[str, Any]], lang: str = "en") -> shapes.EventFull:
    """Return one event; `event_id` is one of the results'."""
    words = language(lang)
    active, over = facts.in_order(results.events)
    raised = next(event for event in (*active, *over) if event.id == event_id)
    event, lost = facts.current(raised), facts.lost(raised)
    data = results.data
    known = {str(name) for name in data[SENSOR].values}
    times = data[TIME].values
    return shapes.EventFull(
        **_row(results, raised, active.index(raised) if raised in active else None),
        start_low=_text(event.start_low),
        start_high=_text(event.start_high),
        flow_low=finite(event.flow_low),
        flow_high=finite(event.flow_high),
        flow_raised_m3h=finite(raised.flow_m3h),
        lost_low=finite(lost.low),
        lost_high=finite(lost.high),
        month_m3=finite(facts.monthly(raised)),
        month_money=_worth(results, facts.monthly(raised)),
        zone_pipes=len(event.zone.links),
        candidates=[
            shapes.Candidate(link=c.link, probability=finite(c.probability), length_m=_length(results, c.link))
            for c in event.candidates[: facts.ranked(event)]
        ],
        evidence=[
            shapes.Evidence(
                sensor=e.sensor, label=channel(e.sensor, words), share=finite(e.share), has_series=e.sensor in known
            )
            for e in event.evidence
            if e.sensor in known or is_balance(e.sensor)  # what is neither is a customer's meter
        ],
        weighed=[
            shapes.Explanation(text=e.text, explained=e.explained, is_leak=e.is_leak)
            for e in explanations(raised, words)
            if not e.sensor or e.sensor in known or is_balance(e.sensor)
        ],
        remarks=list(remarks(raised, words)),
        history=[
            shapes.Change(
                **{key: change[key] or "" for key in ("at", "by", "status", "why", "link")}, run=change["run"]
            )
            for change in history
        ],
        model=event.model,
        data_until=_text(event.data_until),
        window=[_text(time) for time in window(event, times[0], times[-1])] if times.size else [],
    )


def _length(results: Results, link: str) -> float | None:
    network = results.network
    if network is None or not network.has_link(link):
        return None
    return finite(float(network.length[network.link(link)]))


# -- map ------------------------------------------------------------------------------------------------------------


def map_of(results: Results, event_id: str = "") -> shapes.MapView:
    """Return the whole network with every open event, or the surroundings of one event."""
    nothing = shapes.MapView(exists=False, box=[], pipes="", zones=[], spots=[], labels=[])
    if results.drawing is None:
        return nothing
    active, over = facts.in_order(results.events)
    if not event_id:
        return _drawn(results, results.drawing.overview([facts.current(event) for event in active]))
    raised = next(event for event in (*active, *over) if event.id == event_id)
    event = facts.current(raised)
    ranked = min(facts.ranked(event), _MARKED)
    near = results.drawing.closeup(event, active.index(raised) if raised in active else 0, ranked)
    return nothing if near is None else _drawn(results, near)


def _drawn(results: Results, view: Map) -> shapes.MapView:
    box = view.box
    return shapes.MapView(
        exists=True,
        box=[box.x, box.y, box.width, box.height],
        pipes=view.pipes or results.base,
        zones=[shapes.Stroke(path=z.path, colour=z.colour, title=z.title, area=z.area) for z in view.zones],
        spots=[shapes.Spot(x=m.x, y=m.y, kind=m.kind, title=m.title, colour=m.colour, text=m.text) for m in view.marks],
        labels=[shapes.Label(x=t.x, y=t.y, text=t.text, anchor=t.anchor) for t in view.labels],
    )


# -- readings -------------------------------------------------------------------------------------------------------


def quality_of(results: Results, runs: Sequence[dict[str, Any]]) -> shapes.Quality:
    """Return how good the readings are, the least usable sensor first, and the newest runs."""
    data = results.data
    times = data[TIME].values
    sensors = [
        shapes.Sensor(
            name=r.name, element=r.element, quantity=r.quantity, unit=r.unit, dma=r.dma, usable=r.usable,
            flags={str(f.name).lower(): share for f, share in zip(Flag, r.flags, strict=True)},
        )
        for r in quality(data, results.site.privacy.smallest_group, language("en"))
    ]  # fmt: skip
    told = [
        shapes.Run(
            number=run["number"], started=run["started"], outcome=str(run.get("outcome", "")), until=run.get("until"),
            new=run.get("new"), usable=finite(run["quality"]["usable"]) if "quality" in run else None,
            note=str(run.get("error") or run.get("note") or ""),
        )
        for run in reversed(runs)
    ]  # fmt: skip
    ends = (_text(times[0]), _text(times[-1])) if times.size else (None, None)
    return shapes.Quality(since=ends[0], until=ends[1], sensors=sensors, runs=told)
