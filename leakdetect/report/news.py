"""What is new, in words: the sentence on top, and what has become of earlier events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from leakdetect.events import Event
from leakdetect.report.language import Language
from leakdetect.store import News

_TOLD = 0.1  # share by which a flow must have changed to be told
_REASONS = {
    "its signature has ended": "why_ended",
    "has grown since it was dismissed": "why_grown",
}
_US = "leakdetect"


class Shown(Protocol):
    """An active event as the page shows it."""

    @property
    def number(self) -> int:
        """Of its section."""

    @property
    def event(self) -> Event:
        """With its newest estimate."""

    @property
    def new(self) -> bool:
        """Whether it is new."""

    @property
    def dma(self) -> str:
        """District."""


@dataclass(frozen=True)
class Item:
    """What has changed of an event; `number` is its section's, 0 where it has none."""

    number: int
    name: str
    texts: tuple[str, ...]


def headline(
    views: Sequence[Shown], now: np.datetime64, timezone: str, lang: Language, news: News | None = None
) -> str:
    """Return the one sentence of what is new; it names the last reading, since a page may be read late."""
    if news is None or news.is_day:
        when = lang.say("in_a_day", time=lang.time(now, timezone))
    else:
        when = lang.say("since", time=lang.time(news.since, timezone))
    new = [v for v in views if v.new]
    old = len(views) - len(new)
    total = lang.flow(sum(v.event.flow_m3h for v in (new or views)))
    if not new:
        place = _place(views[0], lang) if len(views) == 1 else ""
        state = lang.count("open", len(views), flow=total, place=place) if views else lang.say("none_open")
        return f"{lang.say('nothing_new', when=when)} {state}"
    first = max(new, key=lambda v: v.event.flow_m3h)
    since, place = lang.date(first.event.start, timezone), _place(first, lang)
    if len(new) == 1:
        what = lang.say(f"a_{first.event.kind}")
        text = lang.say("new_one", when=when, what=what, flow=total, since=since, place=place)
    else:
        largest = lang.flow(first.event.flow_m3h)
        text = lang.say("new_many", when=when, n=len(new), flow=total, largest=largest, since=since, place=place)
    return f"{text} {lang.count('open_more', old)}" if old else text


def _place(view: Shown, lang: Language) -> str:
    if view.event.candidates:
        return lang.say("place_pipe", link=view.event.candidates[0].link)
    return lang.say("place_dma", dma=view.dma) if view.dma else ""


def items(
    news: News | None, views: Sequence[Shown], events: Sequence[Event], timezone: str, lang: Language
) -> list[Item]:
    """Return what has become of each event that was not raised since: status, flow, place, and who says so."""
    if news is None:
        return []
    active = {v.event.id: v for v in views}
    known = {e.id: e for e in events}
    by_event: dict[str, list[Mapping[str, Any]]] = {}
    for change in news.changes:
        if change["event"] in known and change["event"] not in news.raised:
            by_event.setdefault(change["event"], []).append(change)
    found = []
    for name, changes in by_event.items():
        texts = tuple(_texts(changes, lang))
        if texts:
            event, view = known[name], active.get(name)
            number = view.number if view is not None else 0
            label = lang.say("event_heading", number=number, kind=lang.say(event.kind)) if number else ""
            found.append(Item(number, label or _name(event, timezone, lang), texts))
    return sorted(found, key=lambda item: (item.number == 0, item.number, item.name))


def _name(event: Event, timezone: str, lang: Language) -> str:
    """Return what an event that is over is called."""
    words = [lang.say(event.kind), *(c.link for c in event.candidates[:1]), lang.date(event.start, timezone)]
    return lang.say("event_over", what=", ".join(words))


def _texts(changes: Sequence[Mapping[str, Any]], lang: Language) -> list[str]:
    texts = []
    for change in changes:
        status = change["detail"].get("status", ["", ""])
        if status[0] != status[1] and status[1]:
            texts.append(_status(change, status[1], lang))
    flow = [c["detail"]["flow_m3h"] for c in changes if isinstance(c["detail"].get("flow_m3h"), list)]
    if flow and abs(flow[-1][1] - flow[0][0]) > _TOLD * abs(flow[0][0]):
        texts.append(lang.say("flow_changed", before=lang.flow(flow[0][0]), after=lang.flow(flow[-1][1])))
    pipe = [c["detail"]["pipe"] for c in changes if "pipe" in c["detail"]]
    if pipe and pipe[-1][1] != pipe[0][0]:
        texts.append(lang.say("pipe_changed", before=pipe[0][0] or "–", after=pipe[-1][1] or "–"))
    return texts


def _status(change: Mapping[str, Any], status: str, lang: Language) -> str:
    """Return a change of status and its reason: a person's own words, or ours in the reader's language."""
    text = lang.say("now_status", status=lang.say(status))
    if change["by"] != _US:
        text = lang.say("said_by", text=text, by=change["by"])
        return lang.say("with_why", text=text, why=change["why"]) if change["why"] else text
    reason = _REASONS.get(change["why"], "why_again" if change["why"] else "")
    return lang.say("with_why", text=text, why=lang.say(reason)) if reason else text
