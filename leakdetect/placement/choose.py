"""Where to put pressure sensors: one after the other, each where it adds most, with a bound on what could be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.joint import Conditioned
from leakdetect.core.objectives import Coverage, Separation
from leakdetect.core.submodular import Objective, best_choice, bound_at, gains_of
from leakdetect.errors import InputError
from leakdetect.network import Network
from leakdetect.placement.measure import Worth, worth
from leakdetect.placement.noise import SURE, needed, variance
from leakdetect.placement.pairs import pairs_of
from leakdetect.placement.sight import outlook
from leakdetect.placement.watched import Watched

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

_LEAKS = 2000  # that are looked at, at the most
_WORK, _SAMPLED = 350_000_000, 200_000_000  # pairs x places that a round may take: all pairs, or some of many
_VALUES, _FEWEST = 12_500_000, 500  # leaks x places that are kept; leaks that are looked at in any case
_MEASURED = 12  # sets of the curve whose worth is measured where there are more


class Aim(StrEnum):
    """What is wanted of the sensors."""

    ZONE = "zone"
    FOUND = "found"


@dataclass(frozen=True)
class Wish:
    """What the sensors are to do.

    Attributes
    ----------
    aim : Aim
        `ZONE`: the expected length of pipe that a leak may be confused with; `FOUND`: the share of leaks found.
    leak : float
        Flow of the leaks [m3/h].
    days : float
        Within which they are to be found.
    """

    aim: Aim = Aim.ZONE
    leak: float = 5.0
    days: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.leak < np.inf:
            raise InputError(f"a leak of {self.leak:g} m3/h: give a flow above 0")
        variance(self.days, 1e-3)


@dataclass(frozen=True)
class Step:
    """One sensor more.

    Attributes
    ----------
    node : str
        '' for the sensors there are.
    cost, spent : float
        Of this one, and of all so far.
    value : float
        Of the objective, with it: [m] of `ZONE`, share of `FOUND`.
    worth : Worth or None
        With the noise that sensors have in common; None where it was not measured.
    """

    node: str
    cost: float
    spent: float
    value: float
    worth: Worth | None


@dataclass(frozen=True)
class Placement:
    """The sensors chosen, and what they are worth.

    Attributes
    ----------
    wish : Wish
    given : tuple of str
        Nodes that had a sensor.
    steps : tuple of Step
        The first is that of the given ones.
    of_best : float
        At least this share of what the best choice of the same cost would gain in the objective.
    beforehand : float
        The same, as it is known of every problem: 1 - 1/e, and half of it where costs differ; 0 of a joint choice.
    leaks, places : int
        Looked at.
    """

    wish: Wish
    given: tuple[str, ...]
    steps: tuple[Step, ...]
    of_best: float
    beforehand: float
    leaks: int
    places: int

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes chosen, best first."""
        return tuple(step.node for step in self.steps[1:])


class Board:
    """The places of a network and what a sensor at each would see: laid out once, asked often.

    Parameters
    ----------
    watched : Watched
    places : ndarray of int, shape (S,)
        Nodes that are to be asked about.
    wish : Wish
    most_leaks : int
    """

    def __init__(self, watched: Watched, places: Ints, wish: Wish, most_leaks: int = _LEAKS) -> None:
        self.watched, self.wish = watched, wish
        self.view = outlook(watched, places, min(most_leaks, max(_VALUES // len(places), _FEWEST)))
        self._row = {int(node): i for i, node in enumerate(places)}
        self._links = int(watched.network.is_pipe.sum())
        if wish.aim == Aim.ZONE:
            count = len(self.view.links)
            every = count * (count - 1) // 2
            few = max(_SAMPLED // len(places), 4 * count)
            self._pairs = pairs_of(self.view, every if every * len(places) <= _WORK else few)
        # From here on in deviations of what the best window shows of a leak of this flow.
        self.view.response[:] *= np.float32(wish.leak / np.sqrt(variance(wish.days, watched.noise.walk)))
        self.at_first = float(self.view.length.sum()) if wish.aim == Aim.ZONE else 0.0
        """The objective without any sensor."""

    def objective(self, given: Ints, response: Singles | None = None) -> Objective:
        """Return the objective with sensors at some nodes already, each one's noise taken as its own.

        `response` stands in the place of the view's.
        """
        found: Objective
        shown = self.view.response if response is None else response
        if self.wish.aim == Aim.FOUND:
            ask, beyond = needed(self._links, self.watched.threshold)
            others = float((np.sqrt(beyond) + SURE) ** 2)  # one sensor alone is its own fault
            found = Coverage(shown, self.view.length / self.view.length.sum(), ask, others)
        else:
            found = Separation(shown, *self._pairs)
        for row in self.rows(given):
            found.add(int(row))
        return found

    def joint(self, given: Ints) -> Objective:
        """Return the objective with the noise that sensors have in common, sensors at some nodes already."""
        response = self.view.response.copy()
        found = Conditioned(self.objective(np.zeros(0, dtype=np.int64), response), response, self.view.shared)
        for row in self.rows(given):
            found.add(int(row))
        return found

    def rows(self, nodes: Ints) -> Ints:
        """Return the rows of nodes among the places."""
        return np.array([self._row[int(node)] for node in nodes], dtype=np.int64)

    def value(self, nodes: Ints) -> float:
        """Return the objective with sensors at some nodes: [m] of `ZONE`, share of `FOUND`."""
        gain = float(gains_of(self.objective(np.zeros(0, dtype=np.int64)), self.rows(nodes)).sum())
        return self.at_first - gain if self.wish.aim == Aim.ZONE else gain

    def worth(self, nodes: Ints) -> Worth:
        """Return what sensors at some nodes are worth, with the noise that they have in common."""
        return worth(self.view, self.rows(nodes), links=self._links, threshold=self.watched.threshold)


def places_of(network: Network, allowed: Sequence[str] | None = None, forbidden: Sequence[str] = ()) -> Ints:
    """Return the junctions that a sensor may go to; ElementError if one is not in the network."""
    no = {network.node(name) for name in forbidden}
    wanted = np.flatnonzero(~network.is_fixed).tolist() if allowed is None else [network.node(n) for n in allowed]
    kept = sorted({n for n in wanted if n not in no and not network.is_fixed[n]})
    if not kept:
        raise InputError("no junction is left that a sensor may go to: allow more")
    return np.array(kept, dtype=np.int64)


def place(
    watched: Watched, wish: Wish, *, count: int | None = None, budget: float | None = None,
    given: Sequence[str] = (), allowed: Sequence[str] | None = None, forbidden: Sequence[str] = (),
    cost: dict[str, float] | None = None, joint: bool = True, most_leaks: int = _LEAKS,
) -> Placement:  # fmt: skip
    """Choose places for pressure sensors.

    Parameters
    ----------
    watched : Watched
    wish : Wish
    count : int, optional
        How many.
    budget : float, optional
        What they may cost together, instead of how many.
    given : sequence of str
        Nodes that have a pressure sensor.
    allowed, forbidden : sequences of str
        Nodes; every junction that is not forbidden, if nothing is said.
    cost : dict, optional
        Of a sensor at each node; nodes that are not named cost 1.
    joint : bool
        Choose with the noise that sensors have in common, which is what the detector sees; else with each one's noise
        as its own, for which 1 - 1/e is known beforehand. The bound is for the latter in either case.
    most_leaks : int
        Leaks that are looked at.

    Raises
    ------
    InputError
        If neither or both of `count` and `budget` are given, a cost is not above 0, or no place is left.
    ElementError
        If a node is not in the network.
    ConvergenceError
        If EPANET finds no steady state.
    """
    network = watched.network
    if (count is None) == (budget is None):
        raise InputError("say how many sensors, or what they may cost together: one of both")
    if not (count or budget or 0) > 0:
        raise InputError("no sensor is asked for: give a number or a budget above 0")
    there = np.array([network.node(name) for name in given], dtype=np.int64)
    places = np.setdiff1d(places_of(network, allowed, forbidden), there)
    price = costs_of(network, places, cost or {})
    if not len(places):
        raise InputError("every place that is allowed has a sensor: allow more")
    board = Board(watched, np.r_[places, np.setdiff1d(there, places)], wish, most_leaks)
    # A number of sensors is a budget in which each costs 1; what they cost in money is told all the same.
    each, limit = (np.ones(len(places)), float(count)) if count is not None else (price, float(budget or 0.0))
    rows = np.arange(len(places))
    choice = best_choice(lambda: (board.joint if joint else board.objective)(there), rows, each, limit)
    chosen = places[choice.places]
    plain = board.objective(there)
    first = bound_at(plain, rows[:0], 0.0, rows, each, limit)
    gain = gains_of(plain, choice.places)
    bound = min(first, bound_at(plain, choice.places, float(gain.sum()), rows, each, limit))
    bound = bound if joint else min(bound, choice.bound)
    start = board.value(there)
    values = np.r_[start, start + (-1.0 if wish.aim == Aim.ZONE else 1.0) * np.cumsum(gain)]
    measured = set(np.unique(np.geomspace(1, len(chosen) + 1, _MEASURED).round().astype(int) - 1).tolist())
    measured |= set(range(_MEASURED))
    steps = [Step("", 0.0, 0.0, start, board.worth(there))]
    spent = 0.0
    for k, (node, row) in enumerate(zip(chosen.tolist(), choice.places.tolist(), strict=True), start=1):
        spent += float(price[row])
        found = board.worth(np.r_[there, chosen[:k]]) if k in measured else None
        steps.append(Step(network.node_names[node], float(price[row]), spent, float(values[k]), found))
    sure = 0.0 if joint else (1 - 1 / np.e) * (1.0 if np.ptp(each) == 0 else 0.5)
    of_best = min(float(gain.sum()) / bound, 1.0) if bound > 0 else 1.0
    return Placement(wish, tuple(given), tuple(steps), of_best, sure, len(board.view.links), len(places))


def costs_of(network: Network, places: Ints, cost: dict[str, float]) -> Floats:
    """Return what a sensor costs at each place, 1 where nothing is said, shape (S,)."""
    for name, value in cost.items():
        network.node(name)
        if not 0 < value < np.inf:
            raise InputError(f"cost of a sensor at '{name}': {value:g}: give a number above 0")
    return np.array([cost.get(network.node_names[node], 1.0) for node in places.tolist()])
