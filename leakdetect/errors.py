"""What can go wrong, by type. Each is also the builtin a caller would expect to catch.

A message is one line that names the file, row, column or element and the mend: the command line prints it as it
stands and leaves with exit code 2.
"""

from __future__ import annotations

from typing import Self


class LeakdetectError(Exception):
    """Base of every error that the user can mend."""


class InputError(LeakdetectError, ValueError):
    """A file, a value or a setting from outside cannot be used."""


class UnavailableError(InputError):
    """What is needed cannot be had now, and may be at another time: a store is locked, a server is down."""


class MissingFileError(InputError, FileNotFoundError):
    """A file or folder that was named is not there."""

    def __new__(cls, *args: object) -> Self:
        """Make one as its layout wants: unpickling asks the first base, which is another."""
        return FileNotFoundError.__new__(cls, *args)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NetworkError(InputError):
    """The network model cannot be read or cannot be simulated as drawn."""


class ElementError(InputError, KeyError):
    """A node, link or sensor is named that does not exist."""

    def __str__(self) -> str:  # KeyError would print the message in quotes
        return str(self.args[0]) if self.args else ""


class ReadingsError(InputError):
    """Readings cannot be read or hold nothing usable."""


class UnreachableError(UnavailableError, ReadingsError):
    """A server of readings cannot be reached, or is lost."""


class SiteError(InputError):
    """site.toml or the site folder is not as it should be."""


class UnitError(InputError):
    """A unit is not known, or does not measure the quantity."""


class ConvergenceError(LeakdetectError, RuntimeError):
    """The hydraulic equations have no solution, or none was found."""


class NotFittedError(LeakdetectError, RuntimeError):
    """A fitted model is needed and there is none yet."""


class MissingExtraError(LeakdetectError, ImportError):
    """A library that only some commands need is not installed."""


class SchedulerError(LeakdetectError, ConnectionError):
    """A scheduler cannot be reached, or is lost."""


class WorkerError(LeakdetectError, RuntimeError):
    """A process that was to do some work could not, or was killed while it did."""
