"""Where the page may listen: this machine without more, anywhere else with users and HTTPS only."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leakdetect.errors import InputError, MissingFileError

LOCAL = ("127.0.0.1", "::1", "localhost")


def check_binding(
    host: str, *, users: Path | None, certificate: Path | None, key: Path | None, proxy: str
) -> tuple[str, ...]:
    """Return the names that the page answers to, none for any.

    Parameters
    ----------
    host : str
        Where it is to listen.
    users, certificate, key : Path or None
        Files of users, and for HTTPS.
    proxy : str
        Address of a server in front of it that speaks HTTPS; '' for none.

    Raises
    ------
    InputError
        If others could reach it without logging in, or passwords would pass in the clear.
    MissingFileError
        If a file is not there.
    """
    if (certificate is None) != (key is None):
        raise InputError("--certificate and --key belong together: give both")
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise MissingFileError(f"{path}: no such file")
    if proxy and not _is_address(proxy):
        raise InputError(f"--proxy {proxy}: is no address: write one such as 10.0.0.2")
    if users is None and (proxy or not _is_local(host)):
        what = "behind a proxy" if proxy else f"at {host}"
        raise InputError(f"others than you can reach the page {what}: name who may log in with --users FILE")
    if not _is_local(host) and certificate is None and not proxy:
        raise InputError(
            f"passwords would pass in the clear to {host}: give --certificate and --key, or name with --proxy the "
            "server in front that speaks HTTPS"
        )
    return (*LOCAL, host.lower()) if users is None else ()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket that listens; InputError if it cannot be."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = socket.create_server(address[:2], family=family)
    except OSError as error:
        raise InputError(
            f"{host}:{port}: cannot listen there: {error.strerror}: name another --host or --port"
        ) from None
    with place:
        yield place


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
