"""Sample networks that are too large to ship: made when they are first asked for, and kept in the user's cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

from leakdetect.errors import InputError
from leakdetect.files import CACHE, cache_folder, replacing
from leakdetect.networks.generator import generate

SEED = 1
"""Of every invented sample network, whose id is its kind."""
_MEND = f"name a folder to keep it in with the environment variable {CACHE}"


def cached(name: str, checksum: str) -> Path:
    """Return the model file of an invented network; made anew where the cache has none of this checksum.

    Parameters
    ----------
    name : str
        Its kind, of `leakdetect.networks.plan.PLANS`.
    checksum : str
        SHA-256 of the file that is wanted.

    Raises
    ------
    InputError
        If the cache cannot be written, or what is made is another file.
    """
    path = cache_folder() / f"{name}.inp"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == checksum:
        return path
    content = generate(name, SEED).encode("ascii")
    if hashlib.sha256(content).hexdigest() != checksum:
        raise InputError(
            f"network {name}: made here it is not that of the catalogue: install the versions of requirements/lock.txt"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be made: {error.strerror or error}: {_MEND}") from None
    except InputError as error:
        raise InputError(f"{error}: {_MEND}") from None
    return path
