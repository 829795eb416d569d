"""The demonstration: an invented site with two leaks, the whole way from readings to report, and what was found."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leakdetect.epanet import load_network
from leakdetect.errors import InputError
from leakdetect.evaluate.truth import Leak as TrueLeak
from leakdetect.evaluate.truth import read_truth
from leakdetect.events import Event
from leakdetect.network import Floats, Network
from leakdetect.networks import spread_sensors
from leakdetect.networks.generator import Plan, generate
from leakdetect.scenarios import Leak, Scenario, SensorError, simulate
from leakdetect.scenarios.leaks import can_leak
from leakdetect.site import FILE, Site, load_site

NAME = "leakdetect demo"
PLAN = Plan(junctions=150, inhabitants=4_200)
LOGGERS = 14
START = np.datetime64("2025-03-03T00:00:00")
DAYS, FIT_DAYS, STEP = 70, 28, 900
DAY = np.timedelta64(86400, "s")

_SITE = f"""\
name = "{NAME}"
timezone = "UTC"
network = "network.inp"
repairs = "repairs.csv"
step_minutes = 60
inhabitants = {PLAN.inhabitants}
"""
_BLOCK = """
[[readings]]
glob = "readings/*_{file}.csv.gz"
quantity = "{quantity}"
unit = "{unit}"
delimiter = ";"
decimal = ","
time = "Timestamp"
"""


@dataclass(frozen=True)
class Row:
    """A leak that was put in, and the event that found it; the event's fields are None where none did.

    Attributes
    ----------
    pipe, start : str, datetime64
        As put in.
    flow_m3h : float
        When the event was raised; at its largest where none was.
    event : Event or None
    found_pipe : str or None
        The event's first candidate.
    distance_m : float or None
        Between both pipes along the network.
    """

    pipe: str
    start: np.datetime64
    flow_m3h: float
    event: Event | None = None
    found_pipe: str | None = None
    distance_m: float | None = None


def fit_until() -> np.datetime64:
    """Return the end of the window that the demo fits on: before the first leak."""
    return START + FIT_DAYS * DAY


def make_site(folder: Path, seed: int = 1) -> Site:
    """Invent a network, simulate ten weeks with two leaks, and lay both out as a site.

    Writes ``site.toml``, ``network.inp``, ``readings/``, ``repairs.csv``, and ``truth/`` with what was put in, which
    no detector reads. An earlier demo in `folder` is replaced.

    Raises
    ------
    InputError
        If `folder` holds anything else.
    """
    if folder.is_dir() and any(folder.iterdir()):
        if not ((folder / FILE).is_file() and load_site(folder).name == NAME):
            raise InputError(f"{folder}: is not empty and holds no demo: name a new folder with --out")
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        part = Path(work) / "site"
        for name in ("readings", "truth"):
            (part / name).mkdir(parents=True)
        (part / "network.inp").write_text(generate(PLAN, seed), encoding="ascii", newline="\n")
        _lay_out(_simulate(part / "network.inp", Path(work) / "world", seed), part)
        if folder.exists():
            folder.rmdir()
        part.replace(folder)
    return load_site(folder)


def _simulate(path: Path, folder: Path, seed: int) -> Path:
    network = load_network(path)
    sensors = spread_sensors(network, LOGGERS)
    scenario = Scenario(
        seed=seed,
        start=START,
        days=DAYS,
        step=STEP,
        leaks=_leaks(network, sensors.flows, seed),
        error=SensorError(noise=0.02, offset=0.2, meter_noise=0.005, missing=0.002),
        all_repairs=True,
    )
    simulate(path, folder, scenario, sensors=sensors)
    return folder


def _leaks(network: Network, metered: Sequence[str], seed: int) -> list[Leak]:
    """Choose a burst that is mended after eight days, and a hole that grows for twelve days and stays."""
    rng = np.random.default_rng(seed)
    pipes = can_leak(network, metered)
    first = int(rng.choice(pipes))
    # The second in another part of the network.
    away = pipes[network.distances(first)[pipes] > np.median(network.distances(first)[pipes])]
    second = int(rng.choice(away))
    burst, growing = START + 38 * DAY + 2 * DAY // 12, START + 49 * DAY
    return [
        Leak(network.link_names[first], start=burst, peak=burst, end=burst + 8 * DAY, diameter=0.0104),
        Leak(network.link_names[second], start=growing, peak=growing + 12 * DAY, end=None, diameter=0.0110),
    ]


def _lay_out(world: Path, site: Path) -> None:
    """Sort a world's files into a site's folders."""
    blocks = []
    for file, quantity, unit in (("Pressures", "pressure", "m"), ("Flows", "flow", "m3/h"), ("Levels", "level", "m")):
        found = sorted(world.glob(f"*_SCADA_{file}.csv.gz"))
        for path in found:
            path.replace(site / "readings" / path.name)
        if found:
            blocks.append(_BLOCK.format(file=f"SCADA_{file}", quantity=quantity, unit=unit))
    (site / FILE).write_text(_SITE + "".join(blocks), encoding="utf-8", newline="\n")
    reports = sorted(world.glob("*_Fixing_Reports.txt"))
    lines = [line for path in reports for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    repairs = "\n".join(["link,time", *(line.replace(", ", ",") for line in lines)])
    (site / "repairs.csv").write_text(repairs + "\n", encoding="utf-8", newline="\n")
    for path in [world / "leaks.csv", *world.glob("*_Leakages.csv.gz")]:
        path.replace(site / "truth" / path.name)


def compare(network: Network, leaks: Sequence[TrueLeak], events: Sequence[Event]) -> tuple[list[Row], list[Event]]:
    """Say which event found which leak: the nearest one raised while the leak ran, each event used once.

    Returns
    -------
    rows : list of Row
        One a leak, in the order of `leaks`.
    rest : list of Event
        Events that found none: false alarms, or a leak told twice.
    """
    left = [event for event in events if event.candidates]
    rows = []
    for leak in leaks:
        apart = network.distances(network.link(leak.pipe))
        during = [event for event in left if leak.start <= event.raised_at <= leak.end]
        if not during:
            largest = float(leak.flow.max(initial=0.0))
            rows.append(Row(pipe=leak.pipe, start=leak.start, flow_m3h=largest))
            continue
        best = min(during, key=lambda event: _distance(network, apart, event))
        left.remove(best)
        rows.append(
            Row(
                pipe=leak.pipe,
                start=leak.start,
                flow_m3h=leak.flow_at(best.raised_at),
                event=best,
                found_pipe=best.candidates[0].link,
                distance_m=_distance(network, apart, best),
            )
        )
    return rows, left


def _distance(network: Network, apart: Floats, event: Event) -> float:
    return float(apart[network.link(event.candidates[0].link)])


def truth(folder: Path) -> list[TrueLeak]:
    """Return what was put into a demo site."""
    return read_truth(folder / "truth" / "leaks.csv")
