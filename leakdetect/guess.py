"""Guess what the columns of a file of readings measure: quantity, unit, network element, district."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import UnitError
from leakdetect.network import Network, Node
from leakdetect.schema import Quantity
from leakdetect.units import DEFAULT, canonical

_WORDS = {
    Quantity.PRESSURE: r"press|druck|pression|presi[oó]n|\bbar\b|\bpsi\b|\bkpa\b|\bmce\b",
    Quantity.LEVEL: r"level|niveau|nivel|livello|f[uü]llstand|wasserstand|tank|reservoir\b",
    Quantity.DEMAND: r"demand|\bdem\b|conso|consumption|customer|\bamr\b|usage|verbrauch|compteur",
    Quantity.FLOW: r"flow|inflow|d[eé]bit|durchfluss|zufluss|caudal|portata|\bm3\W?h\b|\bl\W?s\b|\blps\b|\bgpm\b",
    Quantity.HEAD: r"\bheads?\b",
}
_DISTRICT = re.compile(r"\b(dma|district|sector|secteur|zone|zona|bezirk|distretto)\b", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"[\(\[]([^\)\]]*)[\)\]]\s*$")


@dataclass(frozen=True)
class Guess:
    """What a column seems to measure; `element` is '' where the network has none such."""

    column: str
    quantity: Quantity
    unit: str
    element: str
    dma: str
    unit_said: bool  # by the user or in the column's name; else it is assumed


def words(name: str) -> str:
    """Return a name with its words apart: ``scen1_dem_node_2`` is ``scen 1 dem node 2``."""
    apart = re.sub(r"[_\-.:/;,]+", " ", name)
    return re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])", " ", apart)


def quantity_of(name: str) -> Quantity | None:
    """Return the quantity that a file's or a column's name speaks of; None if it speaks of none."""
    for quantity, pattern in _WORDS.items():
        if re.search(pattern, words(name), re.IGNORECASE):
            return quantity
    return None


def unit_of(name: str, quantity: Quantity) -> str | None:
    """Return the unit in brackets, or the last word, of a column's name; None if there is none."""
    found = _IN_BRACKETS.search(name)
    for text in [found[1]] if found else re.split(r"[_\s]+", name.strip())[-1:]:
        try:
            return canonical(quantity, text)
        except UnitError:
            continue
    return None


def without_unit(name: str) -> str:
    """Return a column's name without the unit in brackets."""
    return _IN_BRACKETS.sub("", name).strip() or name


class Elements:
    """Finds the element that a column's name speaks of: as it is, in another case, or among its words."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._nodes = {name.lower(): name for name in network.node_names}
        self._links = {name.lower(): name for name in network.link_names}

    def find(self, column: str, quantity: Quantity | None) -> str:
        """Return an element's id, '' if there is none; `quantity` decides between a node and a link of one name."""
        kinds = {Quantity.FLOW: [self._links]}.get(quantity, [self._nodes]) if quantity else [self._nodes, self._links]
        pieces = re.findall(r"[^\s_\-.:/;,()\[\]]+", column)
        parts = [
            "".join(f"{s}{p}" for s, p in zip(["", *separators], pieces[a:b], strict=False))
            for length in range(len(pieces), 0, -1)
            for a in range(len(pieces) - length, -1, -1)
            for b in [a + length]
            for separators in [["_"] * (length - 1), ["-"] * (length - 1), [" "] * (length - 1)]
        ]
        for text in [column, *dict.fromkeys(parts)]:
            for kind in kinds:
                if text.lower() in kind:
                    return kind[text.lower()]
        return ""

    def is_link(self, element: str) -> bool:
        """Say whether it is a link (and no node of the same name)."""
        return self._network.has_link(element) and not self._network.has_node(element)

    def is_tank(self, element: str) -> bool:
        """Say whether it is a tank."""
        network = self._network
        return network.has_node(element) and network.node_kind[network.node(element)] == Node.TANK


def guess(
    column: str,
    sample: NDArray[np.float64],
    said_by_file: Quantity | None,
    elements: Elements | None,
    units: Mapping[str, str],
) -> Guess | None:
    """Return what a column seems to measure; None if nothing speaks for any quantity.

    Its own name counts first, then the file's, then the kind of element it names, then how large its values are and
    how much they vary.

    Parameters
    ----------
    column : str
    sample : ndarray
        Some of its values.
    said_by_file : Quantity or None
        What the file's name speaks of.
    elements : Elements or None
        Of the network, if there is one.
    units : mapping
        Quantity to unit, as the user says.
    """
    said = (unit_of(column, Quantity.FLOW) and Quantity.FLOW) if _DISTRICT.search(words(column)) else None
    quantity = said or quantity_of(without_unit(column)) or quantity_of(column) or said_by_file
    element = elements.find(column, quantity) if elements else ""
    if elements and not element and said_by_file == quantity:
        element = elements.find(column, None)
    if elements and element:
        if elements.is_link(element):
            quantity = Quantity.FLOW
        elif elements.is_tank(element) and quantity in {None, Quantity.PRESSURE}:
            quantity = Quantity.LEVEL
        elif quantity == Quantity.FLOW or quantity is None:
            quantity = _at_junction(sample)
    elif quantity is None and (_DISTRICT.search(words(column)) or elements is None):
        quantity = Quantity.FLOW if _DISTRICT.search(words(column)) else None
    if quantity is None:
        return None
    unit = units.get(quantity) or unit_of(column, quantity)
    dma = without_unit(column) if _DISTRICT.search(words(column)) and not element else ""
    return Guess(column, quantity, canonical(quantity, unit or DEFAULT[quantity]), element, dma, unit is not None)


def _at_junction(sample: NDArray[np.float64]) -> Quantity:
    """Tell a pressure, which varies little about its mean, from what a customer takes."""
    if sample.size and 0.5 <= np.mean(sample) <= 250 and np.std(sample) < 0.3 * np.mean(sample):
        return Quantity.PRESSURE
    return Quantity.DEMAND
