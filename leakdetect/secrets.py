"""Secrets that site.toml names as ``${NAME}`` and the environment holds."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from leakdetect.errors import SiteError

_NAME = re.compile(r"\$\{(\w+)\}")


def is_name(text: str) -> bool:
    """Return whether a text is one ``${NAME}`` and nothing else: no secret stands in it."""
    return _NAME.fullmatch(text) is not None


def filled(text: str, key: str, *, quoted: bool = False) -> str:
    """Return a value of site.toml with each ``${NAME}`` replaced by that environment variable.

    Parameters
    ----------
    text : str
    key : str
        Where it stands in site.toml, for the error.
    quoted : bool
        What is filled in is a part of a URL, and may hold any character; a text that is one name is a whole URL.

    Raises
    ------
    SiteError
        If a variable is not set; the line names the variable and the key.
    """
    part = quoted and not is_name(text)

    def value(found: re.Match[str]) -> str:
        try:
            said = os.environ[found[1]]
        except KeyError:
            raise SiteError(f"site.toml: {key}: the environment variable {found[1]} is not set: set it") from None
        return quote(said, safe="") if part else said

    return _NAME.sub(value, text)
