"""A few load states of the network: where it is linearised, for signatures and for calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leakdetect.core.sensitivity import HOLDS_END, HOLDS_START
from leakdetect.errors import ConvergenceError, ReadingsError
from leakdetect.network import Link, Network
from leakdetect.stages.expected.boundary import Drive
from leakdetect.stages.expected.customers import Leaks
from leakdetect.stages.expected.model import HydraulicModel, State
from leakdetect.units import M3H

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_VALVE_STEP = 0.1  # [m]
_SAMPLE = 40  # steps averaged for one load state


@dataclass(frozen=True)
class Loads:
    """K load states, by rising total net inflow.

    Attributes
    ----------
    centre : ndarray, shape (K,)
        Total net inflow [m3/s].
    demand : ndarray, shape (K, N)
        [m3/s].
    category : ndarray, shape (K, N, C)
        The part of unmetered customers, by category [m3/s].
    level, imposed : ndarray, shape (K, H), (K, cut links)
    """

    centre: Floats
    demand: Floats
    category: Floats
    level: Floats
    imposed: Floats

    def weights(self, total: Floats) -> Floats:
        """Return how each of T steps lies between the load states (linear), shape (T, K); rows add up to 1."""
        count = len(self.centre)
        place = np.interp(np.nan_to_num(total, nan=float(self.centre.mean())), self.centre, np.arange(count))
        low = np.minimum(place.astype(np.int64), max(count - 2, 0))
        out = np.zeros((len(total), count))
        rows = np.arange(len(total))
        out[rows, low] = 1 - (place - low)
        out[rows, np.minimum(low + 1, count - 1)] += place - low
        return out


def total_load(given: Drive) -> Floats:
    """Return what orders the load states: the total net inflow where it is measured, else the time of week's demand."""
    total: Floats = given.net.sum(axis=1)
    return total


def find_loads(model: HydraulicModel, given: Drive, count: int = 12) -> Loads:
    """Average the drive of a past window into load states of equal frequency.

    Raises
    ------
    ReadingsError
        If no step of the window has all it needs.
    """
    rows = np.flatnonzero(given.valid)
    if len(rows) < count:
        raise ReadingsError(
            "fewer than 12 steps of the window have every flow and level that the water balance needs: "
            "run 'leakdetect check' to see which sensor is missing"
        )
    total = total_load(given)[rows]
    if np.ptp(total) == 0:  # no balanced zone: order by the drawn pattern instead
        total = (model.customers.pattern(given.week[rows]) * model.customers.drawn.sum(axis=0)).sum(axis=1)
    order = rows[np.argsort(total, kind="stable")]
    parts = []
    none = Leaks()
    for group in np.array_split(order, count):
        chosen = group[np.linspace(0, len(group) - 1, min(_SAMPLE, len(group))).astype(np.int64)]
        demand = model.customers.demand(given[chosen], none).mean(axis=0)
        nominal = model.customers.drawn * model.customers.pattern(given.week[chosen]).mean(axis=0)
        use = np.where(model.customers.metered, 0.0, demand / np.maximum(nominal.sum(axis=1), 1e-12))
        level, imposed = np.nanmean(given.level[chosen], axis=0), np.nanmean(given.imposed[chosen], axis=0)
        parts.append((total_load(given)[group].mean(), demand, nominal * use[:, None], level, imposed))
    return Loads(*(np.array(p) for p in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Tables:
    """What is linear about the network at each load state; Ch channels.

    Attributes
    ----------
    signature : ndarray, shape (K, Ch, L)
        Of a leak of 1 m3/h at each link.
    valve : ndarray, shape (K, Ch, V)
        Of a valve's setting raised by 1 m.
    valves : ndarray of int, shape (V,)
        Links.
    mix : ndarray, shape (K, Ch, X)
        Of demand shifted from a zone's other categories to one category, by all of what that category uses.
    mixes : list of (zone, category), length X
    rough : ndarray, shape (K, Ch, G)
        Of the head loss of each group of pipes raised by a factor e.
    group : ndarray of int, shape (L,)
        Roughness group of each link, -1 for none.
    """

    signature: Floats
    valve: Floats
    valves: Ints
    mix: Floats
    mixes: tuple[tuple[int, int], ...]
    rough: Floats
    group: Ints


def pipe_groups(network: Network) -> Ints:
    """Return each pipe's group, by drawn diameter and roughness; -1 for other links, shape (L,)."""
    pipe = network.is_pipe
    group = np.full(len(pipe), -1, dtype=np.int64)
    keys = np.stack([np.round(network.diameter[pipe], 3), np.round(network.roughness[pipe], 6)])
    group[pipe] = np.unique(keys, axis=1, return_inverse=True)[1].ravel()
    return group


def effects(
    model: HydraulicModel, loads: Loads, leaks: Leaks, links: Ints, flow: Floats, states: Ints
) -> Floats:  # fmt: skip
    """Return what 1 m3/h of a leak does to every channel, by the whole effect of one of `flow` beside known leaks.

    Head loss grows faster than flow, so in small mains a leak shows more than its linear signature.

    Parameters
    ----------
    leaks : Leaks
        Known ones, one row.
    links : ndarray of int, shape (n,)
    flow : ndarray, shape (n,)
        At each [m3/h].
    states : ndarray of int, shape (k,)
        Load states.

    Returns
    -------
    ndarray, shape (k, P + F + Z, n)

    Raises
    ------
    ConvergenceError
        If there is no steady state with one of them.
    """
    boundary, network = model.boundary, model.network
    count, width = len(boundary.pressures) + len(boundary.flows), len(links) + 1
    shown = np.empty((len(states) * width, count))
    for piece in model.pieces(len(shown)):
        place, column = np.divmod(np.arange(piece.start, piece.stop), width)  # the first of each state is without
        k, here, more = states[place], np.flatnonzero(column), links[column[column > 0] - 1]
        lost = np.repeat(leaks.at_nodes(network), len(k), axis=0)
        for ends in (network.start, network.end):
            lost[here, ends[more]] += flow[column[here] - 1] / M3H / 2
        shown[piece] = model.shown(model.customers.make_room(loads.demand[k], lost), loads.level[k], loads.imposed[k])
    if np.isnan(shown).any():
        raise ConvergenceError(f"{network.path}: EPANET found no steady state with a leak of {flow.max():.3g} m3/h")
    by_state = shown.reshape(len(states), width, count)
    out = np.zeros((len(states), boundary.channels, len(links)))
    out[:, :count] = np.swapaxes(by_state[:, 1:] - by_state[:, :1], 1, 2) / flow
    for zone in range(len(boundary.zone_names)):
        inside = (boundary.zone == zone).astype(float)
        out[:, count + zone, :] = (inside[network.start[links]] + inside[network.end[links]]) / 2
    return out


def leaky_signatures(model: HydraulicModel, loads: Loads, leaks: Leaks) -> Floats:
    """Return the signatures at every load state with known leaks running, shape (K, Ch, L); one row of `leaks`."""
    out = []
    lost = leaks.at_nodes(model.network)
    for k in range(len(loads.centre)):
        demand = model.customers.make_room(loads.demand[[k]], lost)[0]
        state = model.state(demand, loads.level[k], loads.imposed[k])
        rows = model.rows(model.linearised(state))
        out.append(model.signatures(replace(state, demand=loads.demand[k]), rows))
    return np.array(out)


def find_tables(model: HydraulicModel, loads: Loads) -> Tables:
    """Linearise the model at every load state; raises ConvergenceError where EPANET finds no state."""
    network = model.network
    group = pipe_groups(network)
    valves = np.flatnonzero(np.isin(network.link_kind, [Link.PRV, Link.PSV]))
    mixes = _mixes(model, loads)
    tables = []
    for k in range(len(loads.centre)):
        state = model.state(loads.demand[k], loads.level[k], loads.imposed[k])
        at = model.linearised(state)
        rows = model.rows(at)
        balances = np.zeros((len(model.boundary.zone_names), 1))
        tables.append(
            (
                model.signatures(state, rows),
                _pad(_valve_effects(model, state, valves, k, loads), balances),
                _pad(_mix_effects(model, rows, loads.category[k], mixes), balances),
                _pad(_rough_effects(model, state, rows, group), balances),
            )
        )
    signature, valve, mix, rough = (np.array(t) for t in zip(*tables, strict=True))
    return Tables(signature, valve, valves, mix, mixes, rough, group)


def _pad(effect: Floats, balances: Floats) -> Floats:
    """Append the zone balances, which do not feel it."""
    return np.vstack([effect, np.repeat(balances, effect.shape[1], axis=1)])


def _valve_effects(model: HydraulicModel, state: State, valves: Ints, k: int, loads: Loads) -> Floats:
    """Return channels by valves, by a small change in EPANET itself."""
    out = np.zeros((len(model.observe()), len(valves)))
    behaviour = model.behaviour(state)
    for column, valve in enumerate(valves.tolist()):
        if behaviour[valve] not in (HOLDS_END, HOLDS_START):
            continue
        present = model.physics.setting
        for step in (_VALVE_STEP, -_VALVE_STEP):
            setting = present.copy()
            setting[valve] += step
            model.set_settings(setting)
            model.solve(loads.demand[k], loads.level[k], loads.imposed[k])
            out[:, column] += model.observe() / (2 * step)
        model.set_settings(present)
    return out


def _mixes(model: HydraulicModel, loads: Loads) -> tuple[tuple[int, int], ...]:
    used = loads.category.mean(axis=0)
    found = []
    for zone in range(len(model.boundary.zone_names)):
        totals = used[model.boundary.zone == zone].sum(axis=0)
        for category in range(1, len(totals)):
            if totals[category] > 0 and totals[0] > 0:
                found.append((zone, category))
    return tuple(found)


def _mix_effects(model: HydraulicModel, rows: Floats, used: Floats, mixes: tuple[tuple[int, int], ...]) -> Floats:
    out = np.zeros((len(rows), len(mixes)))
    for column, (zone, category) in enumerate(mixes):
        inside = model.boundary.zone == zone
        more = np.where(inside, used[:, category], 0.0)
        rest = np.where(inside, used.sum(axis=1) - used[:, category], 0.0)
        if rest.sum() > 0:
            out[:, column] = rows @ (more - rest / rest.sum() * more.sum()) * 3600.0
    return out


def _rough_effects(model: HydraulicModel, state: State, rows: Floats, group: Ints) -> Floats:
    """Return channels by groups.

    A pipe that loses dh more passes dh/slope less: as if that flow came back at its start and left at its end.
    """
    network = model.network
    head, slope = model.slopes(state)
    turned = head / slope * 3600.0
    shifted = (rows[:, network.end] - rows[:, network.start]) * turned
    observed = model.boundary.flows[:, 0]
    shifted[len(rows) - len(observed) + np.arange(len(observed)), observed] -= turned[observed]  # in the pipe itself
    out = np.zeros((len(rows), int(group.max()) + 1))
    for g in range(out.shape[1]):
        out[:, g] = shifted[:, group == g].sum(axis=1)
    return out
