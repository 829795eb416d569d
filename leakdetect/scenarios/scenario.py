"""What a world is to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from leakdetect.errors import InputError
from leakdetect.scenarios.demand import DemandNoise
from leakdetect.scenarios.leaks import Leak
from leakdetect.scenarios.measure import SensorError, Trouble
from leakdetect.scenarios.operations import Operations


@dataclass(frozen=True)
class Scenario:
    """What a world is to be.

    Attributes
    ----------
    seed : int
        The same seed, the same files.
    start : datetime64
        UTC.
    days : int
    step : int
        [s] between readings; a divisor of an hour.
    leaks : sequence of Leak, or None
        Given ones; None draws them.
    leaks_per_year : sequence of int, or None
        How many begin in each year where they are drawn; None is about what L-Town has per km of pipe, more in the
        later years.
    leak_size : float or None
        Factor on drawn hole diameters; None goes by the network's demand.
    roughness : float
        How far the true roughness is from the drawing, relative: half by groups of like pipes, half pipe by pipe.
    demand : DemandNoise
    error : SensorError
    trouble : Trouble
        Sensor faults and outages.
    prv_reset : float
        [m] that one pressure reducing valve is set anew, at a random time; 0 for none.
    shut : int
        Pipes that are shut and nobody knows.
    bursts : int
        Pipes that break in a year, beside the leaks.
    pressure_driven : bool
        Customers get less where pressure is short (Wagner et al. 1988, J. Water Resour. Plann. Manage. 114(3)); so too
        where pipes break or hydrants are opened.
    required : float
        [m] at which they get all they want.
    background : float
        Background leakage at 40 m of pressure, as a share of the demand: from every joint, q = C p^0.5.
    stretch : float
        [1/m] by which a hole widens with pressure (FAVAD: Cassa, van Zyl 2013, Urban Water J. 10(2)).
    operations : Operations
    all_repairs : bool
        Write the list of repairs of every year; else of the first only, as the competition did.
    """

    seed: int = 1
    start: np.datetime64 = field(default_factory=lambda: np.datetime64("2018-01-01T00:00:00"))
    days: int = 730
    step: int = 300
    leaks: Sequence[Leak] | None = None
    leaks_per_year: Sequence[int] | None = None
    leak_size: float | None = None
    roughness: float = 0.10
    demand: DemandNoise = field(default_factory=DemandNoise)
    error: SensorError = field(default_factory=SensorError)
    trouble: Trouble = field(default_factory=Trouble)
    prv_reset: float = 0.0
    shut: int = 0
    all_repairs: bool = False
    bursts: int = 0
    pressure_driven: bool = False
    required: float = 15.0
    background: float = 0.0
    stretch: float = 0.0
    operations: Operations = field(default_factory=Operations)

    def __post_init__(self) -> None:
        if self.days < 1:
            raise InputError(f"a world of {self.days} days: ask for 1 or more")
        if self.step < 60 or 3600 % self.step:
            raise InputError(f"a step of {self.step} s: use a divisor of an hour, 60 s or more")
        if self.required < 1:
            raise InputError(f"a required pressure of {self.required} m: give 1 m or more")
        if not 0 <= self.background < 1 or not 0 <= self.stretch <= 1:
            raise InputError("background leakage is a share below 1, and a hole widens by 0 to 1 of itself for each m")

    @property
    def steps(self) -> int:
        """How many steps the run has."""
        return self.days * 86400 // self.step

    @property
    def short(self) -> bool:
        """Whether customers may get less than they want."""
        return self.pressure_driven or bool(self.bursts or self.operations.hydrants or self.operations.fires)

    @property
    def times(self) -> np.ndarray:
        """Time of every step, shape (steps,)."""
        times: np.ndarray = self.start.astype("datetime64[s]") + np.arange(self.steps) * np.timedelta64(self.step, "s")
        return times


def whole_years(start: np.datetime64, years: int) -> int:
    """Return the days of so many years from `start`."""
    first = start.astype("datetime64[D]")
    month = first.astype("datetime64[M]")
    end = (month + 12 * years).astype("datetime64[D]") + (first - month.astype("datetime64[D]"))
    return int((end - first) / np.timedelta64(1, "D"))
