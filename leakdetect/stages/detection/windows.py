"""The test of one window: what has changed since the end of a past block, and what best explains it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.filter import Whitened, change_test, whiten
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

    def against(self, table: Floats) -> tuple[Floats, Floats]:
        """Return the signed evidence and the size of causes in a table (K, C, N): see `core.filter.change_test`."""
        states, channels, causes = table.shape
        stacked = (self.load @ table.reshape(states, channels * causes)).reshape(2 * channels, causes)
        score, information = change_test(self._whitened, stacked)
        information = np.maximum(information, 1e-12)
        return np.sign(score) * score**2 / information, score / information

    def best(self, table: Floats) -> float:
        """Return the greatest evidence of causes in a table (K, C, N)."""
        return float(self.against(table)[0].max())


def deviation(
    picture: Picture, history: History, since: int, shape: Floats, leave_out: tuple[int, Floats | None] | None = None
) -> Deviation | None:
    """Compare the blocks after `since` with what the state at its end predicts.

    Parameters
    ----------
    since : int
        A block that has a snapshot.
    shape : ndarray, shape (n,)
        The course of the supposed change over the n blocks after `since`.
    leave_out : (int, ndarray of shape (K, C) or None), optional
        Id of a leak that is to be explained anew, and what 1 m3/h of it does as a whole where the model held it.

    Returns
    -------
    Deviation or None
        None where no block of the window has readings.
    """
    channels = picture.channels
    snapshot = history.snapshots[since]
    n = len(shape)
    rows = history.rows(since + 1, since + 1 + n)
    observed, weights, band = history.observed[rows], history.weights[rows], history.band[rows]
    blocks = np.arange(since + 1, since + 1 + n)
    out, whole = leave_out or (-1, None)
    leaks = [leak for leak in history.leaks if leak.id != out and leak.since <= blocks[-1]]
    if whole is not None:
        held = next(leak for leak in history.leaks if leak.id == out).held(blocks)
        observed = observed + weights @ whole * held[:, None]
    leaks = [leak for leak in leaks if leak.since + max(len(leak.assumed), len(leak.flow)) > blocks[0]]
    frozen, cov = _beliefs(history, snapshot, leaks, n, picture)
    moved = history.epochs > since
    value = np.full(2 * channels, np.nan)
    load = np.zeros((2, weights.shape[1]))
    noise = np.zeros((2 * channels, 2 * channels))
    basis = np.zeros((2 * channels, 2 * channels + len(leaks)))
    for b in (0, 1):
        here = band == b
        part = slice(b * channels, (b + 1) * channels)
        square = float((shape[here] ** 2).sum())
        if square == 0:
            noise[part, part] = np.eye(channels)
            continue
        noise[part, part] = picture.white[b] * np.outer(history.scatter[b], history.scatter[b]) / square
        course = shape[here]
        rest = observed[here] - snapshot.mean[part]
        for k, leak in enumerate(leaks):
            running = leak.ran(blocks[here]).astype(float)
            effect = picture.at(weights[here], leak)
            now = leak.followed(blocks[here]) if np.isnan(frozen[k]) else frozen[k]
            rest = rest - effect * (now * running - leak.held(blocks[here]))[:, None]
            effect = effect * running[:, None]
            basis[part, 2 * channels + k] = course @ effect / square
            if np.isnan(frozen[k]) and leak.flow:
                # What the model shows of a leak is off by a share of its effect; a level takes it in only with time.
                error = _SIGNATURE_ERROR * leak.flow[-1] * basis[part, 2 * channels + k] * picture.uncertain
                noise[part, part] += np.diag(error**2)
        good = np.isfinite(rest)
        weight = np.where(good, course[:, None], 0.0)
        total = (weight**2).sum(axis=0)
        mean = (weight * np.where(good, rest, 0.0)).sum(axis=0)
        enough = (total > square / 2) & ~moved
        value[part] = np.where(enough, mean / np.maximum(total, 1e-12), np.nan)
        load[b] = course**2 @ weights[here] / square
        basis[part, part] = np.eye(channels) * course.sum() / square
    if not np.isfinite(value).any():
        return None
    return Deviation(value, noise + basis @ cov @ basis.T, load)


def _beliefs(
    history: History, snapshot: Snapshot, leaks: list[Leak], n: int, picture: Picture
) -> tuple[Floats, Floats]:
    """Return flows of the leaks and the covariance of (levels, flows) as believed at the window's start.

    Leaks that began, or whose flow was let move, since then have no forecast (NaN): they are taken as followed, with
    room for error.
    """
    wandered = n / 3.0  # mean variance of a walk over the window, weighed evenly
    levels = 2 * picture.channels
    size = levels + len(leaks)
    cov = np.zeros((size, size))
    cov[:levels, :levels] = snapshot.cov[:levels, :levels] + picture.walk * wandered
    since = history.last - n
    place = {leak_id: levels + i for i, leak_id in enumerate(snapshot.ids)}
    known = [leak.id in place and leak.doubted <= since for leak in leaks]
    frozen = np.full(len(leaks), np.nan)
    for k, leak in enumerate(leaks):
        row = levels + k
        if known[k]:
            old = place[leak.id]
            frozen[k] = snapshot.mean[old]
            cov[row, :levels] = cov[:levels, row] = snapshot.cov[old, :levels]
            for other, twin in enumerate(leaks):
                if known[other]:
                    cov[row, levels + other] = snapshot.cov[old, place[twin.id]]
            cov[row, row] += leak.wander(since, picture.per_day) ** 2 * wandered / picture.per_day
        else:
            cov[row, row] = 1.0 + (0.3 * (leak.flow[-1] if leak.flow else 0.0)) ** 2
    return frozen, cov
