"""Who is asking: sessions kept here, known to the browser by a cookie, and the token that its changes must bear."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from leakdetect.web.audit import Audit
from leakdetect.web.limits import Limiter
from leakdetect.web.users import Role, User, Users

IDLE, LONGEST = 2 * 3600.0, 12 * 3600.0
"""[s] after which a session ends: unused, and in any case."""
_MOST = 1000  # sessions at once; the oldest ends where one more begins
_TRIES, _TRIES_PER_MINUTE = 8, 1.0  # of logging in, from an address and for a name


@dataclass
class Session:
    """One browser of a user, as the user was at login; `token` is what its changes must bear."""

    name: str
    role: Role
    user: User | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    begun: float = 0.0
    used: float = 0.0


class Gate:
    """Lets users in, and knows them again.

    Parameters
    ----------
    users : Users or None
        Where there are none, whoever can reach the page is the one who started it: for this machine only.
    audit : Audit
    secure : bool
        The page is reached by HTTPS alone.
    clock : callable
        Seconds since any time, never backwards.
    """

    def __init__(
        self, users: Users | None, audit: Audit, *, secure: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.users, self.audit, self.secure = users, audit, secure
        self.cookie = "__Host-leakdetect" if secure else "leakdetect"
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._tries = Limiter(_TRIES, _TRIES_PER_MINUTE, clock)
        self._local = Session(_owner(), Role.ADMIN)

    def login(self, name: str, password: str, address: str) -> tuple[str, Session] | int:
        """Begin a session.

        Returns
        -------
        (str, Session) or int
            The cookie's value and the session; 0 where name and password do not belong together, else the seconds
            after which one may try again.
        """
        wait = max(self._tries.wait(f"from {address}"), self._tries.wait(f"for {name}"))
        user = None if wait or self.users is None else self.users.verified(name, password)
        if user is None:
            self.audit.note(name, address, "login refused", why="too many tries" if wait else "wrong")
            return wait
        key, now = secrets.token_urlsafe(32), self._clock()
        session = Session(name, user.role, user, begun=now, used=now)
        with self._lock:
            self._sessions = {k: s for k, s in self._sessions.items() if not self._over(s)}
            if len(self._sessions) >= _MOST:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[_digest(key)] = session
        self.audit.note(name, address, "login")
        return key, session

    def session(self, key: str | None, *, used: bool = True) -> Session | None:
        """Return the session of a cookie; None where it is over, or its user is gone or has another role or password.

        `used` says that somebody asked, from which the session's idle time counts.
        """
        if self.users is None:
            return self._local
        if not key:
            return None
        with self._lock:
            session = self._sessions.get(_digest(key))
            if session is None:
                return None
            if self._over(session) or self.users.known().get(session.name) != session.user:
                del self._sessions[_digest(key)]
                return None
            if used:
                session.used = self._clock()
            return session

    def logout(self, key: str | None) -> None:
        """End the session of a cookie."""
        with self._lock:
            self._sessions.pop(_digest(key or ""), None)

    def _over(self, session: Session) -> bool:
        now = self._clock()
        return now - session.used > IDLE or now - session.begun > LONGEST


def bears(session: Session, token: str | None) -> bool:
    """Say whether a change bears its session's token, which no other site can read."""
    return hmac.compare_digest(session.token.encode(), (token or "").encode())


def _digest(key: str) -> str:
    """Return what a cookie's value is kept as: who sees the memory of this process cannot use it."""
    return hashlib.sha256(key.encode()).hexdigest()


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        return "local"
