"""How good: every detector on worlds whose leaks are known."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from leakdetect import networks
from leakdetect.detectors import DETECTORS, build
from leakdetect.epanet import load_network
from leakdetect.errors import InputError
from leakdetect.evaluate import LabelScore, Score, read_truth, score_battledim, score_leakdb, years_of
from leakdetect.events import Event
from leakdetect.network import Network
from leakdetect.networks import spread_sensors
from leakdetect.readings import load, load_repairs
from leakdetect.scenarios import Scenario, simulate
from leakdetect.schema import TIME
from leakdetect.site import ReadingsBlock, Site
from leakdetect.stages import quality

from .registry import Figure, Setting, benchmark

STEP = 3600  # s
FIT_DAYS, FIT_YEAR = 60, 365
"""A detector learns from the first days and is scored on all: what leaks then, it may find later. Where there are two
years it learns from the first, goes over both, and the second is what counts."""
TABLES = {"Pressures": "m", "Flows": "m3/h", "Levels": "m", "Demands": "L/h"}


@benchmark(
    "accuracy",
    Figure("accuracy.{}.euros", "% of the maximum"),
    Figure("accuracy.{}.euros_over_blind", "% of the maximum"),
    Figure("accuracy.{}.found", "% of the leaks"),
    Figure("accuracy.{}.false_alarms", "alarms"),
    Figure("accuracy.{}.distance", "m"),
    Figure("accuracy.{}.delay_abrupt", "h"),
    Figure("accuracy.{}.delay_incipient", "h"),
    Figure("accuracy.{}.leak_steps_told", "%"),
    Figure("accuracy.{}.other_steps_told", "%"),
    Figure("accuracy.{}.early_detection", "%"),
)
def worlds(setting: Setting) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Score each detector on each world and year: BattLeDIM's figures, then LeakDB's."""
    detectors = setting.detectors or tuple(DETECTORS)
    days = {"village": 240} if setting.small else {"village": 365, "town": 365}
    own = {"models": [], "detectors": detectors, "events": {}, "step": STEP if setting.small else 900}
    asked: list[dict[str, Any]] = [{"world": Path(name), "days": days[name], **own} for name in days]
    asked += [{"detectors": detectors, **setting.known(world)} for world in setting.worlds]
    for rows, events in setting.over("accuracy", "accuracy", "rows_of", asked):
        setting.events.update(events)
        yield from rows


def rows_of(
    world: Path,
    models: list[Path],
    detectors: Sequence[str],
    events: dict[tuple[Path, str], list[Event]],
    days: int = 0,
    step: int = STEP,
) -> tuple[list[tuple[str, tuple[float, ...]]], dict[tuple[Path, str], list[Event]]]:
    """Return the figures of detectors on a world, and what is known of events then.

    Parameters
    ----------
    world : Path
        Its folder; of a sample network, its name.
    models : list of Path
        The model, if it brings none.
    detectors : sequence of str
    events : dict
        That are known already, by world and detector.
    days, step : int
        Of a world that is made on a sample network, for this once: its length, and seconds between readings.
    """
    with tempfile.TemporaryDirectory(prefix="leakdetect-") as folder:
        if days:
            world = _own(world.name, Path(folder), days, step)
        setting = Setting(networks=tuple(models), events=events)
        network = load_network(model_of(world, setting))
        data, site = read(world, network)
        truth, rows = world / "leaks.csv", []
        leaks = read_truth(truth, network)
        for name in detectors:
            found = known_events(setting, world, name, data, site, network)
            for year in years_of(truth):
                located = all(event.candidates for event in found)
                score = score_battledim(network, found, leaks, year) if located else None
                window = np.datetime64(f"{year}-01-01", "ns"), np.datetime64(f"{year + 1}-01-01", "ns")
                until = min(window[1], data[TIME].values[-1])
                labels = score_leakdb(found, leaks, window[0], until)
                rows.append((f"{world.name}.{year}.{name}", (*_located(score), *_labels(labels))))
        return rows, events


def read(world: Path, network: Network) -> tuple[xr.Dataset, Site]:
    """Return a world's readings in steps of an hour, quality checked, and its site."""
    present = [name for name in TABLES if any(world.glob(f"*_SCADA_{name}.csv*"))]
    if not present:
        raise InputError(f"{world}: no *_SCADA_Pressures.csv.gz or the like: a world is a folder in BattLeDIM's layout")
    repairs = sorted(world.glob("*_Fixing_Reports.txt"))
    site = Site(
        name=world.name,
        network=str(network.path),
        repairs=repairs[0].name if repairs else None,
        readings=[
            ReadingsBlock.model_validate(
                {
                    "glob": f"*_SCADA_{name}.csv*",
                    "quantity": name.lower().removesuffix("s"),
                    "unit": TABLES[name],
                    "delimiter": ";",
                    "decimal": ",",
                    "time": "Timestamp",
                }
            )
            for name in present
        ],
        folder=world.resolve(),
    )
    return quality.to_steps(quality.flag(load(site, network=network)), STEP), site


def detect(name: str, data: xr.Dataset, site: Site, network: Network) -> list[Event]:
    """Fit a detector on the first days or year, let it run, and return its events."""
    detector = build(
        name,
        network=network,
        timezone=site.timezone,
        settings=site.detection,
        repairs=load_repairs(site, network) if site.repairs else [],
    )
    time = data[TIME].values
    long = time[-1] - time[0] > np.timedelta64(int(1.6 * FIT_YEAR), "D")
    begin = time[0] + np.timedelta64(FIT_YEAR if long else FIT_DAYS, "D")
    row = int(np.searchsorted(time, begin))
    model = detector.fit(data.isel({TIME: slice(0, row)}))
    _, events, _ = detector.update(model, detector.begin(model), data.isel({TIME: slice(0 if long else row, None)}))
    return events


def known_events(
    setting: Setting, world: Path, name: str, data: xr.Dataset, site: Site, network: Network
) -> list[Event]:
    """Return what a detector raises on a world; one run of benchmarks asks it once."""
    key = world.resolve(), name
    if key not in setting.events:
        setting.events[key] = detect(name, data, site, network)
    return setting.events[key]


def _own(name: str, folder: Path, days: int, step: int) -> Path:
    """Make a world that every run has: the village with six loggers, or the town."""
    simulate(
        networks.path(name),
        folder / name,
        Scenario(seed=1, days=days, step=step, leaks_per_year=(5,)),
        sensors=spread_sensors(networks.load(name), 6) if name == "village" else networks.sensors(name),
    )
    return folder / name


def model_of(world: Path, setting: Setting) -> Path:
    if not world.is_dir():
        raise InputError(f"{world}: no such folder: name worlds in BattLeDIM's layout")
    own = sorted(world.glob("*.inp"))
    if not own and not setting.networks:
        raise InputError(f"{world}: holds no .inp file: name the world's model with --network")
    return own[0] if own else setting.networks[0]


def _located(score: Score | None) -> tuple[float, ...]:
    if score is None:
        return (math.nan,) * 7
    worth = 100 / score.maximum if score.maximum else math.nan
    return (
        score.euros * worth,
        (score.euros - score.blind.euros) * worth,
        100 * score.true_positives / score.leaks if score.leaks else math.nan,
        float(score.false_positives),
        score.distance_m,
        score.abrupt.median_h,
        score.incipient.median_h,
    )


def _labels(labels: LabelScore) -> tuple[float, ...]:
    return 100 * labels.true_positive_rate, 100 * labels.false_positive_rate, 100 * labels.early_detection
