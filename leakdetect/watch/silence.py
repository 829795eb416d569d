"""Sensors that fall silent while others speak, and speak again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from leakdetect.site import Site
from leakdetect.store import Quiet, Store
from leakdetect.watch.recent import Recent

_NS = 1_000_000_000
_STEPS, _LEAST = 4, 3600 * _NS


class Silence:
    """Which sensors are silent, and who was told.

    Parameters
    ----------
    site : Site
    names : sequence of str
        Of its sensors.
    personal : ndarray of bool, shape (S,)
        Which are households' meters: nobody is sent their silence.
    recent : Recent
    begun : bool
        Whether a run has been. What fell silent since is told, of one silence once; before, nobody is silent.
    """

    def __init__(
        self, site: Site, names: Sequence[str], personal: NDArray[np.bool_], recent: Recent, *, begun: bool
    ) -> None:
        self._names, self._personal, self._recent = names, personal, recent
        given = site.stream.quiet_minutes
        own = np.maximum(_STEPS * recent.step, _LEAST)
        self._patience = own if given is None else np.full(len(own), round(given * 60 * _NS))
        self._told = np.zeros(len(own), dtype=bool) if begun else self.now()

    def now(self) -> NDArray[np.bool_]:
        """Return which are silent, shape (S,)."""
        return self._recent.quiet(self._patience)

    def say(self, site: Site, store: Store, tell: Callable[[str], None]) -> None:
        """Tell of those that fell silent, or speak again, since the last look."""
        silent = self.now()
        turned = np.flatnonzero(silent != self._told)
        if not turned.size:
            return
        last = self._recent.last.astype("datetime64[ns]")
        said = [Quiet(self._names[s], last[s], bool(silent[s])) for s in turned.tolist()]
        worth = [one for one, s in zip(said, turned, strict=True) if one.silent and not self._personal[s]]
        if worth and site.alerts:
            store.tell_quiet(site.alerts, worth)
        self._told = silent
        for one in said:
            tell(f"{one.sensor} {'has been silent since' if one.silent else 'speaks again, until'} {one.last}Z")
