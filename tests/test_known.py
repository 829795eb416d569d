"""What people found teaches the next fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from district_site import day, make, readings, write

from leakdetect import demo, networks, pipeline
from leakdetect.epanet import load_network
from leakdetect.events import KnownLeak, Status
from leakdetect.hydraulic import detector as hydraulic
from leakdetect.hydraulic.known import known_leaks, with_known
from leakdetect.stages.expected.customers import Leaks
from leakdetect.units import M3H


class EnoughError(Exception):
    pass


T = np.datetime64("2024-01-01", "ns") + np.arange(10) * np.timedelta64(1, "h")
NETWORK = networks.load("village")
HERE = int(np.flatnonzero(NETWORK.is_pipe)[0])
AWAY = NETWORK.distances(HERE)
NEAR, FAR = int(np.argmin(np.where(AWAY > 0, AWAY, np.inf))), int(np.argmax(np.where(np.isfinite(AWAY), AWAY, -1)))


def test_known_leaks_of_a_window() -> None:
    known = [
        KnownLeak(NETWORK.link_names[HERE], T[2], T[5], 3.6, ()),
        KnownLeak(NETWORK.link_names[FAR], T[8], None, 7.2, ()),
        KnownLeak("no such", T[0], None, 1.0, ()),
        KnownLeak(NETWORK.link_names[FAR], T[0] - 9, T[0], 1.0, ()),
    ]
    leaks = known_leaks(NETWORK, known, T)
    assert leaks.links.tolist() == [HERE, FAR]
    assert (leaks.flow * M3H).T.tolist() == [[0, 0, 3.6, 3.6, 3.6, 0, 0, 0, 0, 0], [0] * 8 + [7.2] * 2]


def test_a_search_is_put_right_by_what_is_known() -> None:
    assert AWAY[NEAR] <= 600 < AWAY[FAR]
    course = np.r_[np.zeros(4), np.ones(6)]
    known = Leaks(np.array([HERE]), 2 * course[:, None])
    for place, links in ((NEAR, [HERE]), (FAR, [FAR, HERE])):
        both = with_known(NETWORK, Leaks(np.array([place]), course[:, None]), known)
        assert both.links.tolist() == links
        assert both.flow[:, 0].tolist() == course.tolist()  # as the search followed it
    other = with_known(NETWORK, Leaks(np.array([NEAR]), 1 - course[:, None]), known)  # not at the same time
    assert other.links.tolist() == [NEAR, HERE]
    none = with_known(NETWORK, Leaks(np.zeros(0, dtype=np.int64), np.zeros((10, 0))), known)
    assert (none.links.tolist(), none.flow.tolist()) == ([HERE], known.flow.tolist())
    assert with_known(NETWORK, known, Leaks()) is known


def test_what_was_found_reaches_the_fit(fitted_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = shutil.copytree(fitted_demo, tmp_path / "demo")
    (site / "repairs.csv").write_text("link,time\n")
    [burst, _] = demo.truth(site)
    pipeline.detect(site, None, demo.START + 42 * demo.DAY)
    found = pipeline.events(site)[-1]
    said = {"by": "ann", "at": demo.START + 44 * demo.DAY, "link": burst.pipe}
    asked: list[Any] = []

    def stop(*_: Any, known: Leaks, **__: Any) -> None:
        asked.append(known)
        raise EnoughError

    monkeypatch.setattr(hydraulic, "fit", stop)

    def taught() -> Leaks:
        with pytest.raises(EnoughError):
            pipeline.fit(site, None, demo.START + 48 * demo.DAY)
        leaks: Leaks = asked.pop()
        return leaks

    assert not len(taught().links)
    pipeline.say(site, found.id, Status.CONFIRMED, **said)
    network = load_network(site / "network.inp")
    step = np.timedelta64(1, "h")
    for until, more in ((48, {}), (46, {"time": demo.START + 46 * demo.DAY})):
        if more:
            pipeline.say(site, found.id, Status.REPAIRED, **said, **more)
        leaks = taught()
        assert leaks.links.tolist() == [network.link(burst.pipe)]
        runs = np.flatnonzero(leaks.flow[:, 0])
        assert runs[0] == (found.start - demo.START) / step
        assert runs[-1] + 1 == until * demo.DAY / step
        assert np.unique(leaks.flow[runs, 0]).tolist() == [found.flow_m3h / M3H]
    pipeline.say(site, found.id, Status.DISMISSED, by="ann", at=said["at"])
    assert not len(taught().links)


def test_an_inflow_is_fitted_as_it_would_be_without_the_leak(tmp_path: Path) -> None:
    leaky = make(tmp_path / "leaky")
    pipeline.detect(leaky, None, day(90))
    [event] = pipeline.events(leaky)
    window = day(0), day(95)

    def level(folder: Path) -> float:
        return float(np.nanmean(pipeline.fit(folder, *window)["history"].values[0, -8:])) * M3H

    untaught = level(leaky)
    pipeline.say(leaky, event.id, Status.CONFIRMED, by="ann", at=day(90))
    taught = level(leaky)
    write(leaky, readings(()))
    (leaky / "leakdetect.db").unlink()
    clean = level(leaky)
    assert untaught - clean == pytest.approx(6.0, abs=0.5)
    assert taught - clean == pytest.approx(6.0 - event.flow_m3h, abs=0.2)
    assert abs(taught - clean) < 1.0
