"""Write a world: what its sensors read, and the truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leakdetect.networks.sensors import sensors_csv
from leakdetect.scenarios.files import (
    Layout,
    write_bytes,
    write_leaks,
    write_readings,
    write_repairs,
    write_table,
    year_of,
)
from leakdetect.scenarios.measure import DECIMALS, Readings, add_errors, add_faults, add_outages
from leakdetect.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from leakdetect.scenarios.world import World


def write_world(world: World, scenario: Scenario, path: Path, folder: Path, layout: Layout) -> list[str]:
    """Write every file, and return the nuisances.

    Parameters
    ----------
    world : World
    scenario : Scenario
    path : Path
        The model file as drawn.
    folder : Path
        That is there.
    layout : Layout
        Of the readings; the truth is always in BattLeDIM's.
    """
    sensors, times = world.sensors, world.times
    rng = np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=(99,)))
    hour = 3600 // scenario.step
    per_hour = (
        world.demands.reshape(scenario.steps // hour, hour, -1 if world.demands.size else 0).mean(axis=1) * 1000
    )  # m3/h to L/h
    tables = {
        "Pressures": (times, Readings("pressure", sensors.pressures, world.pressures.copy())),
        "Flows": (times, Readings("flow", sensors.flows, world.flows.copy())),
        "Levels": (times, Readings("level", sensors.levels, world.levels.copy())),
        "Demands": (times[::hour], Readings("demand", sensors.demands, per_hour)),
    }
    nuisances = list(world.nuisances)
    for name, (_, readings) in tables.items():
        if name != "Demands":
            add_errors(readings, scenario.error, rng)
    pressures, flows = tables["Pressures"][1], tables["Flows"][1]
    if pressures.sensors:
        nuisances += add_faults(pressures, scenario.trouble, rng, times=times, step=scenario.step)
    nuisances += add_outages([pressures, flows], scenario.trouble, rng, times=times, step=scenario.step)
    first, last = year_of(times[0]), year_of(times[-1])
    for year in range(first, last + 1):
        for name, (clock, readings) in tables.items():
            if readings.sensors:
                of = _in_year(clock, year)
                write_readings(
                    folder / f"{year}_SCADA_{name}",
                    clock[of],
                    readings.sensors,
                    readings.values[of],
                    DECIMALS[readings.quantity],
                    layout,
                )
        of = _in_year(times, year)
        known = [k for k, leak in enumerate(world.leaks) if world.leak_flow[of, k].any()]
        write_table(
            folder / f"{year}_Leakages.csv.gz",
            times[of],
            [world.leaks[k].pipe for k in known],
            world.leak_flow[of][:, known],
            2,
        )
        if year == first or scenario.all_repairs:
            write_repairs(folder / f"{year}_Fixing_Reports.txt", world.leaks, year)
    write_leaks(folder / "leaks.csv", world.leaks, times[-1])
    write_bytes(folder / "nuisances.txt", "".join(f"{line}\n" for line in nuisances).encode())
    write_bytes(folder / "sensors.csv", sensors_csv(sensors).encode())
    shutil.copyfile(path, folder / path.name)
    return nuisances


def _in_year(times: np.ndarray, year: int) -> slice:
    low, high = np.searchsorted(times, [np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01")])
    return slice(int(low), int(high))
