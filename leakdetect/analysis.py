"""What runs have found at a site, for notebooks: series as one dataset, events, and pictures of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from leakdetect import pipeline, plot
from leakdetect.errors import ElementError, InputError, NetworkError
from leakdetect.events import Event
from leakdetect.network import Network
from leakdetect.schema import SENSOR
from leakdetect.site import Site

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Results:
    """What runs have found at a site.

    Attributes
    ----------
    site : Site
    network : Network or None
    data : xarray.Dataset
        ``reading, flag, usable, expected, expected_sd, residual`` of dims (time, sensor); see `schema`. SI units, UTC.
    events : tuple of Event
        All of them, whatever their status, by the time they were raised.
    """

    site: Site
    network: Network | None
    data: xr.Dataset
    events: tuple[Event, ...]

    @property
    def plot(self) -> Plots:
        """Pictures of it."""
        return Plots(self)

    def event(self, name: str) -> Event:
        """Return the event of an id; `InputError` if there is none."""
        for event in self.events:
            if event.id == name:
                return event
        raise InputError(f"no event '{name}': there are {', '.join(e.id for e in self.events) or 'none'}")


class Plots:
    """Pictures of results, on the matplotlib axes given or on a figure of their own; each returns its axes."""

    def __init__(self, results: Results) -> None:
        self._of = results

    def map(self, events: Sequence[Event] | None = None, ax: Axes | None = None) -> Axes:
        """Draw the network with the zones of events (all of the site if not given); see `plot.map`.

        Raises
        ------
        NetworkError
            If the site has no network.
        """
        if self._of.network is None:
            raise NetworkError(f"{self._of.site.name}: has no network, so no map: draw .plot.series() instead")
        return plot.map(self._of.network, self._of.events if events is None else events, ax)

    def series(self, event: Event | str | None = None, sensor: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw what a sensor measured and what was expected, in its unit and the site's time; see `plot.series`.

        Parameters
        ----------
        event : Event or str, optional
            An event, or its id: the time around it is drawn. All of the time without one.
        sensor : str, optional
            If not given, the one with the largest share in the event's evidence; without an event the first.
        ax : Axes, optional

        Raises
        ------
        ElementError
            If there is no such sensor, or none of the event's is in the series.
        InputError
            If there is no event of this id.
        """
        shown, name = self._chosen(event, sensor)
        return plot.series(self._of.data, name, shown, ax, timezone=self._of.site.timezone)

    def residual(self, event: Event | str | None = None, sensor: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw a sensor's residual over the band in which it should lie; parameters and errors as `series`."""
        shown, name = self._chosen(event, sensor)
        return plot.residual(self._of.data, name, shown, ax, timezone=self._of.site.timezone)

    def _chosen(self, event: Event | str | None, sensor: str | None) -> tuple[Event | None, str]:
        shown = self._of.event(event) if isinstance(event, str) else event
        if sensor is not None:
            return shown, sensor
        known = [str(name) for name in self._of.data[SENSOR].values]
        wanted = known if shown is None else [e.sensor for e in shown.evidence if e.sensor in known]
        if not wanted:
            raise ElementError(f"event '{shown.id if shown else ''}': none of its sensors is in the series: name one")
        return shown, wanted[0]


def results(folder: Path | str) -> Results:
    """Return what runs have found at a site.

    Parameters
    ----------
    folder : Path or str
        The site folder.

    Raises
    ------
    NotFittedError
        If nothing was detected yet.
    LeakdetectError
        If the site or what runs left cannot be read.
    """
    site, network, data, events = pipeline.results(Path(folder))
    return Results(site, network, data, tuple(events))
