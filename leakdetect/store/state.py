"""The detector's state as bytes, how far it is, and which past states are worth keeping."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leakdetect.detector import State
from leakdetect.events import Repair

_DAY = np.timedelta64(24, "h")
_TIERS = ((1, 2), (7, 21), (56, 168))
"""Of the past `kept` days, one state in each `apart` days."""


@dataclass(frozen=True)
class Progress:
    """How far the detector is.

    Attributes
    ----------
    model : str
        Checksum of the fitted model that the state belongs to.
    begun, until : datetime64
        First and last step taken.
    state : dict
        The detector's.
    repairs : tuple of Repair or None
        That the state rests on; None where that is not known.
    run : int or None
        Number of the run that left it.
    """

    model: str
    begun: np.datetime64
    until: np.datetime64
    state: State
    repairs: tuple[Repair, ...] | None = None
    run: int | None = field(default=None, compare=False)


def kept(untils: Iterable[np.datetime64], newest: np.datetime64) -> list[np.datetime64]:
    """Return those of past states that are kept once `newest` is reached: the last of each day, week or eight weeks.

    The further back the fewer; about eight. What is kept now was kept at every time before.
    """
    chosen: dict[tuple[int, int], np.datetime64] = {}
    for until in sorted(untils):
        for apart, back in _TIERS:
            if newest - until <= back * _DAY:
                chosen[apart, int((until - np.datetime64(0, "ns")) // (apart * _DAY))] = until
    return sorted(set(chosen.values()))


def cuts(first: np.datetime64, last: np.datetime64) -> list[np.datetime64]:
    """Return the times before `last` at which a run over [first, last] stops to keep its state.

    A short run stops nowhere: the state that it began from is kept anyway.
    """
    found = set()
    for apart, back in _TIERS:
        if last - first >= 2 * apart * _DAY:
            lowest = int((max(first, last - back * _DAY) - np.datetime64(0, "ns")) // (apart * _DAY)) + 1
            highest = int((last - np.datetime64(0, "ns")) // (apart * _DAY))
            found |= {np.datetime64(0, "ns") + n * apart * _DAY for n in range(lowest, highest + 1)}
    return sorted(found)


def encode(state: State) -> bytes:
    """Return a state (nested dicts and lists of arrays and JSON values) as one compressed npz; no pickle."""
    arrays: dict[str, np.ndarray] = {}

    def strip(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays[f"a{len(arrays)}"] = value
            return {"__array__": f"a{len(arrays) - 1}"}
        if isinstance(value, dict):
            return {str(k): strip(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [strip(v) for v in value]
        return value.item() if isinstance(value, np.generic) else value

    text = json.dumps(strip(state))
    buffer = io.BytesIO()
    arrays["json"] = np.frombuffer(text.encode(), dtype=np.uint8)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:  # as np.savez_compressed, faster
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, array, allow_pickle=False)
    return buffer.getvalue()


def decode(blob: bytes) -> State:
    """Read what `encode` wrote."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return arrays[value["__array__"]] if "__array__" in value else {k: fill(v) for k, v in value.items()}
        return [fill(v) for v in value] if isinstance(value, list) else value

    state: State = fill(json.loads(arrays["json"].tobytes()))
    return state
