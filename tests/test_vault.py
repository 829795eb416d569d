"""The key: made once, for its owner's eyes, never in the shared folder; what it seals opens with it alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from leakdetect.errors import InputError, MissingFileError
from leakdetect.site import Privacy, ReadingsBlock, Site
from leakdetect.vault import VARIABLE, Vault

SERIES = np.array([1.5, np.nan, -0.0, 1e-300])


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def site(folder: Path, key_file: str | None = None) -> Site:
    folder.mkdir(exist_ok=True)
    block = ReadingsBlock(glob="a.csv", quantity="demand", unit="L/h")  # type: ignore[arg-type]
    return Site(name="s", folder=folder, readings=[block], privacy=Privacy(key_file=key_file))


def test_a_users_own_key_is_made_once(tmp_path: Path) -> None:
    vault = Vault.of(site(tmp_path / "s"))
    assert not vault.path.exists()
    name = vault.pseudonym("12345")
    assert vault.path.is_relative_to(tmp_path / "home")
    assert vault.path.stat().st_mode & 0o777 == 0o600
    assert len(vault.key) == 32
    assert Vault.of(site(tmp_path / "s")).pseudonym("12345") == name
    assert name == f"meter-{hmac.new(vault.key, b'meter' + bytes(1) + b'12345', hashlib.sha256).hexdigest()[:12]}"
    assert not vault.make()


def test_many_at_once_make_one_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(Vault(tmp_path / "k" / "key").key)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [p.name for p in (tmp_path / "k").iterdir()] == ["key"]


def test_a_key_that_a_site_names_is_not_invented(tmp_path: Path) -> None:
    vault = Vault.of(site(tmp_path / "s", "../keys/town.key"))
    with pytest.raises(MissingFileError, match=r"town.key: no such key: make it with 'leakdetect privacy"):
        vault.pseudonym("1")
    assert vault.make()
    assert len(vault.key) == 32


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0f" * 32)
    assert Vault.of(site(tmp_path / "s")).key == bytes.fromhex("0f" * 32)
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(InputError, match=f"{VARIABLE}: is no key"):
        assert Vault.of(site(tmp_path / "s")).key


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_what_is_wrong_with_a_key_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lies in the site folder"):
        Vault.of(site(tmp_path / "s", "town.key")).make()
    vault = Vault.of(site(tmp_path / "s", "../town.key"))
    vault.make()
    vault.path.chmod(0o640)
    with pytest.raises(InputError, match="others may read this key: run chmod 600"):
        assert vault.key
    vault.path.chmod(0o600)
    vault.path.write_text("none", encoding="ascii")
    with pytest.raises(InputError, match=r"town.key: is no key: it must be 64 hexadecimal digits") as caught:
        assert vault.key
    assert "none" not in str(caught.value)


def test_what_is_sealed_opens_with_its_key_alone(tmp_path: Path) -> None:
    one, two = Vault(tmp_path / "one"), Vault(tmp_path / "two")
    sealed = one.seal(SERIES)
    assert one.unseal(sealed, (2, 2), "f").tobytes() == SERIES.tobytes()
    assert one.seal(SERIES).tobytes() == sealed.tobytes()  # the same model is the same file
    assert SERIES[:1].tobytes() not in sealed.tobytes()
    assert one.unseal(one.seal(np.zeros(0)), (0, 3), "f").shape == (0, 3)
    with pytest.raises(InputError, match=f"f: .* another key than {two.name}"):
        two.unseal(sealed, (4,), "f")
    sealed = sealed.copy()
    sealed[20] ^= 1
    with pytest.raises(InputError, match="another key"):
        one.unseal(sealed, (4,), "f")
