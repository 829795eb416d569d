"""A process that starts daily runs to be killed: it has loaded everything, and forks one for each line it reads.

``python killed_calls.py FOLDER OTHER``; a line ``LAST SHARE`` runs each day from where runs stopped to LAST in a child
that is killed after so many times what a run takes, or not if no share is given. It answers with the child's exit
status. It has one thread, so it may fork.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from time import monotonic

import numpy as np
from district_site import day

from leakdetect import pipeline
from leakdetect.site import load_site
from leakdetect.store import open_store

FIRST = 80


def run(folder: Path, last: int) -> None:
    """Run each day that no run has taken."""
    store, first = open_store(load_site(folder), make=False), FIRST
    if store is not None:
        with store:
            progress = store.progress()
        first = FIRST if progress is None else int((progress.until - day(0)) / np.timedelta64(1, "D")) + 1
    for number in range(first, last + 1):
        pipeline.detect(folder, None, day(number))


def main() -> None:
    folder = Path(sys.argv[1])
    pipeline.detect(Path(sys.argv[2]), None, day(72))  # loads all that a run needs
    start = monotonic()
    for number in range(73, 77):
        pipeline.detect(Path(sys.argv[2]), None, day(number))
    usual = (monotonic() - start) / 4
    for line in sys.stdin:
        last, *share = line.split()
        child = os.fork()
        if child == 0:
            run(folder, int(last))
            while share:  # until it is killed
                pipeline.detect(folder, None, day(int(last)))
            os._exit(0)
        watch = os.pidfd_open(child)
        if share and not select.select([watch], [], [], float(share[0]) * usual)[0]:
            os.kill(child, signal.SIGKILL)
        os.close(watch)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
