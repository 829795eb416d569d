"""Secrets that site.toml names as ``${NAME}`` and the environment holds."""

from __future__ import annotations

import os
import re

from leakdetect.errors import SiteError

_NAME = re.compile(r"\$\{(\w+)\}")


def is_name(text: str) -> bool:
    """Return whether a text is one ``${NAME}`` and nothing else: no secret stands in it."""
    return _NAME.fullmatch(text) is not None


def filled(text: str, key: str) -> str:
    """Return a value of site.toml with each ``${NAME}`` replaced by that environment variable.

    Parameters
    ----------
    text : str
    key : str
        Where it stands in site.toml, for the error.

    Raises
    ------
    SiteError
        If a variable is not set; the line names the variable and the key.
    """

    def value(found: re.Match[str]) -> str:
        try:
            return os.environ[found[1]]
        except KeyError:
            raise SiteError(f"site.toml: {key}: the environment variable {found[1]} is not set: set it") from None

    return _NAME.sub(value, text)
