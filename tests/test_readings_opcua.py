"""The history of an OPC UA server and what it says from now on, against asyncua's own server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

pytest.importorskip("asyncua")
from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import SimpleRoleRuleset
from asyncua.server.history import HistoryDict
from asyncua.server.user_managers import User, UserRole

from leakdetect.errors import ReadingsError, SiteError
from leakdetect.readings import load
from leakdetect.readings.opcua import Reading, subscribe
from leakdetect.site import ReadingsBlock, Site

BEGIN = datetime(2024, 3, 30, 20, tzinfo=UTC)
COUNT, PAGE = 250, 60  # values of a node, and how many the server gives at once
PASSWORD = "p@ss;w:rd"
BAD, UNCERTAIN = 7, 9
RNG = np.random.default_rng(2)
VALUES = {"J1": RNG.uniform(40, 50, COUNT), "J3": RNG.uniform(20, 30, COUNT)}


class _Users:
    def get_user(
        self, server: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        known = username is None or (username == "reader" and password == PASSWORD)
        return User(role=UserRole.User) if known and (username or certificate) else None


async def _serve(folder: Path, port: int, ready: threading.Event, told: SimpleNamespace) -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    async def keys(name: str, use: Any) -> tuple[Path, Path]:
        key, cert = folder / f"{name}.key.pem", folder / f"{name}.der"
        await setup_self_signed_certificate(key, cert, f"urn:test:{name}", socket.gethostname(), [use], {})
        return key, cert

    server = Server(user_manager=_Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/test")
    await server.set_application_uri("urn:test:server")
    key, cert = await keys("server", Usage.SERVER_AUTH)
    await server.load_certificate(str(cert))
    await server.load_private_key(key)
    await keys("client", Usage.CLIENT_AUTH)
    server.set_security_policy(
        [ua.SecurityPolicyType.NoSecurity, ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt],
        permission_ruleset=SimpleRoleRuleset(),
    )
    storage = HistoryDict(max_history_data_response_size=PAGE)
    server.iserver.history_manager.set_storage(storage)
    space = await server.register_namespace("urn:test")
    assert space == 2
    told.nodes = {}
    for name, values in VALUES.items():
        node = await server.nodes.objects.add_variable(f"ns=2;s={name}", name, 0.0)
        told.nodes[name] = node
        await storage.new_historized_node(node.nodeid, None)
        for k, value in enumerate(values):
            code = {BAD: ua.StatusCodes.BadSensorFailure, UNCERTAIN: ua.StatusCodes.UncertainSensorNotAccurate}.get(
                k, 0
            )
            said = ua.DataValue(ua.Variant(float(value)), ua.StatusCode(code), BEGIN + timedelta(minutes=5 * k))
            await storage.save_node_value(node.nodeid, said)
    text = await server.nodes.objects.add_variable("ns=2;s=state", "state", "running")
    await storage.new_historized_node(text.nodeid, None)
    await storage.save_node_value(text.nodeid, ua.DataValue(ua.Variant("running"), ua.StatusCode(0), BEGIN))
    async with server:
        told.loop, told.stop = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await told.stop.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Give a running server: its url, nodes, loop, and the folder with a client's certificate."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("opcua")
    told = SimpleNamespace(url=f"opc.tcp://127.0.0.1:{port}/test", folder=folder)
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(folder, port, ready, told)), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield told
    told.loop.call_soon_threadsafe(told.stop.set)
    thread.join(30)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPC_USER", "reader")
    monkeypatch.setenv("OPC_PASSWORD", PASSWORD)


def block(server: SimpleNamespace, **values: Any) -> dict[str, Any]:
    return {
        "format": "opcua", "url": server.url, "quantity": "pressure", "unit": "m", "user": "${OPC_USER}",
        "password": "${OPC_PASSWORD}", "columns": {f"ns=2;s={name}": name for name in VALUES},
    } | values  # fmt: skip


def site(server: SimpleNamespace, **values: Any) -> Site:
    return Site(name="s", folder=server.folder, readings=[ReadingsBlock.model_validate(block(server, **values))])


def expected() -> np.ndarray:
    table = np.stack(list(VALUES.values()), axis=1)
    table[BAD] = np.nan  # Bad is missing, Uncertain is not
    return table


def test_history_page_by_page(server: SimpleNamespace) -> None:
    data = load(site(server))
    assert data["sensor"].values.tolist() == ["J1", "J3"]
    assert data["step"].values.tolist() == [300.0, 300.0]
    assert data["time"].values[0] == np.datetime64("2024-03-30T20:00")
    np.testing.assert_array_equal(data["reading"].values, expected())


def test_history_of_a_window(server: SimpleNamespace) -> None:
    since, until = np.datetime64("2024-03-30T21:00"), np.datetime64("2024-03-30T22:00")
    data = load(site(server), since, until)
    np.testing.assert_array_equal(data["reading"].values, expected()[12:25])
    later = load(site(server), np.datetime64("2024-05-01"))
    assert later.sizes == {"time": 0, "sensor": 2}
    assert later["step"].values.tolist() == [300.0, 300.0]


def test_with_a_certificate(server: SimpleNamespace) -> None:
    data = load(site(server, certificate="client.der", private_key="client.key.pem", security="SignAndEncrypt"))
    np.testing.assert_array_equal(data["reading"].values, expected())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"columns": {"ns=2;s=J1": "J1", "ns=2;s=J9": "J9"}}, r"node 'ns=2;s=J9': .*: (correct|let)"),
        ({"columns": {"no node": "J1"}}, r"node 'no node': .*: correct"),
        ({"columns": {"ns=2;s=state": "J1"}}, r"node 'ns=2;s=state': says no number but str"),
        ({"password": "${OPC_USER}"}, r"opc.tcp://127.0.0.1:\d+/test: .*: (give the user|set the variables)"),
        ({"user": "${NO_SUCH_NAME}"}, r"user: the environment variable NO_SUCH_NAME is not set"),
        ({"url": "opc.tcp://127.0.0.1:9/none"}, r"127.0.0.1:9/none: .*: is the server up"),
        ({"certificate": "none.der", "private_key": "client.key.pem"}, r"none.der: no such file"),
    ],
)
def test_what_is_wrong_is_named(server: SimpleNamespace, values: dict[str, Any], says: str) -> None:
    with pytest.raises((ReadingsError, SiteError), match=says) as caught:
        load(site(server, **values))
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_no_connection_in_the_clear_by_oversight(server: SimpleNamespace) -> None:
    for values in ({"security": "SignAndEncrypt"}, {"certificate": "client.der"}):
        with pytest.raises(ValidationError, match="certificate: and private_key belong together"):
            ReadingsBlock.model_validate(block(server, **values))


def test_a_password_is_not_written_down(server: SimpleNamespace) -> None:
    with pytest.raises(ValidationError, match="a password stands here"):
        ReadingsBlock.model_validate(block(server, password=PASSWORD))


def test_a_subscription_says_what_changes(server: SimpleNamespace) -> None:
    one = ReadingsBlock.model_validate(block(server))
    stamp = datetime(2024, 4, 2, tzinfo=UTC)

    def write(name: str, value: float, code: int, minutes: int) -> None:
        said = ua.DataValue(ua.Variant(value), ua.StatusCode(code), stamp + timedelta(minutes=minutes))
        task = server.nodes[name].write_value(said)
        asyncio.run_coroutine_threadsafe(task, server.loop).result(10)

    async def listen() -> list[Reading]:
        found: list[Reading] = []
        source = subscribe(one, server.folder, 0.02)
        first = {(await anext(source)).sensor for _ in VALUES}  # what they said last
        assert first == set(one.columns)
        for name, value, code, minutes in (
            ("J1", 41.5, 0, 0),
            ("J3", 22.5, 0, 0),
            ("J1", 1.0, ua.StatusCodes.BadSensorFailure, 5),
            ("J1", 42.5, 0, 10),
        ):
            await asyncio.to_thread(write, name, value, code, minutes)
            found.append(await asyncio.wait_for(anext(source), 10))
        await source.aclose()
        return found

    found = asyncio.run(listen())
    assert [r.sensor for r in found] == ["ns=2;s=J1", "ns=2;s=J3", "ns=2;s=J1", "ns=2;s=J1"]
    np.testing.assert_array_equal([r.value for r in found], [41.5, 22.5, np.nan, 42.5])
    minutes = [int((r.time - np.datetime64("2024-04-02")) / np.timedelta64(1, "m")) for r in found]
    assert minutes == [0, 0, 5, 10]
