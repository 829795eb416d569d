"""Events as CSV: a row for each candidate pipe, best first, with its event's values beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from leakdetect.events import Candidate, Event
from leakdetect.network import Network
from leakdetect.report.facts import current
from leakdetect.report.geojson import Lines, properties

_LEFT_OUT = {"first_link", "first_probability"}  # they are the row of rank 1
COLUMNS = (
    "event", "status", "kind", "raised_at", "start", "start_low", "start_high", "end", "flow_m3h", "flow_low",
    "flow_high", "lost_m3", "rank", "link", "probability", "length_m", "in_zone", "zone_links", "zone_length_m",
    "zone_probability", "sensors", "model", "data_until",
)  # fmt: skip


def dumps(network: Network | None, events: Iterable[Event]) -> str:
    """Return events as comma-separated text with a header (RFC 4180); times are UTC, flows m3/h.

    An event without candidates has one row, its rank empty.

    Parameters
    ----------
    network : Network or None
        Gives the pipes' lengths.
    events : iterable of Event
    """
    lines = Lines(network)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for original in events:
        event = current(original)
        known = {k: v for k, v in properties(original).items() if k not in _LEFT_OUT}
        zone = set(event.zone.links)
        ranked: list[Candidate | None] = [*event.candidates] or [None]
        for rank, candidate in enumerate(ranked, 1):
            row = dict(known)
            if candidate is not None:
                row |= {
                    "rank": rank,
                    "link": candidate.link,
                    "probability": candidate.probability,
                    "length_m": lines.length(candidate.link),
                    "in_zone": int(candidate.link in zone),
                }
            writer.writerow(row)
    return text.getvalue()
