"""The series of reports, put off: to write them takes longer than all the rest of a step."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import xarray as xr

from leakdetect.netcdf import write_series
from leakdetect.schema import TIME, joined
from leakdetect.site import Site

_APART = 60.0  # [s] between writings


class Series:
    """What runs add to the series of a site and is not yet written; a process that is killed loses it.

    The next run makes it again, since it finds the series behind the progress.

    Parameters
    ----------
    site : Site
    """

    def __init__(self, site: Site) -> None:
        self._site, self._parts, self._at = site, list[xr.Dataset](), monotonic()

    def later(self, site: Site, grown: xr.Dataset, fresh: bool) -> None:
        """Put off what a run adds, of steps that follow; parameters as `write_series`."""
        if fresh:
            self.now(site, grown, fresh)
            return
        self._parts.append(grown)
        if monotonic() - self._at >= _APART:
            self.write()

    def now(self, site: Site, grown: xr.Dataset, fresh: bool) -> None:
        """Write what a whole run adds: that steps which it took again were not replaced nobody would find."""
        self.write()
        write_series(site, grown, fresh)

    def write(self) -> None:
        """Write what was put off."""
        self._at = monotonic()
        if self._parts:
            parts, self._parts = self._parts, []
            for part in _forward(parts):
                write_series(self._site, part, False)


def _forward(parts: list[xr.Dataset]) -> Iterator[xr.Dataset]:
    """Join pieces that go on where the one before stopped; one that goes back begins anew."""
    held: list[xr.Dataset] = []
    for part in parts:
        if held and part[TIME].values[0] <= held[-1][TIME].values[-1]:
            yield joined(held)
            held = []
        held.append(part)
    yield joined(held)
