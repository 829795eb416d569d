"""The key of a user: pseudonyms of households' meters, and what is kept of them, sealed."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from leakdetect.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from leakdetect.site import Site

VARIABLE = "LEAKDETECT_KEY"
"""The environment variable that holds the key, where it is not in a file."""

_BYTES = 32
_MEND = f"make the folder writable, set {VARIABLE}, or name another file under [privacy] key_file in site.toml"


class Vault:
    """The key, once it is needed: sites without meters never ask for it.

    The environment variable `VARIABLE` comes first, then the file that the site names, then a file of the user's own,
    which is made when it is first needed.

    Parameters
    ----------
    path : path
        The key file.
    own : bool
        It is the user's own: made where there is none.
    site : path, optional
        The site folder, in which no key may lie.
    """

    def __init__(self, path: Path, *, own: bool = True, site: Path | None = None) -> None:
        self.path, self._own, self._site = path, own, site

    @classmethod
    def of(cls, site: Site) -> Vault:
        """Return the vault that a site names, else the user's own."""
        named = site.privacy.key_file
        if named is not None:
            return cls(site.folder / Path(named).expanduser(), own=False, site=site.folder)
        from platformdirs import user_data_path

        return cls(user_data_path("leakdetect", appauthor=False) / "privacy.key", site=site.folder)

    @cached_property
    def key(self) -> bytes:
        """The key.

        Raises
        ------
        MissingFileError
            If the file that the site names is not there.
        InputError
            If it is no key, others may read it, it lies in the site folder, or it cannot be made.
        """
        written = os.environ.get(VARIABLE)
        if written is not None:
            return _key(written, VARIABLE)
        if not self.path.is_file():
            if not self._own:
                raise MissingFileError(f"{self.path}: no such key: make it with 'leakdetect privacy DIR --make-key'")
            self.make()
        self._refuse_shared_folder()
        try:
            if os.name == "posix" and self.path.stat().st_mode & 0o077:
                raise InputError(f"{self.path}: others may read this key: run chmod 600 on it")
            return _key(self.path.read_text(encoding="ascii", errors="replace"), str(self.path))
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror}: {_MEND}") from None

    def make(self) -> bool:
        """Make the key file (mode 0600) unless it is there; say whether it was made. InputError if it cannot be."""
        self._refuse_shared_folder()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, part = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
            try:
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    file.write(secrets.token_hex(_BYTES) + "\n")
                os.link(part, self.path)  # never over a key that another process has made meanwhile
            finally:
                Path(part).unlink()
        except FileExistsError:
            return False
        except OSError as error:
            raise InputError(f"{self.path}: cannot be made: {error.strerror}: {_MEND}") from None
        return True

    def _refuse_shared_folder(self) -> None:
        if self._site is not None and self.path.resolve().is_relative_to(self._site.resolve()):
            raise InputError(f"{self.path}: lies in the site folder, which is shared: name a key_file elsewhere")

    @property
    def name(self) -> str:
        """A name by which the key is known, which tells nothing of it."""
        return self._digest(b"name", b"")[:8]

    def pseudonym(self, meter: str) -> str:
        """Return what a meter is called instead of its id: HMAC-SHA256 under the key, 48 bits of it."""
        return f"meter-{self._digest(b'meter', meter.encode())[:12]}"

    def _digest(self, use: bytes, text: bytes) -> str:
        return hmac.new(self.key, use + b"\0" + text, hashlib.sha256).hexdigest()

    # -- sealing -----------------------------------------------------------------------------------------------

    def seal(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return values encrypted (AES-SIV, RFC 5297): the same values under the same key give the same bytes.

        Parameters
        ----------
        values : ndarray of float

        Returns
        -------
        ndarray of uint8, 1-d
        """
        plain = np.ascontiguousarray(values, dtype="<f8").tobytes()
        return np.frombuffer(self.seal_bytes(plain or b"\0"), dtype=np.uint8)

    def seal_bytes(self, plain: bytes) -> bytes:
        """Return bytes encrypted, as `seal` does it; there must be one at least."""
        return self._cipher().encrypt(plain, None)

    def unseal(self, sealed: NDArray[np.uint8], shape: tuple[int, ...], where: str) -> NDArray[np.float64]:
        """Return what `seal` took.

        Parameters
        ----------
        sealed : ndarray of uint8
        shape : tuple of int
        where : str
            The file, for the error.

        Raises
        ------
        InputError
            If it was sealed with another key, or is not whole.
        """
        plain = self.unseal_bytes(np.asarray(sealed, dtype=np.uint8).tobytes(), where)
        size = int(np.prod(shape))
        return np.frombuffer(plain, dtype="<f8", count=size).reshape(shape).copy()

    def unseal_bytes(self, sealed: bytes, where: str) -> bytes:
        """Return what `seal_bytes` took; errors as `unseal`."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher().decrypt(sealed, None)
        except InvalidTag:
            raise InputError(
                f"{where}: what it holds of meters was sealed with another key than {self.name}: bring the key back, "
                f"or remove the file and begin again"
            ) from None

    def _cipher(self) -> AESSIV:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        return AESSIV(hmac.new(self.key, b"seal\0", hashlib.sha512).digest())


def _key(written: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(written.strip())
    except ValueError:
        key = b""
    if len(key) < _BYTES:
        raise InputError(f"{where}: is no key: it must be {2 * _BYTES} hexadecimal digits, as --make-key writes them")
    return key


if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV
