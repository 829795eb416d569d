"""Worlds to measure on: made from seeds on any network, half of them clean, half with nuisances."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import leakdetect
from leakdetect import networks
from leakdetect.epanet import load_network
from leakdetect.errors import InputError
from leakdetect.network import Link, Network
from leakdetect.networks import Sensors, read_sensors, sensors_csv, spread_sensors
from leakdetect.scenarios import Scenario, SensorError, Trouble, simulate

from .registry import Setting

CLEAN, NUISANCE = "clean", "nuisance"
KINDS = (CLEAN, NUISANCE)
DAYS = 730  # the first year to fit on, the second to be scored
COUNT = 2  # on each sample network where nothing is named
_STEP, _SMALL_STEP = 900, 3600  # [s]: detectors look at hours


@dataclass(frozen=True)
class Plan:
    """A world that is to be made: all that decides what its files hold."""

    model: Path
    sensors: Sensors
    kind: str
    scenario: Scenario

    @property
    def name(self) -> str:
        """What tells it from any other: a folder of this name holds this world."""
        parts = (
            self.model.read_bytes().hex(),
            sensors_csv(self.sensors),
            asdict(self.scenario),
            leakdetect.__version__,
        )
        digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:10]
        return f"{self.model.stem}-{self.kind}-{self.scenario.seed}-{digest}"


def planned(setting: Setting) -> list[Plan]:
    """Return the worlds that a setting asks for.

    World k of a network, from 0, has the seed ``setting.seed + k``; the even ones are clean, the odd ones have
    nuisances. So more worlds never change those before.
    """
    count = setting.simulate
    if count is None:
        count = 0 if setting.small or setting.worlds or setting.networks else COUNT
    if not count:
        return []
    plans = []
    for model, sensors in _measured(setting):
        network = load_network(model)
        plans += [
            Plan(model, sensors or spread_sensors(network), KINDS[k % 2], _scenario(setting, k, network))
            for k in range(count)
        ]
    return plans


def folder_of(plan: Plan, setting: Setting) -> Path:
    """Return where a world is, or will be."""
    if setting.keep is None:
        raise ValueError("no folder to make worlds in: set `keep`, as `registry.run` does")
    return setting.keep / plan.name


def make(plan: Plan, folder: Path) -> None:
    """Make a world, if its folder does not hold it already."""
    if not folder.is_dir():  # a world comes into its folder as a whole or not at all
        simulate(plan.model, folder, plan.scenario, sensors=plan.sensors)


def kind_of(world: Path) -> str:
    """Say whether a world is clean: its nuisances.txt is not there or holds nothing."""
    told = world / "nuisances.txt"
    return NUISANCE if told.is_file() and told.read_text(encoding="utf-8").strip() else CLEAN


def _scenario(setting: Setting, k: int, network: Network) -> Scenario:
    seed, step = setting.seed + k, _SMALL_STEP if setting.small else _STEP
    if KINDS[k % 2] == CLEAN:
        return Scenario(seed=seed, days=DAYS, step=step)
    valves = (network.link_kind == Link.PRV) & np.isfinite(network.setting)
    return Scenario(
        seed=seed,
        days=DAYS,
        step=step,
        error=SensorError(noise=0.03, offset=0.3, meter=0.02, meter_noise=0.01, missing=0.005),
        trouble=Trouble.usual(),
        shut=1,
        prv_reset=-0.6 if valves.any() else 0.0,
    )


def _measured(setting: Setting) -> list[tuple[Path, Sensors | None]]:
    """Return the model files to make worlds on, each with its sensors; None to spread them."""
    if setting.sensors is not None and len(setting.networks) != 1:
        raise InputError(f"{setting.sensors}: sensors of which network? name one with --network")
    if setting.networks:
        listed = read_sensors(setting.sensors) if setting.sensors is not None else None
        return [(model, listed) for model in setting.networks]
    village = networks.path("village"), spread_sensors(networks.load("village"), 6)
    return [village] if setting.small else [village, (networks.path("town"), networks.sensors("town"))]
