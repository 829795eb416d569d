import re
import time

import numpy as np
import pytest
from command import Command

from leakdetect import demo, pipeline
from leakdetect.epanet import load_network
from leakdetect.errors import InputError
from leakdetect.evaluate.truth import Leak
from leakdetect.events import Candidate, Event, Kind, Status, Zone
from leakdetect.readings.load import load
from leakdetect.readings.repairs import load_repairs


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return demo.make_site(tmp_path_factory.mktemp("demo") / "site")


@pytest.fixture(scope="module")
def network(site):
    return load_network(site.path(site.network))


def event(link, raised, name="e"):
    time = np.datetime64(raised, "ns")
    return Event(
        name, Status.OPEN, Kind.ABRUPT, time, time, time, time, None, 3.0, 2.0, 4.0,
        (Candidate(link, 0.6),), Zone((link,), 10.0, 0.8), (), "m", time,
    )  # fmt: skip


def leak(pipe, start, end):
    times = np.array([start, end], dtype="datetime64[ns]")
    return Leak(pipe, times[0], times[1], 0.01, Kind.ABRUPT, times[0], times, np.array([3.5, 0.0]))


def test_the_demo_is_a_site_that_reads_without_a_word(site, network):
    data = load(site, network=network)
    quantities = list(data["quantity"].values)
    assert quantities.count("pressure") == demo.LOGGERS
    assert quantities.count("flow") == 1
    assert data.sizes["time"] == demo.DAYS * 96
    assert 0.001 < float(np.isnan(data["reading"]).mean()) < 0.01
    known = demo.truth(site.folder)
    repairs = load_repairs(site, network)
    assert [(each.link, each.time) for each in repairs] == [(known[0].pipe, known[0].end)]


def test_the_leaks_come_after_the_fit_and_can_be_seen(site, network):
    burst, growing = demo.truth(site.folder)
    assert demo.fit_until() < burst.start < burst.end < growing.start
    assert 1.5 < burst.flow.max() < 8
    assert 1.5 < growing.flow.max() < 8
    assert growing.flow[:8].max() < 0.1
    assert network.distances(network.link(burst.pipe))[network.link(growing.pipe)] > 200


def test_it_is_made_anew_but_nothing_else_is_touched(tmp_path, site):
    folder = tmp_path / "again"
    demo.make_site(folder)
    (folder / "model.nc").write_text("old")
    demo.make_site(folder)
    assert not (folder / "model.nc").exists()
    for path in folder.rglob("*.gz"):
        assert path.read_bytes() == (site.folder / path.relative_to(folder)).read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="holds no demo"):
        demo.make_site(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_each_leak_gets_the_nearest_event_of_its_time(network):
    pipes = [network.link_names[i] for i in np.flatnonzero(network.is_pipe)]
    true = pipes[5]
    order = np.argsort(network.distances(network.link(true)))
    near, far = (network.link_names[order[k]] for k in (2, 40))
    events = [
        event(true, "2025-03-30", "early"),
        event(far, "2025-04-12", "far"),
        event(near, "2025-04-13", "near"),
    ]
    leaks = [leak(true, "2025-04-10", "2025-04-18"), leak(pipes[60], "2025-05-01", "2025-05-11")]
    rows, rest = demo.compare(network, leaks, events)
    assert rows[0].event is events[2]
    assert rows[0].found_pipe == near
    assert rows[0].distance_m == network.distances(network.link(true))[network.link(near)]
    assert rows[0].flow_m3h == 3.5
    assert rows[1].event is None
    assert rows[1].distance_m is None
    assert rest == events[:2]


def test_the_command_finds_both_leaks_and_nothing_else(tmp_path, monkeypatch, capsys):
    began = time.perf_counter()
    text = Command(monkeypatch, capsys).ok("demo", "--out", tmp_path / "town")
    assert time.perf_counter() - began < 60
    assert "2 of 2 leaks found, 0 false alarms or repeats" in text
    leaks = demo.truth(tmp_path / "town")
    for leak in leaks:
        assert re.search(rf"^{leak.pipe} +{str(leak.start)[:10]} ", text, re.MULTILINE)
    page = (tmp_path / "town" / "report.html").read_text(encoding="utf-8")
    assert f"report: {tmp_path / 'town' / 'report.html'}" in text
    events = pipeline.events(tmp_path / "town")
    assert len(events) == 2
    for event in events:
        assert event.id in text or event.candidates[0].link in text
        assert event.candidates[0].link in page
        assert leaks[0].start < event.raised_at


def test_another_seed_is_another_town(tmp_path):
    one, two = (demo.make_site(tmp_path / str(seed), seed) for seed in (1, 2))
    assert (one.folder / "network.inp").read_bytes() != (two.folder / "network.inp").read_bytes()


def test_the_command_leaves_other_folders_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis.txt").write_text("x")
    line = Command(monkeypatch, capsys).refused("demo", "--out", tmp_path)
    assert "is not empty and holds no demo: name a new folder with --out" in line
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
