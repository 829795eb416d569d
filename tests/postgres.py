"""A PostgreSQL server of the tests' own: made in a folder, reached at a port of this machine, gone afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD, DATABASE = "tester", "p@ss/w:rd", "tests"
_USERS = ("postgres", "nobody")  # initdb does not run as root


def programs() -> Path | None:
    """Return the folder of initdb and postgres: on the path, or where Debian puts them; None if there is none."""
    places = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep)]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if all((p / name).is_file() for name in ("initdb", "postgres", "pg_ctl"))), None)


def _as_user() -> list[str] | None:
    """Return what stands before a command so that it does not run as root; None if it cannot be."""
    if os.getuid() != 0:
        return []
    known = Path("/etc/passwd").read_text(encoding="utf-8")
    user = next((u for u in _USERS if f"\n{u}:" in known), None)
    if user is None or not shutil.which("setpriv"):
        return None
    return ["setpriv", f"--reuid={user}", "--clear-groups", "--"]


def _skip(why: str) -> None:
    line = f"POSTGRESQL NOT TESTED: {why}"
    print(line, file=sys.__stderr__)
    pytest.skip(line)


@contextmanager
def server() -> Iterator[str]:
    """Give the URL of an empty database, without user and password, on a new server; skip where it cannot be.

    The user is `USER` with `PASSWORD`.
    """
    where, before = programs(), _as_user()
    if where is None:
        _skip("no initdb and postgres: install Debian's package postgresql")
    if before is None:
        _skip("root, and no user postgres or nobody to run it as")
    assert where is not None
    assert before is not None
    folder = Path(tempfile.mkdtemp(prefix="leakdetect-postgres-"))
    folder.chmod(0o777)
    data = folder / "data"
    secret = folder / "secret"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    secret.chmod(0o644)
    port = _free_port()

    def call(*command: str) -> None:
        done = subprocess.run([*before, *command], capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")

    initdb = ["-D", str(data), "-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N"]
    try:
        call(str(where / "initdb"), *initdb, f"--pwfile={secret}")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=16MB"
        call(str(where / "pg_ctl"), "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            _create_database(port)
            yield f"postgresql+pg8000://127.0.0.1:{port}/{DATABASE}"
        finally:
            call(str(where / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _create_database(port: int) -> None:
    import pg8000.native

    connection = pg8000.native.Connection(USER, password=PASSWORD, host="127.0.0.1", port=port, database="postgres")
    try:
        connection.run(f"CREATE DATABASE {DATABASE}")
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
