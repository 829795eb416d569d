"""A PostgreSQL server of our own, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ANSWER = 30.0  # [s]


def _programs() -> Path | None:
    """Return the folder of initdb and postgres: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "initdb").is_file() and (p / "postgres").is_file()), None)


def _as_somebody(folder: Path) -> list[str]:
    """Return what goes before a command so that it does not run as root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return _skip("as root, without setpriv")
    os.chown(folder, 65534, 65534)
    return [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]


def _skip(why: str) -> list[str]:
    with warnings.catch_warnings():  # it is to be seen, and to fail nothing
        warnings.simplefilter("always")
        warnings.warn(f"NOT TESTED ON POSTGRESQL: {why}", stacklevel=3)
    pytest.skip(f"NOT TESTED ON POSTGRESQL: {why}")


@contextmanager
def server() -> Iterator[str]:
    """Start a server and give the URL of a database in it; stop it and remove all afterwards.

    Skips, and says so, where the programs are missing.
    """
    programs = _programs()
    if programs is None:
        _skip("no server is installed: apt-get install postgresql")
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="leakdetect-postgres-") as place:
        folder = Path(place)
        before = _as_somebody(folder)
        data = folder / "data"
        subprocess.run(
            [*before, programs / "initdb", "-D", data, "-U", "leakdetect", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = (folder / "log").open("w")
        process = subprocess.Popen(
            [*before, programs / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1", "-p", str(port), "-F"],
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
        try:
            _wait(process, port, folder / "log")
            yield f"postgresql://leakdetect@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()  # waits for clients; interrupt does not
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _ANSWER
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0 and "ready to accept" in log.read_text():
                return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL does not answer: {log.read_text()}")
