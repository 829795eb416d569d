from __future__ import annotations

import base64
import re
import string
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import sample_results as sample
import xarray as xr
from typer.testing import CliRunner

from leakdetect.errors import InputError, MissingFileError
from leakdetect.events import Candidate, Evidence, Kind, Zone
from leakdetect.kpi.figures import Figure
from leakdetect.kpi.gather import KeyFigures
from leakdetect.report import facts, write_report
from leakdetect.report.language import LANGUAGES, language
from leakdetect.report.lines import path
from leakdetect.report.page import render
from leakdetect.report.quality import quality
from leakdetect.report.svgmap import Box, Drawing
from leakdetect.schema import without_meters
from leakdetect.store import News

NO_CHARTS = {"evidence": ()}
GROWING, BURST = (replace(e, **NO_CHARTS) for e in (sample.GROWING, sample.BURST))
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """A page as a reader of its structure sees it."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.words = " ".join(" ".join(self.text).split())  # no-break spaces become plain ones

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def make(lang="en", events=sample.EVENTS, **changes):
    values = {"site": sample.site(), "network": sample.network(), "data": sample.data()} | changes
    return render(**values, events=events, lang=lang)


@pytest.fixture(scope="module")
def english():
    return make()


@pytest.fixture(scope="module")
def french():
    return make("fr")


# The page


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_page_is_sound(lang, english, french):
    page = Page({"en": english, "fr": french}[lang])
    assert page.all("html") == [{"lang": lang}]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs["href"].removeprefix("#") in ids for tag in ("a", "use") for attrs in page.all(tag))
    assert all(attrs["aria-labelledby"] in ids for attrs in page.all("section"))
    assert all(attrs["alt"] for attrs in page.all("img"))
    assert all(attrs["aria-label"] for attrs in page.all("svg") if attrs.get("role") == "img")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_page_needs_nothing_from_outside(english):
    page = Page(english)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert all(attrs["src"].startswith("data:image/svg+xml;base64,") for attrs in page.all("img"))
    assert "url(" not in english
    assert "@import" not in english
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_names_are_escaped_wherever_they_stand(english):
    assert sample.NASTY not in english
    assert sample.NASTY in Page(english).words
    evil = '"><svg onload=alert(1)>'
    html = make(
        events=[replace(sample.BURST, id=evil, model=evil, candidates=(), evidence=(Evidence(evil, 1.0),))],
        site=sample.site(name=evil),
        network=sample.network(name=evil),
    )
    assert evil not in html
    assert Page(html).words.count(evil) >= 4


def test_charts_are_sound_svg_of_the_heaviest_sensors(english):
    images = Page(english).all("img")
    assert len(images) == 6  # three sensors for each of two events
    assert images[0]["alt"].startswith("Sensor 1-1 (60% of the evidence)")
    for image in images:
        svg = ElementTree.fromstring(base64.b64decode(image["src"].partition(",")[2]))
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_same_results_give_the_same_page(english):
    assert make() == english


def test_what_the_page_says_of_a_burst(english):
    words = Page(english).words
    assert (
        "New in the 24 hours to 11 Mar 2024, 00:00: a suspected burst, losing about 12 m³/h since 10 Mar 2024, "
        in words
    )
    assert "most likely near pipe 0-0. One earlier suspected leak is still open." in words
    assert "80% interval 9.0 to 16" in words
    assert "10 Mar 2024, 00:00 80% interval 9 Mar 2024, 21:00 to 10 Mar 2024, 02:00" in words
    assert "Raised 10 Mar 2024, 06:00" in words  # 05:00 UTC
    assert "288 m³ 230 EUR" in words  # 12 m3/h for the 24 hours from 23:00 to 23:00
    assert "7,010 EUR a month 8,770 m³ a month" in words  # 12 x 730.5
    assert "With 80% probability the leak lies in the 2 pipes of the zone, 200 m of street in all" in words
    assert "1 0-0 1-0 – 1-1 50% 50% 100 m 100 m" in words  # rank, pipe, its nodes, probability, length


def test_the_newest_estimate_stands_beside_the_first(english):
    words = Page(english).words
    assert "6.0 m³/h 80% interval 5.0 to 7.0 2.0 m³/h when it was raised" in words
    assert "the leak lies in pipe p5, 100 m of street" in words


def test_french_is_french_all_through(french):
    words = Page(french).words
    assert "une rupture présumée, qui perd environ 12 m³/h depuis le 10 mars 2024" in words
    assert "7 010 EUR par mois" in words
    assert "80 %" in words
    assert "6,0 m³/h" in words
    for english_word in ("leak ", "Lost", "Raised", "burst ", "usable"):
        assert english_word not in words.replace("burst-1", "")


def test_languages_have_the_same_texts_with_the_same_values():
    english, french = (LANGUAGES[code].words for code in ("en", "fr"))
    assert set(english) == set(french)

    def holes(text):
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert {k for k in english if holes(english[k]) != holes(french[k])} == set()


def test_an_unknown_language_is_refused(tmp_path):
    with pytest.raises(InputError, match="use one of en, fr"):
        write_report(tmp_path / "x.html", site=sample.site(), network=None, data=sample.data(), events=[], lang="de")
    assert list(tmp_path.iterdir()) == []


def test_what_else_was_weighed_is_said(english, french):
    words = Page(english).words
    assert "a leak near 0-0 92% a fault or new setting of sensor 1-1 30% valve v7 set anew 12%" in words
    assert "customers behind in drawing otherwise 2% growth of leak growing-1 <1%" in words
    assert "la vanne v7 réglée autrement 12 %" in Page(french).words
    hours = {"weighed": [{"cause": "use by day", "night_m3h": 5.5, "day_m3h": 6.25}]}
    village = replace(BURST, candidates=(), zone=Zone((), 0.0, 1.0), latest=hours)
    words = Page(make(network=None, events=[village], data=sample.data().isel(sensor=[2]))).words
    assert "has risen by 5.5 m³/h at night and by 6.2 m³/h in the other hours" in words
    assert "look at the meter before digging" in words


def test_customers_meters_are_shown_together_or_not_at_all():
    told = replace(sample.BURST, evidence=(Evidence("meter", 0.7), Evidence("1-1", 0.3)))
    data = sample.data()
    few = make(events=[told], data=data)
    assert "meter" not in Page(few).words.replace("flow meter", "")
    assert "1 other 70%" in Page(few).words
    meter = data.isel(sensor=[3])
    more = [meter.assign_coords(sensor=[f"customer {i}"], element=("sensor", [f"0-{i % 3}"])) for i in range(4)]
    many = xr.concat([data, *more], "sensor")
    many["usable"][:48, 5] = False  # a tenth of one of five
    page = Page(make(events=[told], data=many))
    assert "customers’ meters (5 together) demand 98.0%" in page.words
    assert "customer 1" not in page.words
    assert not any("customer" in m.title for m in Drawing(sample.network(), without_meters(many)).sensors)


# What is new


def test_news_of_earlier_events_and_the_sentence_on_top():
    def change(event, why, by="leakdetect", **detail):
        return {"event": event, "at": "", "by": by, "status": "", "why": why, "run": None, "detail": detail}

    changes = (
        change("growing-1", "", flow_m3h=[5.0, 5.5], zone=[[], ["p5"]]),
        change("growing-1", "", flow_m3h=[5.5, 6.0], pipe=["p3", "p5"]),
        change("growing-1", "seen in the street", by="ann", status=["open", "confirmed"]),
        change("mended-1", "its signature has ended", status=["open", "closed"]),
        change("burst-1", "", flow_m3h=[1.0, 12.0]),  # raised since: it is new as a whole
        change("burst-0", "", status=["", "open"]),  # gone
    )
    week = News(sample.at("2024-03-03T06:00"), False, frozenset({"burst-1"}), changes)
    quiet = [replace(e, **NO_CHARTS) for e in sample.EVENTS]
    words = Page(make(events=quiet, news=week)).words
    assert "New since 3 Mar 2024, 07:00: a suspected burst" in words
    assert "Event 2: growing leak – now confirmed, says ann: seen in the street; " in words
    assert "flow from 5.0 to 6.0 m³/h; first pipe p5, before p3" in words
    assert "Earlier: burst, 0-0, 21 Feb 2024 – now closed: its signature has ended" in words
    assert "from 1.0 to 12" not in words
    day = News(week.since, True, frozenset(), ())
    assert (
        "Nothing new in the 24 hours to 11 Mar 2024, 00:00. 2 suspected leaks are open"
        in Page(make(events=quiet, news=day)).words
    )


def test_one_page_has_the_essence_only():
    html = make(one_page=True)
    page = Page(html)
    assert {a["id"] for tag, a in page.tags if tag == "h2"} == {"summary", "map"}
    assert "0-0 (50%) , p3 (30%) , p1 (15%) zone of 200 m" in page.words
    assert not any(a["href"] not in {"#pipes"} for tag in ("a", "use") for a in page.all(tag))


def test_key_figures_have_a_box():
    found = [
        Figure("min_night_flow", "", 4.0, "m3/h", 3.0, 5.25),
        Figure("min_night_flow", "North", 9.0, "m3/h"),
        Figure("ili", "", None, "1", missing=("connections",)),
        Figure("p104_3", "", 81.25, "%"),
    ]
    figures = KeyFigures(sample.site(), sample.START, sample.END, found, {})
    words = Page(make("fr", events=[], figures=figures)).words
    assert "débit minimum nocturne 4 m³/h 3 à 5,25 P104.3 rendement du réseau 81,2 % Depuis le 20 févr. 2024" in words


# Villages, quiet days and empty sites


def test_a_village_without_a_network_sees_its_inflow():
    event = replace(sample.BURST, candidates=(), zone=Zone((), 0.0, 1.0), evidence=(Evidence("in", 1.0),))
    page = Page(make(network=None, events=[event], data=sample.data().isel(sensor=[2])))
    assert "Inflow" in page.words
    assert "in district North" in page.words
    assert "Found in the inflow of district North alone" in page.words
    assert not page.all("svg")
    assert page.all("img")[0]["alt"].startswith("Inflow measured by in ")


def test_a_district_of_a_network_is_a_zone_without_ranked_pipes():
    event = replace(BURST, candidates=(), zone=Zone(("p0", "p1", "p2"), 300.0, 0.9))
    page = Page(make(events=[event]))
    assert "With 90% probability it lies in the 3 pipes of the zone, 300 m of street in all." in page.words
    assert "Pipes to search" not in page.words
    labels = [attrs["aria-label"] for attrs in page.all("svg") if attrs.get("role") == "img"]
    assert labels[1] == "Map of the zone of event 1: 3 pipes."
    numbers = [m for m in Drawing(sample.network(), sample.data()).overview([event]).marks if m.kind == "event"]
    # centres at (50, 0), (150, 0), (50, 100) m: the first is nearest to their mean
    assert [(m.text, m.title) for m in numbers] == [("1", "p0")]


def test_estimates_claim_no_more_than_they_can():
    en, fr = language("en"), language("fr")
    assert [en.percent(p) for p in (0.0, 0.001, 0.5, 0.994, 0.9999, 1.0)] == ["0%", "<1%", "50%", "99%", ">99%", "100%"]
    assert fr.percent(0.9999, 1) == ">\u00a099,9\u00a0%"
    assert [en.estimate(v) for v in (9.4, 288.4, 1479.4, 21498.0)] == ["9", "288", "1,480", "21,500"]
    assert en.count("open", 3, flow="5.8").startswith("3\u00a0suspected")
    assert "environ 5\u00a0m³/h" in fr.count("open", 1, flow="5", place="")
    assert fr.say("with_why", text="a", why="b") == "a\u00a0: b"


def test_a_leak_that_is_over_has_the_mean_flow_of_its_life():
    ended = replace(sample.BURST, end=sample.BURST.start + np.timedelta64(4, "D"), latest={"flow_m3h": 0.0})
    assert facts.mean_flow(ended) == pytest.approx(facts.lost(ended).best / 96)
    assert 0 < facts.mean_flow(ended) < sample.BURST.flow_m3h
    assert np.isnan(facts.mean_flow(replace(ended, end=ended.start)))


def test_pipes_that_are_hardly_likely_do_not_stand_beside_the_first():
    sure = replace(
        BURST, latest={}, candidates=tuple(Candidate(n, p) for n, p in (("p3", 0.97), ("p5", 0.02), ("p4", 0.01)))
    )
    words = Page(make(events=[sure], one_page=True)).words
    assert "p3 (97%)" in words
    assert "p5" not in words


def test_a_quiet_day_says_so():
    assert (
        "Nothing new in the 24 hours to 11 Mar 2024, 00:00. No suspected leak is open." in Page(make(events=[])).words
    )
    old = Page(make(events=[GROWING])).words
    assert "One suspected leak is open, losing about 6.0 m³/h, most likely near pipe p5." in old
    assert "Rien de nouveau" in Page(make("fr", events=[sample.MENDED])).words


def test_several_new_leaks_are_summed_and_the_largest_named():
    second = replace(BURST, id="burst-2", flow_m3h=30.0, candidates=BURST.candidates[1:])
    words = Page(make(events=[BURST, second])).words
    assert "2 suspected leaks, losing about 42 m³/h together. The largest, about 30 m³/h, " in words
    assert "most likely near pipe p3." in words


def test_without_coordinates_there_is_no_map():
    page = Page(make(network=sample.network(xy=np.full((10, 2), np.nan)), events=[BURST]))
    assert not page.all("svg")
    assert "holds no coordinates" in page.words


def test_nothing_at_all_is_still_a_page():
    page = Page(make(data=sample.data().isel(time=slice(0, 0)), events=[]))
    assert "No suspected leak is open" in page.words


def test_readings_alone_are_enough():
    page = Page(make(data=sample.data()[["reading"]], events=[BURST]))
    assert "90.0%" in page.words  # 48 of 480 hours are missing


def test_an_event_with_a_pipe_the_network_no_longer_has():
    gone = replace(BURST, candidates=(replace(BURST.candidates[0], link="gone"),), zone=Zone(("gone",), 5, 1))
    assert "the leak lies in pipe gone, 5 m of street" in Page(make(events=[gone])).words


# Facts


def test_water_lost_by_a_burst_runs_from_its_start():
    assert facts.lost(sample.BURST).best == pytest.approx(12 * 24)
    assert facts.lost(sample.BURST).low == pytest.approx(9 * 24)
    assert facts.lost(sample.MENDED).best == pytest.approx(12 * 72)  # until its repair


def test_water_lost_by_a_growing_leak_grows():
    # five days from 0 to 2 m3/h, then to 6 m3/h until the last reading
    after = float((sample.END - sample.GROWING.raised_at) / np.timedelta64(1, "h"))
    assert facts.lost(sample.GROWING).best == pytest.approx(120 * 2 / 2 + after * (2 + 6) / 2)
    assert facts.monthly(sample.GROWING) == pytest.approx(6 * 730.5)


def test_a_leak_that_ended_before_it_was_raised_lost_until_its_end():
    early = replace(sample.MENDED, end=sample.at("2024-02-21T06:00"))
    assert facts.lost(early).best == pytest.approx(12 * 6)
    assert facts.lost(replace(early, kind=Kind.INCIPIENT)).best == pytest.approx(12 * 3)


def test_current_takes_what_latest_holds_and_keeps_the_rest():
    event = facts.current(sample.GROWING)
    assert (event.flow_m3h, event.candidates[0].link, event.zone.links) == (6.0, "p5", ("p5",))
    assert event.start == sample.GROWING.start
    assert facts.current(sample.BURST) == sample.BURST


def test_order_is_newest_first_and_the_ended_apart():
    active, over = facts.in_order(sample.EVENTS)
    assert [e.id for e in active] == ["burst-1", "growing-1"]
    assert [e.id for e in over] == ["mended-1"]


def test_quality_counts_flags_one_by_one():
    worst = quality(sample.data(), 5, language("en"))[0]
    assert worst.name == sample.NASTY
    assert worst.usable == pytest.approx(1 - 72 / 480)
    assert worst.flags == pytest.approx((0.1, 0.05, 0.0, 0.0, 0.05, 0.0))


# Map


def test_a_sensor_of_a_node_is_not_put_on_the_link_of_that_name():
    drawing = Drawing(sample.network(), sample.data())
    ten = 1000 / 300  # drawing units a metre: 300 m across
    spots = {m.title: (m.x, m.y) for m in drawing.sensors}
    assert spots["1-1"] == pytest.approx((200 * ten, 100 * ten), abs=0.1)
    assert spots["in"] == pytest.approx((50 * ten, 200 * ten), abs=0.1)  # on the pump, y downwards
    rank = next(m for m in drawing.closeup(sample.BURST, 0).marks if m.kind == "rank" and m.text == "1")
    network = sample.network()
    x, y = network.link_xy()[network.link("0-0")]
    assert (rank.x, rank.y) == pytest.approx(((x - 900) * ten, (1200 - y) * ten), abs=0.1)


def lines_of(path):
    """Return the lines of an SVG path of absolute beginnings and relative steps, each from its lesser end."""
    lines = set()
    for walk in path.split("M")[1:]:
        begin, _, steps = walk.partition("l")
        points = np.cumsum(
            [[float(v) for v in begin.split()], *np.reshape(steps.split(), (-1, 2)).astype(float)], axis=0
        )
        for a, b in pairwise(np.round(points, 6).tolist()):
            assert a != b
            line = tuple(sorted([tuple(a), tuple(b)]))
            assert line not in lines
            lines.add(line)
    return lines


def test_a_path_draws_every_line_once():
    rng = np.random.default_rng(3)
    nodes = rng.integers(0, 100, (40, 2)) / 10
    ends = nodes[rng.integers(0, 40, (80, 2))]
    ends[70:] = ends[:10, ::-1]  # drawn twice, the other way round
    wanted = {tuple(sorted([tuple(a), tuple(b)])) for a, b in ends.tolist() if a != b}
    assert lines_of(path(ends[:, 0], ends[:, 1], 0.1)) == wanted


def test_a_path_is_as_fine_as_its_grid():
    start, end = np.array([[0.0, 0.0], [0.2, 0.1], [-1.24, 3.0]]), np.array([[1.3, 0.0], [0.0, 0.2], [-1.26, 3.0]])
    assert path(start, end, 0.5) == "M-1.5 3l0.5 0M0 0l1.5 0"
    assert path(start[2:], end[2:], 0.01) == "M-1.26 3l0.02 0"


def test_all_pipes_are_drawn():
    network = sample.network()
    assert len(lines_of(Drawing(network, sample.data()).base())) == len(network.link_names)


def test_a_large_network_is_drawn_coarsely_but_for_what_is_close(monkeypatch):
    monkeypatch.setattr("leakdetect.report.svgmap._LARGE", 5)
    drawing = Drawing(sample.network(), sample.data())
    steps = np.array([float(v) for v in re.findall(r"-?[\d.]+", drawing.base())])
    np.testing.assert_array_equal(steps * 2, np.round(steps * 2))
    assert drawing._near(Box(0, 0, 1000, 750)) == ""
    # around node 1-1 at (200, 100) m from the upper left: four pipes meet there
    x, y = 200 / 0.3, 100 / 0.3
    near = lines_of(drawing._near(Box(x - 5, y - 5, 10, 10)))
    assert len(near) == 4
    assert all(min(np.hypot(a - x, b - y) for a, b in line) < 0.02 for line in near)


def test_a_large_zone_is_a_path_for_each_shade(monkeypatch):
    monkeypatch.setattr("leakdetect.report.svgmap._MOST_NAMED", 1)
    zone = Drawing(sample.network(), sample.data()).overview([BURST]).zones  # 50 % and 30 %
    assert len(zone) == 2
    assert all(stroke.title == "" for stroke in zone)
    area = Drawing(sample.network(), sample.data()).overview([replace(BURST, candidates=())]).zones
    assert [stroke.area for stroke in area] == [True]
    assert len(lines_of(area[0].path)) == 2


def test_labels_do_not_cover_each_other():
    labels = Drawing(sample.network(), sample.data()).overview([sample.BURST, sample.GROWING]).labels
    assert {"1-1", "R"} <= {label.text for label in labels}
    assert len({(label.x, label.y) for label in labels}) == len(labels)


# Files


def test_the_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = replace(sample.BURST, flow_m3h="much")
    values = {"site": sample.site(), "network": sample.network(), "data": sample.data()}
    with pytest.raises(TypeError):
        write_report(path, **values, events=[broken])
    assert path.read_text() == "old"
    assert write_report(path, **values, events=[BURST]) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="no such folder"):
        write_report(tmp_path / "no" / "x.html", site=sample.site(), network=None, data=sample.data(), events=[])
    with pytest.raises(InputError, match="is a folder"):
        write_report(tmp_path, site=sample.site(), network=None, data=sample.data(), events=[])


@pytest.mark.parametrize(
    ("code", "value", "text"),
    [
        ("en", 1234.5, "1,234"),
        ("fr", 1234.5, "1\u202f234"),
        ("en", -3.0, "−3"),
        ("fr", float("nan"), "–"),
    ],
)
def test_numbers(code, value, text):
    assert language(code).number(value) == text


@pytest.mark.parametrize(
    ("code", "share", "text"),
    [
        ("en", 0.004, "<1%"),
        ("fr", 0.004, "<\u00a01\u00a0%"),
        ("en", 0.0, "0%"),
        ("en", 0.125, "12%"),
        ("fr", 1, "100\u00a0%"),
    ],
)
def test_percentages(code, share, text):
    assert language(code).percent(share) == text


def test_times_are_the_sites():
    summer = sample.at("2024-07-01T22:30")
    assert language("fr").time(summer, "Europe/Paris") == "2\u00a0juil.\u00a02024, 00:30"
    assert language("fr").date(sample.at("2024-05-01T10:00"), "UTC") == "1er\u00a0mai\u00a02024"
    assert language("en").time(summer, "UTC", summer - np.timedelta64(1, "h")) == "22:30"


@pytest.mark.shared
def test_a_town_fits_in_a_small_page(ltown, tmp_path):
    event = replace(
        sample.BURST,
        candidates=tuple(
            replace(c, link=link) for c, link in zip(sample.BURST.candidates, ["p461", "p462", "p9", "p1"], strict=True)
        ),
        zone=Zone(("p461", "p462"), 88.0, 0.8),
    )
    data = sample.data().assign_coords(element=("sensor", np.array(["n1", "n4", "p227", "n31", "T1"], dtype=object)))
    path = write_report(tmp_path / "town.html", site=sample.site(), network=ltown, data=data, events=[event])
    assert path.stat().st_size < 500_000
    page = Page(path.read_text(encoding="utf-8"))
    assert "begin with p461" in page.words


def test_a_city_fits_in_a_small_page():
    from leakdetect.networks import load

    city = load("city")
    pipes = tuple(name for name, pipe in zip(city.link_names, city.is_pipe, strict=True) if pipe)
    district = replace(BURST, id="area", candidates=(), zone=Zone(pipes, 1e5, 1.0))
    place = replace(BURST, candidates=(replace(BURST.candidates[0], link=pipes[9]),), zone=Zone(pipes[9:12], 9.0, 0.8))
    html = make(events=[district, place], network=city)
    assert len(html) < 300_000
    assert f"begin with {pipes[9]}" in Page(html).words


def test_the_command_explains_itself():
    from leakdetect.cli import app

    done = CliRunner().invoke(app, ["report", "--help"])
    assert done.exit_code == 0
    assert "Example: leakdetect report village -o report.html --lang fr" in done.stdout


@pytest.mark.parametrize(
    ("options", "name", "begins"),
    [
        ([], "report.html", "<!DOCTYPE html>"),
        (["--lang", "fr", "-o", "page.html"], "page.html", '<!DOCTYPE html>\n<html lang="fr">'),
        (["--format", "csv"], "report.csv", "event,status,kind"),
        (["-o", "out.geojson"], "out.geojson", '{"type": "FeatureCollection"'),
        (["-o", "out.gpkg"], "out.gpkg", "SQLite format 3"),
        (["-o", "out.txt", "--format", "csv"], "out.txt", "event,status,kind"),
    ],
)
def test_the_command_writes_what_the_suffix_or_the_format_says(tmp_path, monkeypatch, options, name, begins):
    pipeline = pytest.importorskip("leakdetect.pipeline")
    from leakdetect.cli import app

    results = (sample.site(), sample.network(), sample.data(), [BURST])
    monkeypatch.setattr(pipeline, "results", lambda folder: results)
    monkeypatch.setattr(pipeline, "news", lambda folder: None)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["report", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    assert Path(done.stdout.strip()).name == name
    assert (tmp_path / name).read_bytes().startswith(begins.encode())
