"""The users of the web page: a file of names, roles and hashed passwords that only its owner may read."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from leakdetect.errors import InputError, MissingFileError
from leakdetect.files import replacing

SHORTEST = 12
"""Least length of a password."""
LONGEST = 256

_N, _R, _P = 2**15, 8, 3  # scrypt at 32 MiB, three times over: OWASP's password storage cheat sheet
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_ONE = threading.Lock()  # one hash at a time: many at once would be all of a small machine's memory


class Role(StrEnum):
    """What a user may do; each may what those before it may."""

    READER = "reader"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Say whether this role is enough where `needed` is asked for."""
        roles = list(Role)
        return roles.index(self) >= roles.index(needed)


@dataclass(frozen=True)
class User:
    """A user; `hash` is scrypt (RFC 7914) of the password with `salt`, both hexadecimal."""

    role: Role
    salt: str
    hash: str
    n: int = _N
    r: int = _R
    p: int = _P


class Users:
    """The users that a file names; read again when it has changed.

    Parameters
    ----------
    path : path
    make : bool
        Begin with nobody where there is no file.

    Raises
    ------
    MissingFileError
        If there is no file.
    InputError
        If it is no such file, or others may read it.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        self.path = path
        self._known: dict[str, User] = {}
        self._stamp: tuple[int, int] | None = None
        if path.is_file() or not make:
            self._refresh()

    def known(self) -> dict[str, User]:
        """Return who there is, by name."""
        if self._stamp is not None:
            self._refresh()
        return self._known

    def verified(self, name: str, password: str) -> User | None:
        """Return the user whose password this is, None where there is none.

        As much is computed for a name that is not known: the time it takes does not tell.
        """
        self._refresh()
        user = self._known.get(name)
        asked = user or User(Role.READER, "00" * 16, "")
        right = hmac.compare_digest(_hash(password, asked), asked.hash)
        return user if right else None

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user, or give one another role and password.

        Raises
        ------
        InputError
            If the name or the password cannot be, or the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f"'{name}' cannot be a user's name: use letters, digits and . _ @ -, at most 64")
        if not SHORTEST <= len(password) <= LONGEST:
            raise InputError(f"the password has {len(password)} characters: use {SHORTEST} to {LONGEST}")
        empty = User(role, secrets.token_hex(16), "")
        self._write({**self._known, name: User(role, empty.salt, _hash(password, empty))})

    def remove(self, name: str) -> None:
        """Remove a user; their sessions end with it. InputError if there is none of that name."""
        if name not in self._known:
            raise InputError(f"{self.path}: no user '{name}': there are {', '.join(self._known) or 'none'}")
        self._write({known: user for known, user in self._known.items() if known != name})

    def _write(self, users: dict[str, User]) -> None:
        with replacing(self.path) as part:
            part.write_text(json.dumps({"users": {n: asdict(u) for n, u in users.items()}}, indent=1) + "\n")
        self.path.chmod(0o600)
        self._refresh()

    def _refresh(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise MissingFileError(
                f"{self.path}: no such file: make it with 'leakdetect users {self.path} add NAME --role admin'"
            ) from None
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return
        if os.name == "posix" and found.st_mode & 0o077:
            raise InputError(f"{self.path}: others may read it: run chmod 600 on it")
        try:
            plain: dict[str, dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))["users"]
            self._known = {name: User(**{**user, "role": Role(user["role"])}) for name, user in plain.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{self.path}: not a file of users: make it with 'leakdetect users'") from None
        self._stamp = stamp


def _hash(password: str, user: User) -> str:
    with _ONE:
        made = hashlib.scrypt(
            password.encode(), salt=bytes.fromhex(user.salt), n=user.n, r=user.r, p=user.p,
            maxmem=256 * user.n * user.r, dklen=32,
        )  # fmt: skip
    return made.hex()
