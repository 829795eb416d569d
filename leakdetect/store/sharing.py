"""Databases that several sites share: by what each is known there, and sites that would be one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from leakdetect.errors import SiteError
from leakdetect.site import FILE, Site

URL = "LEAKDETECT_STORE"
"""Environment variable that names the database; it goes before what site.toml says."""


def shared_place(site: Site) -> tuple[str, str] | None:
    """Return the database's URL and by what a site is known there; None where its store is in its folder."""
    url = os.environ.get(URL) or site.store.url
    return (url, site.store.site or site.name) if url else None


def check_apart(sites: Iterable[tuple[Path, Site]]) -> None:
    """Raise SiteError if two sites would be one in a database: each would take the other's events for its own.

    Parameters
    ----------
    sites : iterable of (path, Site)
        Each with its folder as the user names it.

    Notes
    -----
    Only sites that are seen together can be told apart: a folder may be copied, moved, or be on several machines, and
    still be the same site.
    """
    known: dict[tuple[str, str], Path] = {}
    for folder, site in sites:
        place = shared_place(site)
        if place in known:
            raise SiteError(
                f"{folder / FILE}: '{place[1]}' in the database that it shares, as {known[place]} is: give each its "
                "own site under [store]"
            )
        if place is not None:
            known[place] = folder
