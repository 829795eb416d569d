"""Readings from a real MQTT broker: acknowledged when they are kept, sent again when not."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from district_site import FIT, day
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from test_alerts import certificate
from test_watch import cut, raws

from leakdetect.errors import InputError
from leakdetect.site import load_site
from leakdetect.watch.mqtt import Broker

_PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
_TOPIC = "leakdetect/readings/district"


@pytest.fixture(autouse=True)
def installed() -> None:
    if _PROGRAM is None:
        with warnings.catch_warnings():  # it is to be seen, and to fail nothing
            warnings.simplefilter("always")
            warnings.warn("NOT TESTED WITH MQTT: no mosquitto here (Debian: apt install mosquitto)", stacklevel=2)
        pytest.skip("NOT TESTED WITH MQTT: no mosquitto here (Debian: apt install mosquitto)")


@contextmanager
def broker(folder: Path, port: int, text: str = "allow_anonymous true\n") -> Iterator[None]:
    """Run a broker that keeps what it has on the disk."""
    folder.mkdir(exist_ok=True)
    (folder / "conf").write_text(
        f"listener {port} 127.0.0.1\npersistence true\npersistence_location {folder}/\nuser root\n{text}"
    )
    assert _PROGRAM is not None
    with subprocess.Popen([_PROGRAM, "-c", folder / "conf"], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: answers(port))
            yield
        finally:
            process.terminate()


def answers(port: int) -> bool:
    with socket.socket() as one:
        return not one.connect_ex(("127.0.0.1", port))


def wait_for(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def site(fitted_district: Path, tmp_path: Path) -> Path:
    return cut(shutil.copytree(fitted_district, tmp_path / "district"), day(FIT))


def publish(port: int, values: range, **more: Any) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for value in values:
        body = {"time": 1_711_929_600 + value, "sensor": "meter", "value": float(value)}
        client.publish(_TOPIC, json.dumps(body), qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def take(source: Broker, count: int, *, acknowledge: bool = True) -> list[float]:
    found: list[float] = []
    end = time.monotonic() + 20
    while len(found) < count and time.monotonic() < end:
        arrival = source.take(0.2)
        assert arrival is not None
        found += [raw.value for raw in arrival.raw]
        if acknowledge:
            arrival.kept()
    return found


def test_what_was_not_kept_comes_again(site: Path, tmp_path: Path, port: int) -> None:
    told: list[str] = []
    url = f"mqtt://127.0.0.1:{port}"
    with broker(tmp_path / "broker", port):
        source = Broker(load_site(site), url, told.append, told.append)
        wait_for(lambda: told)
        publish(port, range(5))
        assert take(source, 5) == [0, 1, 2, 3, 4]
        publish(port, range(5, 8))
        assert take(source, 3, acknowledge=False) == [5, 6, 7]
        source.close()
        publish(port, range(8, 10))  # while nobody listens
        source = Broker(load_site(site), url, told.append, told.append)
        assert sorted(take(source, 5)) == [5, 6, 7, 8, 9]
        source.close()


def test_a_broker_that_goes_and_comes(site: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not there at first, either."""
    monkeypatch.setattr("leakdetect.watch.mqtt._BACK_OFF", (1, 1))
    told: list[str] = []
    source = Broker(load_site(site), f"mqtt://127.0.0.1:{port}", told.append, told.append)
    assert "is the broker up, and url right?; trying again" in told[0]
    with broker(tmp_path / "broker", port):
        wait_for(lambda: len(told) == 2)
    wait_for(lambda: any(line.startswith("lost ") for line in told))
    with broker(tmp_path / "broker", port):
        wait_for(lambda: sum(line.startswith("connected") for line in told) == 2)
        publish(port, range(3))
        assert take(source, 3) == [0, 1, 2]
        source.close()


# paho-mqtt leaves the socket open where TLS fails at first.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_users_and_certificates(site: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ca, key = certificate(site)
    text = f"cafile {ca}\ncertfile {ca}\nkeyfile {key}\nrequire_certificate true\nuse_identity_as_username true\n"
    toml = (site / "site.toml").read_text()
    mine = '[stream.mqtt]\nca = "ca.pem"\ncertificate = "${CERT}"\nprivate_key = "key.pem"\n'
    (site / "site.toml").write_text(f"{toml}{mine}")
    monkeypatch.setenv("CERT", "ca.pem")
    with broker(tmp_path / "broker", port, text):
        told: list[str] = []
        source = Broker(load_site(site), f"mqtts://127.0.0.1:{port}", told.append, told.append)
        wait_for(lambda: told)
        source.close()
        (site / "site.toml").write_text(toml)
        with pytest.raises(InputError, match="CERTIFICATE_VERIFY_FAILED"):
            Broker(load_site(site), f"mqtts://127.0.0.1:{port}", told.append, told.append)
    with broker(tmp_path / "other", port, "allow_anonymous false\n"):
        source = Broker(load_site(site), f"mqtt://127.0.0.1:{port}", told.append, told.append)
        with pytest.raises(InputError, match="set user and password"):
            take(source, 1)
        source.close()


def test_a_password_of_the_environment_and_metrics_that_wait(
    site: Path, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While more wait than are taken the broker keeps the rest, in order; metrics are as Sparkplug has them."""
    maker = shutil.which("mosquitto_passwd")
    assert maker is not None  # comes with mosquitto
    subprocess.run([maker, "-b", "-c", tmp_path / "users", "reader", "pass word"], check=True, capture_output=True)
    topics = '[[stream.mqtt.topics]]\ntopic = "spBv1.0/town/DDATA/#"\nformat = "sparkplug"\n'
    toml = (site / "site.toml").read_text()
    block = f'{toml}[stream.mqtt]\nuser = "reader"\npassword = "${{MQTT_PASS}}"\n{topics}'
    (site / "site.toml").write_text(block)
    monkeypatch.setattr("leakdetect.watch.mqtt._MOST", 5)
    with broker(tmp_path / "broker", port, f"allow_anonymous false\npassword_file {tmp_path / 'users'}\n"):
        told: list[str] = []
        monkeypatch.setenv("MQTT_PASS", "wrong")
        source = Broker(load_site(site), f"mqtt://127.0.0.1:{port}", told.append, told.append)
        with pytest.raises(InputError, match="set user and password"):
            take(source, 1)
        source.close()
        monkeypatch.setenv("MQTT_PASS", "pass word")
        source = Broker(load_site(site), f"mqtt://127.0.0.1:{port}", told.append, told.append)
        wait_for(lambda: told)
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set("reader", "pass word")
        client.connect("127.0.0.1", port)
        client.loop_start()
        for number in range(30):
            metrics = [{"name": "meter", "value": float(number), "timestamp": 1_711_929_600_000 + number}]
            body = json.dumps({"timestamp": 0, "metrics": metrics})
            client.publish("spBv1.0/town/DDATA/edge", body, qos=1).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()
        wait_for(source._waiting.full)
        assert source._waiting.qsize() == 5
        assert take(source, 30) == list(range(30))
        source.close()


def test_from_the_broker_to_the_store(site: Path, tmp_path: Path, port: int) -> None:
    """All the way, the broker's messages being a day's readings each."""
    from leakdetect.watch import watch

    with broker(tmp_path / "broker", port), watch(site, lambda _: None) as watched:
        told: list[str] = []
        source = Broker(watched.site, f"mqtt://127.0.0.1:{port}", told.append, told.append)
        wait_for(lambda: told)
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", port)
        client.loop_start()
        for number in range(FIT, 88):
            rows = [row._asdict() for row in raws(day(number), day(number + 1))]
            client.publish(_TOPIC, json.dumps(rows), qos=1).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()
        found = next(taken.raised for taken in watched.follow(source, lambda: False) if taken.raised)
        assert len(found) == 1
