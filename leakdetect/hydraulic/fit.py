"""The fit: calibration and the search for leaks in turn, since the window itself leaks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import ReadingsError
from leakdetect.hydraulic.engine import band_of
from leakdetect.hydraulic.fitted import Fitted
from leakdetect.hydraulic.steps import BLOCK, BLOCK_HOURS, Steps
from leakdetect.network import Network
from leakdetect.stages.calibration import HOURS, fit_correction, hour_row, physics_step
from leakdetect.stages.expected.boundary import Boundary, Drive
from leakdetect.stages.expected.customers import Leaks
from leakdetect.stages.expected.loads import Tables, find_loads, find_tables, total_load
from leakdetect.stages.expected.model import HydraulicModel, Physics
from leakdetect.stages.residuals import block_means, fit_noise
from leakdetect.units import M3H

Floats = NDArray[np.float64]

_STEPS = 2  # Gauss-Newton steps
_SAMPLE = 2500  # steps that they look at
_ROUGH_SD, _SETTING_SD, _MIX_SD = 0.15, 0.1, 0.15  # prior about the drawing: factor of head loss, [m], factor of use
_WALK_SHARES = (0.3, 0.3, 0.5)  # of how levels wander from week to week, in each round: the rest is leaks not yet found
_LEAST_DAYS = 14
LEAST_THRESHOLD = 30.0  # of evidence, below which lies what errors of the model itself can mimic
PRESSURE_NOISE, FLOW_NOISE = 0.03, 1.0  # [m], [m3/h] a residual that the model is not asked to explain
PRESSURE_FLOOR, FLOW_FLOOR, BALANCE_FLOOR = 0.005, 0.1, 0.3  # [m], [m3/h]: resolution of a block's mean
_BLOCKS_A_YEAR = 365.25 * 24 / BLOCK_HOURS

Progress = Callable[[str, float], None]
Track = Callable[[Fitted], tuple[Leaks, Floats]]
"""Follow the window with a fitted model: the leaks found (flow at every step), each block's greatest evidence."""


def scales(boundary: Boundary, pressure: float, flow: float, balance: float) -> Floats:
    """Return one value a channel, shape (C,)."""
    each: Floats = np.r_[
        np.full(len(boundary.pressures), pressure),
        np.full(len(boundary.flows), flow),
        np.full(len(boundary.zone_names), balance),
    ]
    return each


class Fit:
    """A fit under way: what is read once, and the physics found so far."""

    def __init__(self, network: Network, boundary: Boundary, steps: Steps, given: Drive) -> None:
        days = len(steps) * (steps.time[1] - steps.time[0]) / np.timedelta64(1, "D") if len(steps) > 1 else 0
        if days < _LEAST_DAYS:
            raise ReadingsError(f"a fit needs {_LEAST_DAYS} days of readings, there are {days:.1f}: widen --from --to")
        if not np.isfinite(steps.reading[:, boundary.sensors()]).any():
            raise ReadingsError("no sensor on the network has a usable reading in the window")
        self.network, self.boundary, self.steps, self.given = network, boundary, steps, given
        with ExitStack() as stack:
            self.model = stack.enter_context(HydraulicModel(network, boundary, Physics.drawn(network)))
            self.loads = find_loads(self.model, given)
            stack.pop_all()  # all went well: `close` closes it
        self.change = np.zeros(0)
        count = len(boundary.pressures) + len(boundary.flows)
        self.noise = scales(boundary, PRESSURE_NOISE, FLOW_NOISE, 1.0)[:count]
        scale = np.r_[np.ones(len(boundary.pressures)), np.full(len(boundary.flows), M3H)]
        self.observed = steps.reading[:, boundary.sensors()] * scale

    def close(self) -> None:
        """Close EPANET."""
        self.model.close()

    def calibrate(self, leaks: Leaks) -> None:
        """Move the physics towards the readings, the leaks being in the model."""
        rows = np.flatnonzero(self.given.valid)
        rows = rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)]
        given = Drive(*(value[rows] for value in vars(self.given).values()))
        sample = Leaks(leaks.links, leaks.flow[rows]) if len(leaks.links) else leaks
        weights = self.loads.weights(total_load(given))
        for _ in range(_STEPS):
            tables = find_tables(self.model, self.loads)
            effects = np.concatenate([tables.rough, tables.valve, tables.mix], axis=2)
            if effects.shape[2] == 0:
                return
            if not len(self.change):
                self.change = np.zeros(effects.shape[2])
            prior = np.r_[
                np.full(tables.rough.shape[2], _ROUGH_SD),
                np.full(tables.valve.shape[2], _SETTING_SD),
                np.full(tables.mix.shape[2], _MIX_SD),
            ]
            shown = self.model.run(given, sample)
            residual = self.observed[rows] - shown
            count = shown.shape[1]
            self.change = self.change + physics_step(
                residual, weights, effects[:, :count], self.noise, prior, self.change
            )
            self.model.set_physics(self._physics(tables))

    def _physics(self, tables: Tables) -> Physics:
        network, drawn = self.network, Physics.drawn(self.network)
        groups, valves = tables.rough.shape[2], tables.valve.shape[2]
        rough, setting, mix = np.split(np.clip(self.change, -2, 2), [groups, groups + valves])
        power = {"H-W": -1 / 1.852, "C-M": 0.5, "D-W": 4.0}[network.headloss]  # roughness for a factor of head loss
        factor = np.where(tables.group >= 0, np.exp(power * rough[tables.group]), 1.0)
        settings = drawn.setting.copy()
        settings[tables.valves] += setting
        category = drawn.category.copy()
        for (zone, use), value in zip(tables.mixes, mix, strict=True):
            category[self.boundary.zone == zone, use] = np.exp(value)
        return Physics(drawn.roughness * factor, settings, category)

    def finish(self, leaks: Leaks, share: float, threshold: float, tick: Callable[[int], None] | None) -> Fitted:
        """Fit each channel's correction, the balances and the noise at the present physics."""
        given, boundary = self.given, self.boundary
        raw = self.model.run(given, leaks, tick)
        residual = self.observed - raw
        correction = fit_correction(residual, raw, given.week, self.noise)
        residual = residual - correction.of(raw, given.week)
        left = self._left(leaks)
        balance = _by_hour(left, given)
        residual = np.hstack([residual, left - balance[hour_row(given.week)]])
        step = self.steps.time[1] - self.steps.time[0]
        per_block = int(BLOCK / step)
        whole = len(residual) // per_block * per_block
        blocks = block_means(residual[:whole], per_block)
        weights = self.loads.weights(total_load(given))[:whole].reshape(-1, per_block, len(self.loads.centre)).mean(1)
        floor = scales(boundary, PRESSURE_FLOOR, FLOW_FLOOR, BALANCE_FLOOR)
        found = fit_noise(blocks, band_of(weights), 24 // BLOCK_HOURS, floor)
        noise = replace(found, walk=share * found.walk)
        window = (str(self.steps.time[0].astype("datetime64[s]")), str(self.steps.time[-1].astype("datetime64[s]")))
        return Fitted(self.model.physics, correction, self.loads, noise, balance, threshold, window)

    def _left(self, leaks: Leaks) -> Floats:
        """Return what each zone took in beyond meters and leaks [m3/h], shape (T, Z)."""
        left: Floats = np.where(self.given.valid[:, None], self.given.net, np.nan) * M3H
        for column, (node, _) in enumerate(self.boundary.meters):
            zone = self.boundary.zone[node]
            if zone >= 0:
                left[:, zone] -= np.nan_to_num(self.given.metered[:, column]) * M3H
        for k, link in enumerate(leaks.links):
            for node in (self.network.start[link], self.network.end[link]):
                if self.boundary.zone[node] >= 0:
                    left[:, self.boundary.zone[node]] -= leaks.flow[:, k] / 2 * M3H
        return left


def _by_hour(left: Floats, given: Drive) -> Floats:
    """Return the median by the hour of the day, shape (24, Z); hours never seen take the median of all."""
    rows = hour_row(given.week)
    out = np.zeros((HOURS, left.shape[1]))
    for zone in range(left.shape[1]):
        middle = np.nanmedian(left[:, zone]) if np.isfinite(left[:, zone]).any() else 0.0
        for hour in range(HOURS):
            here = left[(rows == hour), zone]
            here = here[np.isfinite(here)]
            out[hour, zone] = np.median(here) if len(here) else middle
    return out


def fit(
    network: Network, boundary: Boundary, steps: Steps, given: Drive, *,
    known: Leaks, track: Track, start_threshold: float, false_alarms: float, progress: Progress,
) -> Fitted:  # fmt: skip
    """Calibrate, look for leaks in the window, calibrate again with them.

    Parameters
    ----------
    network, boundary : see their classes
    steps : Steps
        Of the window.
    given : Drive
        What they impose.
    known : Leaks
        That people found in the window.
    track : callable
        See `Track`.
    start_threshold : float
        For the first search.
    false_alarms : float
        Wanted in a year.
    progress : callable
        Told what is done and how far it is (0 to 1).

    Raises
    ------
    ReadingsError
        If the window is too short or holds nothing usable.
    """
    work = Fit(network, boundary, steps, given)
    rounds = len(_WALK_SHARES)
    done = 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        progress("simulate", min(done / (rounds * len(steps)), 1.0))

    try:
        leaks, threshold = known, start_threshold
        for number, share in enumerate(_WALK_SHARES):
            progress("calibrate", number / rounds)
            work.calibrate(leaks)
            fitted = work.finish(leaks, share, threshold, tick)
            if number < rounds - 1:
                leaks, tops = track(fitted)
                threshold = threshold_of(tops, false_alarms)
        return fitted
    finally:
        work.close()


def threshold_of(tops: Floats, false_alarms: float) -> float:
    """Return the evidence that noise alone exceeds as often as wanted in a year.

    The greatest evidence of a block has an exponential tail; its scale is read from the quieter half of the window's
    blocks, where no leak sits. The floor is what errors of the model itself can mimic while leaks run.
    """
    tops = tops[np.isfinite(tops)]
    if len(tops) < 50:
        raise ReadingsError(f"a threshold needs 50 blocks of {BLOCK_HOURS} h in the window, there are {len(tops)}")
    low, middle = np.quantile(tops, [0.2, 0.5])
    scale = max((middle - low) / np.log(0.8 / 0.5), 2.0)
    return max(float(middle + scale * np.log(0.5 * _BLOCKS_A_YEAR / false_alarms)), LEAST_THRESHOLD)
