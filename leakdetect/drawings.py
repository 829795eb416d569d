"""Networks as they were read, kept in the user's cache: a daily run need not take a model file apart again."""

from __future__ import annotations

import hashlib
import io
import zipfile
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from leakdetect import epanet, toolkit
from leakdetect.errors import InputError
from leakdetect.files import cache_folder, replacing
from leakdetect.network import Network

_MOST = 64
"""Networks that are kept; the oldest goes first."""


def remembered_network(path: Path | str) -> Network:
    """Return `epanet.load_network` of a file, from the cache where the very same text was read before; errors alike."""
    path = Path(path)
    if not path.is_file():
        return epanet.load_network(path)
    # Another version may read the text otherwise.
    code = Path(epanet.__file__).read_bytes() + Path(toolkit.__file__).read_bytes()
    name = hashlib.sha256(code + path.read_bytes()).hexdigest()[:32]
    place = cache_folder() / "drawings" / f"{name}.npz"
    with suppress(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):  # not there, or not whole
        return replace(_load(place.read_bytes()), name=path.stem, path=path)
    network = epanet.load_network(path)
    with suppress(OSError, InputError):  # a cache that cannot be written is none
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as part:
            part.write_bytes(_dump(network))
        for old in sorted(place.parent.glob("*.npz"), key=lambda p: p.stat().st_mtime)[:-_MOST]:
            old.unlink()
    return network


def _dump(network: Network) -> bytes:
    buffer = io.BytesIO()
    values = {f.name: np.asarray(getattr(network, f.name)) for f in fields(network) if f.name not in {"name", "path"}}
    np.savez(buffer, allow_pickle=False, **values)
    return buffer.getvalue()


def _load(content: bytes) -> Network:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        values = {name: file[name] for name in file.files}
    plain: dict[str, Any] = {
        name: (tuple(value.tolist()) if value.ndim else value.item())
        if value.dtype.kind == "U" or not value.ndim
        else value
        for name, value in values.items()
    }
    return Network(name="", **plain)
