"""Make the sample networks that are shipped: ``python -m leakdetect.networks.make networks``."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
import tempfile
from collections.abc import Collection
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np

from leakdetect.epanet import library_path, load_network
from leakdetect.files import replace_text
from leakdetect.network import Link, Network, Node
from leakdetect.networks import CATALOGUE, Entry, Kept, Sensors, sensors_csv, spread_sensors
from leakdetect.networks.cache import SEED
from leakdetect.networks.generator import generate

INVENTED = {
    "village": (2, Kept.HERE), "town": (15, Kept.HERE), "city": (60, Kept.HERE), "metropolis": (300, Kept.MADE)
}  # fmt: skip
"""Id, which is the kind too -> pressure loggers, and where its model file is kept."""
LIBRARY = {"Net1": 2, "Net2": 3, "Net3": 6, "Net6": 40, "ky4": 25, "ky10": 25}
"""Networks of WNTR -> pressure loggers."""
_ORIGIN = {
    "Net1": "EPANET's example 1",
    "Net2": "EPANET's example 2",
    "Net3": "EPANET's example 3",
    "Net6": "Watson, Murray, Hart (2009), J. Infrastruct. Syst. 15(4)",
    "ky4": "University of Kentucky's research database, 4",
    "ky10": "University of Kentucky's research database, 10",
}


def place(network: Network, pressures: int) -> Sensors:
    """Return spread loggers, with a meter on every inflow, pump, PRV and district."""
    spread = spread_sensors(network, pressures)
    links = range(len(network.link_names))
    inlets = [i for i in links if network.link_names[i].startswith("DMA_")]
    valves = np.flatnonzero(network.link_kind == Link.PRV)
    return replace(spread, flows=(*spread.flows, *(network.link_names[i] for i in (*inlets, *valves))))


def make(folder: Path, names: Collection[str] = (*INVENTED, *LIBRARY)) -> list[Entry]:
    """Write model files, sensor lists and the catalogue of some networks into `folder`, and return the catalogue."""
    entries = []
    for name in names:
        if name in INVENTED:
            loggers, kept = INVENTED[name]
            content = generate(name, SEED).encode("ascii")
            source, licence = f"invented: leakdetect.networks.generator.generate('{name}', {SEED})", "Apache-2.0"
        else:
            loggers, kept = LIBRARY[name], Kept.WNTR
            content = library_path(name).read_bytes()
            source, licence = f"{_ORIGIN[name]}; from WNTR's library", "BSD-3-Clause, as WNTR's"
        with tempfile.TemporaryDirectory() as work:
            model = (folder if kept is Kept.HERE else Path(work)) / f"{name}.inp"
            model.write_bytes(content)
            network = load_network(model)
        sensors = place(network, loggers)
        replace_text(folder / f"{name}_sensors.csv", sensors_csv(sensors))
        entries.append(
            Entry(
                id=name,
                kept=kept,
                junctions=int((network.node_kind == Node.JUNCTION).sum()),
                pipes=int(network.is_pipe.sum()),
                sensors=len(sensors),
                source=source,
                licence=licence,
                checksum=hashlib.sha256(content).hexdigest(),
            )
        )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([field.name for field in fields(Entry)])
    writer.writerows(astuple(entry) for entry in entries)
    replace_text(folder / CATALOGUE, table.getvalue())
    return entries


if __name__ == "__main__":
    for made in make(Path(sys.argv[1])):
        print(made, file=sys.stderr)
