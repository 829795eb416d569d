"""What else might have caused an event, in words: the detector's own comparison, kept with the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leakdetect.events import WEIGHED, Event
from leakdetect.report.language import Language

_KINDS = {"sensor": "rival_sensor", "setting": "rival_setting", "demand": "rival_demand", "growth": "rival_growth"}
_OF = "of "
_BALANCE = "balance"  # of a zone's water, which a detector takes for a sensor


@dataclass(frozen=True)
class Explanation:
    """One explanation of what was seen, and the share of it that it accounts for alone.

    `sensor` is the one whose fault it would be.
    """

    text: str
    explained: float
    is_leak: bool
    sensor: str = ""


def explanations(event: Event, lang: Language) -> tuple[Explanation, ...]:
    """Return the leak and its rivals, as weighed when the event was raised; none where no model compared them."""
    return tuple(
        Explanation(_cause(row["cause"], event, lang), row["explained"], row["cause"] == "leak", _sensor(row["cause"]))
        for row in _rows(event)
        if "explained" in row
    )


def remarks(event: Event, lang: Language) -> tuple[str, ...]:
    """Return what was weighed of an event that the inflow alone told, as sentences."""
    told = [
        lang.say("weighed_hours", night=lang.flow(row["night_m3h"]), day=lang.flow(row["day_m3h"]))
        for row in _rows(event)
        if "night_m3h" in row
    ]
    return (*told, *(() if event.candidates else (lang.say("weighed_inflow"),)))


def is_balance(name: str) -> bool:
    """Say whether what a detector takes for a sensor is a zone's water balance."""
    return name.partition(" ")[0] == _BALANCE


def channel(name: str, lang: Language) -> str:
    """Return a sensor's name; a zone's water balance, which a detector takes for one, in the reader's words."""
    if not is_balance(name):
        return name
    zone = name.removeprefix(_BALANCE).strip()
    return lang.say("balance_of", zone=zone) if zone else lang.say("balance")


def _sensor(cause: str) -> str:
    kind, _, name = cause.partition(" ")
    return name if kind == "sensor" else ""


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
