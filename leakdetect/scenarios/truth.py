"""How a network truly is, beside how it is drawn: roughness, leaks, shut pipes, a valve that is set anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakdetect.errors import InputError
from leakdetect.network import Link, Network
from leakdetect.networks.sensors import Sensors
from leakdetect.scenarios.leaks import Leak, draw_bursts, draw_leaks
from leakdetect.scenarios.operations import Action, draw_actions, idle_pipes, often
from leakdetect.scenarios.scenario import Scenario

_LTOWN_FLOW, _LTOWN_LENGTH = 180.0, 42.6  # m3/h and km: the town that the leaks' sizes and numbers are taken from


@dataclass(frozen=True)
class Reset:
    """A pressure reducing valve that is set anew at a step of the run."""

    step: int
    valve: str
    setting: float  # m


@dataclass(frozen=True)
class Truth:
    """What the drawing does not tell.

    Attributes
    ----------
    roughness : dict
        Of every pipe, in the drawing's head-loss formula.
    leaks : list of Leak
        By start.
    shut : list of str
        Pipes shut all the time.
    reset : Reset or None
    actions : list of Action
        What is done for a while, by start.
    """

    roughness: dict[str, float]
    leaks: list[Leak]
    shut: list[str]
    reset: Reset | None
    actions: list[Action]

    @property
    def leak_nodes(self) -> dict[str, str]:
        """Leaking pipe -> the node in its middle where the leak is."""
        return {leak.pipe: f"{leak.pipe}__leak" for leak in self.leaks}


def draw_truth(
    network: Network,
    scenario: Scenario,
    sensors: Sensors,
    *,
    of_truth: np.random.SeedSequence,
    of_leaks: np.random.SeedSequence,
    of_trouble: np.random.SeedSequence,
    of_events: np.random.SeedSequence,
) -> Truth:
    """Draw a truth; each seed rules one thing, so that more of one does not change another.

    Raises
    ------
    InputError
        If the scenario asks for what the network has not got.
    """
    rng = np.random.default_rng(of_trouble)
    leaks = _leaks(network, scenario, sensors, np.random.default_rng(of_leaks))
    of_bursts, of_actions = of_events.spawn(2)
    leaks = _with_bursts(network, scenario, sensors, leaks, np.random.default_rng(of_bursts))
    busy = (*sensors.flows, *(leak.pipe for leak in leaks))
    shut = idle_pipes(network, rng, scenario.shut, busy=busy)
    return Truth(
        roughness=_roughness(network, scenario.roughness, np.random.default_rng(of_truth)),
        leaks=leaks,
        shut=shut,
        reset=_reset(network, scenario, rng),
        actions=draw_actions(
            network,
            scenario.operations,
            np.random.default_rng(of_actions),
            steps=scenario.steps,
            step=scenario.step,
            busy=busy,
            without=shut,
        ),
    )


def _leaks(network: Network, scenario: Scenario, sensors: Sensors, rng: np.random.Generator) -> list[Leak]:
    if scenario.leaks is not None:
        pipes = {network.link_names[i] for i in np.flatnonzero(network.is_pipe)}
        for leak in scenario.leaks:
            network.link(leak.pipe)
            if leak.pipe not in pipes:
                raise InputError(f"link '{leak.pipe}' is not a pipe: a leak needs one")
        if len({leak.pipe for leak in scenario.leaks}) < len(scenario.leaks):
            raise InputError("two leaks on one pipe: give each its own")
        return sorted(scenario.leaks, key=lambda leak: leak.start)
    years = max(scenario.days / 365, 1e-9)
    counts = scenario.leaks_per_year
    if counts is None:
        rate = float(network.length[network.is_pipe].sum()) / 1000 / _LTOWN_LENGTH
        span = max(1, round(years))
        mean = [(12.5 if year == 0 else 18.5) * rate * years / span for year in range(span)]
        counts = [max(1, int(rng.poisson(m)) if m < 8 else round(m + rng.normal() * 1.2)) for m in mean]
    size = scenario.leak_size
    if size is None:
        supply = float(network.base_demand.sum()) * 3600
        size = min(1.0, max(supply / _LTOWN_FLOW, 1e-3) ** 0.25)
    return draw_leaks(
        network,
        rng,
        counts=counts,
        start=scenario.start,
        days=scenario.days,
        step=scenario.step,
        size=size,
        without=sensors.flows,
    )


def _with_bursts(
    network: Network, scenario: Scenario, sensors: Sensors, leaks: list[Leak], rng: np.random.Generator
) -> list[Leak]:
    count = often(scenario.bursts, scenario.days / 365)
    if not count:
        return leaks
    busy = (*sensors.flows, *(leak.pipe for leak in leaks))
    bursts = draw_bursts(
        network, rng, count=count, start=scenario.start, days=scenario.days, step=scenario.step, without=busy
    )
    return sorted([*leaks, *bursts], key=lambda leak: leak.start)


def _roughness(network: Network, spread: float, rng: np.random.Generator) -> dict[str, float]:
    """Draw the pipes' true roughness: those of one drawn roughness and diameter err together, and each by itself."""
    pipes = np.flatnonzero(network.is_pipe)
    pairs = np.stack([network.roughness[pipes], network.diameter[pipes]])
    _, group = np.unique(pairs, axis=1, return_inverse=True)
    half = spread / np.sqrt(2)
    error = half * rng.standard_normal(int(group.max()) + 1)[group] + half * rng.standard_normal(pipes.size)
    true = network.roughness[pipes] * np.exp(error)
    return {network.link_names[i]: float(value) for i, value in zip(pipes, true, strict=True)}


def _reset(network: Network, scenario: Scenario, rng: np.random.Generator) -> Reset | None:
    if not scenario.prv_reset:
        return None
    valves = np.flatnonzero((network.link_kind == Link.PRV) & np.isfinite(network.setting))
    if not valves.size:
        raise InputError(f"network {network.name} has no pressure reducing valve to set anew")
    valve = int(rng.choice(valves))
    step = int(rng.uniform(0.5, 0.9) * scenario.steps)
    return Reset(step, network.link_names[valve], float(network.setting[valve]) + scenario.prv_reset)
