"""leakdetect: finds leaks in water distribution networks.

Importing it is quick: what is heavy (WNTR, matplotlib, pandas) loads when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from leakdetect.analysis import Results

__version__ = "0.1.0"


def results(folder: Path | str) -> Results:
    """Return what runs have found at a site: ``.data``, ``.events``, ``.plot.map()``; see `analysis.results`."""
    from leakdetect import analysis

    return analysis.results(folder)
