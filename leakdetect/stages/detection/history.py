"""What the tracker remembers: recent blocks, the leaks it follows, the filter's past states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


STEP_WALK, SETTLED = 0.1, 30.0
"""[m3/h per sqrt(day)] by which a flow that has its size may wander; [days] after which it has."""

ECHO_DAYS = 5
"""Days after a leak began or ended in which what is wrong with its signature may look like another's."""


@dataclass
class Leak:
    """A leak that the tracker follows.

    Attributes
    ----------
    id : int
    link : int
        Column of the candidates: where it is believed to be.
    since : int
        First block in which it runs.
    detected : int
        Block at whose end it was first seen.
    ramp : bool
        Began slowly.
    walk : float
        [m3/h per sqrt(day)] by which its flow may wander.
    raised : int
        Block at whose end it was raised as an event, -1 before.
    until : int
        First block in which it no longer runs, -1 while it runs.
    flow : list of float
        [m3/h] estimated at each block from `since`.
    assumed : list of float
        [m3/h] that the model held when the block's residual was taken.
    tangent : ndarray, shape (K, C), optional
        What 1 m3/h more does at the flow `tangent_at`; the candidates' signature where there is none.
    low_onset, high_onset : int
        Blocks between which it began, by the test's own likelihood.
    doubted : int
        Last block after which its flow was let move; what the filter said before is no forecast for later.
    """

    id: int
    link: int
    since: int
    detected: int
    ramp: bool
    walk: float
    raised: int = -1
    until: int = -1
    flow: list[float] = field(default_factory=list)
    assumed: list[float] = field(default_factory=list)
    tangent: Floats | None = None
    tangent_at: float = -1.0
    low_onset: int = -1
    high_onset: int = -1
    doubted: int = -1

    def held(self, blocks: Ints) -> Floats:
        """Return what the model held of it in blocks [m3/h]."""
        return _course(self.assumed, blocks - self.since)

    def followed(self, blocks: Ints) -> Floats:
        """Return its flow in blocks as followed [m3/h]; the newest estimate after the last."""
        if not self.flow:
            return np.zeros(len(blocks))
        rows = np.clip(blocks - self.since, 0, len(self.flow) - 1)
        if not len(rows):
            return np.zeros(0)
        flow: Floats = np.array(self.flow[rows[0] : rows[-1] + 1])[rows - rows[0]]
        return flow

    def wander(self, block: int, per_day: int) -> float:
        """Return by how much its flow may wander [m3/h per sqrt(day)]: less once it has long not been let move."""
        settled = block - max(self.since, self.doubted) > SETTLED * per_day
        return min(self.walk, STEP_WALK) if settled else self.walk

    def runs(self, block: int) -> bool:
        """Say whether it runs in a block."""
        return self.since <= block and (self.until < 0 or block < self.until)

    def ran(self, blocks: Ints) -> NDArray[np.bool_]:
        """Say in which blocks it runs."""
        inside: NDArray[np.bool_] = blocks >= self.since
        return inside if self.until < 0 else inside & (blocks < self.until)


def _course(values: list[float], rows: Ints) -> Floats:
    """Return values at rising rows, 0 outside."""
    out = np.zeros(len(rows))
    if not len(rows) or not values or rows[0] >= len(values):
        return out
    inside = (rows >= 0) & (rows < len(values))
    first, last = max(int(rows[0]), 0), int(rows[-1]) + 1
    out[inside] = np.array(values[first:last])[rows[inside] - first]
    return out


@dataclass
class Snapshot:
    """The filter's state after a block: mean, covariance and the ids of the leaks in it."""

    mean: Floats
    cov: Floats
    ids: tuple[int, ...]


@dataclass
class History:
    """The tracker's memory. Blocks are numbered from `first` on; their arrays grow and are cut to the horizon.

    Attributes
    ----------
    first : int
        Number of the first block held.
    observed : ndarray, shape (B, C)
        Residual of each block, with the leaks in the model that were assumed then.
    weights : ndarray, shape (B, K)
    band : ndarray of int, shape (B,)
    leaks : list of Leak
    snapshots : dict
        By block number.
    epochs : ndarray of int, shape (C,)
        Block at whose end a channel's level last moved for a reason other than a leak: no window that starts before
        looks at it.
    next_id : int
    settings : list of (block, link, change)
        Valves found set anew: from which block on, and by how much [m].
    notes : list of (block, what)
        Sensor faults and operational changes that were explained, for people.
    begun : int
        Number of the first block ever taken.
    surprise : ndarray, shape (B, C)
        Of each block, what the filter did not foresee: square of the innovation by the variance that the fit gives it.
    scatter : ndarray, shape (2, C)
        Factor by which, of late, each band's noise is greater than in the fit; at least 1.
    """

    first: int
    observed: Floats
    weights: Floats
    band: Ints
    leaks: list[Leak] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    epochs: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    next_id: int = 1
    settings: list[tuple[int, int, float]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    begun: int = 0
    surprise: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    scatter: Floats = field(default_factory=lambda: np.ones((2, 0)))

    @property
    def last(self) -> int:
        """Number of the newest block."""
        return self.first + len(self.observed) - 1

    def rows(self, start: int, stop: int) -> slice:
        """Return the rows of blocks start..stop-1."""
        return slice(start - self.first, stop - self.first)

    def append(self, observed: Floats, weights: Floats, band: int) -> int:
        """Add a block; return its number."""
        self.observed = np.vstack([self.observed, observed])
        self.surprise = np.vstack([self.surprise, np.full(len(observed), np.nan)])
        self.weights = np.vstack([self.weights, weights])
        self.band = np.append(self.band, band)
        return self.last

    def running(self, block: int) -> list[Leak]:
        """Return the leaks that run in a block, in a fixed order."""
        return [leak for leak in self.leaks if leak.runs(block)]

    def is_echo(self, leak: Leak, flow: float, per_day: int) -> bool:
        """Say whether another leak of more than `flow` began or ended of late: its errors look like news."""
        since = self.last - ECHO_DAYS * per_day
        late = [k for k in self.leaks if k.raised >= 0 and k.flow and max(k.since, k.until) >= since]
        return any(k.id != leak.id and k.flow[-1] > flow for k in late)

    def trim(self, keep: int, per_day: int) -> None:
        """Forget what lies further back than `keep` blocks; thin older states to one a day."""
        block = self.last
        oldest = block - keep
        pinned = {leak.since - 1 for leak in self.leaks if leak.until < 0}
        recent = block - 4 * per_day
        for b in list(self.snapshots):
            daily = (b + 1) % per_day == 0
            if b < oldest or (b < recent and not daily and b not in pinned):
                del self.snapshots[b]
        if self.first < oldest:
            cut = oldest - self.first
            self.observed, self.weights, self.band = self.observed[cut:], self.weights[cut:], self.band[cut:]
            self.surprise = self.surprise[cut:]
            self.first = oldest

    def to_plain(self) -> dict[str, Any]:
        """Return arrays and JSON values only."""
        numbers = sorted(self.snapshots)
        out: dict[str, Any] = {
            "first": self.first,
            "begun": self.begun,
            "next_id": self.next_id,
            "observed": self.observed,
            "surprise": self.surprise,
            "scatter": self.scatter,
            "weights": self.weights,
            "band": self.band,
            "epochs": self.epochs,
            "leaks": [dict(vars(leak)) for leak in self.leaks],
            "settings": [list(change) for change in self.settings],
            "notes": [[b, text] for b, text in self.notes],
            "snapshots": [[b, list(self.snapshots[b].ids)] for b in numbers],
        }
        for b in numbers:
            out[f"mean{b}"], out[f"cov{b}"] = self.snapshots[b].mean, self.snapshots[b].cov
        return out

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> History:
        """Read what `to_plain` wrote."""
        history = cls(int(plain["first"]), plain["observed"], plain["weights"], plain["band"])
        history.begun, history.epochs = int(plain["begun"]), plain["epochs"].copy()
        history.surprise, history.scatter = plain["surprise"], plain["scatter"].copy()
        history.next_id = int(plain["next_id"])
        history.leaks = [
            Leak(**{**leak, "flow": list(leak["flow"]), "assumed": list(leak["assumed"])}) for leak in plain["leaks"]
        ]
        history.settings = [(int(b), int(link), float(change)) for b, link, change in plain["settings"]]
        history.notes = [(int(b), str(text)) for b, text in plain["notes"]]
        history.snapshots = {
            int(b): Snapshot(plain[f"mean{b}"], plain[f"cov{b}"], tuple(int(i) for i in ids))
            for b, ids in plain["snapshots"]
        }
        return history
