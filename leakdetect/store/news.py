"""What is new: what the last run raised and changed, and what people have said since the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakdetect.events import parse_time

if TYPE_CHECKING:
    from leakdetect.store.store import Store

DAY = np.timedelta64(24, "h")
_YESTERDAY, _LATE = np.timedelta64(18, "h"), np.timedelta64(6, "h")  # a run of every morning is not on the minute


@dataclass(frozen=True)
class News:
    """What is new at a site since the run of a day ago, or the last one before the newest where that is longer ago.

    Attributes
    ----------
    since : datetime64
        Last step that this run took (UTC).
    is_day : bool
        Whether that is about a day ago.
    raised : frozenset of str
        Events that later runs raised, by id; of a site's first run those of its last day.
    changes : tuple of dict
        Changes by later runs, and by people since, oldest first: as `Store.history` has them, with the ``event``.
        Raisings are left out.
    """

    since: np.datetime64
    is_day: bool
    raised: frozenset[str]
    changes: tuple[dict[str, Any], ...]


def news(store: Store) -> News | None:
    """Return what is new at a site; None where no run took anything."""
    runs = [(until, r) for r in store.runs() if (until := parse_time(r.get("until"))) is not None]
    if not runs:
        return None
    now = runs[-1][0]
    base = next(((until, r["number"]) for until, r in reversed(runs) if until <= now - _YESTERDAY), None)
    since, number = base or (now - DAY, runs[0][1]["number"])
    raised = {i for _, r in runs if r["number"] > number for i in r.get("raised", ())}
    if base is None:  # the first run raises what is years old, too
        raised |= {e.id for e in store.events() if e.raised_at > since}
    changes = [c for c in store.changes_since(since) if c["run"] is None or c["run"] > number]
    changes = [c for c in changes if c["why"] != "raised"]
    return News(since, bool(since >= now - DAY - _LATE), frozenset(raised), tuple(changes))
