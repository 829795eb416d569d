"""What a utility does to its network, which is no leak and looks like one: pipes shut, hydrants, fires, pumping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leakdetect.errors import InputError
from leakdetect.network import Ints, Link, Network, Node

_TEST, _FIRE = (30.0, 60.0), (60.0, 120.0)  # m3/h that are asked of a hydrant
_NARROWER = 0.5  # of the band of levels between which a pump runs

SHUT, DRAW, BAND = "shut", "hydrant", "levels"
"""What an `Action` does: shut a pipe; draw `value` [m3/h] at a junction; narrow a pump's band of levels to `value`."""


@dataclass(frozen=True)
class Operations:
    """How many of each, a year.

    Attributes
    ----------
    valves : int
        Pipes shut for some days.
    hydrants : int
        Tests of some minutes.
    fires : int
        Some hours of fire flow.
    pumps : int
        Weeks in which a pump runs between other levels of its tank.
    """

    valves: int = 0
    hydrants: int = 0
    fires: int = 0
    pumps: int = 0

    @classmethod
    def usual(cls) -> Operations:
        """Return what a small utility does in a year."""
        return cls(valves=2, hydrants=12, fires=1)


@dataclass(frozen=True)
class Action:
    """Something done to one element from step `first` on, until `last`."""

    kind: str
    element: str
    first: int
    last: int
    value: float = 0.0


def draw_actions(
    network: Network, wanted: Operations, rng: np.random.Generator, *, steps: int, step: int, busy: Sequence[str],
    without: Sequence[str],
) -> list[Action]:  # fmt: skip
    """Draw what is done in a run.

    Parameters
    ----------
    network : Network
    wanted : Operations
        At least one of each kind that is asked for.
    rng : numpy Generator
    steps, step : int
        Of the run; [s].
    busy : sequence of str
        Pipes to be left alone.
    without : sequence of str
        Pipes that are shut all the time.

    Raises
    ------
    InputError
        If the network has not got what is asked for.
    """
    years = steps * step / (365 * 86400)
    day = 86400 / step
    actions = []

    def span(low: float, high: float) -> tuple[int, int]:
        """Return the first step and the one after the last of `low` to `high` days."""
        length = min(max(round(rng.uniform(low, high) * day), 1), steps)
        first = int(rng.integers(0, steps - length + 1))
        return first, first + length

    valves = often(wanted.valves, years)
    for pipe in idle_pipes(network, rng, valves, busy=busy, gone=[network.link(name) for name in without]):
        actions.append(Action(SHUT, pipe, *span(1, 10)))
    hydrants = np.flatnonzero((network.node_kind == Node.JUNCTION) & (network.base_demand != 0).any(axis=1))
    for count, days, flow in ((wanted.hydrants, (0.005, 0.02), _TEST), (wanted.fires, (0.04, 0.17), _FIRE)):
        for _ in range(often(count, years)):
            node = network.node_names[int(rng.choice(hydrants))]
            actions.append(Action(DRAW, node, *span(*days), round(float(rng.uniform(*flow)), 1)))
    pumps = np.flatnonzero(network.link_kind == Link.PUMP)
    if wanted.pumps and not pumps.size:
        raise InputError(f"network {network.name} has no pump to run otherwise: ask for none")
    for _ in range(often(wanted.pumps, years)):
        actions.append(Action(BAND, network.link_names[int(rng.choice(pumps))], *span(7, 28), _NARROWER))
    return sorted(actions, key=lambda action: (action.first, action.element))


def often(per_year: int, years: float) -> int:
    """Return how many there are in a run of `years`: at least one where there are any."""
    return max(1, round(per_year * years)) if per_year else 0


def idle_pipes(
    network: Network, rng: np.random.Generator, count: int, *, busy: Sequence[str], gone: Sequence[int] = ()
) -> list[str]:
    """Choose pipes that can all be shut without cutting anyone off: on a loop, small, none of `busy`.

    Raises
    ------
    InputError
        If there are not as many.
    """
    small = network.diameter <= np.median(network.diameter[network.is_pipe])
    held = set(busy)
    idle = network.is_pipe & network.open & ~network.check_valve & small
    pool = [i for i in np.flatnonzero(idle) if network.link_names[i] not in held]
    # A way through a valve or a pump does not count: it goes one way.
    out: list[int] = [*np.flatnonzero(~network.is_pipe | ~network.open).tolist(), *gone]
    parts = _parts(network, out)
    chosen: list[str] = []
    for i in rng.permutation(pool).tolist():
        if len(chosen) == count:
            break
        if i not in out and _parts(network, [*out, i]) == parts:
            out.append(i)
            chosen.append(network.link_names[i])
    if len(chosen) < count:
        raise InputError(f"network {network.name} has only {len(chosen)} pipes that can be shut: ask for fewer")
    return chosen


def _parts(network: Network, without: Sequence[int] | Ints) -> int:
    return int(network.components(np.array(without, dtype=np.int64)).max())
