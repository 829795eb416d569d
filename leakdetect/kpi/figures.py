"""A key figure: its number, or what is missing for it; and the list of all, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MONEY = "money"
"""Stands for the site's currency in `UNITS`."""

UNITS = {
    "min_night_flow": "m3/h", "nights": "d", "night_use": "m3/h", "night_day_factor": "h/d",
    "real_losses_night": "m3/d",
    "system_input": "m3", "water_supplied": "m3", "billed": "m3", "unbilled": "m3", "water_losses": "m3",
    "apparent_losses": "m3", "real_losses": "m3", "non_revenue_water": "m3", "non_revenue_share": "%",
    "average_pressure": "m", "mains": "km", "uarl": "m3/d", "ili": "1", "losses_per_connection": "L/d",
    "losses_per_mains": "m3/d/km",
    "p104_3": "%", "p104_3_threshold": "%", "p105_3": "m3/d/km", "p106_3": "m3/d/km",
    "daily_volume": "m3/d", "eu_in_scope": "0/1",
    "leaks_raised": "1", "leak_volume": "m3", "cost_of_losses": MONEY, "energy_of_losses": "kWh",
    "co2_of_losses": "kg", "saved_volume": "m3", "saved_money": MONEY, "programme_cost": MONEY,
    "return_on_investment": "%",
}  # fmt: skip
"""Unit of every figure."""

GROUPS = {
    "night": "min_night_flow", "balance": "system_input", "losses": "average_pressure", "sispea": "p104_3",
    "directive": "daily_volume", "money": "leaks_raised",
}  # fmt: skip
"""The groups of figures and the first of each."""

NOTES = (
    "assumed_night_use", "assumed_n1", "assumed_unauthorised", "assumed_price", "drawn_pressure", "logger_pressure",
    "drawn_mains", "scaled_volumes", "not_a_year", "by_night_flow", "by_balance", "below_zero", "small_network",
    "low_pressure", "meets_threshold", "below_threshold", "nights_spread", "leak_interval", "gaps", "still_open",
    "none_given", "limits_95", "assumed_uncertainty",
)  # fmt: skip
"""What may be said of a figure."""

VERDICTS = {
    "below_zero", "small_network", "low_pressure", "meets_threshold", "below_threshold", "gaps", "still_open",
}  # fmt: skip
"""Those of them that judge a figure; the others say how it was found."""


@dataclass(frozen=True)
class Figure:
    """A key figure of the service or of a district.

    Attributes
    ----------
    name : str
        A key of `UNITS`.
    district : str
        '' for the whole service.
    value : float or None
        In `unit`; None where it cannot be computed.
    unit : str
    low, high : float or None
        An interval where one is known.
    missing : tuple of str
        The keys of site.toml without which there is no value; ``readings`` where they are what is missing.
    notes : tuple of str
        From `NOTES`.
    """

    name: str
    district: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Sheet:
    """Figures of one place as they are computed; each rests on numbers that may be missing."""

    def __init__(self, district: str, currency: str) -> None:
        self.figures: list[Figure] = []
        self._district, self._currency = district, currency

    def add(
        self,
        name: str,
        value: float | None,
        *,
        low: float | None = None,
        high: float | None = None,
        missing: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> None:
        """Add a figure; without a value it keeps only what is missing."""
        lacks = tuple(dict.fromkeys(missing))
        if low == high:
            low = high = None
        unit = self._currency if UNITS[name] == MONEY else UNITS[name]
        if value is None or lacks:
            self.figures.append(Figure(name, self._district, None, unit, missing=lacks))
        else:
            self.figures.append(
                Figure(name, self._district, float(value), unit, low, high, (), tuple(dict.fromkeys(notes)))
            )
