"""The network as arrays: names, parts, distances along the pipes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import small_networks

from leakdetect import networks
from leakdetect.errors import ElementError
from leakdetect.network import Network


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return small_networks.write(tmp_path_factory.mktemp("net"), "PRV")


def test_names_and_what_is_not_there(small: Network) -> None:
    assert small.node_names[small.node("J3")] == "J3"
    assert small.link_names[small.link("D")] == "D"
    assert small.has_node("T")
    assert not small.has_node("D")
    assert small.has_link("D")
    with pytest.raises(ElementError, match="has no node 'j3': did you mean 'J3'"):
        small.node("j3")
    with pytest.raises(ElementError, match=r"has no link 'X'$") as caught:
        small.link("X")
    assert isinstance(caught.value, KeyError)


def test_frozen(small: Network) -> None:
    with pytest.raises(FrozenInstanceError):
        small.name = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        small.length[0] = 1


def test_parts(small: Network) -> None:
    assert len(set(small.components().tolist())) == 1
    part = small.components(without=np.array([small.link("D")]))
    names = np.array(small.node_names)
    assert sorted(names[part == part[small.node("R")]]) == ["J1", "J2", "J7", "R"]
    part = small.components(without=np.array([small.link("P4")]))
    assert len(set(part.tolist())) == 1  # a loop goes round it


def of_networkx(network: Network, link: int) -> np.ndarray:
    """Return the distances between centres by an independent search."""
    graph = nx.MultiGraph()
    for a, b, length in zip(network.start, network.end, network.length, strict=True):
        graph.add_edge(int(a), int(b), weight=float(length))
    ends = [int(network.start[link]), int(network.end[link])]
    to = nx.multi_source_dijkstra_path_length(graph, ends)
    out = np.array([
        min(to[int(a)], to[int(b)]) + (length + network.length[link]) / 2
        for a, b, length in zip(network.start, network.end, network.length, strict=True)
    ])  # fmt: skip
    out[link] = 0
    return out


@pytest.mark.parametrize("name", ["small", "village", "town"])
def test_distances(name: str, small: Network) -> None:
    network = small if name == "small" else networks.load(name)
    for link in np.random.default_rng(0).choice(len(network.link_names), 5, replace=False):
        np.testing.assert_allclose(network.distances(int(link)), of_networkx(network, int(link)), atol=1e-3)


def test_distance_by_hand(small: Network) -> None:
    """P4 (350 m) and P5 (500 m) meet over P3 (400 m) or P6 (300 m)."""
    away = small.distances(small.link("P4"))
    assert away[small.link("P5")] == pytest.approx(300 + 175 + 250)
    assert away[small.link("P6")] == pytest.approx(175 + 150)
    assert away[small.link("P4")] == 0


def test_parallel_pipes_and_no_way(tmp_path: Path) -> None:
    """The shorter of two parallel pipes is the way; a part that nothing leads to is infinitely far."""
    text = small_networks.text().replace("[RESERVOIRS]", "X1 1 0\nX2 1 0\n[RESERVOIRS]").replace(
        "[TIMES]", "[PIPES]\nP9 J3 J4 90 100 120 0 Open\nPX X1 X2 10 100 120 0 Open\n[TIMES]"
    )  # fmt: skip
    (tmp_path / "n.inp").write_text(text)
    network = small_networks.load_network(tmp_path / "n.inp")
    away = network.distances(network.link("P4"))
    assert away[network.link("P7")] == pytest.approx(175 + 90 + 300)
    assert away[network.link("P9")] == pytest.approx(175 + 45)
    assert np.isinf(away[network.link("PX")])


@pytest.mark.shared
def test_ltown_distances(ltown: Network) -> None:
    link = ltown.link("p461")
    np.testing.assert_allclose(ltown.distances(link), of_networkx(ltown, link), atol=1e-2)


def test_centres(small: Network) -> None:
    town = networks.load("town")
    link = 5
    assert town.link_xy()[link] == pytest.approx((town.xy[town.start[link]] + town.xy[town.end[link]]) / 2)
    assert np.isnan(small.xy).all() or np.isfinite(small.xy).all()
