"""Leaks that people found, in the window of a fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leakdetect.events import KnownLeak
from leakdetect.network import Network
from leakdetect.stages.expected.customers import Leaks
from leakdetect.units import M3H

_SAME_M = 600.0  # between where a leak was found and where the search puts it
_LEAST_SHARE = 0.3  # of the steps of either in which both run


def known_leaks(network: Network, known: Sequence[KnownLeak], time: NDArray[np.datetime64]) -> Leaks:
    """Return the leaks that ran in a window, with the flow at which they were raised.

    Parameters
    ----------
    network : Network
    known : sequence of KnownLeak
        Those without a link of the network are left out.
    time : ndarray of datetime64, shape (T,)
    """
    links, flows = [], []
    for leak in known:
        inside = (time >= leak.start) & (time < (time[-1] + np.timedelta64(1, "s") if leak.end is None else leak.end))
        if network.has_link(leak.link) and inside.any():
            links.append(network.link(leak.link))
            flows.append(np.where(inside, leak.flow_m3h / M3H, 0.0))
    return Leaks(np.array(links, dtype=np.int64), np.array(flows).T) if links else Leaks()


def with_known(network: Network, found: Leaks, known: Leaks) -> Leaks:
    """Return the leaks that a search found, those that are known put where they were, and those that it did not find.

    Parameters
    ----------
    network : Network
    found, known : Leaks
        Over the same steps. Of one that both hold, the flow is what the search followed.
    """
    if not len(known.links):
        return found
    links, flow = found.links.copy(), found.flow
    free = set(range(len(links)))
    for link, course in zip(known.links, known.flow.T, strict=True):
        away, runs = network.distances(int(link)), course > 0
        alike = [k for k in free if away[links[k]] <= _SAME_M and _overlap(flow[:, k] > 0, runs) >= _LEAST_SHARE]
        if alike:
            same = min(alike, key=lambda k: (float(away[links[k]]), k))
            links[same] = link
            free.remove(same)
        else:
            links = np.append(links, link)
            flow = np.column_stack([flow, course]) if flow.size else course[:, None]
    return Leaks(links, flow)


def _overlap(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    return float((one & two).sum() / max((one | two).sum(), 1))
