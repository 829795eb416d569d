"""What readings were taken, in a few bytes, and whether any came late or was corrected since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from leakdetect.events import iso, parse_time
from leakdetect.schema import SENSOR, TIME

Digests = dict[str, dict[str, str]]
"""By day (UTC) and sensor; a sensor that said nothing all day is not there."""


@dataclass(frozen=True)
class Late:
    """The first day on which something was not as it was taken, and the sensors of which that holds, on any day."""

    day: np.datetime64
    sensors: tuple[str, ...]


def midnight(time: np.datetime64) -> np.datetime64:
    """Return the beginning of a time's day (UTC)."""
    start: np.datetime64 = time.astype("datetime64[D]").astype("datetime64[ns]")
    return start


def digests(steps: xr.Dataset, first: np.datetime64, last: np.datetime64) -> Digests:
    """Return a digest of each day's judged steps.

    Parameters
    ----------
    steps : Dataset
        ``reading, usable, last`` over (time, sensor).
    first, last : datetime64
        First and last step that count.
    """
    part = steps.sel({TIME: slice(first, last)})
    days = part[TIME].values.astype("datetime64[D]")
    names = [str(name) for name in part[SENSOR].values]
    layers = [np.ascontiguousarray(part[key].transpose(SENSOR, TIME).values) for key in ("reading", "usable", "last")]
    slots = np.ascontiguousarray(part[TIME].values.astype("datetime64[s]").astype(np.int64))
    found: Digests = {}
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        inside = slice(int(rows[0]), int(rows[-1]) + 1)
        found[str(day)] = {
            name: _digest([slots[inside], *(layer[s, inside] for layer in layers)])
            for s, name in enumerate(names)
            if layers[1][s, inside].any()
        }
    return found


def _digest(parts: list[np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for part in parts:
        digest.update(part.tobytes())
    return digest.hexdigest()


def first_readings(data: xr.Dataset) -> np.ndarray:
    """Return the time of each sensor's first reading, shape (sensor,); NaT where there is none."""
    there = ~np.isnan(data["reading"].transpose(TIME, SENSOR).values)
    if not len(there):
        return np.full(data.sizes[SENSOR], np.datetime64("NaT", "ns"))
    first: np.ndarray = data[TIME].values[there.argmax(axis=0)].astype("datetime64[ns]")
    return np.where(there.any(axis=0), first, np.datetime64("NaT", "ns"))


def changed(
    taken: Digests, steps: xr.Dataset, last: np.datetime64, sensors: Mapping[str, Mapping[str, Any]],
    context: np.timedelta64,
) -> Late | None:  # fmt: skip
    """Return what is not as it was taken, or None.

    Readings that are merely no longer there, since old files were put away, are no change; nor is what the loss of
    them makes of the flags of later ones.

    Parameters
    ----------
    taken : dict
        What `digests` said when the steps were taken.
    steps : Dataset
        The same days as they are now, with the coordinate ``first_reading`` (sensor).
    last : datetime64
        Last step taken.
    sensors : mapping
        ``first`` of each sensor: the first reading ever seen.
    context : timedelta64
        How far back the judgement of a reading looks.
    """
    if not taken or not steps.sizes[TIME]:
        return None
    now = digests(steps, steps[TIME].values[0], last)
    begins = {str(name): time for name, time in zip(steps[SENSOR].values, steps["first_reading"].values, strict=True)}
    found: dict[str, set[str]] = {}
    for day in sorted(set(taken) & set(now)):
        start = np.datetime64(day, "ns") - context
        for name in set(taken[day]) | set(now[day]):
            begin, ever = begins.get(name), parse_time(sensors.get(name, {}).get("first"))
            if begin is None or np.isnat(begin) or (ever is not None and begin > max(start, ever)):
                continue
            if taken[day].get(name) != now[day].get(name):
                found.setdefault(day, set()).add(name)
    if not found:
        return None
    return Late(np.datetime64(min(found), "ns"), tuple(sorted(set().union(*found.values()))))


def progress_of(steps: xr.Dataset, before: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return how far each sensor of a run's steps is: quantity, element, first reading seen, last usable step."""
    usable = steps["usable"].transpose(TIME, SENSOR).values
    found = {}
    for s, name in enumerate(str(name) for name in steps[SENSOR].values):
        old = before.get(name, {})
        first = steps["first_reading"].values[s]
        seen = [text for text in (old.get("first"), None if np.isnat(first) else iso(first)) if text]
        rows = np.flatnonzero(usable[:, s])
        newest = iso(steps[TIME].values[rows[-1]]) if rows.size else old.get("last")
        found[name] = {
            "quantity": str(steps["quantity"].values[s]),
            "element": str(steps["element"].values[s]),
            "first": min(seen, default=None),
            "last": newest,
        }
    return found
