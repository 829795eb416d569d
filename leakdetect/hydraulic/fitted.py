"""What a fit leaves behind: arrays, and the dataset (netCDF) that holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.errors import NotFittedError
from leakdetect.network import Network
from leakdetect.stages.calibration import Correction
from leakdetect.stages.expected.loads import Loads
from leakdetect.stages.expected.model import Physics
from leakdetect.stages.residuals import Noise

Floats = NDArray[np.float64]

_KIND = "hydraulic"
_FIELDS = {  # name: (object, dims); the vocabulary of the file
    "roughness": ("physics", ("link",)),
    "setting": ("physics", ("link",)),
    "category": ("physics", ("node", "use")),
    "offset": ("correction", ("observed",)),
    "share": ("correction", ("observed",)),
    "centre": ("correction", ("observed",)),
    "shape": ("correction", ("hour", "observed")),
    "load_centre": ("loads", ("load",)),
    "load_demand": ("loads", ("load", "node")),
    "load_category": ("loads", ("load", "node", "use")),
    "load_level": ("loads", ("load", "tank")),
    "load_imposed": ("loads", ("load", "cut")),
    "white": ("noise", ("band", "channel", "channel_")),
    "walk": ("noise", ("level", "level_")),
}


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes
    ----------
    physics, correction, loads, noise : see their classes
    balance : ndarray, shape (24, Z)
        What unmetered customers of each zone use by the hour of the day [m3/h].
    threshold : float
        Of the tracker.
    window : (str, str)
        First and last step of the fit.
    """

    physics: Physics
    correction: Correction
    loads: Loads
    noise: Noise
    balance: Floats
    threshold: float
    window: tuple[str, str]

    def to_dataset(self, network: Network, channels: list[str]) -> xr.Dataset:
        """Return the dataset; names of nodes, links and channels are kept to check them when read."""
        variables = {}
        for name, (part, dims) in _FIELDS.items():
            value = getattr(getattr(self, part), name.removeprefix("load_"))
            variables[name] = (dims, value)
        variables["balance"] = (("hour", "zone"), self.balance)
        return xr.Dataset(
            variables,
            coords={
                "node": np.array(network.node_names, dtype=str),
                "link": np.array(network.link_names, dtype=str),
                "channel": np.array(channels, dtype=str),
            },
            attrs={
                "kind": _KIND,
                "threshold": self.threshold,
                "window_start": self.window[0],
                "window_end": self.window[1],
            },
        )

    @classmethod
    def from_dataset(cls, model: xr.Dataset, network: Network, channels: list[str]) -> Fitted:
        """Read what `to_dataset` made.

        Raises
        ------
        NotFittedError
            If it was made for another network or other sensors.
        """
        if model.attrs.get("kind") != _KIND:
            raise NotFittedError("the model was not fitted with a network: run 'leakdetect fit' again")
        for dim, names in (("link", network.link_names), ("node", network.node_names), ("channel", channels)):
            if [str(n) for n in model[dim].values] != list(names):
                raise NotFittedError(f"the model was fitted with other {dim}s: run 'leakdetect fit' again")
        parts: dict[str, dict[str, Floats]] = {"physics": {}, "correction": {}, "loads": {}, "noise": {}}
        for name, (part, _) in _FIELDS.items():
            parts[part][name.removeprefix("load_")] = model[name].values.astype(float)
        return cls(
            Physics(**parts["physics"]),
            Correction(**parts["correction"]),
            Loads(**parts["loads"]),
            Noise(**parts["noise"]),
            model["balance"].values.astype(float),
            float(model.attrs["threshold"]),
            (str(model.attrs["window_start"]), str(model.attrs["window_end"])),
        )
