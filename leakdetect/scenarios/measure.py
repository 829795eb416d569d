"""What sensors make of the truth: noise, offsets, gaps and faults, and the list of the faults that were put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from leakdetect.network import Floats
from leakdetect.scenarios.operations import often

DECIMALS = {"pressure": 2, "head": 2, "flow": 2, "level": 2, "demand": 1}
"""What files of readings keep: m, m3/h, L/h."""


@dataclass(frozen=True)
class SensorError:
    """How good the sensors are; the default is perfect but for rounding.

    Attributes
    ----------
    noise : float
        Of every pressure and level reading, standard deviation [m].
    offset : float
        Of a pressure sensor's level, constant, standard deviation over the sensors [m].
    meter : float
        Systematic error of a flow meter, standard deviation over the meters, relative.
    meter_noise : float
        Of every flow reading, relative.
    missing : float
        Share of single readings that are lost.
    """

    noise: float = 0.0
    offset: float = 0.0
    meter: float = 0.0
    meter_noise: float = 0.0
    missing: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value}: must be 0 or more")


@dataclass(frozen=True)
class Trouble:
    """How many faults of each kind, a year.

    Attributes
    ----------
    stuck, drift, spikes, dead : int
        Of pressure loggers.
    outages : int
        Of all telemetry.
    clock : int
        Loggers whose clock is wrong for some weeks.
    """

    stuck: int = 0
    drift: int = 0
    spikes: int = 0
    dead: int = 0
    outages: int = 0
    clock: int = 0

    @classmethod
    def usual(cls) -> Trouble:
        """Return what a utility's telemetry shows in a year."""
        return cls(stuck=1, drift=1, spikes=1, dead=1, outages=6)


@dataclass
class Readings:
    """Readings of one quantity: T times, S sensors.

    Attributes
    ----------
    quantity : str
    sensors : tuple of str
    values : ndarray, shape (T, S)
        In the unit of the files; NaN where there is no reading.
    """

    quantity: str
    sensors: tuple[str, ...]
    values: Floats
    faults: list[str] = field(default_factory=list)


def add_errors(readings: Readings, error: SensorError, rng: np.random.Generator) -> None:
    """Lay sensor errors over the true values, in place."""
    values = readings.values
    if readings.quantity == "pressure":
        values += error.offset * rng.standard_normal(values.shape[1])
        values += error.noise * rng.standard_normal(values.shape)
    elif readings.quantity == "level":
        values += error.noise * rng.standard_normal(values.shape)
    else:
        values *= 1 + error.meter * rng.standard_normal(values.shape[1])
        values *= 1 + error.meter_noise * rng.standard_normal(values.shape)
    if error.missing:
        values[rng.random(values.shape) < error.missing] = np.nan


def add_faults(
    readings: Readings, trouble: Trouble, rng: np.random.Generator, *, times: np.ndarray, step: int
) -> list[str]:
    """Break pressure sensors, in place, and return what was done, a line each.

    Parameters
    ----------
    readings : Readings
        Of pressure.
    trouble : Trouble
        How many a year; at least one of each kind that is asked for.
    times : ndarray of datetime64, shape (T,)
    step : int
        [s].
    """
    values, lines = readings.values, []
    day = 86400 // step
    total, years = len(times), len(times) * step / (365 * 86400)

    def span(low: float, high: float) -> tuple[int, int, int]:
        """Return sensor, first step and number of steps of a fault of `low` to `high` days."""
        length = int(rng.uniform(low, high) * min(1.0, years) * day)
        return int(rng.integers(values.shape[1])), int(rng.integers(0, max(total - length, 1))), max(length, 1)

    for _ in range(often(trouble.stuck, years)):
        sensor, first, length = span(5, 20)
        values[first : first + length, sensor] = values[first, sensor]
        lines.append(f"stuck {readings.sensors[sensor]} {_stamp(times[first])} +{length * step / 86400:.1f}d")
    for _ in range(often(trouble.drift, years)):
        sensor, first, length = span(30, 90)
        size = float(rng.choice([-1, 1]) * rng.uniform(0.3, 0.9))
        values[first:, sensor] += size * np.minimum(np.arange(total - first) / length, 1.0)
        days = length * step / 86400
        lines.append(f"drift {readings.sensors[sensor]} {_stamp(times[first])} {size:+.2f} m over {days:.1f}d, stays")
    for _ in range(often(trouble.spikes, years)):
        sensor = int(rng.integers(values.shape[1]))
        hit = rng.random(total) < 0.0016
        values[hit, sensor] += rng.gamma(3.0, 5.0, int(hit.sum())) * rng.choice([-1, 1], int(hit.sum()))
        lines.append(f"spikes {readings.sensors[sensor]}")
    for _ in range(often(trouble.dead, years)):
        sensor, first, length = span(15, 45)
        values[first : first + length, sensor] = np.nan
        lines.append(f"dead {readings.sensors[sensor]} {_stamp(times[first])} +{length * step / 86400:.1f}d")
    for _ in range(often(trouble.clock, years)):
        sensor, first, length = span(20, 90)
        late = int(rng.choice([-1, 1])) * max(round(rng.uniform(600, 5400) / step), 1)  # steps: a summer hour, or so
        shown = np.clip(np.arange(first, min(first + length, total)) - late, 0, total - 1)
        values[first : first + length, sensor] = values[shown, sensor]
        wrong = f"{late * step / 60:+.0f} min"
        lines.append(f"clock {readings.sensors[sensor]} {_stamp(times[first])} {wrong} +{length * step / 86400:.1f}d")
    return lines


def add_outages(
    every: Sequence[Readings], trouble: Trouble, rng: np.random.Generator, *, times: np.ndarray, step: int
) -> list[str]:
    """Lose all readings for some hours, in place: the telemetry, not a sensor; return a line each.

    Readings in `every` share `times`.
    """
    lines = []
    for _ in range(often(trouble.outages, len(times) * step / (365 * 86400))):
        first = int(rng.integers(0, len(times)))
        length = max(int(rng.uniform(0.5, 9) * 3600 / step), 1)
        for readings in every:
            readings.values[first : first + length] = np.nan
        lines.append(f"outage {_stamp(times[first])}")
    return lines


def _stamp(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).replace("T", " ")
