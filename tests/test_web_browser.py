"""The web page in a real browser: Debian's Chromium, by keyboard and on a phone's width, judged by axe."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import sample_results as sample
from web_site import PASSWORDS, make, make_users

from leakdetect import pipeline
from leakdetect.events import Evidence, Status
from leakdetect.report import facts, write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

CHROMIUM = os.environ.get("LEAKDETECT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
READY = "() => document.querySelector('main h1[tabindex]') && !document.getElementById('status').textContent"
PAGES = {
    "sites": "#/",
    "events": "#/grid-sons/events?show=all",
    "event": "#/grid-sons/event?id=growing-1",
    "burst": "#/grid-sons/event?id=burst-1",
    "over": "#/grid-sons/event?id=mended-1",
    "series": "#/grid-sons/series?sensor=in",
    "quality": "#/grid-sons/quality",
    "kpi": "#/grid-sons/kpi",
    "audit": "#/audit",
    "none": "#/grid-sons/event?id=none",
}


@dataclass(frozen=True)
class Served:
    """A page that is served on this machine, and its site."""

    url: str
    folder: Path
    cookie: Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        line = "NO BROWSER: the web page is not tested in one; install chromium or set LEAKDETECT_CHROMIUM"
        os.write(2, f"\n{line}\n".encode())
        pytest.skip(line)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import uvicorn

    from leakdetect.web.app import create_app
    from leakdetect.web.binding import listening

    home = tmp_path_factory.mktemp("web")
    folder = make(home / "Grid & Sons")
    page = create_app([folder], users=make_users(home / "users.json"), audit=home / "audit.jsonl", every=0.2)
    with listening("127.0.0.1", 0) as place:
        server = uvicorn.Server(uvicorn.Config(page, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{place.getsockname()[1]}/"
        key, _ = page.state.page.gate.login("ada", PASSWORDS["ada"], "here")
        yield Served(url, folder, {"name": page.state.page.gate.cookie, "value": key, "url": url})
        page.state.page.marks.closing = True
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def opened(browser: Browser, served: Served, width: int = 1280) -> Page:
    """Open the page as an admin; what it asks of elsewhere, and what goes wrong, is kept as `wrong`."""
    page = browser.new_page(viewport={"width": width, "height": 844}, locale="en-GB")
    page.context.add_cookies([served.cookie])
    page.set_default_timeout(15_000)
    wrong: list[str] = []
    page.on("request", lambda asked: asked.url.startswith(served.url) or wrong.append(asked.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.wrong = wrong  # type: ignore[attr-defined]
    page.goto(served.url)
    page.get_by_role("heading", name="Sites").wait_for()
    return page


def visit(page: Page, served: Served, name: str) -> None:
    page.evaluate("place => { location.hash = place }", PAGES[name])
    page.wait_for_function(f"place => location.hash === place && ({READY})()", arg=PAGES[name])


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_for_everyone(browser: Browser, served: Served, width: int, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(browser, served, width)
    titles = set()
    for name in PAGES:
        visit(page, served, name)
        titles.add(page.title())
        found = Axe().run(page).response["violations"]
        assert not [(v["id"], v["nodes"][0]["html"][:200]) for v in found], name
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        assert page.evaluate("document.activeElement.tagName") == "H1"  # where a reader goes on
        page.screenshot(path=tmp_path / f"{name}_{width}.png", full_page=True)
    assert len(titles) == len(PAGES)
    page.get_by_role("button", name="Français").press("Enter")
    page.get_by_role("button", name="English").wait_for()
    assert page.evaluate("document.documentElement.lang") == "fr"
    visit(page, served, "quality")
    assert page.get_by_role("heading", level=1).inner_text() == "Qualité des données"
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Français").wait_for()
    assert page.wrong == []  # type: ignore[attr-defined]
    page.close()


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_report_fits_a_phone_and_a_sheet(browser: Browser, lang: str, tmp_path: Path) -> None:
    """Long names and many leaks are not cut off at 390 pixels; alone on one page it is one sheet of A4."""
    long = "balance " + "+".join(f"p{1000 + i}" for i in range(12))
    first = replace(sample.BURST, evidence=(Evidence(long, 0.7), Evidence("1-1", 0.3)))
    many = [replace(first, id=f"burst-{i}") for i in range(40)]
    site = sample.site(name="Syndicat-intercommunal-de-la-Vallée-de-la-Grande-Rivière-Supérieure")
    data, page = sample.data(), browser.new_page(viewport={"width": 390, "height": 844})
    for one_page, events in ((False, many[:2]), (True, many), (True, [])):
        path = tmp_path / f"report-{one_page}-{len(events)}.html"
        write_report(path, site=site, network=sample.network(), data=data, events=events, lang=lang, one_page=one_page)
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        if one_page:
            sheet = page.pdf(prefer_css_page_size=True)
            assert len(re.findall(rb"/Type\s*/Page\b", sheet)) == 1
    page.close()


def test_login(browser: Browser, served: Served) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": 390, "height": 844}, locale="fr-FR")
    page.goto(served.url)
    page.get_by_label("Mot de passe").fill("wrong-password")
    page.get_by_label("Nom").fill("ada")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("name and password do not belong together").wait_for()
    assert Axe().run(page).violations_count == 0
    page.get_by_label("Mot de passe").fill(PASSWORDS["ada"])
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Grid & Sons").wait_for()
    page.get_by_role("button", name="Se déconnecter").click()
    page.get_by_label("Mot de passe").wait_for()
    assert page.get_by_role("link", name="Grid & Sons").count() == 0
    page.close()


def test_names_do_no_harm(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    visit(page, served, "quality")
    page.get_by_role("link", name=sample.NASTY).click()
    page.get_by_role("heading", name="Series").wait_for()
    assert page.get_by_label("Sensor").input_value() == sample.NASTY
    assert page.evaluate("document.scripts.length") == 1
    assert page.wrong == []  # type: ignore[attr-defined]
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_an_event_shows_what_it_rests_on(browser: Browser, served: Served, width: int) -> None:
    page = opened(browser, served, width)
    visit(page, served, "burst")
    boxes = [page.get_by_role("heading", name=name).bounding_box() for name in ("Map", "Pipes to search")]
    beside = boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
    assert beside == (width == 1280)
    assert beside or boxes[0]["y"] < boxes[1]["y"]
    pipes = page.get_by_role("region", name="Pipes to search").locator("table")
    assert pipes.locator("thead th").first.inner_text() == "Rank"
    assert pipes.get_by_role("rowheader").all_inner_texts() == ["0-0", "p3", "p1", "p9"]
    sensors = page.get_by_role("region", name="What each sensor says")
    assert sensors.count() == 1
    assert sensors.get_by_role("rowheader").all_inner_texts() == ["1-1", "in", sample.NASTY]
    page.get_by_text("2 others · 3%").click()
    assert sensors.nth(1).get_by_role("rowheader").all_inner_texts() == ["tank", "water balance behind in"]
    rivals = page.get_by_role("region", name="What else was weighed").get_by_role("rowheader").all_inner_texts()
    assert rivals[:2] == ["a leak near 0-0", "a fault or new setting of sensor 1-1"]
    drawn = page.locator("figure")
    assert [text.split(" ·")[0] for text in drawn.locator("figcaption").all_inner_texts()] == ["1-1", "in"]
    for curve in ("measured", "expected", "residual", "onset"):
        assert [bool(d.get_attribute("d")) for d in drawn.locator(f"path.{curve}").all()] == [True, True]
    drawn.nth(1).get_by_role("link", name="in").click()
    page.get_by_role("heading", name="Series").wait_for()
    assert page.get_by_label("Sensor").input_value() == "in"
    assert page.wrong == []  # type: ignore[attr-defined]
    page.close()


def test_the_list_ends_in_sums(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    page.evaluate("place => { location.hash = place }", "#/grid-sons/events")
    total = page.locator("tfoot tr")
    total.wait_for()
    rows = page.locator("tbody tr")
    running = sum(facts.lost(event).best for event in (sample.BURST, sample.GROWING))
    told = [f"{running:.3g}", f"{running * 0.8:.3g}"]  # at 0.80 a m3, to three figures
    volume, money = (f"{float(text):,.0f}" for text in told)
    assert total.locator("td").nth(4).inner_text() == f"{volume}\u00a0m³\n{money}\u00a0EUR"
    assert rows.first.locator("td").last.inner_text() == "0-0 (50%)\nzone of 200\u00a0m (80%)"
    page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_of_many_sites_those_that_need_somebody_come_first(browser: Browser, served: Served, width: int) -> None:
    page = opened(browser, served, width)
    plain = {"timezone": "UTC", "open": 0, "new": 0, "flow_m3h": 0.0, "usable": 1.0, "until": "2024-03-10T23:00:00Z",
             "last_run": "2024-03-11T05:00:00Z", "outcome": "taken", "error": ""}  # fmt: skip
    cards = [{**plain, "id": f"d{k}", "name": f"District {k:02}"} for k in range(20)]
    cards[7] |= {"open": 2, "flow_m3h": 5.0}
    cards[11] |= {"error": "no readings"}
    cards[15] |= {"open": 1, "new": 1, "flow_m3h": 2.0}
    page.route("**/api/sites", lambda route: route.fulfill(json=cards))
    page.reload()
    names = page.locator("tbody th")
    names.nth(19).wait_for()
    assert [name.strip()[-2:] for name in names.all_inner_texts()[:4]] == ["15", "11", "07", "00"]
    told = "New suspected leaks: 1, at 1 of 20 sites. Open: 3, losing about 7.0 m³/h together."
    assert page.locator(".headline").inner_text().replace("\u00a0", " ") == told
    page.get_by_label("Find a site").fill("ct 1")
    assert page.locator("tbody tr:visible").count() == 10
    assert not page.wrong  # type: ignore[attr-defined]
    page.close()


def test_by_keyboard_alone(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    page.goto(f"{served.url}{PAGES['event']}")
    page.wait_for_function(READY)
    for _ in range(12):  # back to the very first
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.id") == "skip":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    seen = []
    while page.evaluate("document.activeElement.type") != "radio":
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.outerHTML"))
        assert len(seen) < 10
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")  # dismissed
    page.keyboard.press("ArrowDown")  # repaired
    page.keyboard.press("Tab")
    page.keyboard.type("p3")
    page.keyboard.press("Enter")
    page.get_by_text("Saved: repaired").wait_for()
    assert pipeline.event(served.folder, "growing-1").status == Status.REPAIRED
    [change] = pipeline.changes(served.folder, "growing-1")
    assert (change["by"], change["link"]) == ("ada", "p3")
    page.close()


def test_series_and_map_are_enlarged(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    visit(page, served, "series")
    whole = page.locator(".caption").inner_text()
    page.locator(".stage").focus()
    page.keyboard.press("+")
    page.wait_for_function("old => document.querySelector('.caption').innerText !== old", arg=whole)
    half = page.locator(".caption").inner_text()
    assert "since=2024-02-25" in page.url
    box = page.locator("svg.chart").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 100)
    page.mouse.up()
    page.wait_for_function("old => document.querySelector('.caption').innerText !== old", arg=half)
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("old => document.querySelector('.caption').innerText === old", arg=whole)
    visit(page, served, "events")
    view = page.locator("svg.map").get_attribute("viewBox")
    assert view is not None
    page.locator(".stage").focus()
    page.keyboard.press("+")
    nearer = page.locator("svg.map").get_attribute("viewBox")
    assert nearer is not None
    assert float(nearer.split()[2]) == pytest.approx(float(view.split()[2]) * 0.8)
    page.locator("svg.map g.event").first.click()
    page.wait_for_url("**/#/grid-sons/event?id=*")
    assert page.wrong == []  # type: ignore[attr-defined]
    page.close()


def test_ticks_stand_at_midnights_of_the_site(browser: Browser, served: Served) -> None:
    """Across both changes of the clock, days and months begin when they do in Paris."""
    page = opened(browser, served)
    moments = "async ([a, b, step]) => (await import('/static/chart.js')).moments(a, b, step, 'Europe/Paris')"
    for first, last, step, frequency in (
        ("2024-03-29", "2024-04-02", 86400, "D"),
        ("2024-10-25", "2024-10-29", 86400, "D"),
        ("2024-02-10", "2024-12-20", 2592000, "MS"),
    ):
        ends = [pd.Timestamp(day, tz="Europe/Paris") for day in (first, last)]
        found = page.evaluate(moments, [*(int(end.timestamp()) for end in ends), step])
        assert found == [int(t.timestamp()) for t in pd.date_range(*ends, freq=frequency)]
    page.close()


def test_events_at_the_same_time_lie_above_each_other(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    script = "async ([events, a, b]) => (await import('/static/chart.js')).lanes(events, a, b)"
    days = [("2024-03-08", None), ("2024-03-05", None), ("2024-03-01", "2024-03-04"), ("2024-02-01", "2024-02-02")]
    ends = [int(pd.Timestamp(day, tz="UTC").timestamp()) for day in ("2024-03-02", "2024-03-10")]
    bars = page.evaluate(script, [[{"start": start, "end": end} for start, end in days], *ends])
    assert len(bars) == 3  # the last was over before
    assert max(bar["to"] for bar in bars) == ends[1]
    for a, b in combinations(bars, 2):
        assert a["lane"] != b["lane"] or a["to"] <= b["from"] or b["to"] <= a["from"]
    visit(page, served, "series")
    assert page.locator("svg.chart path.bar").count() >= 1
    page.close()


def test_a_server_that_is_gone_is_told(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    page.route("**/api/sites/**", lambda route: route.abort())
    page.evaluate("place => { location.hash = place }", PAGES["quality"])
    page.get_by_text("The server does not answer.").wait_for()
    page.unroute("**/api/sites/**")
    visit(page, served, "events")
    page.get_by_text("No newer readings: the last are of 11 Mar 2024, 00:00.").wait_for()
    page.close()


def test_what_others_do_is_seen_at_once(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    visit(page, served, "events")
    page.evaluate("document.body.dataset.same = 'yes'")
    at = np.datetime64("2024-03-11T08:00")
    pipeline.say(served.folder, "burst-1", Status.CONFIRMED, by="crew", at=at)
    page.get_by_role("row", name="burst-1").get_by_text("confirmed").wait_for()
    assert page.evaluate("document.body.dataset.same") == "yes"  # it was not loaded anew
    page.close()
