"""Alerts: once for each event and when it has grown, kept until delivered, against servers of our own."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import socketserver
import sqlite3
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from command import Command
from district_site import day

from leakdetect import alerts as telling
from leakdetect import pipeline
from leakdetect.alerts.sending import quiet_until
from leakdetect.alerts.ways import signature
from leakdetect.alerts.words import text
from leakdetect.errors import SiteError, UnavailableError
from leakdetect.events import Event, Status
from leakdetect.live import FILLED, Alert, Topic
from leakdetect.site import load_site
from leakdetect.store import Outcome, Progress, Quiet, Store

T0 = np.datetime64("2024-05-01", "ns")
DAY = np.timedelta64(1, "D")
ALERT = Alert(name="a", command=["true"])


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers as it is told."""

    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []
    answers: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        Hook.got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(Hook.answers.pop(0) if Hook.answers else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.got.clear()
    Hook.answers.clear()
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)) as server:
        yield f"http://127.0.0.1:{server.server_port}/in?x=1"


@pytest.fixture
def site(fitted_district: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted_district, tmp_path / "district")


def configure(folder: Path, text: str) -> None:
    toml = (folder / "site.toml").read_text().partition("[[alerts]]")[0]
    (folder / "site.toml").write_text(f"{toml}[[alerts]]\n{text}\n")


def messages(folder: Path) -> list[Any]:
    with Store(load_site(folder).store_path) as store:
        return store.messages()


def test_a_webhook_is_told_once_and_can_check_who_says_it(
    site: Path, hook: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(site, f'name = "ops"\nwebhook = "{hook}"\nkey = "${{HOOK_KEY}}"\nlanguage = "fr"')
    command = Command(monkeypatch, capsys)
    monkeypatch.setenv("HOOK_KEY", "geheim")
    Hook.answers[:] = [503]
    code, _, err = command("detect", site, "--to", "2024-03-27")
    assert code == 10
    assert "not delivered, tried again later: ops: the server answered 503" in err
    [waits] = messages(site)
    assert (waits.attempts, waits.sent) == (1, None)
    assert telling.deliver(load_site(site)).count == 0  # not due yet
    with Store(load_site(site).store_path) as store:
        store.settle(waits, T0, None, np.datetime64("now"))
    table = command.ok("alerts", site)
    assert "raised:inflow-all-" in table
    [first, second] = Hook.got
    assert first[1] == second[1]  # the same key, so that who got it twice can tell
    headers, body = second
    assert headers["X-Leakdetect-Signature"] == signature("geheim", headers["X-Leakdetect-Time"], body)
    assert signature("other", headers["X-Leakdetect-Time"], body) != headers["X-Leakdetect-Signature"]
    said = json.loads(body)
    assert (said["kind"], said["key"], said["site"]) == ("raised", headers["X-Leakdetect-Key"], "district")
    assert said["event"] == json.loads(json.dumps(pipeline.events(site)[0].to_dict()))
    assert "fuite" in said["subject"]
    command.ok("detect", site, "--to", "2024-04-02")
    assert len(Hook.got) == 2
    assert json.loads(command.ok("alerts", site, "--json"))[0]["attempts"] == 2


def test_what_was_sent_is_noted_although_the_store_is_locked(
    site: Path, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be sent again."""
    configure(site, f'name = "ops"\nwebhook = "{hook}"')
    pipeline.detect(site, None, day(88))
    monkeypatch.setattr("leakdetect.store.database._WAIT", 0.02)
    other = sqlite3.connect(site / "leakdetect.db", isolation_level=None, check_same_thread=False)
    monkeypatch.setattr(Hook, "end_headers", lambda _: (other.execute("begin immediate"), real(_)))
    real, waited = http.server.BaseHTTPRequestHandler.end_headers, list[int]()

    def patient() -> bool:
        waited.append(1)
        if len(waited) == 3:
            other.execute("rollback")
        return True

    assert telling.deliver(load_site(site), patient=patient).count == 1
    assert len(waited) == 3
    assert telling.deliver(load_site(site)).count == 0
    other.execute("begin immediate")
    with pytest.raises(UnavailableError, match="database is locked"):
        telling.deliver(load_site(site))
    other.close()
    assert len(Hook.got) == 1
    assert [m.sent is not None for m in messages(site)] == [True]


def test_quiet_hours_that_end_in_the_hour_that_autumn_repeats_have_an_end() -> None:
    """Put off until a time that is past, it would be asked for again and again."""
    alert = Alert(name="a", command=["x"], quiet_hours="22:00-02:30")
    again = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)  # 02:15 for the second time
    assert quiet_until(alert, "Europe/Paris", again) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    left_out = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)  # 01:45; there is no 02:30
    over = quiet_until(alert, "Europe/Paris", left_out)
    assert over is not None
    assert left_out < over <= datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_quiet_hours_of_a_whole_day_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing would ever be told"):
        Alert(name="a", command=["x"], quiet_hours="08:00-08:00")


@pytest.mark.parametrize("topic", ["a/#/b", "a/b#", "a+/b"])
def test_topics_that_no_broker_knows_are_refused(topic: str) -> None:
    """The client's thread would end of it, and nobody would know."""
    assert Topic(topic="+/a/#").topic == "+/a/#"
    with pytest.raises(ValueError, match="whole levels"):
        Topic(topic=topic)


def test_who_is_told_is_as_site_toml_has_it_now_and_no_error_ends_the_sending(site: Path, hook: str) -> None:
    told, sites = list[str](), list[Any]()

    def now() -> Any:
        if len(sites) < 2:
            sites.append(None)
            raise KeyError("unforeseen")
        return load_site(site)

    configure(site, f'name = "ops"\nwebhook = "{hook}"')
    pipeline.detect(site, None, day(88))
    with telling.Sender(now, told.append) as sender:
        while not Hook.got:
            sender.look()
            time.sleep(0.02)
    assert told == ["alerts: KeyError: 'unforeseen'; trying again"]


@pytest.mark.parametrize("secret", ["https://example.org/T0K3N next", "https://example.org:T0K3N/x"])
def test_a_webhook_that_is_none_is_not_shown(site: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    configure(site, 'name = "ops"\nwebhook = "${HOOK}"')
    monkeypatch.setenv("HOOK", secret)
    assert telling.test(load_site(site)) == [("ops", "webhook: is no https://host/path")]


def test_a_command_may_say_what_is_no_text(site: Path) -> None:
    script = "import sys; sys.stdin.buffer.read().decode(); sys.stderr.buffer.write(bytes([255])); sys.exit(3)"
    configure(site, f'name = "ops"\nlanguage = "fr"\ncommand = ["{sys.executable}", "-c", "{script}"]')
    assert telling.test(load_site(site)) == [("ops", "the command left with 3: \ufffd")]


def test_what_is_new_is_said_although_alerts_must_wait(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(site, 'name = "ops"\ncommand = ["true"]')

    def locked(_: Any) -> Any:
        raise UnavailableError("leakdetect.db: locked")

    monkeypatch.setattr("leakdetect.alerts.deliver", locked)
    code, _, err = Command(monkeypatch, capsys)("detect", site, "--to", "2024-03-27")
    assert code == 10
    assert "alerts wait: leakdetect.db: locked" in err


def test_signature_is_that_of_rfc_2104() -> None:
    """Against openssl: printf '%s' '1.{}' | openssl dgst -sha256 -hmac k."""
    assert signature("k", "1", b"{}") == "sha256=" + SIGNED


SIGNED = "3dd49b2593d0f9a349e9e71c4bde3e2b862c2be4003fe9b4ba81332029310158"


def event(flow: float = 10.0, low: float = 9.0, **more: Any) -> Event:
    plain = {
        "id": "e1", "status": "open", "kind": "abrupt", "raised_at": "2024-04-30T00:00:00Z",
        "start": "2024-04-29T00:00:00Z", "start_low": "2024-04-29T00:00:00Z", "start_high": "2024-04-29T00:00:00Z",
        "end": None, "flow_m3h": 10.0, "flow_low": 9.0, "flow_high": 11.0,
        "candidates": [{"link": "p1", "probability": 0.4}],
        "zone": {"links": ["p1", "p2"], "length_m": 420.0, "probability": 0.8}, "evidence": [], "model": "m",
        "data_until": "2024-04-30T00:00:00Z", "latest": {"flow_m3h": flow, "flow_low": low},
    }  # fmt: skip
    return Event.from_dict(plain | more)


def keep(store: Store, *events: Event, run: int | None = None) -> int:
    past = Progress("m", T0 - DAY, T0, {}, (), run)
    with store.saving(Outcome(past, events, alerts=[ALERT])) as saved:
        return saved.run


def test_one_when_raised_and_one_each_time_it_has_grown(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        run = None
        for flow, low in ((10, 9), (14, 13), (15, 9.5), (15.5, 14), (20, 19), (24, 20)):
            run = keep(store, event(flow, low), run=run)
        kinds = [(m.body["kind"], m.body["flow_m3h"]) for m in store.messages()]
        assert kinds == [("raised", 10.0), ("worse", 15.5), ("worse", 24.0)]
        store.set_status("e1", Status.DISMISSED, by="me", at=T0)
        run = keep(store, event(25, 24), run=run)
        assert len(store.messages()) == 3
        keep(store, event(60, 55), run=run)  # clearly more than what was dismissed: it is raised again
        assert [m.body["kind"] for m in store.messages()[3:]] == ["raised"]


def test_what_ended_long_ago_is_no_news(tmp_path: Path) -> None:
    ended = event(status="closed", end="2024-04-10T00:00:00Z")
    with Store(tmp_path / "x.db") as store:
        keep(store, ended, event(id="e2", status="closed", end="2024-04-30T12:00:00Z"))
        assert [m.key for m in store.messages()] == ["raised:e2"]


def test_what_is_told_is_written_with_what_it_tells_of(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        with pytest.raises(RuntimeError), store.saving(Outcome(Progress("m", T0, T0, {}), [event()], alerts=[ALERT])):
            raise RuntimeError
        assert (store.events(), store.messages()) == ([], [])


def test_a_silence_is_told_once_and_attempts_come_ever_later(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        for _ in range(2):
            store.tell_quiet([ALERT], [Quiet("n1", T0)])
        store.tell_quiet([ALERT], [Quiet("n1", T0 + DAY)])
        assert len(store.messages()) == 2
        now, waits = np.datetime64("now"), []
        for _ in range(24):
            message = store.next_message(now)
            assert message is not None
            assert store.next_message(now) != message  # nobody else attempts the same meanwhile
            store.settle(message, now, "no")
            again = next(m for m in store.messages() if m.number == message.number)
            waits.append((np.datetime64(again.due[:-1]) - now) / np.timedelta64(1, "s"))
            now = np.datetime64(again.due[:-1]) + np.timedelta64(1, "s")
        assert max(waits) == 6 * 3600
        assert min(waits) == 60


@pytest.mark.parametrize(
    ("hours", "at", "over"),
    [
        ("22:00-06:00", "2024-01-01T21:30Z", "2024-01-02T05:00Z"),  # in Paris an hour later
        ("22:00-06:00", "2024-01-02T04:59Z", "2024-01-02T05:00Z"),
        ("22:00-06:00", "2024-01-02T05:00Z", None),
        ("12:00-14:00", "2024-01-02T11:30Z", "2024-01-02T13:00Z"),
        ("12:00-14:00", "2024-01-02T10:30Z", None),
        ("", "2024-01-02T04:59Z", None),
    ],
)
def test_quiet_hours(hours: str, at: str, over: str | None) -> None:
    alert = Alert(name="a", command=["x"], quiet_hours=hours)
    wanted = None if over is None else datetime.fromisoformat(over)
    assert quiet_until(alert, "Europe/Paris", datetime.fromisoformat(at)) == wanted


def test_what_comes_in_quiet_hours_waits(site: Path, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
    configure(site, f'name = "a"\ncommand = ["touch", "{tmp_path / "sent"}"]\nquiet_hours = "{hours}"')
    pipeline.detect(site, None, day(88))
    assert telling.deliver(load_site(site)).count == 0
    [waits] = messages(site)
    assert waits.due >= f"{now + timedelta(minutes=58):%Y-%m-%dT%H:%M}"
    assert not (tmp_path / "sent").exists()


def test_a_command_is_given_all(site: Path, tmp_path: Path) -> None:
    code = f"import sys, pathlib; pathlib.Path({str(tmp_path / 'out')!r}).write_text(sys.stdin.read())"
    configure(site, f'name = "a"\ncommand = {json.dumps([sys.executable, "-c", code])}')
    pipeline.detect(site, None, day(88))
    assert telling.deliver(load_site(site)).count == 1
    said = json.loads((tmp_path / "out").read_text())
    assert said["event"]["id"] in said["text"]
    configure(site, f'name = "a"\ncommand = {json.dumps([sys.executable, "-c", "import sys; sys.exit(3)"])}')
    assert telling.test(load_site(site)) == [("a", "the command left with 3")]


@pytest.mark.parametrize("kind", FILLED)
def test_words_of_ones_own(kind: str) -> None:
    names = " | ".join(f"{{{name}}}" for name in FILLED[kind])
    alert = Alert(name="a", command=["x"], language="fr", template={kind: f"{{site}}: {kind}\n{names}\n{{}} {{ }}\n"})
    body = (
        {"kind": kind, "sensor": "s1", "last": "2024-04-30T00:00:00Z"}
        if kind == "silent"
        else {"kind": kind, "event": event(14).to_dict(), "before_m3h": 8.0}
    )
    said = text(body, "Town", "Europe/Paris", "town", alert)
    assert said.subject == f"Town: {kind}"
    filled, braces = said.body.splitlines()
    there = dict(zip(FILLED[kind], filled.split(" | "), strict=True))
    assert braces == "{} { }"
    if kind == "silent":
        assert (there["sensor"], there["last"]) == ("s1", "30\xa0avr.\xa02024, 02:00")
    else:
        assert (there["pipe"], there["flow"], there["low"]) == ("p1", "14", "9,0")
    assert text({"kind": "test"}, "Town", "UTC", "town", alert).subject.startswith("Town : message d'essai")


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321), STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4616) as a client needs."""

    mails: ClassVar[list[tuple[bool, str, list[str], str]]] = []
    context: ClassVar[ssl.SSLContext | None] = None
    offers: ClassVar[bool] = True

    def handle(self) -> None:
        secure, user, to = False, "", list[str]()
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "EHLO":
                self.say(
                    "250-here\r\n250-AUTH PLAIN"
                    + ("\r\n250 STARTTLS" if self.offers and not secure else "\r\n250 8BITMIME")
                )
            elif word == "STARTTLS":
                self.say("220 go on")
                assert self.context is not None
                try:
                    self.connection = self.context.wrap_socket(self.request, server_side=True)
                except OSError:  # it does not trust us
                    return
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                secure = True
            elif word == "AUTH":
                user = line.split()[2]
                self.say("235 welcome")
            elif word == "DATA":
                self.say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                Mail.mails.append((secure, user, to, text))
                self.say("250 kept")
            elif word == "QUIT":
                self.say("221 bye")
                self.connection.close()
                return
            else:
                to += [line] if word == "RCPT" else []
                self.say("250 well")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")]),
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(plain)
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "ca.pem", folder / "key.pem"


def test_mail(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    Mail.mails.clear()
    Mail.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    Mail.context.load_cert_chain(*certificate(site))
    monkeypatch.setenv("MAIL_PASSWORD", "pass")
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)) as server:
        text = 'name = "m"\nemail = ["a@x.org", "b@x.org"]\nsender = "l@x.org"\n'
        text += f'smtp = "127.0.0.1:{server.server_address[1]}"\n'
        configure(site, f'{text}ca = "ca.pem"\nuser = "me"\npassword = "${{MAIL_PASSWORD}}"\nlanguage = "fr"')
        pipeline.detect(site, None, day(88))
        assert telling.deliver(load_site(site)).failed == ()
        [(secure, user, to, mail)] = Mail.mails
        assert secure
        assert base64.b64decode(user) == b"\0me\0pass"
        assert [line.split("<")[1].split(">")[0] for line in to] == ["a@x.org", "b@x.org"]
        assert "Subject: " in mail
        configure(site, text)  # a server that nobody vouches for
        assert "CERTIFICATE_VERIFY_FAILED" in str(telling.test(load_site(site))[0][1])
        monkeypatch.setattr(Mail, "offers", False)
        configure(site, f'{text}ca = "ca.pem"')
        assert "STARTTLS" in str(telling.test(load_site(site))[0][1])
        assert len(Mail.mails) == 1


def test_a_server_that_is_down_or_silent_holds_nobody_up(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakdetect.alerts.ways.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure(site, f'name = "a"\nwebhook = "http://127.0.0.1:{silent.getsockname()[1]}/"')
        assert "timed out" in str(telling.test(load_site(site))[0][1])
    assert "refused" in str(telling.test(load_site(site))[0][1])


def test_the_trial_and_what_is_refused(
    site: Path, hook: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(monkeypatch, capsys)
    assert "nobody to tell" in command.refused("alerts", site)
    configure(site, f'name = "a"\nwebhook = "{hook}"\nkey = "${{NOT_SET}}"')
    assert "environment variable NOT_SET is not set" in command.refused("alerts", site, "--test")
    configure(site, f'name = "a"\nwebhook = "{hook}"')
    command.ok("alerts", site, "--test")
    assert json.loads(Hook.got[0][1])["kind"] == "test"
    for block, said in (
        ('name = "a"', "one of webhook, email and command"),
        ('name = "a"\nwebhook = "ftp://x"', "https://host/path"),
        ('name = "a"\nwebhook = "http://x"\nkey = "k"', "a secret stands here"),
        ('name = "a"\nemail = ["x"]\nsmtp = "h"\nsender = "s@x"', "write name@host"),
        ('name = "a"\ncommand = ["x"]\nquiet_hours = "25:00-06:00"', "alerts"),
        ('name = "a"\ncommand = ["x"]\ntemplate.silent = "{flow}"', r"silent: {flow} is not known there: use site,"),
        ('name = "a"\ncommand = ["x"]\ntemplate.raised = " "', "the first line is the subject"),
        ('name = "a"\ncommand = ["x"]\ntemplate.mended = "x"', "mended"),
        ('name = "a"\ncommand = ["x"]\n[[alerts]]\nname = "a"\ncommand = ["y"]', "the same name"),
    ):
        configure(site, block)
        with pytest.raises(SiteError, match=said):
            load_site(site)
