"""How numbers, times and units are written in each language, and the words of the report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from leakdetect.errors import InputError
from leakdetect.plot import ENGLISH as ENGLISH_PLOT
from leakdetect.plot import Words
from leakdetect.report.words import ENGLISH, FRENCH

_HARD, _THIN = "\u00a0", "\u202f"


@dataclass(frozen=True)
class Language:
    """A language: its words and the way it writes numbers.

    `plot` are the words of the pictures; `gap` stands between a number and its % sign.
    """

    code: str
    words: Mapping[str, str]
    plot: Words
    thousands: str
    gap: str

    def say(self, key: str, **values: str | int) -> str:
        """Return a text with its values filled in."""
        return self.words[key].format(**values)

    def count(self, key: str, n: int, **values: str | int) -> str:
        """Return a text in the singular or the plural (French counts 0 as singular)."""
        one = n == 1 or (n == 0 and self.code == "fr")
        return self.say(f"{key}_{'one' if one else 'many'}", n=n, **values)

    def number(self, value: float, digits: int = 0) -> str:
        """Return a number with this many decimals; a dash where there is none."""
        if not math.isfinite(value):
            return "–"
        text = f"{value:,.{digits}f}".replace("-", "−")
        return text.replace(",", "\0").replace(".", self.plot.decimal).replace("\0", self.thousands)

    def figure(self, value: float) -> str:
        """Return a number with at least three figures; a whole one without decimals."""
        size = abs(value)
        return self.number(value, 0 if value == round(value) else sum(size < limit for limit in (100, 10, 1)))

    def flow(self, value: float) -> str:
        """Return a flow in m3/h: two figures are all that an estimate bears."""
        return self.number(value, 1 if abs(value) < 9.95 else 0)

    def percent(self, share: float, digits: int = 0) -> str:
        """Return a share of one as a percentage."""
        if not math.isfinite(share):
            return "–"
        least, value, sign = 10.0**-digits, share * 100, ""
        if 0 < value < least / 2:  # neither none of it nor all of it
            value, sign = least, "<"
        elif 100 - least / 2 <= value < 100:
            value, sign = 100 - least, ">"
        return f"{sign}{self.gap if sign else ''}{self.number(value, digits)}{self.gap}%"

    def estimate(self, value: float) -> str:
        """Return a volume or a sum of money: three figures at most, which is more than an estimate bears."""
        return self.number(float(f"{value:.3g}"))

    def length(self, metres: float) -> str:
        """Return a length along the streets."""
        return f"{self.number(metres / 1000, 1)}{_HARD}km" if metres >= 9950 else f"{self.number(metres)}{_HARD}m"

    def date(self, time: np.datetime64, timezone: str) -> str:
        """Return the day of a UTC time in the site's zone."""
        if np.isnat(time):
            return "–"
        local = _local(time, timezone)
        day = "1er" if self.code == "fr" and local.day == 1 else local.day
        return f"{day}{_HARD}{self.plot.months[local.month - 1]}{_HARD}{local.year}"

    def time(self, time: np.datetime64, timezone: str, after: np.datetime64 | None = None) -> str:
        """Return day and clock time of a UTC time in the site's zone; no day if it is the same as `after`'s."""
        if np.isnat(time):
            return "–"
        clock = f"{_local(time, timezone):%H:%M}"
        if after is not None and self.date(after, timezone) == self.date(time, timezone):
            return clock
        return f"{self.date(time, timezone)}, {clock}"

    def unit(self, name: str) -> str:
        """Return a unit as it is printed."""
        return name.replace("m3", "m³").replace("ft3", "ft³")


def _local(time: np.datetime64, timezone: str) -> pd.Timestamp:
    return pd.Timestamp(time).tz_localize("UTC").tz_convert(ZoneInfo(timezone))


_FRENCH_PLOT = Words(
    measured="mesuré",
    expected="attendu, ± 2 erreurs types",
    residual="mesuré − attendu",
    onset="début (intervalle à 80 %)",
    raised="signalée",
    daily="moyennes par jour",
    decimal=",",
    months=("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
)


def kept_together(text: str, code: str) -> str:
    """Return a text with no-break spaces between numbers and what they count and, in French, before double signs."""
    return re.sub(r"(?<=\{n\}) | (?=m³)" + ("| (?=[:;?!%»])" if code == "fr" else ""), _HARD, text)


def _words(words: Mapping[str, str], code: str) -> Mapping[str, str]:
    return {key: kept_together(text, code) for key, text in words.items()}


LANGUAGES = {
    "en": Language("en", _words(ENGLISH, "en"), ENGLISH_PLOT, ",", ""),
    "fr": Language("fr", _words(FRENCH, "fr"), _FRENCH_PLOT, _THIN, _HARD),
}


def language(code: str) -> Language:
    """Return a language; `InputError` if the report does not speak it."""
    try:
        return LANGUAGES[code]
    except KeyError:
        raise InputError(f"language '{code}' is not known: use one of {', '.join(LANGUAGES)}") from None
