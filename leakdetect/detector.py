"""What a detector is: anything that learns the leak-free picture and then takes steps of readings.

Batch and stream are one recursion: updating with a month at once or with each hour of it gives the same events.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import xarray as xr

from leakdetect.events import Event

State = dict[str, Any]
"""What a detector must remember between steps: numpy arrays, and JSON values. Keys are its own."""


class Detector(Protocol):
    """A detector over readings on one regular step (made by `stages.quality.to_steps`)."""

    name: ClassVar[str]

    def fit(self, data: xr.Dataset) -> xr.Dataset:
        """Learn from a past window; return the model as a dataset that netCDF can hold.

        The window itself may leak: it must be robust to that.
        """
        ...

    def begin(self, model: xr.Dataset) -> State:
        """Return the state before the first step."""
        ...

    def update(self, model: xr.Dataset, state: State, data: xr.Dataset) -> tuple[State, list[Event], xr.Dataset]:
        """Take the next steps.

        Parameters
        ----------
        model : xarray.Dataset
            What `fit` returned.
        state : dict
            What `begin` or the last `update` returned; not changed.
        data : xarray.Dataset
            ``reading, flag, usable`` over the next steps in time.

        Returns
        -------
        state : dict
        events : list of Event
            Every event known so far, new or not.
        data : xarray.Dataset
            The same with ``expected, expected_sd, residual, score``.
        """
        ...
