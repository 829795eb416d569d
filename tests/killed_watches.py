"""A process that starts watches to be killed: it has loaded everything, and forks one for each line it reads.

``python killed_watches.py FOLDER DROP OTHER``; a line ``SHARE MOST`` watches DROP in a child that is killed after so
many times what a watch takes to begin, or, where SHARE is 0, ends once DROP is empty; no file of it may grow beyond
MOST bytes unless that is 0. It answers with the child's exit status. It has one thread, so it may fork.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
from pathlib import Path
from time import monotonic

from leakdetect.errors import InputError
from leakdetect.store import database
from leakdetect.watch import patience, series, sources, watch
from leakdetect.watch.sources import Dropped


def quiet(_: str) -> None:
    pass


def follow(folder: Path, drop: Path, *, until_empty: bool) -> None:
    with watch(folder, quiet) as watched:
        source = Dropped(drop, quiet, quiet)
        for _ in watched.follow(source, lambda: until_empty and not any(drop.glob("*.jsonl"))):
            pass


def main() -> None:
    folder, drop, other = map(Path, sys.argv[1:])
    sources._SETTLED, series._APART, patience.AGAIN, database._WAIT = 0.0, 0.05, 0.02, 0.05
    begun = monotonic()
    for _ in range(2):  # loads all that a watch needs
        begun = monotonic()
        with watch(other, quiet) as watched:
            watched.advance()
    usual = monotonic() - begun
    for line in sys.stdin:
        share, most = map(float, line.split())
        child = os.fork()
        if child == 0:
            if most:
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
            try:
                follow(folder, drop, until_empty=not share)
            except InputError:
                os._exit(2)
            os._exit(0)
        place = os.pidfd_open(child)
        if share and not select.select([place], [], [], share * usual)[0]:
            os.kill(child, signal.SIGKILL)
        os.close(place)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
