"""From evidence to places: probability, the zone by brute force on small graphs, shares of the evidence."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakdetect.stages.localisation import adjacency, probability, shares, zone


def graph(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return start and end nodes of a small connected network of 9 links."""
    random = np.random.default_rng(seed)
    nodes = 8
    start = [int(random.integers(i)) for i in range(1, nodes)] + random.integers(nodes, size=2).tolist()
    end = [*range(1, nodes), *random.integers(nodes, size=2).tolist()]
    return np.array(start), np.array(end), nodes


def connected(links: tuple[int, ...], start: np.ndarray, end: np.ndarray) -> bool:
    drawn = nx.Graph()
    drawn.add_edges_from((int(start[i]), int(end[i])) for i in links)
    return nx.is_connected(drawn)


def test_probability_by_hand() -> None:
    """A likelihood ratio of e^2 between equal pipes; a pipe twice as long is twice as likely."""
    chance = probability(np.array([4.0, 0.0, 0.0]), np.array([100.0, 100.0, 200.0]))
    assert chance.sum() == pytest.approx(1)
    assert chance[0] / chance[1] == pytest.approx(np.exp(2))
    assert chance[2] / chance[1] == pytest.approx(2)


def test_probability_of_great_evidence_and_negative_flow() -> None:
    chance = probability(np.array([5e4, 4.9e4, -1e5, 0.0]), np.array([10.0, 10, 10, 0]))
    assert np.isfinite(chance).all()
    assert chance[0] == pytest.approx(1)
    # A leak of negative flow is as unlikely as no evidence at all, never likely.
    chance = probability(np.array([-50.0, 0.0]), np.ones(2))
    assert chance.tolist() == [0.5, 0.5]


def test_adjacency() -> None:
    adjacent = adjacency(np.array([0, 1, 2, 5]), np.array([1, 2, 3, 6]), 7).toarray() > 0
    assert adjacent.tolist() == [
        [True, True, False, False],
        [True, True, True, False],
        [False, True, True, False],
        [False, False, False, True],
    ]


@given(st.integers(0, 3000), st.sampled_from([0.5, 0.8, 0.95]))
def test_zone_is_connected_holds_what_is_wanted_and_needs_every_link(seed: int, wanted: float) -> None:
    start, end, nodes = graph(seed)
    random = np.random.default_rng(seed + 1)
    chance = random.dirichlet(np.full(len(start), 0.5))
    length = random.uniform(10, 200, len(start))
    found = zone(chance, length, adjacency(start, end, nodes), wanted)
    links = tuple(sorted(found.tolist()))
    assert len(set(links)) == len(links)
    assert connected(links, start, end)
    assert chance[list(links)].sum() >= wanted - 1e-9
    assert int(np.argmax(chance)) in links
    assert chance[found].tolist() == sorted(chance[found].tolist(), reverse=True)
    # Minimal: no link but the best can be left out.
    for link in links:
        rest = tuple(i for i in links if i != link)
        if link != int(np.argmax(chance)) and rest and connected(rest, start, end):
            assert chance[list(rest)].sum() < wanted


def test_zone_is_not_far_from_the_shortest() -> None:
    """On average over small graphs its length is near the best connected set's, found by trying all."""
    ratios = []
    for seed in range(40):
        start, end, nodes = graph(seed)
        random = np.random.default_rng(seed + 1)
        chance, length = random.dirichlet(np.full(len(start), 0.5)), random.uniform(10, 200, len(start))
        found = zone(chance, length, adjacency(start, end, nodes), 0.8)
        shortest = min(
            length[list(some)].sum()
            for size in range(1, len(start) + 1)
            for some in combinations(range(len(start)), size)
            if chance[list(some)].sum() >= 0.8 and connected(some, start, end)
        )
        ratios.append(length[found].sum() / shortest)
    assert min(ratios) >= 1 - 1e-9
    assert np.mean(ratios) < 1.35


def test_zone_of_an_unlikely_bridge() -> None:
    """Two likely pipes with one between them: the zone takes the bridge along."""
    start, end = np.array([0, 1, 2]), np.array([1, 2, 3])
    found = zone(np.array([0.5, 0.0, 0.5]), np.full(3, 10.0), adjacency(start, end, 4), 0.9)
    assert sorted(found.tolist()) == [0, 1, 2]


def test_zone_stops_where_nothing_leads_on() -> None:
    start, end = np.array([0, 2]), np.array([1, 3])
    found = zone(np.array([0.6, 0.4]), np.full(2, 10.0), adjacency(start, end, 4), 0.9)
    assert found.tolist() == [0]


def test_shares_by_hand() -> None:
    """Independent channels: each gives s r / variance."""
    part = shares(np.array([2.0, 1.0, np.nan, -1.0]), np.diag([1.0, 0.5, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert part == pytest.approx([0.5, 0.5, 0, 0])
    assert shares(np.array([-1.0]), np.eye(1), np.ones(1)).tolist() == [0.0]


@given(st.integers(0, 500))
def test_shares_add_up(seed: int) -> None:
    random = np.random.default_rng(seed)
    root = random.normal(size=(6, 8))
    part = shares(random.normal(size=6), root @ root.T, random.normal(size=6))
    assert (part >= 0).all()
    assert part.sum() == pytest.approx(1) or part.sum() == 0
