"""Many worlds at once: one for each seed, side by side in processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from leakdetect.errors import InputError
from leakdetect.networks.sensors import Sensors
from leakdetect.parallel import crew
from leakdetect.scenarios.files import Layout
from leakdetect.scenarios.scenario import Scenario
from leakdetect.scenarios.world import World, simulate


def simulate_many(
    path: Path, folder: Path, scenarios: Sequence[Scenario], *, sensors: Sensors | None = None,
    layout: Layout = Layout.BATTLEDIM, jobs: int = 1,
) -> Iterator[tuple[Path, World]]:  # fmt: skip
    """Make worlds as `leakdetect.scenarios.simulate`, each in ``folder/seed-<seed>``, and yield them as they are made.

    Parameters
    ----------
    path, folder : Path
        The model file; made if it is not there.
    scenarios : sequence of Scenario
        Of different seeds.
    sensors, layout
        As `simulate`.
    jobs : int
        How many are made at a time.

    Raises
    ------
    InputError
        If the folder is in use, or as `simulate`; worlds made until then stay.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is not an empty folder: name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    places = [folder / f"seed-{scenario.seed}" for scenario in scenarios]
    make = partial(_make, path, sensors, layout)
    with crew(jobs) as workers:
        for done in workers.map(make, list(zip(places, scenarios, strict=True))):
            yield places[done.index], done.result()


def _make(path: Path, sensors: Sensors | None, layout: Layout, what: tuple[Path, Scenario]) -> World:
    place, scenario = what
    return simulate(path, place, scenario, sensors=sensors, layout=layout)
