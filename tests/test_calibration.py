"""Calibration: what was perturbed is found again; corrections; thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import small_networks

from leakdetect.errors import ReadingsError
from leakdetect.hydraulic.fit import Fit, threshold_of
from leakdetect.hydraulic.steps import Steps
from leakdetect.network import Network
from leakdetect.stages.calibration import HOURS as HOURS_A_DAY
from leakdetect.stages.calibration import Correction, fit_correction, hour_row, physics_step
from leakdetect.stages.expected.boundary import Boundary, Drive, find_boundary
from leakdetect.stages.expected.customers import Leaks
from leakdetect.stages.expected.loads import pipe_groups
from leakdetect.stages.expected.model import HydraulicModel, Physics
from leakdetect.units import M3H

HOURS = 24 * 21
START = np.datetime64("2021-03-01", "ns")  # a Monday
PRESSURES = ("J1", "J3", "J4", "J5", "J6")


def test_one_step_solves_a_linear_problem() -> None:
    """Exact effects, little noise, wide prior: the parameters themselves, whatever the offsets."""
    random = np.random.default_rng(0)
    true = np.array([0.3, -0.2, 0.1])
    tables, weights = random.normal(size=(4, 5, 3)), random.dirichlet(np.ones(4), 400)
    shown = np.einsum("tk,kcx,x->tc", weights, tables, true)
    residual = shown + random.normal(size=5) * 10 + random.normal(size=shown.shape) * 1e-3
    residual[random.random(residual.shape) < 0.2] = np.nan
    noise, wide = np.full(5, 1e-3), np.full(3, 10.0)
    found = physics_step(residual, weights, tables, noise, wide, np.zeros(3))
    assert found == pytest.approx(true, abs=2e-3)
    # About what was found already, there is nothing left to change; a narrow prior draws back to the drawing.
    left = residual - shown
    assert physics_step(left, weights, tables, noise, wide, true) == pytest.approx(np.zeros(3), abs=2e-3)
    drawn = physics_step(left, weights, tables, noise, np.full(3, 1e-6), true)
    assert drawn == pytest.approx(-true, abs=1e-2)


def test_a_channel_of_few_readings_is_left_out() -> None:
    residual = np.full((100, 1), np.nan)
    residual[:40] = 5.0
    found = physics_step(residual, np.ones((100, 1)), np.ones((1, 1, 1)), np.ones(1), np.ones(1), np.zeros(1))
    assert found == pytest.approx([0])


# -- a small town whose truth is known ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Boundary, Drive]:
    """Return a small town and three weeks of what flows in, hour by hour."""
    extra = {"PATTERNS": "a 0.6 0.5 0.7 1.2 1.4 1.0\nb 0.2 1.5 1.3 1.0"}
    network = small_networks.write(tmp_path_factory.mktemp("world"), "PRV", extra=extra)
    names = [*PRESSURES, "P1", "D", "P4", "T"]
    boundary = find_boundary(network, names, ["pressure"] * 5 + ["flow"] * 3 + ["level"], names)
    hours = np.arange(HOURS)
    random = np.random.default_rng(2)
    daily = 1 + 0.5 * np.sin(2 * np.pi * (hours - 8) / 24)
    net = np.column_stack([0.008 * daily, 0.016 * daily]) * random.normal(1, 0.03, (HOURS, 2))
    given = Drive(
        net, np.zeros((HOURS, 0)), 3 + 0.3 * np.cos(hours / 6)[:, None], np.zeros((HOURS, 0)),
        (hours * 3600.0) % (7 * 86400), np.ones(HOURS, dtype=bool),
    )  # fmt: skip
    return network, boundary, given


def readings(
    world: tuple[Network, Boundary, Drive], physics: Physics, offset: np.ndarray, leaks: Leaks | None = None
) -> Steps:
    """Return what the sensors of the true town read, pressures with 1 cm of noise."""
    network, boundary, given = world
    with HydraulicModel(network, boundary, physics) as model:
        shown = model.run(given, leaks)
    random = np.random.default_rng(3)
    reading = np.full((HOURS, 9), np.nan)
    reading[:, boundary.sensors()] = shown / np.r_[np.ones(5), np.full(3, M3H)]
    reading[:, :5] += offset + random.normal(0, 0.01, (HOURS, 5))
    time = START + np.arange(HOURS) * np.timedelta64(1, "h")
    return Steps(time, reading, reading, time + np.timedelta64(1, "h"))


def perturbed(network: Network, valve: float = 0.0, **rough: float) -> Physics:
    """Return the drawing with the head loss of a pipe's whole group, or what the valve holds, changed."""
    drawn, group = Physics.drawn(network), pipe_groups(network)
    for pipe, factor in rough.items():
        drawn.roughness[group == group[network.link(pipe)]] *= factor ** (-1 / 1.852)
    drawn.setting[network.link("D")] += valve
    return drawn


def fitted(world: tuple[Network, Boundary, Drive], steps: Steps, leaks: Leaks | None = None) -> tuple[Fit, Correction]:
    network, boundary, given = world
    work = Fit(network, boundary, steps, given)
    try:
        for _ in range(2):
            work.calibrate(leaks or Leaks())
        return work, work.finish(leaks or Leaks(), 0.3, 40.0, None).correction
    finally:
        work.close()


def test_roughness_is_found(world: tuple[Network, Boundary, Drive]) -> None:
    """Head loss 25 % up in the 100 mm pipes and 15 % down in P3: found to a quarter of the change."""
    network = world[0]
    true = perturbed(network, P4=1.25, P3=0.85)
    work, _ = fitted(world, readings(world, true, np.zeros(5)))
    for pipe in ("P4", "P3"):
        link = network.link(pipe)
        found = (work.model.physics.roughness[link] / network.roughness[link]) ** -1.852
        wanted = (true.roughness[link] / network.roughness[link]) ** -1.852
        assert abs(found - wanted) < 0.25 * abs(wanted - 1)
    same = work.model.physics.roughness[network.link("P8")] / network.roughness[network.link("P8")]
    assert same == pytest.approx(1, abs=0.02)  # a dead end that no sensor sees stays as drawn


def test_offsets_are_found(world: tuple[Network, Boundary, Drive]) -> None:
    offset = np.array([0.4, -0.3, 0.05, 0.0, -0.6])
    _, correction = fitted(world, readings(world, perturbed(world[0]), offset))
    assert correction.offset[:5] == pytest.approx(offset, abs=0.02)
    assert correction.share == pytest.approx(np.zeros(8), abs=0.02)


def test_what_is_left_is_noise(world: tuple[Network, Boundary, Drive]) -> None:
    """With everything wrong at once, calibrated and corrected residuals are the loggers' noise again."""
    network, boundary, given = world
    steps = readings(world, perturbed(network, valve=0.3, P4=1.2, P1=0.9), np.array([0.4, -0.3, 0.05, 0, -0.6]))
    work, correction = fitted(world, steps)
    with HydraulicModel(network, boundary, work.model.physics) as model:
        raw = model.run(given)
    rest = steps.reading[:, :5] - (raw + correction.of(raw, given.week))[:, :5]
    assert (rest.std(axis=0) < 0.014).all()
    assert np.abs(rest.mean(axis=0)).max() < 0.005


def test_a_leak_in_the_window_is_kept_out_once_it_is_known(world: tuple[Network, Boundary, Drive]) -> None:
    network = world[0]
    flow = np.zeros((HOURS, 1))
    flow[HOURS // 2 :] = 0.003
    leaks = Leaks(np.array([network.link("P6")]), flow)
    steps = readings(world, perturbed(network), np.zeros(5), leaks)
    _, blind = fitted(world, steps)
    _, knowing = fitted(world, steps, leaks)
    assert knowing.offset[:5] == pytest.approx(np.zeros(5), abs=0.02)
    assert np.abs(blind.offset[:5]).max() > 0.1


def test_too_short_a_window(world: tuple[Network, Boundary, Drive]) -> None:
    network, boundary, given = world
    steps = readings(world, perturbed(network), np.zeros(5))[:200]
    with pytest.raises(ReadingsError, match="a fit needs 14 days of readings, there are 8"):
        Fit(network, boundary, steps, given[:200])


# -- correction ---------------------------------------------------------------------------------------------------


def test_hours_of_the_day() -> None:
    week = np.array([0, 3600 * 23, 86400 * 4, 86400 * 6 + 3600 * 23 + 3599])
    assert hour_row(week).tolist() == [0, 23, 0, 23]


def test_correction_by_hand() -> None:
    shape = np.zeros((HOURS_A_DAY, 1))
    shape[3] = 0.5
    correction = Correction(np.array([2.0]), np.array([0.1]), np.array([50.0]), shape)
    week = np.array([0.0, 3 * 3600.0, 5 * 86400 + 4 * 3600.0])
    assert correction.of(np.array([[50.0], [60.0], [40.0]]), week)[:, 0] == pytest.approx([2.0, 3.5, 1.0])


def test_correction_is_found_and_a_spell_does_not_bend_its_shape() -> None:
    random = np.random.default_rng(0)
    week = (np.arange(24 * 70) * 3600.0) % (7 * 86400)
    model = 50 + 3 * np.sin(2 * np.pi * week / 86400)[:, None] + random.normal(0, 0.5, (len(week), 1))
    bump = np.where(hour_row(week) == 19, 0.2, 0.0)[:, None]
    residual = 0.7 - 0.05 * (model - 50) + bump + random.normal(0, 0.01, model.shape)
    residual[100:115] += 5.0  # most of a day out of order
    residual[random.random(residual.shape) < 0.1] = np.nan
    found = fit_correction(residual, model, week, np.array([0.03]))
    assert found.of(np.full((1, 1), 50.0), np.zeros(1))[0, 0] == pytest.approx(0.7, abs=0.03)
    assert found.shape[19, 0] - np.delete(found.shape[:24, 0], 19).mean() == pytest.approx(0.2, abs=0.03)
    rest = residual - found.of(model, week)
    assert np.nanmedian(np.abs(rest)) < 0.02


def test_a_sensor_whose_drawing_is_wrong_does_not_magnify_leaks() -> None:
    """Behind a pipe that is shut unknown to the drawing the model's swing can be off by any factor."""
    hours = np.arange(24 * 60)
    model = 50 + 0.1 * np.sin(hours / 24 * 2 * np.pi)[:, None]
    found = fit_correction(9 * (model - 50) + 2.0, model, hours * 3600.0, np.array([0.03]))
    assert found.share[0] == pytest.approx(0.3)
    assert found.offset[0] == pytest.approx(2.0, abs=0.02)


def test_a_silent_channel_is_not_corrected() -> None:
    found = fit_correction(np.full((200, 1), np.nan), np.ones((200, 1)), np.arange(200) * 3600.0, np.ones(1))
    assert found.offset.tolist() == found.share.tolist() == [0.0]
    assert not found.shape.any()


# -- threshold ----------------------------------------------------------------------------------------------------


def test_threshold_keeps_to_the_wanted_rate() -> None:
    """Evidence with an exponential tail: what exceeds it in a hundred years is what was wanted, within a factor."""
    random = np.random.default_rng(0)
    thresholds = {rate: threshold_of(10 + random.exponential(6.0, 1500), rate) for rate in (1.0, 2.0, 12.0)}
    assert thresholds[1.0] > thresholds[2.0] > thresholds[12.0]
    century = 10 + random.exponential(6.0, int(100 * 365.25 * 4))
    for rate, threshold in thresholds.items():
        assert rate / 3 < (century > threshold).sum() / 100 < rate * 3


def test_threshold_is_blind_to_leaks_in_the_window() -> None:
    random = np.random.default_rng(1)
    quiet = 10 + random.exponential(6.0, 1200)
    leaking = quiet.copy()
    leaking[:60] += 500
    assert threshold_of(leaking, 2.0) == pytest.approx(threshold_of(quiet, 2.0), rel=0.2)
    assert threshold_of(np.zeros(100), 2.0) > 20  # never so low that the model's own errors raise alarms
    with pytest.raises(ReadingsError, match="threshold needs 50 blocks"):
        threshold_of(quiet[:40], 2.0)
