"""How good without a model: leaks of known size added to inflows, real ones where a table is given."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect import pipeline
from leakdetect.detectors import build
from leakdetect.errors import ReadingsError
from leakdetect.evaluate.injection import alarms_per_year, study, summarise
from leakdetect.init import init_site
from leakdetect.schema import TIME, new_readings
from leakdetect.site import FILE, Site

from .registry import Figure, Setting, benchmark

_DAY = np.timedelta64(1, "D")
_WAIT = 75  # days that a leak is waited for
_FIT_DAYS, _LEAST_FIT = 365, 120  # to learn from: a year where there is as much again, half of what there is if not
_INFLOW = (20.0, 60.0)  # [m3/h] mean of each made-up district

Times = NDArray[np.datetime64]


@benchmark(
    "accuracy",
    Figure("injection.{}.false_alarms", "a year and district"),
    Figure("injection.{}.found", "% of the leaks added"),
    Figure("injection.{}.delay", "d"),
    Figure("injection.{}.flow_error", "%"),
)
def injection(setting: Setting) -> Iterator[tuple[str, tuple[float | None, ...]]]:
    """Add leaks to inflows and see what the inflow detector raises beyond what it raises without them.

    What it raises on the inflows as they are counts as false, though in real ones some of it may be leaks.
    """
    if setting.detectors and "inflow" not in setting.detectors:
        return
    name = setting.readings.stem if setting.readings else "made_up"
    setting.note(f"adding leaks to {name}")
    data, timezone, site = _readings(setting)
    detector = build("inflow", timezone=timezone, settings=site.detection)
    time = data[TIME].values
    days = float((time[-1] - time[0]) / _DAY)
    learn = _FIT_DAYS if days > 2 * _FIT_DAYS else int(days / 2)
    if learn < _LEAST_FIT or days - learn < _WAIT + 2:
        raise ReadingsError(f"{name}: {days:.0f} days of inflow: {2 * _LEAST_FIT} or more are needed to add leaks to")
    begin = int(np.searchsorted(time, time[0] + learn * _DAY))
    model, later = detector.fit(data.isel({TIME: slice(0, begin)})), data.isel({TIME: slice(begin, None)})
    found, false = study(
        detector,
        model,
        later,
        starts=_starts(later[TIME].values, 2 if setting.small else 6),
        shares=(0.2,) if setting.small else (0.05, 0.1, 0.2),
        days=_WAIT,
    )
    yield name, (alarms_per_year(false, later), None, None, None)
    for row in summarise(found):
        yield (
            f"{name}.{row.kind}.{round(100 * row.share)}",
            (None, 100 * row.found, row.delay_days, 100 * row.flow_error),
        )


def made_up(days: int, seed: int = 1) -> xr.Dataset:
    """Return hourly inflows of two districts [m3/s] without leaks: people get up, go to work and take a holiday."""
    random = np.random.default_rng(seed)
    time = np.datetime64("2021-01-04", "ns") + np.arange(days * 24) * np.timedelta64(1, "h")
    hour, day = np.arange(days * 24) % 24, np.arange(days * 24) // 24
    late = np.where(day % 7 >= 5, 2, 0)
    shape = 0.25 + np.exp(-((hour - 7 - late) ** 2) / 6) + 0.8 * np.exp(-((hour - 19) ** 2) / 8) + 0.3 * (hour > 9)
    season = 1 + 0.08 * np.sin(2 * np.pi * (day - 100) / 365)
    inflow = np.empty((len(time), len(_INFLOW)))
    for column, mean in enumerate(_INFLOW):
        spread = 1 + 0.03 * random.standard_normal(days)[day]
        inflow[:, column] = shape / shape.mean() * mean * season * spread
        inflow[:, column] *= 1 + 0.08 * random.standard_normal(len(time))
    names = ["A", "B"]
    data = new_readings(
        time,
        names,
        inflow / 3600,
        quantity=["flow"] * 2,
        element=[""] * 2,
        dma=names,
        unit=["m3/h"] * 2,
        step=[3600.0] * 2,
    )
    return data.assign(usable=((*data["reading"].dims,), np.isfinite(data["reading"].values)))


def _readings(setting: Setting) -> tuple[xr.Dataset, str, Site]:
    """Return the inflows on the site's step, its time zone, and the site."""
    if setting.readings is None:
        site = Site.model_validate({"name": "made up", "readings": [{"glob": "*", "quantity": "flow", "unit": "m3/h"}]})
        return made_up(300 if setting.small else 800), site.timezone, site
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as folder:
        place = setting.readings
        if not (place / FILE).is_file():  # a table: columns and units are guessed as `leakdetect init` does
            init_site(Path(folder), None, [str(place.resolve())])
            place = Path(folder)
        site, network = pipeline.open_site(place)
        return pipeline.steps_of(site, network), site.timezone, site


def _starts(time: Times, count: int) -> list[np.datetime64]:
    """Return times spread from the second day to the last that leaves time to wait."""
    last = (time[-1] - time[0]) / _DAY - _WAIT
    return [time[0] + int(day) * _DAY for day in np.linspace(1, last, count)]
