"""What else might have caused an event, in words: the detector's own comparison, kept with the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leakdetect.events import WEIGHED, Event
from leakdetect.report.language import Language

_KINDS = {"sensor": "rival_sensor", "setting": "rival_setting", "demand": "rival_demand", "growth": "rival_growth"}
_OF = "of "


@dataclass(frozen=True)
class Explanation:
    """One explanation of what was seen, and the share of it that it accounts for alone."""

    text: str
    explained: float
    is_leak: bool


def explanations(event: Event, lang: Language) -> tuple[Explanation, ...]:
    """Return the leak and its rivals, as weighed when the event was raised; none where no model compared them."""
    rows = [row for row in _rows(event) if "explained" in row]
    return tuple(
        Explanation(_cause(str(row["cause"]), event, lang), float(row["explained"]), row["cause"] == "leak")
        for row in rows
    )


def remarks(event: Event, lang: Language) -> tuple[str, ...]:
    """Return what was weighed of an event that the inflow alone told, as sentences."""
    told = [
        lang.say("weighed_hours", night=lang.flow(row["night_m3h"]), day=lang.flow(row["day_m3h"]))
        for row in _rows(event)
        if "night_m3h" in row
    ]
    return (*told, *(() if event.candidates else (lang.say("weighed_inflow"),)))


def _rows(event: Event) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = event.latest.get(WEIGHED, ())
    return rows


def _cause(cause: str, event: Event, lang: Language) -> str:
    kind, _, rest = cause.partition(" ")
    if kind == "leak":
        return lang.say("rival_leak", link=event.candidates[0].link if event.candidates else "")
    name = rest.removeprefix(_OF)
    if kind == "demand" and not name:
        return lang.say("rival_demand_all")
    return lang.say(_KINDS[kind], name=name) if kind in _KINDS else cause
