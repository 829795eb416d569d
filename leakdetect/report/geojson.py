"""Events as GeoJSON (RFC 7946): the zone of each and its ranked pipes, for a GIS."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from leakdetect.events import Event, iso
from leakdetect.network import Network
from leakdetect.plot import drawn_links
from leakdetect.report.facts import current, lost

Feature = dict[str, Any]
Line = list[list[float]]


def collection(network: Network | None, events: Iterable[Event], crs: str | None = None) -> dict[str, Any]:
    """Return a FeatureCollection with the newest estimate of each event.

    For each event one feature of ``layer`` 'zone' (MultiLineString) with all that is known of the event, and one of
    ``layer`` 'candidate' (LineString) for each pipe, with ``rank`` from 1, ``probability`` and ``length_m``.
    Coordinates are those of the network's drawing. A pipe that is not drawn, or an event without a network, has no
    geometry (null).

    Parameters
    ----------
    network : Network or None
    events : iterable of Event
    crs : str, optional
        Coordinate system of the drawing, such as 'EPSG:2154'. Named in the way of GeoJSON 2008, which GIS still read;
        without it they take coordinates for degrees (RFC 7946) unless told.
    """
    return _collection(features(network, events), crs)


def features(network: Network | None, events: Iterable[Event]) -> list[Feature]:
    """Return the features of a `collection`."""
    lines = Lines(network)
    found: list[Feature] = []
    for original in events:
        event = current(original)
        found.append(_feature("zone", _zone(lines, event), properties(original)))
        for rank, candidate in enumerate(event.candidates, 1):
            line = lines.of(candidate.link)
            geometry = {"type": "LineString", "coordinates": line} if line else None
            values = {
                "event": event.id,
                "status": str(event.status),
                "rank": rank,
                "link": candidate.link,
                "probability": candidate.probability,
                "length_m": lines.length(candidate.link),
            }
            found.append(_feature("candidate", geometry, values))
    return found


def text(features: list[Feature], crs: str | None = None) -> str:
    """Return features as the text of a FeatureCollection."""
    return json.dumps(_collection(features, crs), ensure_ascii=False, allow_nan=False)


def _collection(features: list[Feature], crs: str | None) -> dict[str, Any]:
    named: dict[str, Any] = {}
    if crs is not None:
        authority, code = crs.split(":")
        named["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{authority}::{code}"}}
    return {"type": "FeatureCollection", **named, "features": features}


def dumps(network: Network | None, events: Iterable[Event], crs: str | None = None) -> str:
    """Return `collection` as text."""
    return text(features(network, events), crs)


def properties(original: Event) -> dict[str, Any]:
    """Return what a GIS shows of an event, flat, with its newest estimate; values that are not known are None."""
    event = current(original)
    return {
        "event": event.id,
        "status": str(event.status),
        "kind": str(event.kind),
        "raised_at": iso(event.raised_at),
        "start": iso(event.start),
        "start_low": iso(event.start_low),
        "start_high": iso(event.start_high),
        "end": iso(event.end),
        "flow_m3h": finite(event.flow_m3h),
        "flow_low": finite(event.flow_low),
        "flow_high": finite(event.flow_high),
        "lost_m3": finite(lost(original).best),
        "first_link": event.candidates[0].link if event.candidates else None,
        "first_probability": event.candidates[0].probability if event.candidates else None,
        "zone_links": len(event.zone.links),
        "zone_length_m": finite(event.zone.length_m),
        "zone_probability": finite(event.zone.probability),
        "sensors": "; ".join(e.sensor for e in event.evidence),
        "model": event.model,
        "data_until": iso(event.data_until),
    }


def finite(value: float) -> float | None:
    """Return a number, None where there is none: JSON and SQL know no NaN."""
    return float(value) if math.isfinite(value) else None


class Lines:
    """The links of a network as lines."""

    def __init__(self, network: Network | None) -> None:
        """Look up which links are drawn once."""
        self._network = network
        self._drawn = drawn_links(network) if network is not None else None

    def of(self, link: str) -> Line:
        """Return a link's two ends; empty if it is not drawn."""
        network = self._network
        if network is None or self._drawn is None or not network.has_link(link):
            return []
        j = network.link(link)
        if not self._drawn[j]:
            return []
        return [network.xy[network.start[j]].tolist(), network.xy[network.end[j]].tolist()]

    def length(self, link: str) -> float | None:
        """Return a link's length [m]; None if there is no such link."""
        network = self._network
        return float(network.length[network.link(link)]) if network is not None and network.has_link(link) else None

    def zone(self, links: Sequence[str]) -> list[Line]:
        """Return the lines of those links that are drawn."""
        return [line for link in links if (line := self.of(link))]


def _zone(lines: Lines, event: Event) -> dict[str, Any] | None:
    parts = lines.zone(event.zone.links)
    return {"type": "MultiLineString", "coordinates": parts} if parts else None


def _feature(layer: str, geometry: dict[str, Any] | None, values: dict[str, Any]) -> Feature:
    return {"type": "Feature", "geometry": geometry, "properties": {"layer": layer, **values}}
