from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sample_results as sample
import xarray as xr

from leakdetect import plot
from leakdetect.errors import ElementError


def luminance(colour: str) -> float:
    """WCAG 2.1's relative luminance."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colour", [*plot.PALETTE, plot.INK, plot.MUTED])
def test_colours_contrast_with_white(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_importing_and_drawing_leave_pyplot_alone():
    code = (
        "import sys; import leakdetect.plot; assert 'matplotlib' not in sys.modules\n"
        "import sample_results as s; from leakdetect import plot\n"
        "plot.map(s.network(), s.EVENTS); plot.series(s.data(), '1-1', s.BURST)\n"
        "plot.inflow(s.data(), 'in', s.EVENTS)\n"
        "assert 'matplotlib' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_series_is_in_the_sensors_unit_and_the_sites_time():
    data = sample.data()
    ax = plot.series(data, "1-1", timezone="Europe/Paris")
    drawn = lines(ax)["measured"]
    assert ax.get_ylabel() == "bar"
    np.testing.assert_allclose(drawn.get_ydata(), data["reading"].sel(sensor="1-1") * 0.0980665)
    assert drawn.get_xdata()[0] == np.datetime64("2024-02-20T01:00")  # UTC + 1


def test_series_leaves_out_what_is_not_usable():
    data = sample.data()
    y = np.asarray(lines(plot.series(data, sample.NASTY))["measured"].get_ydata())
    np.testing.assert_array_equal(np.isfinite(y), data["usable"].sel(sensor=sample.NASTY))


def test_series_of_an_event_shows_the_time_around_it():
    ax = plot.series(sample.data(), "1-1", sample.MENDED)
    x = np.asarray(lines(ax)["measured"].get_xdata())
    assert x[0] == sample.START
    assert x[-1] == sample.at("2024-03-02T00:00")  # a week after its end
    assert "raised" in lines(ax)


def test_long_windows_are_daily_means():
    data = sample.data()
    again = [data.assign_coords(time=data["time"] + np.timedelta64(k * sample.DAYS, "D")) for k in range(4)]
    ax = plot.series(xr.concat(again, "time"), "in")
    y = np.asarray(lines(ax)["measured"].get_ydata())
    assert len(y) == 80
    assert y[0] == pytest.approx(float(data["reading"].sel(sensor="in")[:24].mean()) * 3600)
    assert ax.get_title(loc="right") == "daily means"


def test_a_day_of_which_little_is_known_has_no_mean():
    data = sample.data()
    again = [data.assign_coords(time=data["time"] + np.timedelta64(k * sample.DAYS, "D")) for k in range(4)]
    ax = plot.series(xr.concat(again, "time").isel(time=slice(None, -15)), "in")  # the last day ends at 09:00
    assert len(np.asarray(lines(ax)["measured"].get_ydata())) == 79


def test_series_without_an_expected_value_shows_the_reading():
    ax = plot.series(sample.data()[["reading"]], "tank")
    assert set(lines(ax)) == {"measured"}


def test_residual_is_reading_minus_expected():
    data = sample.data()
    y = lines(plot.residual(data, "in"))["measured − expected"].get_ydata()
    np.testing.assert_allclose(y, data["residual"].sel(sensor="in") * 3600)


def test_an_unknown_sensor_is_named():
    with pytest.raises(ElementError, match="no sensor 'nope'"):
        plot.series(sample.data(), "nope")


def test_map_colours_the_zone_and_numbers_the_events():
    ax = plot.map(sample.network(), [sample.BURST, sample.GROWING])
    pipes, zone, _ = ax.collections
    assert len(pipes.get_segments()) == 13
    assert len(zone.get_segments()) == 2
    assert zone.get_colors()[0][3] > zone.get_colors()[1][3]  # darker where more probable
    # "0-0" is a pipe and a node: the number stands on the pipe
    number = ax.texts[0]
    network = sample.network()
    np.testing.assert_allclose(number.xy, network.link_xy()[network.link("0-0")])
    assert [t.get_text() for t in ax.texts] == ["1", "2"]


def test_nodes_without_coordinates_are_not_drawn():
    xy = sample.network().xy.copy()
    xy[0] = np.nan
    assert np.count_nonzero(plot.drawn_links(sample.network(xy=xy.copy()))) == 10  # without two pipes and the pump
    xy[:2] = 0.0
    assert list(plot.drawn(sample.network(xy=xy.copy()))[:3]) == [False, False, True]
    assert not plot.drawn_links(sample.network(xy=np.zeros_like(xy))).any()
    one = sample.network().xy - sample.network().xy[0]  # a single node on the origin is drawn
    assert plot.drawn(sample.network(xy=one)).all()


def test_inflow_bars_do_not_lie_on_each_other():
    ax = plot.inflow(sample.data(), "in", [sample.MENDED, sample.GROWING, sample.BURST])
    bars = [line for line in ax.lines if line.get_linewidth() == 5]
    first, second, third = (line.get_ydata()[0] for line in bars)
    assert first == second < third  # the first ended before the second began; the third overlaps the second


def test_draws_on_the_axes_it_is_given():
    ax = plot.series(sample.data(), "1-1")
    assert plot.residual(sample.data(), "1-1", ax=ax) is ax
