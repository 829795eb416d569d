"""What a site says of a place, and the time that figures are of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakdetect.site import Kpi, Place, Site

DAY = 86400.0
_YEAR = 365.25


@dataclass(frozen=True)
class Span:
    """The time that figures are of (UTC)."""

    since: np.datetime64
    until: np.datetime64

    @property
    def days(self) -> float:
        """Its length [d]."""
        return float((self.until - self.since) / np.timedelta64(1, "s")) / DAY

    @property
    def is_year(self) -> bool:
        """Whether it is twelve months: 365 or 366 days, an hour of a clock change aside."""
        return abs(self.days - 365.5) < 0.6

    @property
    def years(self) -> float:
        """What yearly volumes are multiplied by."""
        return 1.0 if self.is_year else self.days / _YEAR


@dataclass(frozen=True)
class Answers:
    """What site.toml says of a place, and how its keys are called there."""

    site: Site
    name: str
    place: Place
    inhabitants: int | None
    connections: int | None

    @classmethod
    def of(cls, site: Site, name: str) -> Answers:
        """Return the answers for a district; '' for the whole."""
        if not name:
            return cls(site, name, site.kpi, site.inhabitants, site.connections)
        district = site.kpi.districts.get(name)
        if district is None:
            return cls(site, name, Place(), None, None)
        return cls(site, name, district, district.inhabitants, district.connections)

    @property
    def policy(self) -> Kpi:
        """The keys that hold for all places alike."""
        return self.site.kpi

    def lacks(self, *keys: str) -> tuple[str, ...]:
        """Return those keys of this place that are not given, as site.toml has them."""
        return tuple(self._called(key) for key in keys if self._value(key) is None)

    def lacks_policy(self, *keys: str) -> tuple[str, ...]:
        """Return those keys of ``[kpi]`` that are not given."""
        return tuple(f"kpi.{key}" for key in keys if getattr(self.policy, key) is None)

    def _value(self, key: str) -> object:
        return getattr(self, key) if key in {"inhabitants", "connections"} else getattr(self.place, key)

    def _called(self, key: str) -> str:
        if self.name:
            return f"kpi.districts.{self.name}.{key}"
        return key if key in {"inhabitants", "connections"} else f"kpi.{key}"
