"""The tracker on invented networks (random signatures): what changed, when, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from leakdetect.stages.detection.following import has_ended
from leakdetect.stages.detection.history import History, Leak, Snapshot
from leakdetect.stages.detection.tracker import Settings, Tracker, begin
from leakdetect.stages.detection.windows import Deviation, Picture, course, deviation

CHANNELS, LINKS, LOADS, PER_DAY = 12, 80, 3, 4
WHITE, WALK = 0.02, 0.004  # sd of a block, of a day's wandering
SETTINGS = Settings(threshold=40.0, smallest=1.0, largest=100.0)


def picture(seed: int = 0) -> Picture:
    """Return a line of links whose signatures change smoothly along it, and sensor faults as rivals."""
    random = np.random.default_rng(seed)
    place = np.linspace(0, 1, LINKS)
    sensors = np.linspace(0.05, 0.95, CHANNELS)
    shape = -0.02 * np.exp(-np.abs(place[None] - sensors[:, None]) * 4) * random.uniform(0.7, 1.3, (CHANNELS, 1))
    signature = np.stack([shape * (0.6 + 0.4 * k) for k in range(LOADS)])
    rival = np.broadcast_to(np.eye(CHANNELS), (LOADS, CHANNELS, CHANNELS)).copy()
    white = np.stack([np.eye(CHANNELS) * WHITE**2] * 2)
    walk = np.eye(2 * CHANNELS) * WALK**2 / PER_DAY
    return Picture(
        signature=signature,
        rival=rival,
        rival_names=tuple(f"sensor {c}" for c in range(CHANNELS)),
        rival_valve=np.full(CHANNELS, -1),
        only_less=np.zeros(CHANNELS, dtype=bool),
        white=white,
        walk=walk,
        per_day=PER_DAY,
        uncertain=np.ones(CHANNELS),
    )


@dataclass
class World:
    """Blocks of an invented town."""

    picture: Picture
    observed: np.ndarray
    weights: np.ndarray
    band: np.ndarray = field(default_factory=lambda: np.zeros(0))


def invent(days: int, leaks: dict[int, Callable[[np.ndarray], np.ndarray]], seed: int = 1) -> World:
    """Return blocks with noise, wandering, and leaks: link -> flow [m3/h] by day."""
    seen = picture()
    random = np.random.default_rng(seed)
    blocks = days * PER_DAY
    band = (np.arange(blocks) % PER_DAY >= 2).astype(np.int64)
    weights = np.where(band[:, None] == 0, [0.8, 0.2, 0.0], [0.0, 0.3, 0.7])
    level = np.cumsum(random.normal(0, WALK / np.sqrt(PER_DAY), (blocks, 2, CHANNELS)), axis=0)
    observed = level[np.arange(blocks), band] + random.normal(0, WHITE, (blocks, CHANNELS))
    for link, flow in leaks.items():
        observed += flow(np.arange(blocks) / PER_DAY)[:, None] * (weights @ seen.signature[:, :, link])
    return World(seen, observed, weights, band)


def nothing_whole(_beside: list[Leak], _seen: Deviation) -> tuple[np.ndarray, float]:
    """Say that no leak's whole effect explains anything."""
    return np.full(LINKS, -np.inf), 1.0


def tracker_of(
    world: World, whole: Callable[[list[Leak], Deviation], tuple[np.ndarray, float]] = nothing_whole
) -> Tracker:
    return Tracker(world.picture, SETTINGS, np.arange(0, LINKS, 4), lambda history, block: None, whole)


def track(world: World, history: History | None = None, first: int = 0, until: int | None = None) -> History:
    """Take the blocks one by one, each leak being raised the day after it was found."""
    tracker = tracker_of(world)
    history = history or begin(world.picture, 0, np.full(CHANNELS, 0.05))
    for block in range(first, until or len(world.observed)):
        tracker.take(history, world.observed[block], world.weights[[block]], int(world.band[block]))
    return history


def step(day: float, flow: float, end: float = np.inf) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: np.where((t >= day) & (t < end), flow, 0.0)


def ramp(day: float, flow: float, over: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: flow * np.clip((t - day) / over, 0, 1)


def day(block: int) -> float:
    return block / PER_DAY


# -- one window ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_ramp", [False, True])
def test_deviation_is_least_squares(is_ramp: bool) -> None:
    world = invent(30, {})
    history = track(world, until=20 * PER_DAY)
    since, n = history.last - 8 * PER_DAY, 8 * PER_DAY
    world.observed[5] = np.nan
    history.observed[history.rows(since + 3, since + 4)] = np.nan
    shape = course(n, is_ramp)
    seen = deviation(world.picture, history, since, shape)
    assert seen is not None
    rows = history.rows(since + 1, since + 1 + n)
    snapshot = history.snapshots[since]
    for b in (0, 1):
        here = history.band[rows] == b
        for c in range(CHANNELS):
            rest = history.observed[rows][here, c] - snapshot.mean[b * CHANNELS + c]
            good = np.isfinite(rest)
            size = np.linalg.lstsq(shape[here][good, None], rest[good], rcond=None)[0][0]
            assert seen.value[b * CHANNELS + c] == pytest.approx(size)
        assert seen.load[b] == pytest.approx([[0.8, 0.2, 0.0], [0.0, 0.3, 0.7]][b])


def test_deviation_of_a_step_has_the_spread_it_says() -> None:
    """Over many towns in which nothing leaks, what a window shows scatters as its covariance says."""
    found = []
    n = 6 * PER_DAY
    for seed in range(30):
        world = invent(20, {}, seed=seed)
        tracker = tracker_of(world)
        history = begin(world.picture, 0, np.full(CHANNELS, 0.05))
        for block in range(20 * PER_DAY):
            history.append(world.observed[block], world.weights[[block]], int(world.band[block]))
            tracker.follow(history, block)
        seen = deviation(world.picture, history, history.last - n, course(n, ramp=False))
        assert seen is not None
        found.append(seen.value @ np.linalg.solve(seen.cov, seen.value) / len(seen.value))
    assert np.mean(found) == pytest.approx(1, abs=0.15)


def test_deviation_without_readings() -> None:
    world = invent(12, {})
    world.observed[10 * PER_DAY :] = np.nan
    history = track(world)
    assert deviation(world.picture, history, 10 * PER_DAY - 1, np.ones(2 * PER_DAY)) is None


# -- what happened ------------------------------------------------------------------------------------------------


def test_nothing_happens() -> None:
    for seed in (1, 2):
        history = track(invent(40, {}, seed=seed))
        assert history.leaks == []
        assert history.notes == []


def test_a_burst() -> None:
    history = track(invent(40, {37: step(25.25, 5.0)}))
    (leak,) = history.leaks
    assert abs(leak.link - 37) <= 2
    assert day(leak.since) == pytest.approx(25.25, abs=0.5)
    assert leak.low_onset <= leak.since + 1
    assert day(leak.detected) < 28
    assert not leak.ramp
    assert leak.until == -1
    assert np.mean(leak.flow[-8:]) == pytest.approx(5, abs=0.5)


def test_a_leak_that_grows() -> None:
    history = track(invent(60, {37: ramp(20, 6.0, 24)}))
    running = [leak for leak in history.leaks if leak.until < 0]
    assert len(running) == 1
    assert running[0].ramp
    assert abs(running[0].link - 37) <= 4
    assert day(running[0].detected) < 40
    assert running[0].flow[-1] == pytest.approx(6, abs=0.7)
    assert 14 < day(running[0].since) < 32


def test_an_end() -> None:
    history = track(invent(45, {37: step(20, 6.0, end=32)}))
    (leak,) = history.leaks
    assert day(leak.since) == pytest.approx(20, abs=0.5)
    assert day(leak.until) == pytest.approx(32, abs=0.75)
    assert history.notes == []


def test_two_leaks() -> None:
    history = track(invent(55, {12: step(20, 5.0), 66: step(35.5, 5.0)}))
    first, second = sorted(history.leaks, key=lambda leak: leak.since)
    assert abs(first.link - 12) <= 3
    assert abs(second.link - 66) <= 3
    assert day(second.since) == pytest.approx(35.5, abs=0.5)
    assert first.flow[-1] == pytest.approx(5, abs=0.8)
    assert second.flow[-1] == pytest.approx(5, abs=0.8)


def test_a_sensor_that_jumps_is_no_leak() -> None:
    world = invent(45, {})
    world.observed[30 * PER_DAY :, 4] -= 0.4
    history = track(world)
    assert {text for _, text in history.notes} == {"sensor 4"}
    assert history.leaks == []
    # Its level follows: nothing is left to explain, and a leak is still found afterwards.
    world = invent(60, {37: step(45, 5.0)})
    world.observed[30 * PER_DAY :, 4] -= 0.4
    (leak,) = track(world).leaks
    assert day(leak.since) == pytest.approx(45, abs=0.5)
    assert abs(leak.link - 37) <= 3


@pytest.mark.parametrize(("evidence", "cause"), [(1e4, "leak"), (10.0, "rival")])
def test_a_burst_that_looks_like_a_sensor_to_first_order(evidence: float, cause: str) -> None:
    """The sensor beside a burst in a small main falls far more than the tangent says: its whole effect is asked."""
    world = invent(24, {})
    world.observed[20 * PER_DAY :, 3] -= 0.3

    def whole(_beside: list[Leak], seen: Deviation) -> tuple[np.ndarray, float]:
        assert np.nanargmin(seen.value) % CHANNELS == 3
        return np.where(np.arange(LINKS) == 22, evidence, 0.0), 9.0

    tracker, history = tracker_of(world, whole), begin(world.picture, 0, np.full(CHANNELS, 0.05))
    for block in range(21 * PER_DAY):
        tracker.take(history, world.observed[block], world.weights[[block]], int(world.band[block]))
    assert [k.link for k in history.leaks][:1] == ([22] if cause == "leak" else [])
    assert bool(history.notes) == (cause == "rival")


def test_what_is_there_from_the_very_first_day_is_the_level() -> None:
    world = invent(12, {30: step(0, 8.0)})
    assert not track(world).leaks


@pytest.mark.parametrize(
    ("flow", "over"),
    [
        ([9.0] * 80 + [0.5] * 32, True),  # gone for a week
        ([9.0] * 80 + [2.0] * 32, False),
        ([3.0] * 80 + [0.1] * 32, False),  # a small one may come back
        (np.linspace(9, 0, 800).tolist()[:700], False),  # slow drift is no end
        ([3.0] * 80 + [0.9] * 81, True),  # long too small
        ([3.0] * 80 + [0.9] * 80 + [1.1], False),
        ([3.0] * 80 + [-2.5] * 4, True),
    ],
)
def test_an_end_that_nobody_saw(flow: list[float], over: bool) -> None:
    assert has_ended(Leak(1, 0, 0, 0, False, 0.1, flow=flow), 1.0, PER_DAY) is over


def test_silence_is_bridged() -> None:
    world = invent(45, {37: step(30, 5.0)})
    world.observed[27 * PER_DAY : 29 * PER_DAY] = np.nan
    world.observed[:, 7] = np.nan
    (leak,) = track(world).leaks
    assert day(leak.since) == pytest.approx(30, abs=1.0)
    assert abs(leak.link - 37) <= 4


def test_too_small_and_too_large_are_not_looked_for() -> None:
    world = invent(40, {37: step(25, 5.0)})
    for settings in (Settings(40.0, smallest=8.0, largest=100.0), Settings(40.0, smallest=0.1, largest=2.0)):
        tracker = tracker_of(world)
        tracker.settings = settings
        history = begin(world.picture, 0, np.full(CHANNELS, 0.05))
        for block in range(len(world.observed)):
            tracker.take(history, world.observed[block], world.weights[[block]], int(world.band[block]))
        assert all(settings.smallest * 0.7 < max(leak.flow) < settings.largest * 1.3 for leak in history.leaks)


def test_a_restless_channel_counts_for_less() -> None:
    """Where innovations scatter by more than the fit says, the noise is what they say."""
    world = invent(60, {})
    random = np.random.default_rng(3)
    sd = np.sqrt(np.diag(world.picture.white[0]))
    world.observed[:, 4] += random.normal(size=len(world.observed)) * 3 * sd[4]
    history = track(world)
    assert ((history.scatter[:, 4] > 1.7) & (history.scatter[:, 4] < 3.2)).all()  # clipped, so less than the 3.2 it is
    assert np.delete(history.scatter, 4, axis=1) == pytest.approx(1.1, abs=0.25)
    assert history.leaks == []


def test_a_burst_is_no_growth_of_a_slow_leak() -> None:
    history = track(invent(70, {37: ramp(20, 6.0, 24), 41: step(60, 9.0)}))
    running = [leak for leak in history.leaks if leak.until < 0]
    assert len(running) == 2
    assert day(running[1].since) == pytest.approx(60, abs=0.5)


def test_what_is_said_soon_after_a_larger_leak_may_be_its_echo() -> None:
    history = begin(invent(5, {}).picture, 0, np.full(CHANNELS, 0.05))
    history.observed = np.zeros((100 * PER_DAY, CHANNELS))
    large, small = (
        Leak(k, k, since, since, False, 0.1, raised=since, flow=[flow])
        for k, since, flow in ((1, 97 * PER_DAY, 20.0), (2, 10 * PER_DAY, 5.0))
    )
    history.leaks = [large, small]
    assert history.is_echo(small, 5.0, PER_DAY)  # the large one began three days ago
    assert not history.is_echo(small, 20.0, PER_DAY)
    assert not history.is_echo(large, 1.0, PER_DAY)  # the small one began long ago
    small.until = 98 * PER_DAY
    assert history.is_echo(large, 1.0, PER_DAY)
    large.raised = -1  # what nobody raised has no echo
    assert not history.is_echo(small, 5.0, PER_DAY)


# -- memory -------------------------------------------------------------------------------------------------------


def same(one: History, two: History) -> None:
    a, b = one.to_plain(), two.to_plain()
    assert a.keys() == b.keys()
    for key, value in a.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, b[key], err_msg=key)
        else:
            assert value == b[key], key


def test_there_and_back_and_on() -> None:
    """A history kept as plain values in between goes on as one that never was: to the last digit."""
    world = invent(45, {12: step(20, 5.0, end=33), 66: ramp(25, 6.0, 10)})
    whole = track(world)
    history: History | None = None
    for first in range(0, len(world.observed), 25):
        history = track(world, history, first, min(first + 25, len(world.observed)))
        plain = history.to_plain()
        arrays = {k: v.copy() for k, v in plain.items() if isinstance(v, np.ndarray)}
        values = json.loads(json.dumps({k: v for k, v in plain.items() if k not in arrays}))
        history = History.from_plain({**values, **arrays})
    assert history is not None
    assert whole.leaks
    same(history, whole)


def test_what_is_known_rests_on_the_past_only() -> None:
    world = invent(45, {12: step(20, 5.0)})
    cut = invent(45, {12: step(20, 5.0)})
    cut.observed[30 * PER_DAY :] += 7.0
    same(track(world, until=30 * PER_DAY), track(cut, until=30 * PER_DAY))


def test_memory_is_bounded() -> None:
    history = track(invent(110, {12: step(20, 5.0)}))
    assert len(history.observed) <= 70 * PER_DAY
    assert len(history.snapshots) < 120
    assert history.leaks
    assert history.leaks[0].flow[-1] == pytest.approx(5, abs=0.7)


def test_runs() -> None:
    leak = Leak(1, 0, since=5, detected=7, ramp=False, walk=0.3, until=9)
    assert [leak.runs(b) for b in (4, 5, 8, 9)] == [False, True, True, False]
    assert Leak(1, 0, since=5, detected=7, ramp=False, walk=0.3).runs(1000)


def test_plain_snapshot() -> None:
    history = begin(picture(), 10, np.full(CHANNELS, 0.05))
    assert history.snapshots.keys() == {9}
    back = History.from_plain(history.to_plain())
    assert isinstance(back.snapshots[9], Snapshot)
    np.testing.assert_array_equal(back.snapshots[9].cov, np.eye(2 * CHANNELS) * 0.05**2)
    assert back.last == 9
