"""What a site's files hold of households' meters, since when and until when, and the end of what is too old."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from leakdetect.detector import State
from leakdetect.files import alone, replacing
from leakdetect.netcdf import load_model, series_folder, write_model
from leakdetect.readings.spool import Spool
from leakdetect.sealing import BLOB, NODES, SEALED
from leakdetect.site import FILE, Site
from leakdetect.store import Store, open_store
from leakdetect.vault import VARIABLE, Vault


class Kind(StrEnum):
    """What is held."""

    INPUT = "input"
    NAMES = "names"
    MODEL = "model"
    STATE = "state"
    STREAM = "stream"
    NONE = "none"


class How(StrEnum):
    """How it is held."""

    OWN = "own"
    SEALED = "sealed"
    REMOVED = "removed"
    CLEAR = "clear"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Holding:
    """What one file, table or server holds of households' meters.

    Attributes
    ----------
    where : str
    kind, how : Kind, How
    meters : int or None
        How many; of a model, at how many nodes; None where leakdetect does not count them.
    since, until, keep_until : str or None
        Days, UTC: the readings' first and last, and the day after which `enforce` removes them.
    """

    where: str
    kind: Kind
    how: How
    meters: int | None = None
    since: str | None = None
    until: str | None = None
    keep_until: str | None = None


@dataclass(frozen=True)
class Held:
    """All of a site.

    Attributes
    ----------
    key, key_name : str or None
        Where the key is, and a name that tells nothing of it; None where the site has no meters.
    """

    site: str
    key: str | None
    key_name: str | None
    smallest_group: int
    keep_days: int
    holdings: tuple[Holding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def held(site: Site) -> Held:
    """Say what a site holds of households' meters.

    Raises
    ------
    InputError
        If a file or the key cannot be read.
    """
    blocks = [block for block in site.readings if block.is_personal]
    inputs = [Holding(block.source, Kind.INPUT, How.OWN) for block in blocks]
    if any(block.columns or block.dmas or block.ignore or block.sensors for block in blocks):
        inputs.append(Holding(FILE, Kind.NAMES, How.OWN))
    vault = Vault.of(site)
    ours = [*_of_model(site), *_of_state(site), *_of_stream(site, vault)] if blocks else []
    if blocks and series_folder(site).is_dir():
        ours.append(Holding(series_folder(site).name, Kind.NONE, How.NOTHING, 0))
    return Held(
        site.name,
        (f"${VARIABLE}" if VARIABLE in os.environ else str(vault.path)) if blocks else None,
        vault.name if blocks else None,
        site.privacy.smallest_group,
        site.privacy.keep_days,
        (*inputs, *ours),
    )


def _of_model(site: Site) -> list[Holding]:
    if not site.model_path.is_file():
        return []
    model, _ = load_model(site)
    name, days = site.model_path.name, (model.attrs.get("window_start"), model.attrs.get("window_end"))
    if "load_demand" not in model or model.attrs.get(NODES) == 0:
        return [Holding(name, Kind.NONE, How.NOTHING, 0)]
    how = How.CLEAR if NODES not in model.attrs else How.SEALED if SEALED in model else How.REMOVED
    count = int(model.attrs[NODES]) if NODES in model.attrs else None
    return [_dated(Holding(name, Kind.MODEL, how, count), site, *(np.datetime64(str(d)) for d in days))]


def _of_state(site: Site, store: Store | None = None) -> list[Holding]:
    with ExitStack() as stack:
        if store is None and (store := open_store(site, make=False)) is not None:
            stack.enter_context(store)
        progress = None if store is None else store.progress()
    if progress is None:
        return []
    name, state = site.store_path.name, progress.state
    if "steps" not in state:  # of a detector that looks at inflows only
        return [Holding(name, Kind.NONE, How.NOTHING, 0)]
    about = state.get(SEALED)
    how = How.CLEAR if about is None else How.SEALED if BLOB in about else How.REMOVED
    times = state["steps"]["time"].astype("datetime64[ns]")
    holding = Holding(name, Kind.STATE, how, None if about is None else len(about["columns"]))
    return [_dated(holding, site, times[0], times[-1]) if len(times) else holding]


def _of_stream(site: Site, vault: Vault, before: np.datetime64 | None = None) -> list[Holding]:
    """Return what `watch` has received of meters, file by file; none that was closed with something later."""
    return [
        _dated(Holding(f"{path.parent.name}/{path.name}", Kind.STREAM, How.SEALED, count), site, first, last)
        for path, count, first, last in Spool(site.spool_path, vault).meters(before)
    ]


def _dated(holding: Holding, site: Site, first: np.datetime64, last: np.datetime64) -> Holding:
    if holding.how == How.REMOVED:
        return holding
    days = [str(t.astype("datetime64[D]")) for t in (first, last, last + np.timedelta64(site.privacy.keep_days, "D"))]
    return replace(holding, since=days[0], until=days[1], keep_until=days[2])


def enforce(site: Site, now: np.datetime64) -> list[Holding]:
    """Remove what was kept of meters for longer than the site says; return what was removed.

    Only what leakdetect wrote: never a user's own file. Events stay. Without its meters a model must be fitted again;
    a run goes on from the state as if the meters had been silent.

    Parameters
    ----------
    site : Site
    now : datetime64
        UTC.

    Raises
    ------
    InputError
        If a file cannot be read or written, or a run is under way.
    """
    if not any(_due(site, now, None)):
        return []
    with alone(site.folder), ExitStack() as stack:
        store = open_store(site, make=False)
        if store is not None:
            stack.enter_context(store)
            stack.enter_context(store.alone())
        return remove_due(site, now, store)


def retain(site: Site, now: np.datetime64, store: Store | None) -> None:
    """Do as `enforce` in a run, which has the site to itself, and leave a record; parameters as `remove_due`.

    Only where site.toml says for how long: else readings of years ago may be looked at.
    """
    if "keep_days" not in site.privacy.model_fields_set or not any(block.is_personal for block in site.readings):
        return
    removed = [holding.where for holding in remove_due(site, now, store)]
    if removed and store is not None:
        note = f"readings of meters were kept for {site.privacy.keep_days} days: removed from {', '.join(removed)}"
        store.record(now, {"outcome": "removed", "removed": removed, "note": note})


def remove_due(site: Site, now: np.datetime64, store: Store | None) -> list[Holding]:
    """Do as `enforce` where nobody else may write.

    Parameters
    ----------
    site : Site
    now : datetime64
        UTC.
    store : Store or None
        The site's, open; None before its first run.
    """
    removed = list(_due(site, now, store))
    for holding in removed:
        if holding.kind == Kind.MODEL:
            model, _ = load_model(site)
            with replacing(site.model_path) as part:
                write_model(model.drop_vars(SEALED), part, str(model.attrs["detector"]))
        elif holding.kind == Kind.STREAM:
            (site.folder / holding.where).unlink()
        elif store is not None:
            store.redact(_without_series)
    return removed


def _due(site: Site, now: np.datetime64, store: Store | None) -> Iterator[Holding]:
    """Yield what is kept for too long; of what was received only files that may hold such are opened."""
    today = now.astype("datetime64[D]")
    before = today - np.timedelta64(site.privacy.keep_days, "D")
    ours = [*_of_model(site), *_of_state(site, store), *_of_stream(site, Vault.of(site), before)]
    for holding in ours:
        if holding.how == How.SEALED and holding.keep_until is not None and holding.keep_until < str(today):
            yield holding


def _without_series(state: State) -> State:
    about = state.get(SEALED)
    return state if about is None else {**state, SEALED: {name: value for name, value in about.items() if name != BLOB}}
