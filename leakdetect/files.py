"""Files that are there as a whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leakdetect.errors import InputError, LeakdetectError, MissingFileError, UnavailableError

_NOT_HERE = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP}


CACHE = "LEAKDETECT_CACHE"
"""The environment variable that names another folder than the user's own cache."""


def cache_folder() -> Path:
    """Return the folder of what can be made again, which need not be there."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("leakdetect", appauthor=False)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` to write to, and put it in its place when all went well.

    Raises
    ------
    MissingFileError
        If the folder is not there.
    InputError
        If the file cannot be written.
    """
    if not path.parent.is_dir():
        raise MissingFileError(f"{path.parent}: no such folder: make it, or name another file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder: name a file")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        with part.open("rb") as file:  # or power that fails leaves the new name, and nothing in it
            os.fsync(file.fileno())
        part.replace(path)
    except LeakdetectError:  # some are OSErrors too, and say what is wrong themselves
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while in the `with`; the system frees it when the process ends, however it does.

    Raises
    ------
    UnavailableError
        If another run is in it.
    """
    place = _locked(folder)
    try:
        yield
    finally:
        os.close(place)


def _locked(folder: Path) -> int:
    try:
        return _lock(folder, folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    return _lock(folder / ".lock", folder, os.O_RDWR | os.O_CREAT)  # a disk of another machine locks files only


def _lock(path: Path, folder: Path, flags: int) -> int:
    place = os.open(path, flags, 0o666)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        raise UnavailableError(f"{folder}: another run is under way here: try again when it has finished") from None
    except OSError:
        os.close(place)
        raise
    return place


def sweep(path: Path) -> None:
    """Remove what `replacing` left beside a file when its process was killed; nobody else may be writing there.

    The file's name may be a pattern.
    """
    for part in path.parent.glob(f".{path.name}.*"):
        part.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> Path:
    """Write a text file (UTF-8) as a whole; errors as `replacing`."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="")
    return path


def shipped(package: Path, name: str, sign: str) -> Path:
    """Return a folder of files that come with a package: its `data` as installed, or `name` beside it in a source tree.

    Parameters
    ----------
    package : Path
        The folder of the package's code.
    name : str
        Of the folder at the top of the source tree.
    sign : str
        Pattern of a file by which the folder is known.

    Raises
    ------
    MissingFileError
        If there is neither.
    """
    for place in (package / "data", package.parents[1] / name):
        if any(place.glob(sign)):
            return place
    raise MissingFileError(f"{package / 'data' / sign}: no such file: install leakdetect anew")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
