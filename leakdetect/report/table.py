"""Events as CSV: a row for each candidate pipe, best first, with its event's values beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

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
    return text(rows(network, events), COLUMNS)


def rows(network: Network | None, events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the rows of `dumps`, by column; what is empty may be left out."""
    lines = Lines(network)
    found = []
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
            found.append(row)
    return found


def text(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as comma-separated text with a header."""
    written = io.StringIO()
    writer = csv.DictWriter(written, columns)
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
