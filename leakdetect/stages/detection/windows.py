"""The test of one window: what has changed since the end of a past block, and what best explains it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.scoring import LEAST_INFORMATION, Whitened, change_test, greatest, whiten
from leakdetect.core.window import fit_shape, spread
from leakdetect.stages.detection.history import History, Leak, Snapshot

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


_SIGNATURE_ERROR = 0.2  # share of a leak's effect by which the model is off


@dataclass
class Picture:
    """What the tracker knows of the network; C channels, N candidate links, X rival causes.

    Attributes
    ----------
    signature : ndarray, shape (K, C, N)
        Of a leak of 1 m3/h.
    rival : ndarray, shape (K, C, X)
        Of sensor faults, valve settings, customers' mix and demand.
    rival_names : tuple of str, length X
    rival_valve : ndarray of int, shape (X,)
        Link of the valve whose setting a rival is, -1 for others.
    only_less : ndarray of bool, shape (X,)
        Rivals that explain a loss of flow only: where customers have meters, more flow is a leak.
    white : ndarray, shape (2, C, C)
    walk : ndarray, shape (2 C, 2 C)
        Per block.
    per_day : int
        Blocks a day.
    uncertain : ndarray, shape (C,)
        1 where signatures come from the hydraulic model, 0 where from the balance of a zone.
    """

    signature: Floats
    rival: Floats
    rival_names: tuple[str, ...]
    rival_valve: Ints
    only_less: NDArray[np.bool_]
    white: Floats
    walk: Floats
    per_day: int
    uncertain: Floats

    @property
    def channels(self) -> int:
        """C."""
        return int(self.signature.shape[1])

    def at(self, weights: Floats, leak: Leak) -> Floats:
        """Return a leak's signature at blocks of given load weights (B, K): shape (B, C)."""
        table = leak.tangent if leak.tangent is not None else self.signature[:, :, leak.link]
        out: Floats = weights @ table
        return out


@dataclass(frozen=True)
class Deviation:
    """What a window shows beyond its frozen reference: least-squares size of the shape on every channel and band.

    Attributes
    ----------
    value, cov : ndarray, shape (2 C,), (2 C, 2 C)
        NaN in bands or channels without readings.
    load : ndarray, shape (2, K)
        Mean load weights of each band, for the candidates' signatures.
    """

    value: Floats
    cov: Floats
    load: Floats

    @cached_property
    def _whitened(self) -> Whitened:
        return whiten(self.value, self.cov)

    @property
    def size(self) -> float:
        """All that has changed: the squared length of the white value, which no cause's evidence exceeds."""
        return float(self._whitened.rest @ self._whitened.rest)

    def _stacked(self, table: Floats) -> Floats:
        """Return what causes in a table (K, C, N) do to the value, shape (2 C, N)."""
        states, channels, causes = table.shape
        stacked: Floats = (self.load @ table.reshape(states, channels * causes)).reshape(2 * channels, causes)
        return stacked

    def against(self, table: Floats) -> tuple[Floats, Floats]:
        """Return the signed evidence and the size of causes in a table (K, C, N): see `core.scoring.change_test`."""
        score, information = change_test(self._whitened, self._stacked(table))
        information = np.maximum(information, LEAST_INFORMATION)
        return np.sign(score) * score**2 / information, score / information

    def best(self, table: Floats) -> float:
        """Return the greatest evidence of causes in a table (K, C, N)."""
        white = self._whitened
        return float(greatest(white.rest[None], white.whitener, self._stacked(table)[white.good])[0][0])


def course(n: int, ramp: bool) -> Floats:
    """Return the shape of a change over n blocks: rising to 1, or 1 from the block after that in which it began."""
    if ramp:
        return np.arange(1, n + 1) / n
    return np.r_[0.0, np.ones(n - 1)] if n > 1 else np.ones(1)


def tables(picture: Picture, leaks: list[Leak]) -> Floats:
    """Return leaks' own signatures, shape (K, C, len(leaks))."""
    states, channels, _ = picture.signature.shape
    out = np.zeros((states, channels, len(leaks)))
    for k, leak in enumerate(leaks):
        out[:, :, k] = leak.tangent if leak.tangent is not None else picture.signature[:, :, leak.link]
    return out


def deviation(
    picture: Picture, history: History, since: int, shape: Floats, leave_out: tuple[int, Floats | None] | None = None
) -> Deviation | None:
    """Compare the blocks after `since` with what the state at its end predicts.

    Parameters
    ----------
    since : int
        A block that has a snapshot.
    shape : ndarray, shape (n,)
        The course of the supposed change over the n blocks after `since`, which end at the newest.
    leave_out : (int, ndarray of shape (K, C) or None), optional
        Id of a leak that is to be explained anew, and what 1 m3/h of it does as a whole where the model held it.

    Returns
    -------
    Deviation or None
        None where no block of the window has readings.
    """
    return Lookback(picture, history, len(shape), leave_out).deviation(since, shape)


class Lookback:
    """The newest blocks and the leaks in them, laid out once for all windows that end at the newest.

    Parameters
    ----------
    picture : Picture
    history : History
    longest : int
        Blocks of the longest window.
    leave_out : (int, ndarray of shape (K, C) or None), optional
        As of `deviation`.
    """

    def __init__(
        self, picture: Picture, history: History, longest: int, leave_out: tuple[int, Floats | None] | None = None
    ) -> None:  # fmt: skip
        self._picture, self._history, self._longest = picture, history, longest
        last = history.last
        rows = history.rows(last + 1 - longest, last + 1)
        self._observed, self._weights, self._band = history.observed[rows], history.weights[rows], history.band[rows]
        blocks = np.arange(last + 1 - longest, last + 1)
        out, whole = leave_out or (-1, None)
        if whole is not None:
            held = next(leak for leak in history.leaks if leak.id == out).held(blocks)
            self._observed = self._observed + self._weights @ whole * held[:, None]
        self._leaks = [leak for leak in history.leaks if leak.id != out and leak.since <= last]
        self._known_to = np.array([k.since + max(len(k.assumed), len(k.flow)) for k in self._leaks], dtype=np.int64)
        shape = (longest, len(self._leaks))
        self._ran, self._held, self._followed = np.zeros(shape, dtype=bool), np.zeros(shape), np.zeros(shape)
        self._effect = np.zeros((*shape, picture.channels))
        for k, leak in enumerate(self._leaks):
            self._ran[:, k], self._held[:, k], self._followed[:, k] = (
                leak.ran(blocks), leak.held(blocks), leak.followed(blocks),
            )  # fmt: skip
            self._effect[:, k] = picture.at(self._weights, leak)

    def deviation(self, since: int, shape: Floats) -> Deviation | None:
        """Return what the window after `since` shows; as the function `deviation`."""
        picture, history = self._picture, self._history
        channels, n = picture.channels, len(shape)
        snapshot = history.snapshots[since]
        part = slice(self._longest - n, None)
        which = np.flatnonzero(self._known_to > since + 1)
        leaks = [self._leaks[k] for k in which]
        frozen, cross, own = _beliefs(snapshot, leaks, since, n, picture)
        value, load = np.empty(2 * channels), np.empty((2, self._weights.shape[1]))
        level, square, basis = np.empty(2), np.empty(2), np.empty((2 * channels, len(leaks)))
        fit_shape(
            self._observed[part], self._band[part], self._weights[part], shape, snapshot.mean, history.epochs > since,
            which, self._effect[part], self._ran[part], self._held[part], self._followed[part], frozen,
            value, load, level, square, basis,
        )  # fmt: skip
        if not np.isfinite(value).any():
            return None
        # What the model shows of a leak is off by a share of its effect; a level takes it in only with time.
        error = [
            _SIGNATURE_ERROR * k.flow[-1] if u and k.flow else 0.0 for k, u in zip(leaks, np.isnan(frozen), strict=True)
        ]
        rough = ((basis * error) ** 2).sum(axis=1) * np.tile(picture.uncertain, 2) ** 2
        cov = np.empty((2 * channels, 2 * channels))
        spread(
            picture.white, history.scatter, square, level, snapshot.cov, picture.walk, _wandered(n), basis, cross, own,
            rough, cov,
        )  # fmt: skip
        return Deviation(value, cov, load)


def _wandered(n: int) -> float:
    """Return the mean variance of a walk over a window, weighed evenly, in blocks."""
    return n / 3.0


def _beliefs(
    snapshot: Snapshot, leaks: list[Leak], since: int, n: int, picture: Picture
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Return flows of R leaks (R,) as believed at the window's start, and their covariance with the levels and own.

    Leaks that began, or whose flow was let move, since then have no forecast (NaN): they are taken as followed, with
    room for error.
    """
    levels = 2 * picture.channels
    place = {leak_id: levels + i for i, leak_id in enumerate(snapshot.ids)}
    known = np.array([leak.id in place and leak.doubted <= since for leak in leaks], dtype=bool)
    old = np.array([place[leak.id] for leak, k in zip(leaks, known, strict=True) if k], dtype=np.int64)
    frozen = np.full(len(leaks), np.nan)
    cross, own = np.zeros((levels, len(leaks))), np.zeros((len(leaks), len(leaks)))
    frozen[known] = snapshot.mean[old]
    cross[:, known] = snapshot.cov[:levels, old]
    own[np.ix_(known, known)] = snapshot.cov[np.ix_(old, old)]
    for k, leak in enumerate(leaks):
        if known[k]:
            own[k, k] += leak.wander(since, picture.per_day) ** 2 * _wandered(n) / picture.per_day
        else:
            own[k, k] = 1.0 + (0.3 * (leak.flow[-1] if leak.flow else 0.0)) ** 2
    return frozen, cross, own
