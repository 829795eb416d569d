"""What cannot be had now, and may be soon: said once, and asked for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TypeVar

from leakdetect.errors import LeakdetectError, UnavailableError

AGAIN = 5.0  # [s] between attempts where a store is locked, or a server is down
_POLL = 0.2  # [s] between looks at whether to stop

T = TypeVar("T")


def had(ask: Callable[[], T], tell: Callable[[str], None], stop: Callable[[], bool]) -> T:
    """Return what `ask` does, once it can; UnavailableError where `stop` says so before."""
    said = ""
    while True:
        try:
            return ask()
        except UnavailableError as error:
            if stop():
                raise
            if str(error) != said:
                tell(f"{error}; trying again")
            said = str(error)
        until = monotonic() + AGAIN
        while monotonic() < until and not stop():
            sleep(min(_POLL, AGAIN))


@contextmanager
def mended_meanwhile() -> Iterator[None]:
    """Let what a person has to mend, in a file that changed, wait for that; raises UnavailableError."""
    try:
        yield
    except LeakdetectError as error:
        raise UnavailableError(str(error)) from error
