"""Readings as OPC UA servers say them, against asyncua's own: none is lost while the connection is."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("asyncua")
from asyncua import Server, ua
from asyncua.server.history import HistoryDict
from command import Command
from district_site import FIT, day, readings
from test_watch import cut, kept

from leakdetect import pipeline
from leakdetect.errors import InputError
from leakdetect.site import load_site
from leakdetect.watch import opcua, patience
from leakdetect.watch import watch as watch_site
from leakdetect.watch.opcua import Servers

NODE = "ns=2;s=meter"
FLOW = readings()
BLOCK = (
    '[[readings]]\nformat = "opcua"\nurl = "{0}"\nquantity = "flow"\nunit = "m3/h"\ncolumns = {{ "{1}" = "meter" }}\n'
)


class Plant:
    """A server of one node, which goes and comes; its history is on no disk but ours."""

    def __init__(self, port: int) -> None:
        self.url = f"opc.tcp://127.0.0.1:{port}/plant"
        self.past: list[ua.DataValue] = []
        self.keeps = True

    @contextmanager
    def up(self) -> Iterator[Callable[[int], None]]:
        """Run the server; give a function that lets the node say the reading of an hour."""
        ready, told = threading.Event(), SimpleNamespace()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready, told)), daemon=True)
        thread.start()
        assert ready.wait(60)

        def say(hour: int) -> None:
            value = self.value(hour)
            asyncio.run_coroutine_threadsafe(told.node.write_value(value), told.loop).result(20)
            self.past.append(value)

        try:
            yield say
        finally:
            told.loop.call_soon_threadsafe(told.stop.set)
            thread.join(30)

    @staticmethod
    def value(hour: int) -> ua.DataValue:
        moment = (FLOW.index[hour]).to_pydatetime().replace(tzinfo=UTC)
        return ua.DataValue(ua.Variant(float(FLOW.iloc[hour])), ua.StatusCode(0), moment)

    async def _serve(self, ready: threading.Event, told: SimpleNamespace) -> None:
        server = Server()
        await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.register_namespace("urn:test")
        storage = HistoryDict(max_history_data_response_size=7)
        server.iserver.history_manager.set_storage(storage)
        told.node = await server.nodes.objects.add_variable(NODE, "meter", 0.0)
        if self.past:
            await told.node.write_value(self.past[-1])
        if self.keeps:
            await storage.new_historized_node(told.node.nodeid, timedelta(days=9999))
            for value in self.past:
                await storage.save_node_value(told.node.nodeid, value)
        async with server:
            told.loop, told.stop = asyncio.get_running_loop(), asyncio.Event()
            ready.set()
            await told.stop.wait()


@pytest.fixture
def plant() -> Plant:
    with socket.create_server(("127.0.0.1", 0)) as free:
        plant = Plant(int(free.getsockname()[1]))
    plant.past = [plant.value(hour) for hour in (24 * FIT - 2, 24 * FIT - 1)]
    return plant


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua, "_BACK_OFF", (0.1, 0.2))
    monkeypatch.setattr(opcua, "_PERIOD", 0.02)
    monkeypatch.setattr(patience, "AGAIN", 0.1)


def listens(fitted: Path, folder: Path, plant: Plant, more: str = "") -> Path:
    """Let a site hear the meter, whose past stands in a file, from a server."""
    site = cut(shutil.copytree(fitted, folder), day(FIT))
    text = (site / "site.toml").read_text()
    (site / "site.toml").write_text(text + BLOCK.format(plant.url, NODE) + more)
    return site


def take(source: Servers, wanted: int) -> dict[str, float]:
    """Return what a source says until so many hours are there, keeping all."""
    found: dict[str, float] = {}
    end = time.monotonic() + 60
    while len(found) < wanted:
        assert time.monotonic() < end, found
        arrival = source.take(0.1)
        assert arrival is not None
        found |= {raw.time: raw.value for raw in arrival.raw}
        arrival.kept()
    return found


def hours(first: int, last: int) -> dict[str, float]:
    return {f"{FLOW.index[h].isoformat()}.000000000Z": float(FLOW.iloc[h]) for h in range(first, last)}


def newest(hour: int) -> Callable[[str, str], np.datetime64]:
    return lambda _quantity, _column: FLOW.index[hour].to_datetime64()


def test_what_was_said_while_the_connection_was_lost_is_read(
    fitted_district: Path, tmp_path: Path, plant: Plant
) -> None:
    site, told, begin = listens(fitted_district, tmp_path / "site", plant), list[str](), 24 * FIT
    source = Servers(load_site(site), newest(begin - 2), told.append)
    while not told:
        assert source.take(0.1) is not None
    assert "is the server up, and url right?; trying again" in told.pop()
    with plant.up() as say:
        assert take(source, 2) == hours(begin - 2, begin)  # from the newest that was kept on
        say(begin)
        assert take(source, 1) == hours(begin, begin + 1)
    while not any(line.startswith("lost ") for line in told):
        assert source.take(0.1) is not None
    plant.past += [plant.value(hour) for hour in range(begin + 1, begin + 21)]  # it went on measuring
    with plant.up() as say:
        assert take(source, 21) == hours(begin, begin + 21)
        say(begin + 21)
        assert take(source, 1) == hours(begin + 21, begin + 22)
        source.close()
    first, lost, *why, last = [line.split()[0] for line in told]
    assert (first, lost, last) == ("connected", "lost", "connected")
    assert set(why) <= {plant.url + ":"}  # each reason once


def test_a_server_that_keeps_no_history(fitted_district: Path, tmp_path: Path, plant: Plant) -> None:
    """A reading that is what it was is one, too: its time is new."""
    plant.keeps = False
    site, begin = listens(fitted_district, tmp_path / "site", plant, "history = false\n"), 24 * FIT
    with plant.up() as say, watch_site(site, lambda _: None) as watched:
        source = Servers(watched.site, watched.newest, lambda _: None)
        assert take(source, 1) == hours(begin - 1, begin)
        say(begin)
        assert take(source, 1) == hours(begin, begin + 1)
        flow = FLOW.iloc[begin]
        again = ua.DataValue(ua.Variant(float(flow)), ua.StatusCode(0), datetime(2024, 5, 1, tzinfo=UTC))
        plant_value, plant.value = plant.value, lambda _: again  # type: ignore[method-assign, assignment]
        say(0)
        plant.value = plant_value  # type: ignore[method-assign]
        assert take(source, 1) == {"2024-05-01T00:00:00.000000000Z": float(flow)}
        source.close()


def test_from_the_server_to_the_store(fitted_district: Path, tmp_path: Path, plant: Plant) -> None:
    """The server is away while a run would read its history: the run waits, and the outcome is that of files."""
    site, told = listens(fitted_district, tmp_path / "site", plant), list[str]()
    with ExitStack() as server, ExitStack() as stack:

        def tell(line: str) -> None:
            told.append(line)
            if "readings are kept" not in line:  # the watch waits for the server to begin
                server.enter_context(plant.up())

        watched = stack.enter_context(watch_site(site, tell))
        assert "is the server up, and url right?; trying again" in told.pop()
        server.close()
        assert watched._attempt() is None  # its first run wants all that is there
        time.sleep(0.1)
        assert watched._attempt() is None
        assert [("is the server up" in line, "readings are kept meanwhile" in line) for line in told] == [(True, True)]
        plant.past += [plant.value(hour) for hour in range(24 * FIT, 24 * (FIT + 1))]
        with plant.up():
            source, taken = Servers(watched.site, watched.newest, told.append), list[Any]()
            for _ in watched.follow(source, lambda: bool(taken)):
                taken.append(watched.advance(final=True))
    assert kept(site)[2] == day(FIT + 1) - np.timedelta64(1, "h")
    cut(site, day(FIT + 1))  # what was received counts; else this would be a correction
    (site / "site.toml").write_text((site / "site.toml").read_text().partition("[[readings]]\nformat")[0])
    assert pipeline.detect(site).restarted is None


def test_what_is_refused(
    fitted_district: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(monkeypatch, capsys)
    site = cut(shutil.copytree(fitted_district, tmp_path / "site"), day(FIT))
    assert "write a [[readings]] block of format = 'opcua'" in command.refused("watch", site, "--opcua")
    assert "Give one of" in command.refused("watch", site, "--opcua", "--stdin")
    text = (site / "site.toml").read_text()
    (site / "site.toml").write_text(f"{text}history = false\n")
    assert "history: is not for format = 'csv'" in command.refused("watch", site, "--opcua")
    for url in ("opc.tcp://127.0.0.1:99999/x", "127.0.0.1:4840", "http://127.0.0.1/x"):
        (site / "site.toml").write_text(text + BLOCK.format(url, NODE) + "history = false\n")
        code, _, err = command("watch", site, "--opcua")
        assert (code, f"{url}: is no URL of an OPC UA server" in err) == (2, True)
    with pytest.raises(InputError):
        Servers(load_site(cut(shutil.copytree(fitted_district, tmp_path / "b"), day(FIT))), newest(0), print)
