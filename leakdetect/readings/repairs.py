"""The repairs that the utility reports."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leakdetect.errors import ElementError, InputError, MissingFileError
from leakdetect.events import Repair
from leakdetect.network import Network
from leakdetect.readings.times import parse, to_utc

if TYPE_CHECKING:
    from leakdetect.site import Site

_LINK = re.compile(r"link|pipe|element|\bid\b", re.IGNORECASE)
_TIME = re.compile(r"time|date|when|end|repaired|fixed", re.IGNORECASE)
_FORMATS = (None, "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y", "%d.%m.%Y")


def load_repairs(site: Site, network: Network | None = None) -> list[Repair]:
    """Read the repairs of a site: a link and a time a row.

    A first row that starts with ``#``, or that holds no time, is a header. Times are of the site's time zone unless
    they say their own; a date without a clock time means that day's end, by which the repair was done.

    Parameters
    ----------
    site : Site
        Its `repairs` names the file; there are none where it names none.
    network : Network, optional
        Links are looked up in it.

    Raises
    ------
    MissingFileError
        If the file is not there.
    InputError
        If a row holds no link or no time; the message names file and row.
    ElementError
        If the network has no such link.
    """
    if site.repairs is None:
        return []
    path = site.path(site.repairs)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: correct repairs in site.toml, or remove it")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = path.read_text(encoding="latin-1").splitlines()
    delimiter = max(",;\t", key=lambda mark: sum(mark in line for line in lines))
    repairs: list[Repair] = []
    link_column, time_column, header_possible = 0, 1, True
    for row, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in next(csv.reader([line.lstrip("# ")], delimiter=delimiter), [])]
        if not any(cells):
            continue
        time = _time(cells[time_column], site.timezone) if len(cells) > time_column else None
        if time is None and header_possible:
            link_column, time_column = _columns(cells)
            header_possible = False
            continue
        if line.startswith("#"):
            continue
        header_possible = False
        if time is None or len(cells) <= link_column or not cells[link_column]:
            raise InputError(f"{path}: row {row}: '{line.strip()}': expected a link and a time: p461, 2018-04-02 11:40")
        link = cells[link_column]
        if network is not None and not network.has_link(link):
            raise ElementError(f"{path}: row {row}: the network has no link '{link}': correct its id")
        repairs.append(Repair(link, time))
    return sorted(repairs, key=lambda repair: (repair.time, repair.link))


def _columns(header: list[str]) -> tuple[int, int]:
    links = [i for i, name in enumerate(header) if _LINK.search(name) and not _TIME.search(name)]
    times = [i for i, name in enumerate(header) if _TIME.search(name)]
    return (links[0] if links else 0), (times[0] if times else 1)


def _time(text: str, zone: str) -> np.datetime64 | None:
    for time_format in _FORMATS:
        times, utc = parse(pd.Series([text], dtype=str), time_format)
        if np.isnat(times[0]):
            continue
        local = times + np.timedelta64(0 if ":" in text else 1, "D")
        moment: np.datetime64 = (local if utc else to_utc(local, zone))[0]
        return moment
    return None
