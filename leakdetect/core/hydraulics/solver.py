"""Steady states of one network in batches: the global gradient algorithm, each state on its own terms.

Todini & Pilati (1988) solve energy and mass balance by Newton's method, with a symmetric system in the heads at each
step. What depends on the drawing only (branches, order of elimination, fill-in) is found once; then W states go through
the same loops side by side, and a state that has settled gives its place to the next one. A row's result depends on
that row only, to the last digit: not on its neighbours, their number or their order. So a batch is never narrower than
its width: what a compiler makes of loops may round otherwise where their length is no multiple of a vector's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leakdetect.core.compiled import compiled

from . import linear
from .behaviour import behave, hold
from .devices import States, first_status, lay_out
from .friction import Friction
from .ordering import find_forest, find_pattern
from .problem import Problem
from .status import reconsider

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TRIALS = 80
_ASKED_UNTIL = 10  # trials: until then check valves, pumps and FCVs are asked at every other one, as EPANET does,
_ROUGHLY = 1.0  # m out of balance, summed over links: once heads are near that
_WIDTH = 16  # a few vectors: enough to hide what each step of a loop costs, little to waste on a lone state


@dataclass(frozen=True)
class Steady:
    """B steady states.

    Attributes
    ----------
    head : ndarray, shape (B, N)
        [m]; NaN where not converged.
    flow : ndarray, shape (B, L)
        [m3/s], positive from start to end.
    status : ndarray of int8, shape (B, D)
        Of `Problem.devices`: `devices.TOO_HIGH`, `SHUT`, `OPEN`, `ACTIVE`.
    converged : ndarray of bool, shape (B,)
        False where no state was found: ask another solver.
    trials : ndarray of int, shape (B,)
    """

    head: Floats
    flow: Floats
    status: States
    converged: Bools
    trials: Ints


class _Space:
    """Room for K links and n unknowns of F given heads, W states side by side: kept, for a new one is slow to get."""

    def __init__(self, links: int, size: int, fixed: int, entries: int, width: int) -> None:
        self.flow, self.conductance, self.correction = (np.empty((links, width)) for _ in range(3))
        self.draw, self.diagonal, self.right = (np.empty((size, width)) for _ in range(3))
        self.head, self.below = np.empty((size + fixed, width)), np.empty((entries, width))
        self.nbytes: int = sum(array.nbytes for array in vars(self).values())


class Solver:
    """A network made ready for one batch of steady states after another; not for two threads at a time.

    Parameters
    ----------
    problem : Problem
    tolerance : float, optional
        Head that may be out of balance, summed over all links, so that no node's head is further off [m]; by default
        1e-8 a link, but 1e-5 at least and 1e-3 at most.
    width : int
        States side by side, a power of 2.
    """

    def __init__(self, problem: Problem, tolerance: float | None = None, width: int = _WIDTH) -> None:
        self.problem, self.width = problem, width
        self.tolerance = min(max(1e-5, 1e-8 * len(problem.start)), 1e-3) if tolerance is None else tolerance
        self._forest = find_forest(problem)
        nodes, links = len(problem.fixed), len(problem.start)
        inner = np.setdiff1d(np.arange(links), self._forest.link)
        unknown = np.setdiff1d(np.flatnonzero(~problem.fixed), self._forest.tip)
        self._pattern = find_pattern(nodes, unknown, problem.start[inner], problem.end[inner])
        self._fixed = np.flatnonzero(problem.fixed)
        self._nodes = np.r_[self._pattern.node, self._fixed]
        row = np.full(nodes, -1, dtype=np.int64)
        row[self._nodes] = np.arange(len(self._nodes))
        # In the order of elimination, so that what one link after another adds to lies close together in memory.
        self._links = inner[np.argsort(np.minimum(row[problem.start[inner]], row[problem.end[inner]]), kind="stable")]
        self._i, self._j = row[problem.start[self._links]], row[problem.end[self._links]]
        self._entry = self._pattern.entry(self._i, self._j)
        place = np.full(links, -1, dtype=np.int64)
        place[self._links] = np.arange(len(self._links))
        self._devices = lay_out(problem, place, self._i, self._j)
        self._space = _Space(len(self._links), len(self._pattern.node), len(self._fixed), len(self._pattern.row), width)
        self._friction, self._branches = Friction(problem, self._links), Friction(problem, self._forest.link)

    @property
    def nbytes(self) -> int:
        """Bytes that `width` states side by side take, all of which each trial goes through."""
        return self._space.nbytes

    def solve(
        self, demand: ArrayLike, head: ArrayLike, setting: ArrayLike | None = None, guess: Steady | None = None
    ) -> Steady:
        """Find steady states.

        Parameters
        ----------
        demand : array_like, shape (B, N)
            Withdrawn at each node [m3/s]; of no account at given heads.
        head : array_like, shape (B, F) or (F,)
            Given heads, in the nodes' order [m].
        setting : array_like, shape (B, D) or (D,), optional
            Of `Problem.devices`, as `Problem.setting`, which is the default; a pump of speed 0 is shut.
        guess : Steady, optional
            Its first state is where all begin: best one from the middle of the batch.
        """
        problem, forest = self.problem, self._forest
        wanted = np.array(demand, dtype=float, ndmin=2)
        count = len(wanted)
        given = np.ascontiguousarray(np.broadcast_to(np.asarray(head, dtype=float), (count, len(self._fixed))))
        chosen = problem.devices
        aims = np.asarray(problem.setting[chosen] if setting is None else setting, dtype=float)
        aims = np.ascontiguousarray(np.broadcast_to(aims, (count, len(chosen))))
        begin, like = problem.guess, None
        if guess is not None and guess.converged[0]:
            begin, like = guess.flow[0], guess.status[0]
        out = Steady(
            np.empty((count, len(problem.fixed))), np.empty((count, len(problem.start))),
            first_status(problem, aims, like), np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int64),
        )  # fmt: skip
        carried = np.empty((count, len(forest.link)))
        _gather(forest.tip, forest.base, wanted, carried)
        self._core(wanted, given, aims, begin[self._links], out)
        out.head[:, self._fixed] = given
        outwards = np.where(problem.start[forest.link] == forest.base, carried, -carried)
        out.flow[:, forest.link] = outwards
        _spread(forest.tip, forest.base, self._loss(carried), out.head)
        out.head[~out.converged] = np.nan
        out.flow[~out.converged] = np.nan
        return out

    def _loss(self, flow: Floats) -> Floats:
        """Return the head loss in branches, shape (B, T)."""
        out = np.empty_like(flow)
        across = np.zeros((flow.shape[1], self.width))
        conductance, correction = np.empty_like(across), np.empty_like(across)
        for first in range(0, len(flow), self.width):
            rows = flow[first : first + self.width]
            across[:, : len(rows)] = rows.T
            self._branches(across, conductance, correction)
            out[first : first + self.width] = (correction / conductance).T[: len(rows)]
        return out

    def _core(self, demand: Floats, given: Floats, aims: Floats, begin: Floats, out: Steady) -> None:
        """Solve for what is left without branches, and write it out."""
        pattern, devices = self._pattern, self._devices
        size, width, space = len(pattern.node), self.width, self._space
        flow, conductance, correction, head = space.flow, space.conductance, space.correction, space.head
        draw, diagonal, right, below = space.draw, space.diagonal, space.right, space.below
        status, setting = np.ones((len(devices.kind), width), dtype=np.int8), np.ones((len(devices.kind), width))
        error, changed = np.empty(width), np.zeros(width, dtype=bool)
        flow[:], head[:], draw[:] = 1.0, 0.0, 0.0  # places that no state takes are gone through too
        trial, row = np.zeros(width, dtype=np.int64), np.full(width, -1, dtype=np.int64)
        following, free = 0, np.arange(width)
        while True:
            taken = free[: len(demand) - following]
            rows = np.arange(following, following + len(taken))
            following += len(taken)
            row[free], row[taken], trial[free] = -1, rows, 0
            flow[:, taken] = begin[:, None]
            _load(rows, taken, pattern.node, demand, draw)
            _load(rows, taken, np.arange(len(self._fixed)), given, head[size:])
            _load(rows, taken, np.arange(len(setting)), aims, setting)
            status[:, taken] = out.status[rows].T
            if (row < 0).all():
                return
            free = free[:0]
            while not len(free):
                trial += 1
                self._friction(flow, conductance, correction)
                behave(devices, status, setting, flow, draw, conductance, correction)
                linear.assemble(
                    self._i, self._j, self._entry, conductance, correction, flow, draw, head, diagonal, below, right
                )
                hold(devices, status, setting, diagonal, right)
                linear.solve(pattern.group, pattern.column, pattern.row, pattern.update, diagonal, below, right, head)
                linear.renew(self._i, self._j, conductance, correction, head, flow, error)
                near = error < self.tolerance
                asked = near | ((trial <= _ASKED_UNTIL) & (trial % 2 == 0) & (error < _ROUGHLY))
                reconsider(devices, status, setting, flow, correction, head, asked, changed)
                settled = near & ~changed
                free = np.flatnonzero((settled | (trial >= _TRIALS)) & (row >= 0))
            rows = row[free]
            out.trials[rows], out.converged[rows] = trial[free], settled[free]
            _unload(rows, free, self._nodes, head, out.head)
            _unload(rows, free, self._links, flow, out.flow)
            out.status[rows] = status[:, free].T


@compiled
def _load(rows: Ints, places: Ints, columns: Ints, values: Floats, out: Floats) -> None:
    """Give states their places in a batch: out[:, places] = values[rows, columns].T."""
    for k in range(len(columns)):
        for n in range(len(rows)):
            out[k, places[n]] = values[rows[n], columns[k]]


@compiled
def _unload(rows: Ints, places: Ints, columns: Ints, values: Floats, out: Floats) -> None:
    """Take states out of a batch: out[rows, columns] = values[:, places].T."""
    for k in range(len(columns)):
        for n in range(len(rows)):
            out[rows[n], columns[k]] = values[k, places[n]]


@compiled
def _gather(tip: Ints, base: Ints, demand: Floats, carried: Floats) -> None:
    """Add up what branches draw, from their tips inwards: onto the demand, and as the flow in each link."""
    for row in range(len(demand)):
        for k in range(len(tip)):
            carried[row, k] = demand[row, tip[k]]
            demand[row, base[k]] += demand[row, tip[k]]


@compiled
def _spread(tip: Ints, base: Ints, loss: Floats, head: Floats) -> None:
    """Take the loss off the head, from where branches begin outwards."""
    for row in range(len(head)):
        for k in range(len(tip) - 1, -1, -1):
            head[row, tip[k]] = head[row, base[k]] - loss[row, k]
