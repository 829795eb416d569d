"""What accepting an explanation does to the history: a new leak, growth, an end, or a rival cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.stages.detection.history import STEP_WALK, History, Leak, Snapshot
from leakdetect.stages.detection.windows import Lookback, Picture, course

Floats = NDArray[np.float64]

_RAMP_WALK = 0.6  # [m3/h per sqrt(day)]
_LEAST_RESET, _MOST_RESET = 0.1, 20.0  # [m] by which a valve is set anew
_RESET_ERROR = 0.3  # share of its effect left open
_MOVED = 0.5  # deviations by which a rival cause must shift a channel to spoil it as a reference
_ENDED = 0.6  # share of its flow that a leak must lose to have ended
_END_WITHIN = 3.0  # [days] within which it must lose it: repairs are sudden


@dataclass(frozen=True)
class Change:
    """The best explanation of what a window shows."""

    value: float
    cause: str  # leak, end, growth, rival
    index: int  # link candidate, leak id, or rival
    size: float
    since: int  # last block before it
    ramp: bool
    evidence: Floats  # of every link, in this window


def accept(picture: Picture, lengths: Sequence[int], history: History, change: Change) -> None:
    """Take an explanation into the history; what was believed since is to be followed anew.

    Parameters
    ----------
    picture : Picture
    lengths : sequence of int
        Of the windows by which the onset of a new leak is told [blocks].
    history : History
    change : Change
    """
    if change.cause == "leak":
        _new(picture, lengths, history, change)
    else:
        {"growth": _grow, "end": _end, "rival": _rival}[change.cause](picture, history, change)


def _new(picture: Picture, lengths: Sequence[int], history: History, change: Change) -> None:
    walk = _RAMP_WALK if change.ramp else STEP_WALK
    leak = Leak(history.next_id, change.index, change.since + 1, history.last, change.ramp, walk)
    leak.flow = (course(history.last - change.since, change.ramp) * change.size).tolist()
    leak.low_onset, leak.high_onset = _onset(picture, lengths, history, change)
    history.next_id += 1
    history.leaks.append(leak)


def _onset(picture: Picture, lengths: Sequence[int], history: History, change: Change) -> tuple[int, int]:
    """Return the blocks between which it began: window starts whose evidence is within 3.2 (an 80 % interval)."""
    table = picture.signature[:, :, [change.index]]
    starts, values = [], []
    lookback = Lookback(picture, history, min(max(lengths), len(history.observed)))
    for n in lengths:
        since = history.last - n
        if since in history.snapshots and since + 1 >= history.first:
            seen = lookback.deviation(since, course(n, change.ramp))
            if seen is not None:
                starts.append(since + 1)
                values.append(seen.against(table)[0][0])
    likely = [s for s, v in zip(starts, values, strict=True) if v > max(values) - 3.2]
    neighbours = [s for s in starts if s < min(likely)]
    return max(neighbours, default=min(likely)), max(likely)


def _grow(picture: Picture, history: History, change: Change) -> None:
    leak = next(k for k in history.leaks if k.id == change.index)
    leak.walk = max(leak.walk, _RAMP_WALK)
    _doubt(picture, history, change.since, leak.id, change.size)


def _end(picture: Picture, history: History, change: Change) -> None:
    leak = next(k for k in history.leaks if k.id == change.index)
    flow = leak.flow[max(min(change.since - leak.since, len(leak.flow) - 1), 0)]
    _doubt(picture, history, change.since, leak.id, change.size)
    sudden = not change.ramp and history.last - change.since <= _END_WITHIN * picture.per_day
    if sudden and -change.size >= _ENDED * flow:
        # Somewhere in the first block of the window it stopped.
        leak.until = change.since + 2
        del leak.flow[leak.until - leak.since :]


def _rival(picture: Picture, history: History, change: Change) -> None:
    channels = picture.channels
    rows = history.rows(change.since + 1, history.last + 1)
    effect = history.weights[rows].mean(axis=0) @ picture.rival[:, :, change.index] * change.size
    valve = int(picture.rival_valve[change.index])
    reset = valve >= 0 and _LEAST_RESET <= abs(change.size) <= _MOST_RESET
    if reset:  # the model takes it over; its levels only move by what that leaves
        history.settings.append((change.since + 1, valve, change.size))
    both = np.concatenate([effect, effect]) * (_RESET_ERROR if reset else 1.0)
    snapshot = history.snapshots[change.since]
    cov = snapshot.cov.copy()
    cov[: 2 * channels, : 2 * channels] += np.outer(both, both)
    history.snapshots[change.since] = Snapshot(snapshot.mean, cov, snapshot.ids)
    sd = np.sqrt(np.diagonal(picture.white, axis1=1, axis2=2).mean(axis=0))
    history.epochs[np.abs(effect) > _MOVED * sd] = history.last
    history.notes.append((history.last, picture.rival_names[change.index]))


def _doubt(picture: Picture, history: History, since: int, leak_id: int, size: float) -> None:
    """Let a known leak's flow move by about `size` from a past block on."""
    snapshot = history.snapshots[since]
    place = 2 * picture.channels + snapshot.ids.index(leak_id)
    cov = snapshot.cov.copy()
    cov[place, place] += size**2 + 1.0
    history.snapshots[since] = Snapshot(snapshot.mean, cov, snapshot.ids)
    next(k for k in history.leaks if k.id == leak_id).doubted = since + 1
