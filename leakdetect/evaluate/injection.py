"""Leaks of known size put into measured inflows: what share is found, how soon, how well measured.

Real inflows carry no truth. What a detector raises on them as they are is counted against it (some of it may be real);
what it raises beyond that once a leak is added, is counted for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.core import robust
from leakdetect.detector import Detector, State
from leakdetect.errors import InputError
from leakdetect.events import Event, Kind
from leakdetect.schema import SENSOR, TIME, Quantity
from leakdetect.units import M3H

Floats = NDArray[np.float64]

_DAY = np.timedelta64(1, "D")
_EARLY = np.timedelta64(10, "D")  # an event that began longer before, at the latest, is not the leak's
_YEAR = 365.25


@dataclass(frozen=True)
class Leak:
    """A leak to add: `flow` in m3/s; an incipient one grows in a straight line for `growth`."""

    start: np.datetime64
    flow: float
    kind: Kind = Kind.ABRUPT
    growth: np.timedelta64 = field(default_factory=lambda: np.timedelta64(30, "D"))

    def at(self, time: NDArray[np.datetime64]) -> Floats:
        """Return its flow at each time [m3/s]."""
        since = (time - self.start) / (self.growth if self.kind == Kind.INCIPIENT else np.timedelta64(1, "s"))
        return self.flow * np.clip(since, 0.0, 1.0)


@dataclass(frozen=True)
class Found:
    """What became of one added leak.

    Attributes
    ----------
    district : str
    leak : Leak
    share : float
        Its flow over the district's mean inflow.
    event : Event or None
        The first that was raised for it.
    """

    district: str
    leak: Leak
    share: float
    event: Event | None

    @property
    def delay_days(self) -> float:
        """Days from the leak's start to the event, NaN where it was missed."""
        return float("nan") if self.event is None else float((self.event.raised_at - self.leak.start) / _DAY)

    @property
    def flow_error(self) -> float:
        """Flow as raised over the leak's flow at that time, minus 1; NaN where it was missed."""
        if self.event is None:
            return float("nan")
        true = float(self.leak.at(np.array([self.event.raised_at]))[0]) * M3H
        return self.event.flow_m3h / true - 1.0 if true > 0 else float("nan")


@dataclass(frozen=True)
class Summary:
    """Of all leaks of one kind and size: medians over those that were found."""

    kind: Kind
    share: float
    leaks: int
    found: float
    delay_days: float
    flow_error: float


def add(data: xr.Dataset, district: str, leak: Leak) -> xr.Dataset:
    """Return readings in which the district's first flow sensor also shows the leak.

    Raises
    ------
    InputError
        If the district has no flow sensor.
    """
    mine = (data["dma"].values == district) & (data["quantity"].values == str(Quantity.FLOW))
    if not mine.any():
        raise InputError(f"district '{district}' has no flow sensor to add a leak to")
    reading = data["reading"].transpose(TIME, SENSOR).values.copy()
    reading[:, int(np.argmax(mine))] += leak.at(data[TIME].values)
    out = data.copy()
    out["reading"] = ((TIME, SENSOR), reading, data["reading"].attrs)
    return out


def study(
    detector: Detector,
    model: xr.Dataset,
    data: xr.Dataset,
    *,
    starts: Sequence[np.datetime64],
    shares: Sequence[float],
    kinds: Sequence[Kind] = (Kind.ABRUPT, Kind.INCIPIENT),
    days: int = 75,
) -> tuple[list[Found], list[Event]]:
    """Add a leak to every district in turn of size, kind and start, and see what the detector raises beyond.

    Parameters
    ----------
    detector : Detector
    model : xarray.Dataset
        What it fitted.
    data : xarray.Dataset
        Readings to run it on.
    starts : sequence of datetime64
        When leaks begin (UTC), increasing.
    shares : sequence of float
        Leak flow over the district's mean inflow.
    kinds : sequence of Kind
    days : int
        How long a leak is waited for.

    Returns
    -------
    found : list of Found
    false : list of Event
        What it raises on the readings as they are.
    """
    time = data[TIME].values
    flow = data["quantity"].values == str(Quantity.FLOW)
    districts = list(dict.fromkeys(str(d) for d in data["dma"].values[flow]))
    mean = {d: _mean_inflow(data, flow & (data["dma"].values == d)) for d in districts}
    found: list[Found] = []
    state: State = detector.begin(model)
    before = time[0]
    for start in starts:
        state, _, _ = detector.update(model, state, data.isel(time=(time >= before) & (time < start)))
        before = start
        ahead = data.isel(time=(time >= start) & (time < start + days * _DAY))
        usual = {e.id for e in detector.update(model, state, ahead)[1]}
        for kind in kinds:
            for share in shares:
                leaks = {d: Leak(start, share * mean[d], kind) for d in districts}
                leaky = ahead
                for d, leak in leaks.items():
                    leaky = add(leaky, d, leak)
                raised = [e for e in detector.update(model, state, leaky)[1] if e.id not in usual]
                found.extend(Found(d, leak, share, _first(raised, data, d, leak)) for d, leak in leaks.items())
    _, false, _ = detector.update(model, state, data.isel(time=time >= before))
    return found, false


def summarise(found: Sequence[Found]) -> list[Summary]:
    """Return the share found, and the median delay and flow error, for each kind and size."""
    rows = []
    for kind, share in dict.fromkeys((f.leak.kind, f.share) for f in found):
        group = [f for f in found if f.leak.kind == kind and f.share == share]
        hits = [f for f in group if f.event is not None]
        rows.append(
            Summary(
                kind=kind,
                share=share,
                leaks=len(group),
                found=len(hits) / len(group),
                delay_days=float(robust.location([f.delay_days for f in hits])),
                flow_error=float(robust.location([f.flow_error for f in hits])),
            )
        )
    return rows


def alarms_per_year(events: Sequence[Event], data: xr.Dataset) -> float:
    """Return events a year and district."""
    time = data[TIME].values
    flow = data["quantity"].values == str(Quantity.FLOW)
    return len(events) / (float((time[-1] - time[0]) / _DAY) / _YEAR) / len(set(data["dma"].values[flow]))


def _first(raised: Sequence[Event], data: xr.Dataset, district: str, leak: Leak) -> Event | None:
    sensors = set(data[SENSOR].values[data["dma"].values == district])
    mine = [
        e
        for e in raised
        if e.raised_at >= leak.start
        and e.start_high >= leak.start - _EARLY
        and any(v.sensor in sensors for v in e.evidence)
    ]
    return min(mine, key=lambda e: e.raised_at, default=None)


def _mean_inflow(data: xr.Dataset, mine: NDArray[np.bool_]) -> float:
    inflow = data["reading"].transpose(TIME, SENSOR).values[:, mine].sum(axis=1)
    return float(np.nanmean(inflow))
