"""From evidence to places: a probability over links, the zone to walk, each sensor's share."""

from __future__ import annotations

import heapq

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def probability(evidence: Floats, length: Floats) -> Floats:
    """Return the probability of each link, shape (N,).

    Parameters
    ----------
    evidence : ndarray, shape (N,)
        Twice the log likelihood ratio of a leak there; below 0 where its flow would be negative.
    length : ndarray, shape (N,)
        [m]: the prior, leaks per metre being even.
    """
    log = np.maximum(evidence, 0.0) / 2
    weight = np.exp(log - log.max()) * np.maximum(length, 1e-3)
    out: Floats = weight / weight.sum()
    return out


def adjacency(start: Ints, end: Ints, nodes: int) -> sp.csr_array:
    """Return which links share a node, as a sparse (L, L) matrix."""
    links = np.arange(len(start))
    touch = sp.csr_array((np.ones(2 * len(links)), (np.r_[links, links], np.r_[start, end])), shape=(len(links), nodes))
    return sp.csr_array(touch @ touch.T)


def zone(chance: Floats, length: Floats, adjacent: sp.csr_array, wanted: float) -> Ints:
    """Return a small connected set of links that holds the wanted probability, best first.

    Grows from the best link along the likeliest neighbours per metre, then drops what it does not need from its rim
    (the smallest such set is a Steiner problem, which need not be solved to optimality to walk a street).

    Parameters
    ----------
    chance : ndarray, shape (L,)
        Probability of each link; 0 for links that are no candidates.
    length : ndarray, shape (L,)
        [m].
    adjacent : sparse (L, L)
    wanted : float
    """
    inside: set[int] = set()
    held = 0.0
    best = int(np.argmax(chance))
    queue = [(0.0, best)]
    reached = {best}
    while queue and held < wanted:
        _, link = heapq.heappop(queue)
        inside.add(link)
        held += float(chance[link])
        for other in adjacent.indices[adjacent.indptr[link] : adjacent.indptr[link + 1]].tolist():
            if other not in reached:
                reached.add(other)
                heapq.heappush(queue, (-chance[other] / max(length[other], 1.0), other))
    dropped = True
    while dropped:  # what held two parts together may be needed no more once one of them is gone
        dropped = False
        for link in sorted(inside - {best}, key=lambda i: chance[i]):
            if held - chance[link] >= wanted and _connected(inside - {link}, adjacent):
                inside.remove(link)
                held -= float(chance[link])
                dropped = True
    return np.array(sorted(inside, key=lambda i: -chance[i]), dtype=np.int64)


def _connected(links: set[int], adjacent: sp.csr_array) -> bool:
    if not links:
        return False
    seen, todo = set(), [next(iter(links))]
    while todo:
        link = todo.pop()
        if link in seen:
            continue
        seen.add(link)
        near = adjacent.indices[adjacent.indptr[link] : adjacent.indptr[link + 1]].tolist()
        todo.extend(n for n in near if n in links)
    return len(seen) == len(links)


def shares(value: Floats, cov: Floats, signature: Floats) -> Floats:
    """Return each channel's share of the evidence, shape (2 C,): what it adds to s' W r, none below 0.

    Parameters
    ----------
    value, cov : ndarray, shape (2 C,), (2 C, 2 C)
        The deviation; NaN where there is none.
    signature : ndarray, shape (2 C,)
        Of the leak that explains it.
    """
    good = np.isfinite(value)
    parts = np.zeros(len(value))
    parts[good] = signature[good] * np.linalg.solve(cov[np.ix_(good, good)], value[good])
    parts = np.maximum(parts, 0.0)
    total = parts.sum()
    return parts / total if total > 0 else parts
