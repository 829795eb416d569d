"""The mean pressure of a network as drawn."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leakdetect.epanet_run import EpanetRun, write_variant
from leakdetect.epanet_state import Epanet
from leakdetect.errors import NetworkError
from leakdetect.network import Network, Node

Floats = NDArray[np.float64]

_HOUR, _DAY = 3600, 86400


def drawn_pressures(network: Network) -> Floats:
    """Return the pressure at every node and hour over the first day of the model, shape (24, N) [m].

    Parameters
    ----------
    network : Network
        With the path of its model file.

    Raises
    ------
    NetworkError, ConvergenceError
        If EPANET refuses the file.
    """
    if network.path is None:
        raise NetworkError(f"network {network.name} was not read from a file: EPANET needs one")
    with Epanet(network):
        pass  # it says why EPANET refuses a file
    hours = []
    with tempfile.TemporaryDirectory(prefix="pressure-") as folder:
        path = Path(folder) / "day.inp"
        write_variant(network.path, path, step=_HOUR)
        with EpanetRun(path) as run:
            indices = [run.node(name) for name in network.node_names]
            run.begin(_DAY - _HOUR)
            while True:
                if run.solve() % _HOUR == 0:  # controls act in between
                    hours.append(run.pressures(indices))
                if not run.advance():
                    break
    return np.array(hours)


def mean_pressure(network: Network, pressures: Floats, nodes: NDArray[np.bool_]) -> Floats:
    """Return the mean pressure of a part of the network, shape (24,) [m].

    Junctions count with half of the pipes that end in them: leaks lie along pipes.

    Parameters
    ----------
    network : Network
    pressures : ndarray, shape (24, N)
        [m].
    nodes : ndarray of bool, shape (N,)
        The part that counts.

    Notes
    -----
    Weighted mean, by mains where connections are not known: Lambert and McKenzie 2002, IWA Conf. Leakage Management.
    """
    weight = np.zeros(len(network.node_names))
    pipe = network.is_pipe
    for ends in (network.start, network.end):
        np.add.at(weight, ends[pipe], network.length[pipe] / 2)
    weight[~nodes | (network.node_kind != Node.JUNCTION)] = 0.0
    mean: Floats = pressures @ weight / weight.sum()
    return mean
