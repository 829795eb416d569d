from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sample_results as sample

import leakdetect
from leakdetect import pipeline
from leakdetect.analysis import Results
from leakdetect.errors import ElementError, InputError, MissingFileError, NetworkError


@pytest.fixture
def found(monkeypatch):
    made = (sample.site(), sample.network(), sample.data(), sample.EVENTS)
    monkeypatch.setattr(pipeline, "results", lambda folder: made)
    return leakdetect.results("village")


def measured(ax):
    return next(line for line in ax.lines if line.get_label() == "measured")


def test_results_hold_what_runs_have_left(found):
    assert isinstance(found, Results)
    assert found.data.sizes == {"time": 480, "sensor": 5}
    assert [e.id for e in found.events] == ["mended-1", "growing-1", "burst-1"]
    assert found.event("burst-1") == sample.BURST


def test_a_series_is_of_the_heaviest_sensor_around_its_event(found):
    line = measured(found.plot.series("mended-1"))
    np.testing.assert_allclose(
        line.get_ydata(), found.data["reading"].sel(sensor="1-1")[: len(line.get_ydata())] / 10.19716213
    )
    assert line.get_xdata()[0] == np.datetime64("2024-02-20T01:00")  # the site's time
    assert line.get_xdata()[-1] == np.datetime64("2024-03-02T01:00")  # a week after the end
    assert found.plot.series(sample.MENDED).get_xlim() == found.plot.series("mended-1").get_xlim()


def test_a_series_of_a_sensor_is_of_all_the_time(found):
    assert len(measured(found.plot.series(sensor="in")).get_ydata()) == 480
    assert found.plot.residual(sensor="in").get_ylabel() == "m³/h"
    assert len(measured(found.plot.series()).get_ydata()) == 480


def test_the_map_has_all_events_or_those_asked_for(found):
    assert [t.get_text() for t in found.plot.map().texts] == ["1", "2", "3"]
    ax = found.plot.series(sensor="in")
    assert found.plot.map([sample.BURST], ax) is ax


def test_what_is_not_there_is_named(found):
    with pytest.raises(InputError, match="no event 'x': there are mended-1, growing-1, burst-1"):
        found.plot.series("x")
    with pytest.raises(ElementError, match="no sensor 'x'"):
        found.plot.series(sensor="x")
    with pytest.raises(ElementError, match="none of its sensors is in the series"):
        Results(found.site, None, found.data.isel(sensor=[3]), found.events).plot.series("burst-1")
    with pytest.raises(NetworkError, match="has no network"):
        Results(found.site, None, found.data, ()).plot.map()


def test_a_folder_that_is_no_site(tmp_path: Path):
    with pytest.raises(MissingFileError, match="make a site"):
        leakdetect.results(tmp_path)
