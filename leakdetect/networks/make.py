"""Make the sample networks that are shipped: ``python -m leakdetect.networks.make networks``."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from dataclasses import astuple, fields, replace
from pathlib import Path

from leakdetect.epanet import load_network
from leakdetect.network import Link, Network, Node
from leakdetect.networks import CATALOGUE, Entry, Sensors, sensors_csv, spread_sensors
from leakdetect.networks.generator import generate

SAMPLES = {"village": (1, 2), "town": (1, 15)}
"""Id, which is the kind too -> seed, pressure loggers."""


def place(network: Network, pressures: int) -> Sensors:
    """Return spread loggers, with a meter on every inflow, pump and PRV."""
    spread = spread_sensors(network, pressures)
    valves = (network.link_names[i] for i in range(len(network.link_names)) if network.link_kind[i] == Link.PRV)
    return replace(spread, flows=(*spread.flows, *valves))


def make(folder: Path) -> list[Entry]:
    """Write model files, sensor lists and the catalogue into `folder`, and return the catalogue."""
    entries = []
    for name, (seed, pressures) in SAMPLES.items():
        text = generate(name, seed)
        model = folder / f"{name}.inp"
        model.write_text(text, encoding="ascii", newline="\n")
        network = load_network(model)
        sensors = place(network, pressures)
        (folder / f"{name}_sensors.csv").write_text(sensors_csv(sensors), encoding="utf-8", newline="\n")
        entries.append(
            Entry(
                id=name,
                junctions=int((network.node_kind == Node.JUNCTION).sum()),
                pipes=int(network.is_pipe.sum()),
                sensors=len(sensors),
                source=f"invented: leakdetect.networks.generator.generate('{name}', {seed})",
                licence="Apache-2.0",
                checksum=hashlib.sha256(text.encode("ascii")).hexdigest(),
            )
        )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([field.name for field in fields(Entry)])
    writer.writerows(astuple(entry) for entry in entries)
    (folder / CATALOGUE).write_text(table.getvalue(), encoding="utf-8", newline="\n")
    return entries


if __name__ == "__main__":
    for made in make(Path(sys.argv[1])):
        print(made, file=sys.stderr)
