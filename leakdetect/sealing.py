"""What a site keeps of households' meters: taken out of models and states before they are written, sealed beside."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from leakdetect.detector import State
from leakdetect.errors import NotFittedError
from leakdetect.schema import SENSOR
from leakdetect.vault import Vault

SEALED = "sealed_meters"
"""Name of what is sealed, in a model and in a state; there, under `BLOB`, the bytes."""
BLOB = "blob"
NODES = "nodes_of_households"
"""Attribute of a model: how many nodes with households' meters it was sealed for."""

_LOAD = "load_demand"  # of a model: what is drawn at each node at a few load states
_SERIES = (("steps", "reading"), ("steps", "last"), ("before",))  # of a state: arrays whose last axis is the sensors


def seal_model(model: xr.Dataset, data: xr.Dataset, vault: Vault) -> xr.Dataset:
    """Return a fitted model in which no node with a household's meter shows what is drawn there.

    Parameters
    ----------
    model : Dataset
        As a detector's `fit` has it.
    data : Dataset
        The readings it was fitted on.
    vault : Vault
    """
    if _LOAD not in model:  # of a detector that knows no places
        return model
    households = set(data["element"].values[_personal(data)].tolist()) - {""}
    nodes = np.flatnonzero([str(name) in households for name in model["node"].values])
    if not nodes.size:
        return model.assign_attrs({NODES: 0})
    demand = model[_LOAD].values.copy()
    sealed = vault.seal(demand[:, nodes])
    demand[:, nodes] = np.nan
    return model.assign(
        {
            _LOAD: (model[_LOAD].dims, demand, model[_LOAD].attrs),
            SEALED: ("sealed", sealed),
            "sealed_node": ("sealed_nodes", nodes),
        }
    ).assign_attrs({NODES: int(nodes.size), "sealed_with": vault.name})


def open_model(model: xr.Dataset, vault: Vault, where: str) -> xr.Dataset:
    """Return the model that `seal_model` took.

    Raises
    ------
    NotFittedError
        If what was sealed has been removed since.
    InputError
        If it was sealed with another key.
    """
    if "sealed_node" not in model:
        return model
    if SEALED not in model:
        raise NotFittedError(
            f"{where}: what it held of meters was removed, being too old: run 'leakdetect fit' again on readings not "
            f"older than keep_days under [privacy]"
        )
    nodes = model["sealed_node"].values.astype(np.int64)
    demand = model[_LOAD].values.copy()
    demand[:, nodes] = vault.unseal(model[SEALED].values, (len(demand), nodes.size), where)
    return model.drop_vars([SEALED, "sealed_node"]).assign({_LOAD: (model[_LOAD].dims, demand, model[_LOAD].attrs)})


def seal_state(state: State, data: xr.Dataset, vault: Vault) -> State:
    """Return a detector's state without the series of households' meters in the clear.

    Parameters
    ----------
    state : dict
    data : Dataset
        The steps that the detector took, whose sensors the state's arrays have.
    vault : Vault
    """
    meters = np.flatnonzero(_personal(data))
    found = _series(state) if meters.size else []
    if not found:
        return state
    parts = [array[..., meters] for array in found]
    plain = np.concatenate([part.ravel() for part in parts])
    shown = []
    for array in found:
        out = array.copy()
        out[..., meters] = np.nan
        shown.append(out)
    about = {"columns": meters, BLOB: vault.seal(plain), "key": vault.name}
    return {**_with_series(state, shown), SEALED: about}


def open_state(state: State, vault: Vault, where: str) -> State:
    """Return the state that `seal_state` took; where the series were removed since, the meters say nothing.

    Raises
    ------
    InputError
        If it was sealed with another key.
    """
    about = state.get(SEALED)
    if about is None:
        return state
    rest = {name: value for name, value in state.items() if name != SEALED}
    if BLOB not in about:
        return rest
    meters, found = about["columns"], _series(rest)
    shapes = [(*array.shape[:-1], len(meters)) for array in found]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    plain = vault.unseal(about[BLOB], (int(ends[-1]),), where)
    opened = []
    for array, part, shape in zip(found, np.split(plain, ends[:-1]), shapes, strict=True):
        out = array.copy()
        out[..., meters] = part.reshape(shape)
        opened.append(out)
    return _with_series(rest, opened)


def _personal(data: xr.Dataset) -> NDArray[np.bool_]:
    """Return which sensors are households' meters, shape (S,)."""
    if "personal" in data.coords:
        return np.asarray(data["personal"].values, dtype=bool)
    return np.zeros(data.sizes[SENSOR], dtype=bool)


def _series(state: State) -> list[Any]:
    """Return the arrays of a state that hold series of sensors."""
    return [state[p[0]] if len(p) == 1 else state[p[0]][p[1]] for p in _SERIES if p[0] in state]


def _with_series(state: State, arrays: list[Any]) -> State:
    out = dict(state)
    for path, array in zip((p for p in _SERIES if p[0] in state), arrays, strict=True):
        out[path[0]] = array if len(path) == 1 else {**out[path[0]], path[1]: array}
    return out
