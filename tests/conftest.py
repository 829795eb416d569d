"""For every test: the data folder beside the project, and the L-Town network read once."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from command import Command

    from leakdetect.kpi.gather import KeyFigures
    from leakdetect.network import Network

PROJECT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("LEAKDETECT_SHARED", PROJECT.parent / "shared" / "data"))

# Pseudonyms of meters and what is sealed: no test makes a key in the user's own folder.
os.environ["LEAKDETECT_KEY"] = "5a" * 32

# Networks as they were read: no test fills the user's own cache, nor finds anything there.
_CACHE = TemporaryDirectory(prefix="leakdetect-cache-")
os.environ["LEAKDETECT_CACHE"] = _CACHE.name

# The same examples in every run, and no deadline: a busy machine is not a failed test.
settings.register_profile("leakdetect", deadline=None, derandomize=True)
settings.load_profile("leakdetect")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `shared` where the data folder is not beside the project."""
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        pytest.skip(f"no data folder {SHARED}: set LEAKDETECT_SHARED to it")


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the data folder; skip where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no data folder {SHARED}: set LEAKDETECT_SHARED to it")
    return SHARED


@pytest.fixture(scope="session")
def fitted_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the demo's site, fitted; copy it before writing to it."""
    from leakdetect import demo, pipeline

    folder = tmp_path_factory.mktemp("fitted") / "demo"
    demo.make_site(folder)
    pipeline.fit(folder, None, demo.fit_until())
    return folder


@pytest.fixture(scope="session")
def fitted_district(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a village of one meter, fitted; copy it before writing to it."""
    from district_site import make

    return make(tmp_path_factory.mktemp("fitted") / "district")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a service of two districts whose key figures are known; write another to change it."""
    from small_service import write_site

    return write_site(tmp_path_factory.mktemp("kpi") / "site")


@pytest.fixture(scope="session")
def found(service: Path) -> KeyFigures:
    """Return the key figures of `service`."""
    from leakdetect.kpi.gather import key_figures

    return key_figures(service)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return who types commands."""
    from command import Command

    return Command(monkeypatch, capsys)


@pytest.fixture(scope="session")
def ltown(shared: Path) -> Network:
    """Return the nominal L-Town network."""
    from leakdetect.epanet import load_network

    return load_network(shared / "battledim" / "L-TOWN.inp")
