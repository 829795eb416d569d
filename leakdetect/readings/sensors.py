"""The sensors of a site, as its files name them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from leakdetect.errors import ElementError
from leakdetect.network import Network, Node
from leakdetect.readings import times
from leakdetect.readings.sources import HEAD
from leakdetect.schema import Quantity
from leakdetect.units import canonical, factor
from leakdetect.vault import Vault

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock


@dataclass
class Sensors:
    """The sensors of a site in the order in which its files name them.

    A household's meter goes by its pseudonym from here on.
    """

    vault: Vault
    index: dict[tuple[Quantity, str], int] = field(default_factory=dict)
    dma: list[str] = field(default_factory=list)
    unit: list[str] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    personal: list[bool] = field(default_factory=list)
    pseudonym: list[str] = field(default_factory=list)
    columns: dict[tuple[Quantity, str], int] = field(default_factory=dict)
    factor: list[float] = field(default_factory=list)

    def add(self, block: ReadingsBlock, column: str) -> int:
        """Return the number of the sensor that a block's column is."""
        key = (block.quantity, block.columns.get(column) or column)
        if key not in self.index:
            self.index[key] = len(self.index)
            self.dma.append(block.dmas.get(column, block.dma))
            self.unit.append(canonical(block.quantity, block.unit))
            self.step.append(np.nan)
            self.personal.append(block.is_personal)
            self.pseudonym.append(self.vault.pseudonym(column) if block.is_personal else "")
            self.factor.append(factor(block.quantity, block.unit))
        self.columns[block.quantity, column] = self.index[key]
        return self.index[key]

    def names(self) -> list[str]:
        """Return one name a sensor: its element, and its quantity too where the element has several; a meter's own."""
        count = Counter(label for _, label in self.index)
        return [
            hidden or (label if count[label] == 1 else f"{label} {quantity}")
            for (quantity, label), hidden in zip(self.index, self.pseudonym, strict=True)
        ]

    def learn_step(self, sensor: int, when: times.Times) -> None:
        """Take a sensor's own step [s] from its first readings, unless it is known."""
        if np.isnan(self.step[sensor]) and when.size > 1:
            apart = np.diff(np.sort(when[:HEAD])).astype("timedelta64[ns]").astype(float) / 1e9
            apart = apart[apart > 0]
            if apart.size:
                self.step[sensor] = _round_step(float(np.median(apart)))


def _round_step(seconds: float) -> float:
    """Return whole minutes where a logger's ticks are within 2 % of them."""
    minutes = round(seconds / 60) * 60.0
    return minutes if minutes and abs(seconds - minutes) <= 0.02 * minutes else max(round(seconds, 3), 1e-3)


def check_element(network: Network, quantity: Quantity, element: str, where: str, *, hide: bool) -> None:
    """Raise `ElementError` unless the network has the element and `quantity` is measured on its kind.

    `where` names the column; `hide` the element too, where a meter's id stands for it.
    """
    mend = "map it under columns, or list it under ignore, in site.toml"
    node, link = network.has_node(element), network.has_link(element)
    if hide and not (node or link):
        raise ElementError(f"{where}: the network has no element of its name: {mend}")
    if not (node or link):
        folded = {name.lower(): name for name in (*network.node_names, *network.link_names)}
        near = folded.get(element.lower())
        raise ElementError(f"{where}: the network has no '{element}'{f', but {near!r}' if near else ''}: {mend}")
    if quantity == Quantity.FLOW and not link:
        raise ElementError(f"{where}: '{element}' is a node, and flow is measured on a link: {mend}")
    if quantity != Quantity.FLOW and not node:
        raise ElementError(f"{where}: '{element}' is a link, and {quantity} is measured at a node: {mend}")
    if quantity == Quantity.LEVEL and network.node_kind[network.node(element)] != Node.TANK:
        raise ElementError(f"{where}: '{element}' is not a tank, and level is of a tank: {mend}")
