"""How often one may ask: a bucket of tokens for each client that fills at a steady rate."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_CLIENTS = 10_000  # remembered; the longest silent is forgotten first


class Limiter:
    """A token bucket a client.

    Parameters
    ----------
    burst : int
        Requests that may come at once.
    per_minute : float
        At which the bucket fills again.
    clock : callable
        Seconds since any time, never backwards.
    """

    def __init__(self, burst: int, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._rate, self._clock = float(burst), per_minute / 60, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str) -> int:
        """Take a token; return 0, or after how many seconds [s] there will be one."""
        now = self._clock()
        with self._lock:
            left, then = self._left.pop(client, (self._burst, now))
            left = min(left + (now - then) * self._rate, self._burst)
            taken = left >= 1
            self._left[client] = (left - 1 if taken else left, now)
            if len(self._left) > _CLIENTS:
                self._left.popitem(last=False)
        return 0 if taken else math.ceil((1 - left) / self._rate)
