"""What a window shows: the compiled way against the formulas written out, channel by channel and leak by leak."""

from __future__ import annotations

import numpy as np
import pytest

from leakdetect.stages.detection.history import History, Leak, Snapshot
from leakdetect.stages.detection.windows import Deviation, Lookback, Picture, deviation

C, K, N, BLOCKS, PER_DAY = 5, 3, 12, 60, 4
ERROR = 0.2  # of a signature


def invent(seed: int) -> tuple[Picture, History]:
    """Return blocks with gaps, and leaks of all sorts: foreseen, doubted, begun in the window, ended."""
    random = np.random.default_rng(seed)

    def covariance(size: int) -> np.ndarray:
        root = random.normal(size=(size, 2 * size))
        return root @ root.T / size

    picture = Picture(
        random.normal(size=(K, C, N)), np.zeros((K, C, 0)), (), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool),
        np.stack([covariance(C), covariance(C)]), 0.01 * covariance(2 * C), PER_DAY, np.r_[np.ones(C - 1), 0.0],
    )  # fmt: skip
    observed = random.normal(size=(BLOCKS, C))
    observed[random.random((BLOCKS, C)) < 0.2] = np.nan
    weights = random.dirichlet(np.ones(K), BLOCKS)
    history = History(100, observed, weights, (np.arange(BLOCKS) % PER_DAY >= 2).astype(np.int64))
    last = history.last

    def leak(number: int, since: int, until: int = -1, doubted: int = -1, held: int = 0) -> Leak:
        count = (until if until >= 0 else last + 1) - since
        flow = random.uniform(1, 9, count).tolist()
        tangent = random.normal(size=(K, C)) if number % 2 else None
        return Leak(number, number, since, since, False, 0.1, 0, until, flow, flow[:held], tangent, doubted=doubted)

    history.leaks = [
        leak(1, 90, held=30), leak(2, 120, held=5), leak(3, 130, until=150, held=20), leak(4, 145, until=152),
        leak(5, 95, doubted=149), leak(6, 80, until=105, held=3),
    ]  # fmt: skip
    ids = (5, 1, 2, 3)
    history.snapshots[139] = Snapshot(random.normal(size=2 * C + 4), covariance(2 * C + 4), ids)
    history.snapshots[last - 1] = Snapshot(random.normal(size=2 * C + 4), covariance(2 * C + 4), ids)
    history.epochs = np.array([100, 141, 100, 100, 100])
    history.scatter = random.uniform(1, 2, (2, C))
    return picture, history


def written_out(picture: Picture, history: History, since: int, shape: np.ndarray, out: int = -1) -> Deviation:
    """Return the same by the definition: least squares in each band and channel, and what its error is made of."""
    n, snapshot = len(shape), history.snapshots[since]
    blocks = np.arange(since + 1, since + 1 + n)
    leaks = [
        k for k in history.leaks if k.id != out and k.since + max(len(k.flow), len(k.assumed)) > since + 1
    ]  # fmt: skip
    believed = {leak: i for i, leak in enumerate(snapshot.ids)}
    foreseen = [k.id in believed and k.doubted <= since for k in leaks]
    columns = list(range(2 * C)) + [2 * C + believed[k.id] for k, f in zip(leaks, foreseen, strict=True) if f]
    keep = list(range(2 * C)) + [2 * C + i for i, f in enumerate(foreseen) if f]
    cov = np.zeros((2 * C + len(leaks),) * 2)
    cov[np.ix_(keep, keep)] = snapshot.cov[np.ix_(columns, columns)]
    cov[: 2 * C, : 2 * C] += picture.walk * n / 3
    for i, (leak, known) in enumerate(zip(leaks, foreseen, strict=True)):
        wander = leak.wander(since, PER_DAY) ** 2 * n / 3 / PER_DAY
        cov[2 * C + i, 2 * C + i] += wander if known else 1.0 + (0.3 * leak.flow[-1]) ** 2
    value, load = np.full(2 * C, np.nan), np.zeros((2, K))
    basis, noise = np.zeros((2 * C, 2 * C + len(leaks))), np.zeros((2 * C, 2 * C))
    for b in (0, 1):
        here = [t for t in range(n) if history.band[blocks[t] - history.first] == b]
        square = sum(shape[t] ** 2 for t in here)
        part = slice(b * C, (b + 1) * C)
        if not square:
            noise[part, part] = np.eye(C)
            continue
        noise[part, part] = picture.white[b] * np.outer(history.scatter[b], history.scatter[b]) / square
        load[b] = sum(shape[t] ** 2 * history.weights[blocks[t] - history.first] for t in here) / square
        basis[part, part] = np.eye(C) * sum(shape[t] for t in here) / square
        for c in range(C):
            above = seen = 0.0
            for t in here:
                block = int(blocks[t])
                weights = history.weights[block - history.first]
                rest = history.observed[block - history.first, c] - snapshot.mean[b * C + c]
                for i, leak in enumerate(leaks):
                    effect = float(picture.at(weights[None], leak)[0, c])
                    place = block - leak.since
                    held = leak.assumed[place] if 0 <= place < len(leak.assumed) else 0.0
                    flow = leak.flow[min(max(place, 0), len(leak.flow) - 1)]
                    if foreseen[i]:
                        flow = snapshot.mean[2 * C + believed[leak.id]]
                    rest -= effect * (flow * leak.runs(block) - held)
                    basis[b * C + c, 2 * C + i] += shape[t] * effect * leak.runs(block) / square
                if np.isfinite(rest):
                    above, seen = above + shape[t] * rest, seen + shape[t] ** 2
            if seen > square / 2 and history.epochs[c] <= since:
                value[b * C + c] = above / seen
        for i, leak in enumerate(leaks):
            if not foreseen[i]:
                error = ERROR * leak.flow[-1] * basis[part, 2 * C + i] * picture.uncertain
                noise[part, part] += np.diag(error**2)
    return Deviation(value, noise + basis @ cov @ basis.T, load)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("out", [-1, 2])
@pytest.mark.parametrize(("since", "ramp"), [(139, False), (139, True), (158, False)])
def test_a_window_as_written_out(seed: int, out: int, since: int, ramp: bool) -> None:
    picture, history = invent(seed)
    n = history.last - since
    shape = np.arange(1, n + 1) / n if ramp else np.r_[np.zeros(min(n - 1, 1)), np.ones(max(n - 1, 1))]
    found = deviation(picture, history, since, shape, (out, None))
    true = written_out(picture, history, since, shape, out)
    assert found is not None
    np.testing.assert_allclose(found.value, true.value, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.cov, true.cov, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found.cov, found.cov.T)
    np.testing.assert_allclose(found.load, true.load, rtol=1e-12)
    # What was laid out for a longer window serves for this one.
    longer = Lookback(picture, history, n + 10, (out, None)).deviation(since, shape)
    assert longer is not None
    np.testing.assert_allclose(longer.value, found.value, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(longer.cov, found.cov, rtol=1e-12, atol=1e-14)


def test_a_leak_explained_anew_comes_back_as_the_model_held_it() -> None:
    picture, history = invent(0)
    whole = np.random.default_rng(9).normal(size=(K, C))
    shape = np.ones(history.last - 139)
    with_whole = deviation(picture, history, 139, shape, (1, whole))
    held = history.leaks[0].held(np.arange(100, history.last + 1))
    history.observed = history.observed + history.weights @ whole * held[:, None]
    without = deviation(picture, history, 139, shape, (1, None))
    assert with_whole is not None
    assert without is not None
    np.testing.assert_allclose(with_whole.value, without.value, rtol=1e-12)
