"""The web page's JSON interface: what it shows, what it notes, and whom it lets in."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import sample_results as sample
from command import Command
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from postgres import DATABASE, PASSWORD, USER, owned
from web_site import METER, PASSWORDS, keep_run, make, make_users

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from leakdetect import pipeline
from leakdetect.errors import InputError, MissingFileError, SiteError
from leakdetect.events import Status
from leakdetect.report.svgmap import Drawing
from leakdetect.schema import SENSOR, TIME
from leakdetect.web.app import create_app
from leakdetect.web.audit import Audit
from leakdetect.web.auth import IDLE, LONGEST, Gate
from leakdetect.web.binding import check_binding
from leakdetect.web.guard import LARGEST
from leakdetect.web.limits import Limiter
from leakdetect.web.live import Marks, stream
from leakdetect.web.series import series_of
from leakdetect.web.sites import Results, Sites
from leakdetect.web.users import Role, Users
from leakdetect.web.view import full
from leakdetect.web.words import texts

LOCAL = ("127.0.0.1", "::1", "localhost")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sites") / "Grid & Sons")


@pytest.fixture(scope="module")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_users(tmp_path_factory.mktemp("users") / "users.json").path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "Grid & Sons"))


@pytest.fixture(scope="module")
def local(made: Path) -> TestClient:
    """Give the page as it is on one's own machine; only for looking."""
    return TestClient(create_app([made], hosts=LOCAL), base_url="http://localhost")


@pytest.fixture
def writing(folder: Path) -> TestClient:
    """Give the page of a site that may be written to."""
    return TestClient(create_app([folder], hosts=LOCAL), base_url="http://localhost")


@pytest.fixture
def guarded(made: Path, users_file: Path, tmp_path: Path) -> TestClient:
    """Give the page as others see it, with users."""
    page = create_app([made], users=Users(users_file), audit=tmp_path / "audit.jsonl", secure=True)
    return TestClient(page, base_url="https://leaks.example")


def login(client: TestClient, name: str) -> dict[str, str]:
    """Log in; return the headers that a change needs."""
    answer = client.post(
        "/api/login", json={"name": name, "password": PASSWORDS[name]}, headers={"X-CSRF-Token": "login"}
    )
    assert answer.status_code == 200, answer.text
    return {"X-CSRF-Token": answer.json()["token"]}


def get(client: TestClient, path: str, **query: str) -> object:
    answer = client.get(f"/api/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- on a database that sites share ----------------------------------------------------------------------------------


def test_the_page_on_postgresql(tmp_path: Path) -> None:
    with owned() as url:
        folders = [make(tmp_path / name, store=url) for name in ("north", "south")]
        assert not list(tmp_path.glob("*/leakdetect.db*"))
        page = create_app(folders, hosts=LOCAL)
        client = TestClient(page, base_url="http://localhost")
        assert [(s["id"], s["open"], s["error"]) for s in get(client, "sites")] == [("north", 2, ""), ("south", 2, "")]
        marks = {site.id: site.mark() for site in page.state.page.sites}
        word = {"event": "burst-1", "status": "dismissed", "why": "a hydrant"}
        token = {"X-CSRF-Token": get(client, "me")["token"]}
        assert client.post("/api/sites/north/words", json=word, headers=token).json()["status"] == "dismissed"
        assert get(client, "sites/north/event", id="burst-1")["history"][-1]["why"] == "a hydrant"
        assert [s["open"] for s in get(client, "sites")] == [1, 2]  # the other site is left as it was
        changed = {site.id for site in page.state.page.sites if site.mark() != marks[site.id]}
        assert changed == {"north"}  # what open pages are told of
        assert get(client, "sites/south/event", id="burst-1")["status"] == "open"


def test_a_database_that_is_gone_is_said_without_its_address(tmp_path: Path) -> None:
    with owned() as url:
        client = TestClient(create_app([make(tmp_path / "north", store=url)], hosts=LOCAL), base_url="http://localhost")
        assert get(client, "sites/north/news")["text"].startswith("New in the 24 hours")
    [site] = get(client, "sites")
    assert site["until"] is None
    assert site["error"]
    assert client.get("/api/sites/north/events").status_code == 400
    for said in (site["error"], client.get("/api/sites/north/events").text):
        assert "cannot be reached" in said
        assert not [part for part in (PASSWORD, USER, DATABASE, "127.0.0.1", str(tmp_path)) if part in said]


# -- what is shown --------------------------------------------------------------------------------------------------


def test_what_is_new_is_the_sentence_of_the_report(local: TestClient) -> None:
    said = get(local, "sites/grid-sons/news")
    assert (
        said["text"].replace("\u00a0", " ").startswith("New in the 24 hours to 11 Mar 2024, 00:00: a suspected burst")
    )
    assert said["until"] == "2024-03-10T23:00:00Z"
    assert "Nouveau sur les 24 heures" in get(local, "sites/grid-sons/news", lang="fr")["text"]


def test_the_overview_adds_up_open_leaks(local: TestClient) -> None:
    [site] = get(local, "sites")
    assert (site["id"], site["name"], site["open"], site["new"]) == ("grid-sons", "Grid & Sons", 2, 1)
    assert site["flow_m3h"] == pytest.approx(12.0 + 6.0)  # the newest estimates
    assert site["until"] == "2024-03-10T23:00:00Z"
    assert site["outcome"] == "taken"


def test_events_are_listed_as_reports_number_them(local: TestClient) -> None:
    rows = get(local, "sites/grid-sons/events")
    assert [(r["id"], r["number"], r["status"]) for r in rows] == [
        ("burst-1", 1, "open"), ("growing-1", 2, "confirmed"), ("mended-1", None, "repaired"),
    ]  # fmt: skip


def test_an_event_says_all_but_what_meters_told(local: TestClient) -> None:
    event = get(local, "sites/grid-sons/event", id="growing-1")
    assert (event["flow_m3h"], event["flow_raised_m3h"]) == (6.0, 2.0)
    assert event["candidates"][0] == {"link": "p5", "probability": 0.9, "length_m": 100.0}
    assert event["history"][0]["run"] == 1
    burst = get(local, "sites/grid-sons/event", id="burst-1")
    assert [(e["label"], e["has_series"]) for e in burst["evidence"]] == [
        ("1-1", True), ("in", True), (sample.NASTY, True), ("tank", True), ("water balance behind in", False),
    ]  # fmt: skip
    assert burst["weighed"][:2] == [
        {"text": "a leak near 0-0", "explained": 0.92, "is_leak": True},
        {"text": "a fault or new setting of sensor 1-1", "explained": 0.3, "is_leak": False},
    ]
    french = get(local, "sites/grid-sons/event", id="burst-1", lang="fr")
    assert french["weighed"][2]["text"] == "la vanne v7 réglée autrement"
    assert french["evidence"][-1]["label"] == "bilan en eau en aval de in"
    for told in (burst, french):
        assert not [e["text"] for e in told["weighed"] if METER in e["text"]]


def test_what_the_inflow_alone_told_is_said_in_words(folder: Path) -> None:
    site, network, data, _ = pipeline.results(folder)
    row = {"cause": "use by day", "night_m3h": 3.6, "day_m3h": 2.5}
    found = replace(sample.BURST, candidates=(), latest={"weighed": [row]})
    told = full(Results(site, network, data, [found]), "burst-1", [], "fr")
    assert told.weighed == []
    assert "3,6\u00a0m³/h la nuit" in told.remarks[0]
    assert len(told.remarks) == 2
    assert (told.first_link, told.dma) == (None, "North")


def test_what_is_lost_is_worth_its_price(folder: Path, local: TestClient) -> None:
    rows = get(local, "sites/grid-sons/events")
    assert [(r["lost_m3"], r["money"], r["currency"]) for r in rows[:1]] == [(288.0, pytest.approx(230.4), "EUR")]
    assert (rows[0]["first_link"], rows[0]["first_probability"]) == ("0-0", 0.5)
    assert (rows[0]["zone_length_m"], rows[0]["zone_probability"]) == (200.0, 0.8)
    with (folder / "site.toml").open("a", encoding="utf-8") as file:
        file.write("\n[costs]\nwater_per_m3 = 0\n")
    free = TestClient(create_app([folder]))
    assert [r["money"] for r in get(free, "sites/grid-sons/events")] == [None] * 3
    assert get(free, "sites/grid-sons/event", id="burst-1")["month_money"] is None


def test_no_answer_holds_a_households_meter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, network, _, events = pipeline.results(folder)
    monkeypatch.setattr(pipeline, "results", lambda _: (site, network, sample.data(), events))  # with a meter's series
    local = TestClient(create_app([folder]))
    paths = ["sites", "sites/grid-sons/events", "sites/grid-sons/map", "sites/grid-sons/quality", "sites/grid-sons/kpi"]
    paths += [f"sites/grid-sons/event?id={e.id}" for e in sample.EVENTS]
    said = [local.get(f"/api/{path}") for path in paths]
    assert all(answer.status_code == 200 for answer in said)
    assert not [path for path, answer in zip(paths, said, strict=True) if f'"{METER}"' in answer.text]
    assert local.get("/api/sites/grid-sons/series", params={"sensor": METER}).status_code == 404


def test_the_map_is_the_reports(local: TestClient, made: Path) -> None:
    whole, near = get(local, "sites/grid-sons/map"), get(local, "sites/grid-sons/map", id="burst-1")
    assert whole["pipes"] == Drawing(pipeline.open_site(made)[1], sample.data()).base()
    assert {spot["text"] for spot in whole["spots"] if spot["kind"] == "event"} == {"1", "2"}
    assert [z["title"] for z in near["zones"]] == ["p3", "0-0"]
    assert {spot["text"] for spot in near["spots"] if spot["kind"] == "rank"} == {"1", "2", "3", "4"}


def test_series_are_means_of_what_was_measured(local: TestClient) -> None:
    data = sample.data().sel({SENSOR: "in"})
    got = get(
        local, "sites/grid-sons/series", sensor="in", since="2024-03-01T00:00Z", until="2024-03-10T23:00Z", points="60"
    )
    hours = data.sel({TIME: slice("2024-03-01T00:00", "2024-03-10T23:00")})["reading"].values * 3600
    assert (got["unit"], got["step_s"], len(got["time"])) == ("m3/h", 4 * 3600, 60)
    assert got["measured"] == pytest.approx(hours.reshape(-1, 4).mean(axis=1), rel=1e-5)
    assert got["low"] == pytest.approx(hours.reshape(-1, 4).min(axis=1), rel=1e-5)
    assert got["high"] == pytest.approx(hours.reshape(-1, 4).max(axis=1), rel=1e-5)
    assert got["time"][0] == 1709251200  # 2024-03-01 UTC
    beyond = np.array(got["measured"]) - np.array(got["expected"])
    assert got["residual"] == pytest.approx(beyond, abs=1e-3)
    assert np.abs(got["residual"][:15]).max() < 1  # the noise
    assert np.abs(np.array(got["residual"][15:]) - 10).max() < 1  # m3/h more from 3 March, noon


def test_what_was_not_measured_is_none() -> None:
    data = sample.data()
    got = series_of(data, sample.NASTY, None, None, 480)
    assert got.measured[48:96] == [None] * 48
    assert got.measured[47] == pytest.approx(float(data["reading"].values[47, 1]) * 9.80665 / 100, rel=2e-3)  # bar
    nothing = series_of(data, "in", np.datetime64("2030-01-01"), np.datetime64("2031-01-01"), 100)
    assert nothing.time == nothing.measured == []


def test_series_times_are_the_sites_own_without_an_offset(local: TestClient) -> None:
    paris = get(local, "sites/grid-sons/series", sensor="in", since="2024-03-01T01:00")
    assert paris["time"][0] == 1709251200


def test_quality_and_key_figures(local: TestClient) -> None:
    found = get(local, "sites/grid-sons/quality")
    assert found["sensors"][0]["name"] == sample.NASTY
    assert found["sensors"][0]["flags"]["missing"] == pytest.approx(48 / 480)
    assert found["runs"][0]["usable"] == 0.97
    figures = {f["name"]: f for f in get(local, "sites/grid-sons/kpi", lang="fr")["figures"]}
    supplied = sample.data()["reading"].values[:, 2].sum() * 3600
    assert figures["system_input"]["value"] == pytest.approx(supplied, rel=1e-3)
    assert figures["system_input"]["label"] == "volume introduit"
    assert figures["ili"]["missing"]


def test_texts_are_the_same_in_both_languages(project: Path) -> None:
    english, french = texts("en"), texts("fr")
    assert english.keys() == french.keys()
    static = project / "leakdetect" / "web" / "static"
    code = "".join(path.read_text(encoding="utf-8") for path in static.glob("*.js"))
    import re

    assert not set(re.findall(r'say\("(\w+)"', code)) - english.keys()
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|https?://(?!www\.w3\.org)", code)


def test_a_site_that_cannot_be_shown_says_why_without_paths(folder: Path) -> None:
    (folder / "leakdetect.db").unlink()
    client = TestClient(create_app([folder]))
    [site] = get(client, "sites")
    assert site["error"].startswith("grid-sons/leakdetect.db: no run yet")
    answer = client.get("/api/sites/grid-sons/events")
    assert answer.status_code == 409
    assert str(folder.parent) not in answer.text
    [shown] = Sites([folder])
    said = f"{folder}/site.toml: see /srv/data/a.csv or m3/h"
    assert shown.without_paths(said) == "grid-sons/site.toml: see a.csv or m3/h"
    assert "example" not in shown.without_paths("opc.tcp://me@plc.example: host plc.example does not answer")


def test_ids_are_looked_up_and_never_paths(local: TestClient, folder: Path) -> None:
    for name in ("..", "Grid%20%26%20Sons", "%2e%2e%2f", "/etc", "grid-sons%2f.."):
        assert local.get(f"/api/sites/{name}/events").status_code == 404
    assert local.get("/static/%2e%2e/app.py").status_code == 404
    assert local.get("/api/sites/grid-sons/event", params={"id": "../site.toml"}).status_code == 404
    twin = Path(shutil.copytree(folder, folder.parent / "other" / "grid-sons"))
    assert [site.id for site in Sites([folder, twin])] == ["grid-sons", "grid-sons-2"]
    with pytest.raises(InputError, match="named twice"):
        Sites([folder, folder])
    for one in (folder, twin):
        with (one / "site.toml").open("a", encoding="utf-8") as file:
            file.write('\n[store]\nurl = "postgresql://db.example/leaks"\n')
    with pytest.raises(SiteError, match=r"'Grid & Sons' in the database that it shares, as .*: give each its own site"):
        Sites([folder, twin])


# -- what people say ------------------------------------------------------------------------------------------------


def say(client: TestClient, headers: dict[str, str] | None = None, **word: str):
    token = headers or {"X-CSRF-Token": client.get("/api/me").json()["token"]}
    return client.post("/api/sites/grid-sons/words", json={"event": "burst-1", **word}, headers=token)


def test_a_word_is_kept_and_shown(writing: TestClient, folder: Path) -> None:
    answer = say(writing, status="repaired", pipe="p3", time="2024-03-12T10:30", why=" clamp ")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["end"]) == ("repaired", "2024-03-12T09:30:00Z")  # Paris
    assert pipeline.event(folder, "burst-1").status == Status.REPAIRED
    [change] = pipeline.changes(folder, "burst-1")
    assert (change["link"], change["why"]) == ("p3", "clamp")
    assert get(writing, "sites/grid-sons/events")[0]["id"] == "growing-1"
    assert say(writing, status="dismissed").json()["status"] == "dismissed"


@pytest.mark.parametrize(
    ("word", "code", "what"),
    [
        ({"status": "confirmed", "pipe": "p99"}, 400, "p99"),
        ({"status": "repaired", "time": "2199-01-01"}, 400, "still to come"),
        ({"status": "repaired", "time": "soon"}, 400, "not a time"),
        ({"status": "dismissed", "pipe": "p3"}, 400, "neither"),
        ({"status": "closed"}, 422, "status"),
        ({"status": "confirmed", "event": "nope"}, 404, "no such event"),
        ({"status": "confirmed", "why": "x" * 1001}, 422, "why"),
        ({"status": "confirmed", "by": "somebody else"}, 422, "by"),
    ],
)
def test_words_that_cannot_be(writing: TestClient, folder: Path, word: dict[str, str], code: int, what: str) -> None:
    answer = say(writing, **word)
    assert (answer.status_code, what in answer.json()["detail"]) == (code, True), answer.text
    assert pipeline.changes(folder, "burst-1") == []


def test_a_change_needs_the_pages_token(writing: TestClient, folder: Path) -> None:
    for headers in ({"X-CSRF-Token": "guess"}, {"Origin": "https://evil.example"}):
        assert say(writing, headers, status="confirmed").status_code == 403
    assert pipeline.changes(folder, "burst-1") == []


# -- who may --------------------------------------------------------------------------------------------------------


def test_nothing_is_shown_before_login(guarded: TestClient) -> None:
    me = get(guarded, "me")
    assert (me["name"], me["token"], me["users"]) == (None, None, True)
    paths = [path for path in guarded.app.openapi()["paths"] if "{lang}" not in path and path != "/api/me"]
    assert len(paths) > 10
    for path in paths:
        if path not in {"/api/login", "/api/logout", "/api/sites/{site}/words"}:
            assert (
                guarded.get(path.replace("{site}", "grid-sons"), params={"sensor": "in", "id": "x"}).status_code == 401
            )
    assert guarded.post("/api/logout").status_code == 401
    assert say(guarded, {"X-CSRF-Token": "x"}, status="confirmed").status_code == 401


def test_roles(made: Path, users_file: Path, tmp_path: Path, folder: Path) -> None:
    log = tmp_path / "audit.jsonl"
    page = create_app([folder], users=Users(users_file), audit=log, secure=True)
    codes = {}
    for name in PASSWORDS:
        client = TestClient(page, base_url="https://leaks.example")
        headers = login(client, name)
        codes[name] = (
            client.get("/api/sites").status_code,
            say(client, headers, status="confirmed", why="heard").status_code,
            client.get("/api/audit").status_code,
        )
    assert codes == {"rita": (200, 403, 403), "otto": (200, 200, 403), "ada": (200, 200, 200)}
    assert [c["by"] for c in pipeline.changes(folder, "burst-1")] == ["otto", "ada"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(w["user"], w["action"]) for w in lines] == [
        ("rita", "login"), ("rita", "refused"), ("rita", "refused"),
        ("otto", "login"), ("otto", "confirmed"), ("otto", "refused"), ("ada", "login"), ("ada", "confirmed"),
    ]  # fmt: skip
    assert log.stat().st_mode & 0o777 == 0o600
    assert not any(password in log.read_text() for password in PASSWORDS.values())


def test_the_cookie_is_for_this_page_alone(guarded: TestClient) -> None:
    answer = guarded.post(
        "/api/login", json={"name": "rita", "password": PASSWORDS["rita"]}, headers={"X-CSRF-Token": "login"}
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-leakdetect=")
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"))
    assert answer.json()["token"] not in cookie
    bare = {"name": "rita", "password": PASSWORDS["rita"]}
    assert guarded.post("/api/login", json=bare).status_code == 403  # as a form of another site would


def test_tries_to_log_in_are_few(guarded: TestClient) -> None:
    wrong = {"name": "rita", "password": "x" * 12}
    codes = [guarded.post("/api/login", json=wrong, headers={"X-CSRF-Token": "login"}).status_code for _ in range(9)]
    assert codes == [401] * 8 + [429]
    answer = guarded.post(
        "/api/login", json={"name": "rita", "password": PASSWORDS["rita"]}, headers={"X-CSRF-Token": "login"}
    )
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) <= 60


def test_sessions_end(users_file: Path, tmp_path: Path) -> None:
    users = Users(Path(shutil.copy(users_file, tmp_path / "users.json")))
    clock = Clock()
    gate = Gate(users, Audit(None), secure=True, clock=clock)

    def enter(password: str = PASSWORDS["rita"]) -> str:
        found = gate.login("rita", password, "here")
        assert not isinstance(found, int)
        return found[0]

    key = enter()
    assert gate.session(key) is not None
    assert gate.session(key + "x") is gate.session(None) is None
    clock.now += IDLE + 1
    assert gate.session(key) is None
    key = enter()
    for _ in range(int(LONGEST / IDLE) * 2):
        assert gate.session(key) is not None
        clock.now += IDLE / 2 + 1
    assert gate.session(key) is None
    key = enter()
    gate.logout(key)
    assert gate.session(key) is None
    key = enter()
    users.add("rita", Role.READER, "another-password")
    assert gate.session(key) is None
    clock.now += 3600
    key = enter("another-password")
    users.remove("rita")
    assert gate.session(key) is None


def test_users_are_kept_hashed(users_file: Path, tmp_path: Path) -> None:
    text = users_file.read_text()
    assert not any(password in text for password in PASSWORDS.values())
    assert users_file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(text)["users"]
    assert len({user["salt"] for user in kept.values()}) == 3
    import hashlib

    one = kept["ada"]
    again = hashlib.scrypt(
        PASSWORDS["ada"].encode(), salt=bytes.fromhex(one["salt"]), n=one["n"], r=one["r"], p=one["p"],
        maxmem=2**26, dklen=32,
    )  # fmt: skip
    assert one["hash"] == again.hex()
    assert one["n"] * one["r"] * 128 >= 2**25
    users = Users(users_file)
    assert users.verified("ada", PASSWORDS["rita"]) is None
    assert users.verified("nobody", "") is None
    loose = Path(shutil.copy(users_file, tmp_path / "loose.json"))
    loose.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        Users(loose)
    loose.chmod(0o600)
    loose.write_text('{"users": {"x": {"role": "king"}}}')
    with pytest.raises(InputError, match="not a file of users"):
        Users(loose)
    with pytest.raises(MissingFileError, match="leakdetect users"):
        Users(tmp_path / "none.json")


# -- what stands before everything ----------------------------------------------------------------------------------


def test_headers_let_nothing_in_from_elsewhere(local: TestClient, guarded: TestClient) -> None:
    for path in ("/", "/static/app.js", "/api/me", "/api/sites/none/events", "/nowhere"):
        headers = local.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == ("no-store" if path.startswith("/api") else "no-cache")
        assert "access-control-allow-origin" not in headers
    assert "strict-transport-security" in guarded.get("/").headers
    assert guarded.get("http://leaks.example/").status_code == 421
    page = local.get("/").text
    assert page.count("<script") == 1
    assert "style=" not in page
    assert "http" not in page


def test_only_its_own_names_without_users(local: TestClient) -> None:
    assert local.get("/api/me", headers={"Host": "evil.example:8000"}).status_code == 421
    assert local.get("/api/me", headers={"Host": "127.0.0.1:8000"}).status_code == 200
    assert local.get("/api/me", headers={"Host": "[::1]:8000"}).status_code == 200


def test_requests_are_small(local: TestClient) -> None:
    assert local.post("/api/login", content=b"x" * (LARGEST + 1)).status_code == 413
    assert local.post("/api/login", content=iter([b"{}"])).status_code == 413  # of unknown length


def test_requests_are_few(made: Path) -> None:
    client = TestClient(create_app([made], limiter=Limiter(5, 1e-6)))
    assert [client.get("/api/me").status_code for _ in range(7)] == [200] * 5 + [429] * 2


def test_a_bucket_fills_again() -> None:
    clock = Clock()
    limiter = Limiter(2, 30, clock)
    assert [limiter.wait("a") for _ in range(3)] == [0, 0, 2]
    assert limiter.wait("b") == 0
    clock.now += 2
    assert [limiter.wait("a") for _ in range(2)] == [0, 2]
    clock.now += 1000
    assert [limiter.wait("a") for _ in range(3)] == [0, 0, 2]


# -- live -----------------------------------------------------------------------------------------------------------


def test_changes_are_told_as_they_come(folder: Path) -> None:
    marks = Marks(Sites([folder]), every=0.0)

    async def listen() -> list[str]:
        told = []
        async for message in stream(marks, lambda: len(told) < 3):
            told.append(message)
            if len(told) == 1:
                pipeline.say(folder, "burst-1", Status.CONFIRMED, by="x", at=np.datetime64("2024-03-11"))
            if len(told) == 2:
                keep_run(folder, [sample.BURST])
        return told

    told = asyncio.run(asyncio.wait_for(listen(), 60))
    assert [message.split("\n")[0] for message in told] == ["event: state", "event: change", "event: change"]
    data = [json.loads(message.split("data: ")[1]) for message in told]
    assert {d["site"] for d in data} == {"grid-sons"}
    assert len({d["mark"] for d in data}) == 3
    marks.closing = True
    assert asyncio.run(anext(stream(marks, lambda: True), "the end")) == "the end"


def test_results_are_read_again_only_when_they_changed(folder: Path) -> None:
    [site] = Sites([folder])
    first = site.results()
    assert site.results() is first
    pipeline.say(folder, "burst-1", Status.CONFIRMED, by="x", at=np.datetime64("2024-03-11"))
    second = site.results()
    assert second is not first
    assert [e.status for e in second.events if e.id == "burst-1"] == [Status.CONFIRMED]


def test_series_of_the_sites_looked_at_last_are_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakdetect.web.sites._KEPT", 2)
    one, two, three = Sites([folder, *(shutil.copytree(folder, tmp_path / name) for name in ("b", "c"))])
    first, second = one.results(), two.results()
    assert one.results() is first
    three.results()
    assert one.results() is first
    assert two.results() is not second  # it was looked at longest ago


def test_the_overview_needs_no_series(folder: Path, writing: TestClient) -> None:
    shutil.rmtree(folder / "series")
    [card] = get(writing, "sites")  # type: ignore[misc]
    assert (card["error"], card["open"], card["usable"], card["until"]) == ("", 2, 0.97, "2024-03-10T23:00:00Z")


# -- where it listens -----------------------------------------------------------------------------------------------


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for nobody, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaks.example")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
    first, last = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
    made = made.serial_number(1).not_valid_before(first).not_valid_after(last)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.sign(secret, hashes.SHA256()).public_bytes(Encoding.PEM))
    key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "leaks.example"])
def test_it_does_not_listen_wider_without_users_and_https(host: str, tmp_path: Path) -> None:
    file = tmp_path / "any"
    file.touch()
    nothing = {"users": None, "certificate": None, "key": None, "proxy": ""}
    with pytest.raises(InputError, match="--users"):
        check_binding(host, **nothing)
    assert file.stat().st_size == 0
    with pytest.raises(InputError, match="no certificate"):
        check_binding(host, **nothing | {"certificate": file, "key": file})
    with pytest.raises(InputError, match="in the clear"):
        check_binding(host, **nothing | {"users": file})
    pair = dict(zip(("certificate", "key"), self_signed(tmp_path), strict=True))
    assert check_binding(host, **nothing | pair | {"users": file}) == ()
    with pytest.raises(InputError, match="--users"):
        check_binding(host, **nothing | pair)
    assert check_binding(host, **nothing | {"users": file, "proxy": "10.0.0.2"}) == ()


def test_on_this_machine_it_needs_nothing_but_no_proxy() -> None:
    nothing = {"users": None, "certificate": None, "key": None, "proxy": ""}
    assert "127.0.0.2" in check_binding("127.0.0.2", **nothing)
    assert check_binding("localhost", **nothing | {"users": Path("u")}) == ()
    with pytest.raises(InputError, match="behind a proxy"):
        check_binding("127.0.0.1", **nothing | {"proxy": "127.0.0.1"})


def test_serve_and_users_as_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path
) -> None:
    import io

    run = Command(monkeypatch, capsys)
    file = tmp_path / "users.json"
    monkeypatch.setattr("sys.stdin", io.StringIO("too short\n"))
    assert "12 to 256" in run.refused("users", file, "add", "anne")
    assert not file.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("long-enough-to-be-one\n"))
    assert run.ok("users", file, "add", "anne", "--role", "operator") == "anne: operator\n"
    assert "anne" in run.ok("users", file, "list")
    assert "none of reader" in run.refused("users", file, "add", "anne", "--role", "king")
    assert "in the clear" in run.refused("serve", made, "--host", "0.0.0.0", "--users", file)
    assert "--users" in run.refused("serve", made, "--host", "0.0.0.0")
    run.ok("users", file, "remove", "anne")
    assert "no user 'anne'" in run.refused("users", file, "remove", "anne")
    assert "holds no user" in run.refused("serve", made, "--users", file)
    assert "no such file" in run.refused("serve", tmp_path / "nowhere")
