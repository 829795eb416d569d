"""Streets of an invented town: a jittered grid with blocks merged, dead ends inside and branches at the rim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from leakdetect.network import Floats, Ints

_BLOCK = (70.0, 130.0)  # m between parallel streets
_CROSSINGS = 0.5  # of all junctions
_BRANCHES = 0.12
_LOOPS = 0.42  # of the street pieces that connectivity does not need


@dataclass(frozen=True)
class Streets:
    """N places and the L streets between them.

    Attributes
    ----------
    xy : ndarray, shape (N, 2)
        [m].
    start, end : ndarray of int, shape (L,)
    arterial : ndarray of bool, shape (L,)
        Wide streets, where mains are laid.
    """

    xy: Floats
    start: Ints
    end: Ints
    arterial: NDArray[np.bool_]

    @property
    def length(self) -> Floats:
        """Straight, shape (L,) [m]."""
        length: Floats = np.hypot(*(self.xy[self.start] - self.xy[self.end]).T)
        return length


def draw_streets(places: int, rng: np.random.Generator, *, uneven: bool = False) -> Streets:
    """Draw streets with exactly this many places, all connected; linear in their number but for sorting.

    Parameters
    ----------
    places : int
    rng : numpy Generator
    uneven : bool
        Closer in the centre than at the rim, and places anywhere between two crossings.
    """
    xy, start, end, arterial = _grid(max(4, round(places * _CROSSINGS)), rng)
    wanted = places - len(xy)
    branches = min(round(places * _BRANCHES), max(wanted, 0))
    # Splitting the longest pieces gives the places between crossings.
    middles = min(wanted - branches, len(start))
    xy = _stretch(xy) if uneven else xy
    xy, start, end, arterial = _split(xy, start, end, arterial, middles, rng if uneven else None)
    return _branch(Streets(xy, start, end, arterial), places - len(xy), rng)


def _grid(crossings: int, rng: np.random.Generator) -> tuple[Floats, Ints, Ints, NDArray[np.bool_]]:
    side = int(np.ceil(np.sqrt(crossings * 4 / np.pi * 1.1))) + 1
    x, y = (np.cumsum(rng.uniform(*_BLOCK, side)) for _ in range(2))
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    xy = np.stack([x[i], y[j]], axis=-1) + rng.normal(0, 9, (side, side, 2))
    # A round town with a ragged rim: the nearest places to the centre, seen through an uneven ruler.
    off = xy - xy.mean(axis=(0, 1))
    angle = np.arctan2(off[..., 1], off[..., 0])
    ragged = 1 + 0.12 * np.cos(2 * angle + rng.uniform(0, 6)) + 0.08 * np.cos(5 * angle + rng.uniform(0, 6))
    far = np.hypot(off[..., 0], off[..., 1]) * ragged
    number = np.full(side * side, -1)
    inside = np.sort(np.argsort(far.ravel(), kind="stable")[:crossings])
    number[inside] = np.arange(len(inside))
    cell: Ints = number.reshape(side, side)
    wide_row, wide_column = (np.isin(np.arange(side) % 5, int(rng.integers(5))) for _ in range(2))
    wide = (np.broadcast_to(wide_row, (side - 1, side)), np.broadcast_to(wide_column[:, None], (side, side - 1)))
    start: Ints = np.r_[cell[:-1].ravel(), cell[:, :-1].ravel()]
    end: Ints = np.r_[cell[1:].ravel(), cell[:, 1:].ravel()]
    arterial: NDArray[np.bool_] = np.r_[wide[0].ravel(), wide[1].ravel()]
    real = (start >= 0) & (end >= 0)
    start, end, arterial = start[real], end[real], arterial[real]
    weight = rng.uniform(1, 2, len(start)) - 0.8 * arterial
    tree = minimum_spanning_tree(sp.csr_array((weight, (start, end)), shape=(len(inside),) * 2)).tocoo()
    keep = np.isin(start * len(inside) + end, tree.row.astype(np.int64) * len(inside) + tree.col)
    keep |= rng.random(len(start)) < np.where(arterial, 0.9, _LOOPS)
    start, end, arterial = start[keep], end[keep], arterial[keep]
    place = xy.reshape(-1, 2)[inside]
    # The rim may leave a scrap that no street reaches.
    label = connected_components(
        sp.csr_array((np.ones(len(start)), (start, end)), shape=(len(place),) * 2), directed=False
    )[1]
    main = label == np.bincount(label).argmax()
    renumber = np.cumsum(main) - 1
    stays = main[start]
    return place[main], renumber[start[stays]], renumber[end[stays]], arterial[stays]


def _stretch(xy: Floats) -> Floats:
    """Draw what lies far from the centre farther apart."""
    centre = xy.mean(axis=0)
    off = xy - centre
    share = np.hypot(*off.T) / np.hypot(*off.T).max()
    stretched: Floats = centre + off * (0.75 + 0.6 * share**2)[:, None]
    return stretched


def _split(
    xy: Floats, start: Ints, end: Ints, arterial: NDArray[np.bool_], count: int, rng: np.random.Generator | None
) -> tuple[Floats, Ints, Ints, NDArray[np.bool_]]:
    """Put a place in the middle of the `count` longest streets; with `rng`, somewhere in any `count` of them."""
    if count <= 0:
        return xy, start, end, arterial
    length = np.hypot(*(xy[start] - xy[end]).T)
    if rng is None:
        split, at = np.argsort(-length, kind="stable")[:count], np.full((count, 1), 0.5)
    else:
        split, at = rng.choice(len(start), count, replace=False), rng.uniform(0.08, 0.92, (count, 1))
    new = len(xy) + np.arange(len(split))
    middle = (1 - at) * xy[start[split]] + at * xy[end[split]]
    second = end[split].copy()
    first = end.copy()
    first[split] = new
    return np.vstack([xy, middle]), np.r_[start, new], np.r_[first, second], np.r_[arterial, arterial[split]]


def _branch(streets: Streets, count: int, rng: np.random.Generator) -> Streets:
    """Add dead ends: two thirds point out from the rim, the rest are closes between streets."""
    xy, start, end = streets.xy, streets.start, streets.end
    while count > 0:
        centre = xy.mean(axis=0)
        out = xy - centre
        reach = np.hypot(out[:, 0], out[:, 1])
        chance = np.where(reach > np.quantile(reach, 0.8), 8.0, 1.0)
        some = min(count, max(1, len(xy) // 8))
        parent = rng.choice(len(xy), some, replace=False, p=chance / chance.sum())
        angle = np.arctan2(out[parent, 1], out[parent, 0]) + rng.normal(0, 0.6, some)
        step = rng.uniform(30, 90, some)[:, None]
        xy, base = np.vstack([xy, xy[parent] + step * np.stack([np.cos(angle), np.sin(angle)], axis=1)]), len(xy)
        start, end = np.r_[start, parent], np.r_[end, base + np.arange(some)]
        count -= some
    arterial = np.r_[streets.arterial, np.zeros(len(start) - len(streets.start), dtype=bool)]
    return Streets(xy, start.astype(np.int64), end.astype(np.int64), arterial)
