"""The page's box of key figures: the few that say how a network does, of those that could be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leakdetect.kpi import words
from leakdetect.kpi.figures import Figure
from leakdetect.report.language import Language

_SHOWN = ("min_night_flow", "real_losses", "ili", "p104_3", "losses_per_mains", "leak_volume")
_HARD = "\u00a0"


@dataclass(frozen=True)
class Tile:
    """A figure as written: its name, value with unit, and interval ('' where none is known)."""

    label: str
    value: str
    between: str


def tiles(figures: Sequence[Figure], lang: Language) -> list[Tile]:
    """Return the box's figures of the whole service, in their order; those without a value are left out."""
    known = {f.name: f for f in figures if not f.district and f.value is not None}
    found = []
    for name in _SHOWN:
        figure = known.get(name)
        if figure is None or figure.value is None:
            continue
        unit = words.unit(figure.unit, lang.code)
        between = ""
        if figure.low is not None and figure.high is not None:
            between = lang.say("between_values", low=lang.figure(figure.low), high=lang.figure(figure.high))
        value = lang.figure(figure.value) + (f"{_HARD}{unit}" if unit else "")
        found.append(Tile(words.say(words.LABELS, name, lang.code), value, between))
    return found
