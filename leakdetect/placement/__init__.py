"""Where sensors should go, and the smallest leak that those there are would find.

>>> from leakdetect import networks, placement
>>> network = networks.load("village")
>>> with placement.as_drawn(network, placement.usual_meters(network)) as watched:
...     chosen = placement.place(watched, placement.Wish(leak=2.0), count=3)
>>> len(chosen.nodes)
3
"""

from __future__ import annotations

from leakdetect.placement.choose import Aim, Board, Placement, Step, Wish, place, places_of
from leakdetect.placement.measure import Worth
from leakdetect.placement.noise import Noise
from leakdetect.placement.smallest import DAYS, Row, Smallest, by_zone, smallest
from leakdetect.placement.source import of_site, read_costs, read_nodes, usual_meters
from leakdetect.placement.watched import Watched, as_drawn, as_fitted

__all__ = [
    "DAYS", "Aim", "Board", "Noise", "Placement", "Row", "Smallest", "Step", "Watched", "Wish", "Worth", "as_drawn",
    "as_fitted", "by_zone", "of_site", "place", "places_of", "read_costs", "read_nodes", "smallest", "usual_meters",
]  # fmt: skip
