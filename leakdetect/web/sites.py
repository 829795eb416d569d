"""The sites that are shown: each by a name of its own, its results kept until a run or a person changes them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from leakdetect import pipeline
from leakdetect.errors import InputError
from leakdetect.events import Event
from leakdetect.kpi.gather import KeyFigures, key_figures
from leakdetect.network import Network
from leakdetect.report.svgmap import Drawing
from leakdetect.schema import TIME, without_meters
from leakdetect.site import FILE, Site, load_site
from leakdetect.store import check_apart

_FOLDERS = re.compile(r"(?<![\w.-])/(?:[^\s/:']+/)*")  # that a path begins with
_YEAR = np.timedelta64(365, "D")
_KEPT = 8  # sites whose series stay in memory

Stamp = tuple[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class Results:
    """What a site shows; `data` holds no meter of a customer."""

    site: Site
    network: Network | None
    data: xr.Dataset
    events: Sequence[Event]

    @cached_property
    def drawing(self) -> Drawing | None:
        """The network as drawn; None where there is no network, or no coordinates."""
        drawing = Drawing(self.network, self.data) if self.network is not None else None
        return drawing if drawing is not None and drawing.exists else None

    @cached_property
    def base(self) -> str:
        """All links as one path."""
        return self.drawing.base() if self.drawing is not None else ""

    @property
    def now(self) -> np.datetime64:
        """The time of the last reading, NaT before there is one."""
        known = [*self.data[TIME].values[-1:], *(event.data_until for event in self.events)]
        return max(known, default=np.datetime64("NaT", "ns"))


class Shown:
    """One site folder, known to browsers as `id`; `used` is told when it is looked at."""

    def __init__(self, name: str, folder: Path, used: Callable[[Shown], None]) -> None:
        self.id, self.folder, self._used = name, folder, used
        self._lock, self._figures_lock = threading.Lock(), threading.Lock()
        self._kept: tuple[Stamp, Results] | None = None
        self._figures: tuple[Stamp, KeyFigures] | None = None
        self._glance: tuple[Stamp, tuple[Site, list[Event], list[dict[str, Any]]]] | None = None

    def mark(self) -> str:
        """Return what changes with each run and each word of a person; errors as `pipeline.mark`."""
        return pipeline.mark(self.folder)

    def results(self) -> Results:
        """Return what runs have left; read again once it has changed. Errors as `pipeline.results`."""
        self._used(self)
        with self._lock:
            stamp = self._stamp()
            if self._kept is None or self._kept[0] != stamp:
                site, network, data, events = pipeline.results(self.folder)
                self._kept = stamp, Results(site, network, without_meters(data), events)
            return self._kept[1]

    def forget(self) -> None:
        """Let the series go; they are read again when they are asked for."""
        with self._lock:
            self._kept = None

    def overview(self) -> tuple[Site, list[Event], list[dict[str, Any]]]:
        """Return site, events and late runs, without reading series; errors as `pipeline.overview`."""
        stamp = self._stamp()
        if self._glance is None or self._glance[0] != stamp:
            self._glance = stamp, pipeline.overview(self.folder)
        return self._glance[1]

    def figures(self) -> KeyFigures:
        """Return the key figures of the last year of readings; errors as `key_figures`."""
        results = self.results()
        with self._figures_lock:  # they read all readings: never twice at once
            stamp = self._stamp()
            if self._figures is None or self._figures[0] != stamp:
                now = results.now
                since = None if np.isnat(now) else now - _YEAR
                self._figures = stamp, key_figures(self.folder, since, None if np.isnat(now) else now)
            return self._figures[1]

    def without_paths(self, said: object) -> str:
        """Return what is said of an error, this machine's folders and servers left out."""
        if "://" in str(said):  # a database's URL, and its driver's words, tell where it is and who may enter
            return "a database or server cannot be reached: 'leakdetect events' on this site tells which, and why"
        text = " ".join(str(said).split()).replace(str(self.folder), self.id)
        return _FOLDERS.sub("", text)

    def _stamp(self) -> Stamp:
        site = load_site(self.folder)
        files = [self.folder / FILE]
        files += [site.path(site.network)] if site.network else []
        found = [path.stat() for path in files if path.is_file()]
        return self.mark(), tuple((f.st_mtime_ns, f.st_size) for f in found)


class Sites:
    """The sites by their ids, which come from the folders' names; nothing from outside becomes a path.

    Raises
    ------
    LeakdetectError
        If a folder is named twice, its site.toml cannot be read, or two sites are one in a database that they share.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._known: dict[str, Shown] = {}
        self._late, self._lock = list[Shown](), threading.Lock()
        resolved = [folder.resolve() for folder in folders]
        for folder in resolved:
            if resolved.count(folder) > 1:
                raise InputError(f"{folder}: named twice: name each site once")
        check_apart([(folder, load_site(folder)) for folder in resolved])
        for folder in resolved:
            plain = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "site"
            name, number = plain, 1
            while name in self._known:
                number += 1
                name = f"{plain}-{number}"
            self._known[name] = Shown(name, folder, self._used)

    def _used(self, site: Shown) -> None:
        """Keep the series of the sites looked at last, not of hundreds."""
        with self._lock:
            self._late = [*(one for one in self._late if one is not site), site]
            over, self._late = self._late[:-_KEPT], self._late[-_KEPT:]
        for one in over:
            one.forget()

    def __iter__(self) -> Iterator[Shown]:
        return iter(self._known.values())

    def get(self, name: str) -> Shown | None:
        """Return a site, None where there is none of that id."""
        return self._known.get(name)
