"""What is believed of channel levels and leak flows, block by block: a filter, and when a leak has run dry."""

from __future__ import annotations

import numpy as np
import scipy.linalg as sla
from numpy.typing import NDArray

from leakdetect.core.filter import update
from leakdetect.stages.detection.history import History, Leak, Snapshot
from leakdetect.stages.detection.windows import Picture

Floats = NDArray[np.float64]

_SIGNATURE_ERROR = 0.1  # share of a leak's effect by which its signature may be wrong
_DRY = 2.0  # [m3/h] a leak whose flow stays as far below 0 has ended
_FADED, _FADED_DAYS, _FADED_LATE = 0.1, 30, 7  # share of what a leak lost at most of late that is left for days
_FADED_FROM = 5.0  # [m3/h] smaller ones come and go with the errors of others
_SMALL_DAYS = 20  # that a leak may lose less than the smallest that is looked for
_LATE, _CLIP, _FEWEST = 20, 3.0, 10  # [days] that tell the scatter of late; deviations at most; blocks at least


def follow_block(picture: Picture, history: History, block: int, smallest: float) -> None:
    """Filter one block, from the snapshot before it; at the newest, leaks that `has_ended` end."""
    levels = 2 * picture.channels
    before = history.snapshots[block - 1]
    running = history.running(block)
    ids = tuple(leak.id for leak in running)
    mean, cov = _rearranged(before, running, levels)
    cov = cov.copy()
    cov[:levels, :levels] += picture.walk
    row = history.rows(block, block + 1)
    weights, band = history.weights[row], int(history.band[row][0])
    matrix = np.zeros((picture.channels, len(mean)))
    matrix[:, band * picture.channels : (band + 1) * picture.channels] = np.eye(picture.channels)
    noise = picture.white[band].copy()
    observed = history.observed[row][0]
    for k, leak in enumerate(running):
        room = leak.wander(block, picture.per_day) ** 2 / picture.per_day
        if block in (leak.since + 1, leak.doubted + 2) and not leak.ramp:
            room += max(3.0, abs(mean[levels + k])) ** 2  # the block in which it began held only a part of it
        cov[levels + k, levels + k] += room
        effect = picture.at(weights, leak)[0]
        matrix[:, levels + k] = effect
        observed = observed + effect * leak.held(np.array([block]))[0]
        noise += np.diag((_SIGNATURE_ERROR * mean[levels + k] * effect * picture.uncertain) ** 2)
    rest = observed - matrix @ mean
    usual = ((matrix @ cov) * matrix).sum(axis=1) + np.diag(noise)
    history.surprise[row] = rest**2 / usual
    mean, cov = update(mean, cov, observed, matrix, noise * np.outer(history.scatter[band], history.scatter[band]))
    history.snapshots[block] = Snapshot(mean, cov, ids)
    for k, leak in enumerate(running):
        del leak.flow[block - leak.since :]
        leak.flow.append(float(mean[levels + k]))
        if block == history.last and has_ended(leak, smallest, picture.per_day):
            leak.until = block + 1


def adapt(history: History, per_day: int) -> None:
    """Take the scatter of late for the noise where it is greater than in the fit."""
    for b in (0, 1):
        late = history.surprise[history.band == b][-_LATE * per_day // 2 :]
        count = np.isfinite(late).sum(axis=0)
        mean = np.nansum(np.minimum(late, _CLIP**2), axis=0) / np.maximum(count, 1)
        history.scatter[b] = np.sqrt(np.maximum(np.where(count >= _FEWEST, mean, 1.0), 1.0))


def has_ended(leak: Leak, smallest: float, per_day: int) -> bool:
    """Say whether a leak has stopped without a step that could be told.

    Its flow stays below 0; or it lost much a while ago, and nothing since; or it has long lost less than `smallest`.
    """
    flow = leak.flow
    dry = len(flow) > 2 * per_day and max(flow[-per_day:]) < -_DRY
    late, before = flow[-_FADED_LATE * per_day :], flow[-_FADED_DAYS * per_day : -_FADED_LATE * per_day]
    most = max(before, default=0.0)
    faded = most >= _FADED_FROM and float(np.mean(late)) < _FADED * most
    return dry or faded or (len(flow) > _SMALL_DAYS * per_day and max(flow[-_SMALL_DAYS * per_day :]) < smallest)


def _rearranged(before: Snapshot, running: list[Leak], levels: int) -> tuple[Floats, Floats]:
    """Return mean and covariance with the leaks that run now: ended ones left out, new ones with a wide prior."""
    place = {leak_id: levels + i for i, leak_id in enumerate(before.ids)}
    keep = np.r_[np.arange(levels), [place[k.id] for k in running if k.id in place]].astype(np.int64)
    mean, cov = before.mean[keep], before.cov[np.ix_(keep, keep)]
    order = [k for k in running if k.id in place]
    for leak in running:
        if leak.id not in place:
            guess = leak.flow[0] if leak.flow else 0.0
            room = max(3.0, abs(leak.flow[-1] if leak.flow else 0.0)) ** 2
            mean, cov = np.append(mean, guess), sla.block_diag(cov, room)
            order.append(leak)
    want = np.r_[np.arange(levels), [levels + order.index(k) for k in running]].astype(np.int64)
    return mean[want], cov[np.ix_(want, want)]
