"""The same call on many things: in this process, in a pool of processes, or on a Dask cluster.

A `Crew` takes a function and things to call it on, and gives back what came of each as it comes. One call's failure is
that call's; the others go on. Each call is alone in its process and has one thread of linear algebra, whichever crew
makes it: a machine is shared by processes only, and a result is the same to the last digit on all machines of one kind.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from leakdetect import __version__
from leakdetect.errors import InputError, LeakdetectError, MissingExtraError, SchedulerError, WorkerError

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Value = TypeVar("Value")

_ALONE = threading.Lock()
"""A Dask worker may have several threads, and a call may change what belongs to its whole process."""
_TRIES = 2
"""Of a call by itself, once a process was killed."""
_ADDRESS = re.compile(r"(\w+://)?[^\s/]+:\d+/?")
_ANSWER = 10.0
"""[s] that a scheduler has to answer."""


class UnexpectedError(RuntimeError):
    """An error of ours, not of the user's."""


@dataclass(frozen=True)
class Done(Generic[Value]):
    """What came of one call.

    Attributes
    ----------
    index : int
        Of the thing, in the order in which they were given.
    value
        What the call returned; None where it failed.
    error : LeakdetectError, OSError or UnexpectedError, optional
        What it raised.
    trace : str
        The traceback of an error that the user cannot mend.
    """

    index: int
    value: Value | None = None
    error: Exception | None = None
    trace: str = ""

    def result(self) -> Value:
        """Return the value, or raise the error."""
        if self.error is not None:
            if isinstance(self.error, UnexpectedError):
                self.error.add_note(self.trace)
            raise self.error
        return self.value  # type: ignore[return-value]  # None only if the call returned it


class Crew(Protocol):
    """Makes calls."""

    def map(self, call: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Done[Value]]:
        """Call a function on each of many things; yield what came of each, in the order in which they finish.

        Parameters
        ----------
        call : callable
            Of a module that another process can import. It may be called again on the same thing, where the process
            that did so was killed.
        items : sequence
            Things that can be sent to another process.

        Raises
        ------
        SchedulerError
            If the cluster is lost.
        """
        ...


@contextmanager
def crew(workers: int = 1, scheduler: str | None = None, tell: Callable[[str], None] | None = None) -> Iterator[Crew]:
    """Give a crew, and let it go afterwards.

    Parameters
    ----------
    workers : int
        Processes on this machine; 1 calls in this one.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers make the calls instead.
    tell : callable, optional
        Told, in a line, what the user may have to do.

    Raises
    ------
    MissingExtraError
        If Dask is asked for and not installed.
    SchedulerError
        If the address is none, or no scheduler answers there.
    """
    if scheduler is not None:
        client = _connected(scheduler)
        try:
            if tell is not None and not client.nthreads():
                tell(f"{scheduler}: no worker yet: start some with 'dask worker {scheduler} --nthreads 1'")
            yield Dask(client, scheduler)
        finally:
            client.close()
    elif workers > 1:
        pool = Pool(workers)
        try:
            yield pool
        finally:
            pool.close()
    else:
        yield Here()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Here:
    """Calls in this process, one after the other."""

    def map(self, call: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Done[Value]]:
        """Call a function on each of many things; see `Crew`."""
        for index, item in enumerate(items):
            yield _one(call, index, item, __version__)


class Pool:
    """Calls in processes of this machine, which are started when they are first needed.

    A process that is killed takes its fellows down and does not say which call was to blame: all that were on their way
    are then made again, one at a time, and a call whose process is killed even so, twice, fails.

    Parameters
    ----------
    workers : int
        How many processes.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._processes: ProcessPoolExecutor | None = None

    def map(self, call: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Done[Value]]:
        """Call a function on each of many things; see `Crew`."""
        if min(self._workers, len(items)) < 2:
            yield from Here().map(call, items)
            return
        left, again = list(range(len(items)))[::-1], []
        running: dict[Future[Done[Value]], int] = {}
        while left or running:
            while left and len(running) < self._workers:
                index = left.pop()
                running[self._submit(call, index, items[index])] = index
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                index = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    again.append(index)
                else:
                    yield future.result()
        for index in again:
            for _ in range(_TRIES):
                alone = self._submit(call, index, items[index])
                if not isinstance(alone.exception(), BrokenProcessPool):
                    yield alone.result()
                    break
            else:
                yield Done(index, error=WorkerError("its process was killed each time: it may need more memory"))

    def close(self) -> None:
        """Let the processes go; what has not begun never will."""
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)
            self._processes = None

    def _submit(self, call: Callable[[Item], Value], index: int, item: Item) -> Future[Done[Value]]:
        if self._processes is not None:
            try:
                return self._processes.submit(_one, call, index, item, __version__)
            except BrokenProcessPool:
                self.close()
        # Not forked: numpy's threads and HDF5's locks do not outlive that.
        self._processes = ProcessPoolExecutor(self._workers, mp_context=get_context("spawn"), initializer=_quiet)
        return self._processes.submit(_one, call, index, item, __version__)


class Dask:
    """Calls on the workers of a Dask cluster; a call whose worker is killed goes to another, a few times.

    Parameters
    ----------
    client : distributed.Client
    address : str
        Of the scheduler.
    """

    def __init__(self, client: Client, address: str) -> None:
        self._client, self._address = client, address

    def map(self, call: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Done[Value]]:
        """Call a function on each of many things; see `Crew`."""
        from distributed import CancelledError, KilledWorker, as_completed

        submit = self._client.submit
        futures = {submit(_one, call, i, item, __version__, pure=False): i for i, item in enumerate(items)}
        try:
            for future in as_completed(list(futures), loop=self._client.loop):
                index = futures.pop(future)
                try:  # what was lost with a killed worker before it was fetched is made again meanwhile
                    yield future.result()
                except KilledWorker:
                    text = "the Dask workers that took it were all killed: it may need more memory"
                    yield Done(index, error=WorkerError(text))
                except CancelledError as error:
                    text = f"{self._address}: lost on the way: run it again, what is done is kept"
                    raise SchedulerError(text) from error
                except Exception as error:  # noqa: BLE001 (`_one` raises nothing: the worker did not even get there)
                    text = f"no Dask worker could take it: {type(error).__name__}: {error}: install leakdetect there"
                    yield Done(index, error=WorkerError(text))
        finally:
            self._client.cancel(list(futures))


def _connected(address: str) -> Client:
    if find_spec("distributed") is None:
        raise MissingExtraError("a scheduler needs Dask, which is not installed: pip install 'leakdetect[dask]'")
    if not _ADDRESS.fullmatch(address):
        raise SchedulerError(f"'{address}' is no address of a Dask scheduler: write tcp://host:8786")
    from distributed import Client

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # our errors say it, in one line
    try:
        return Client(address, timeout=_ANSWER, set_as_default=False)
    except OSError as error:
        text = f"{address}: no Dask scheduler answers: start one with 'dask scheduler', or check the address"
        raise SchedulerError(text) from error


def _one(call: Callable[[Item], Value], index: int, item: Item, version: str) -> Done[Value]:
    """Make one call; return what it returned or raised, such that it can be sent."""
    import scipy.linalg  # noqa: F401 (its BLAS is not numpy's, and is held to one thread only once it is loaded)
    from threadpoolctl import threadpool_limits

    with _ALONE, threadpool_limits(1):
        try:
            if version != __version__:
                raise InputError(f"this worker has leakdetect {__version__}, not {version}: install the same")  # noqa: TRY301
            return Done(index, call(item))
        except LeakdetectError as error:
            return Done(index, error=error)
        except OSError as error:  # rebuilt: one of another library may not survive the way
            return Done(index, error=OSError(error.errno, error.strerror or str(error), error.filename))
        except Exception as error:  # noqa: BLE001 (it must not stop the others; whoever asked is told)
            unexpected = UnexpectedError(f"{type(error).__name__}: {error}")
            return Done(index, error=unexpected, trace=traceback.format_exc())


def _quiet() -> None:
    """Keep libraries' warnings from the user, as the command line does in its own process."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
