"""EPANET's own library, as WNTR ships it, loaded without WNTR, whose import takes longer than a daily run.

And what those who use it need to know of model files: how their text is read and handed to it, and EPANET's units.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from leakdetect.errors import NetworkError

_PLACES = {"linux": "linux-x64/libepanet22.so", "win32": "windows-x64/epanet22.dll"}
"""In WNTR's folder of libraries; elsewhere WNTR is asked."""
_FAILED = 100  # codes from here on are no warnings

US_UNITS = {"gal/min", "ft3/s", "Mgal/d", "imp Mgal/d", "acre-ft/d"}
"""Flow units of models whose lengths are feet and whose pressures are psi."""
FOOT = 0.3048
PSI = FOOT / 0.4333
"""[m] of head, as EPANET has it."""
KPA = PSI / 6.895


@cache
def _library() -> ctypes.CDLL:
    found = find_spec("wntr")  # does not import it
    place = (
        Path(found.origin or "").parent / "epanet" / "libepanet" / _PLACES.get(sys.platform, "") if found else Path()
    )
    if place.is_file():
        return ctypes.CDLL(str(place))
    from wntr.epanet.toolkit import ENepanet

    library: ctypes.CDLL = ENepanet().ENlib
    return library


class Project:
    """A model file held open in EPANET.

    Parameters
    ----------
    model, report : path
        The ``.inp`` file, and where EPANET writes what it has to say.

    Attributes
    ----------
    lib : CDLL
        EPANET 2.2's functions, of which the first parameter is always `handle`.
    handle : c_uint64

    Raises
    ------
    NetworkError
        If EPANET refuses the file; the report is written then.
    """

    def __init__(self, model: Path, report: Path) -> None:
        self.lib, self.handle = _library(), ctypes.c_uint64()
        self._open = True
        self.lib.EN_createproject(ctypes.byref(self.handle))
        code = self.lib.EN_open(self.handle, str(model).encode("latin-1"), str(report).encode("latin-1"), b"")
        if code >= _FAILED:
            self.close()
            raise NetworkError(f"EPANET error {code}: {self.said(code)}")

    def said(self, code: int) -> str:
        """Return what an error code means."""
        text = ctypes.create_string_buffer(256)
        self.lib.EN_geterror(code, text, 256)
        return text.value.decode("latin-1").strip()

    def close(self) -> None:
        """Free EPANET's memory; may be called twice."""
        if self._open:
            self.lib.EN_close(self.handle)
            self.lib.EN_deleteproject(self.handle)
        self._open = False


def model_text(path: Path) -> str:
    """Return a model file's text: UTF-8, with or without a mark, or what Windows wrote before it."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def write_copy(text: str, folder: str) -> Path:
    """Write the text where EPANET, which knows neither marks nor accents in a path, can read it."""
    path = Path(folder) / "model.inp"
    path.write_text(text, encoding="utf-8")
    return path
