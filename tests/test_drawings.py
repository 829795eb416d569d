"""A network from the cache is the one that was read."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from leakdetect import drawings, epanet, networks
from leakdetect.drawings import remembered_network
from leakdetect.errors import MissingFileError, NetworkError
from leakdetect.network import Network


def same(one: Network, other: Network) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(Network)]
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f") and a.dtype == b.dtype and not b.flags.writeable
        if isinstance(a, np.ndarray)
        else a == b and type(a) is type(b)
        for a, b in pairs
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEAKDETECT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "drawings"


def never(*_: object) -> Network:
    raise AssertionError("read anew")


@pytest.mark.parametrize("name", ["village", "town", "Net3"])
def test_it_is_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shutil.copy(networks.path(name), tmp_path / "model.inp"))
    read = epanet.load_network(path)
    assert same(read, remembered_network(path))
    monkeypatch.setattr(epanet, "load_network", never)
    assert same(read, remembered_network(path))
    other = path.rename(tmp_path / "other.inp")
    again = remembered_network(other)
    assert (again.name, again.path) == ("other", other)


def test_a_change_of_the_file_is_seen(tmp_path: Path, cache: Path) -> None:
    path = Path(shutil.copy(networks.path("village"), tmp_path / "model.inp"))
    before = remembered_network(path)
    text = path.read_text()
    pipe = before.link_names[0]
    [line] = [row for row in text.splitlines() if row.split()[:1] == [pipe] and len(row.split()) > 6]
    path.write_text(text.replace(line, line.replace(line.split()[3], "777", 1)))
    assert remembered_network(path).length[0] == pytest.approx(777)
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_is_no_use(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shutil.copy(networks.path("village"), tmp_path / "model.inp"))
    read = remembered_network(path)
    for content in (b"", b"x" * 100, next(cache.iterdir()).read_bytes()[:-200]):
        next(cache.iterdir()).write_bytes(content)
        assert same(read, remembered_network(path))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LEAKDETECT_CACHE", str(tmp_path / "file"))
    assert same(read, remembered_network(path))


def test_it_does_not_grow_for_ever(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "_MOST", 2)
    text = networks.path("village").read_text()
    for k in range(4):
        (tmp_path / "model.inp").write_text(f"{text}\n;{k}\n")
        remembered_network(tmp_path / "model.inp")
    assert len(list(cache.iterdir())) == 2


def test_errors_are_those_of_reading(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.inp: no such file"):
        remembered_network(tmp_path / "none.inp")
    (tmp_path / "bad.inp").write_text("nothing")
    with pytest.raises(NetworkError, match="not an EPANET input file"):
        remembered_network(tmp_path / "bad.inp")
