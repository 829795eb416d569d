"""What is shipped: versions that agree, locks that fit, README commands that are run, no trace of a workplace."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import leakdetect

PROJECT = Path(__file__).parents[1]
TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(line) for line in TABLE["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in TABLE["optional-dependencies"].items()}
# Dated releases that only ever add data.
UNBOUNDED = {"tzdata", "packaging", "pandas-stubs", "types-openpyxl"}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def pins(name: str) -> dict[str, list[Version]]:
    """Return the versions that a lock file pins, by distribution; several where they differ by Python version."""
    found: dict[str, list[Version]] = {}
    text = (PROJECT / "requirements" / name).read_text(encoding="utf-8")
    for distribution, number in re.findall(r"^([\w.-]+)==([\w.]+)", text, flags=re.MULTILINE):
        found.setdefault(canonicalize_name(distribution), []).append(Version(number))
    return found


def lowest(requirement: Requirement) -> Version:
    return next(Version(s.version) for s in requirement.specifier if s.operator == ">=")


def test_versions_agree() -> None:
    citation = (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert version("leakdetect") == leakdetect.__version__
    assert f"\nversion: {leakdetect.__version__}\n" in citation
    assert f"\n## {leakdetect.__version__}" in changelog


@pytest.mark.parametrize("requirement", [*RUNTIME, *EXTRAS["dev"]], ids=lambda r: r.name)
def test_range_is_bounded(requirement: Requirement) -> None:
    operators = {s.operator for s in requirement.specifier}
    assert operators == ({">="} if requirement.name in UNBOUNDED else {">=", "<"})


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_lock_fits_the_ranges(extra: str | None) -> None:
    locked = pins("lock.txt")
    for requirement in RUNTIME if extra is None else EXTRAS[extra]:
        numbers = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(n) for n in numbers), f"{requirement} is locked at {numbers}"


@pytest.mark.parametrize("requirement", [*RUNTIME, *EXTRAS["dev"]], ids=lambda r: r.name)
def test_lowest_lock_is_the_lowest(requirement: Requirement) -> None:
    low = lowest(requirement)
    (number,) = pins("lowest.txt")[canonicalize_name(requirement.name)]
    assert number.release[: len(low.release)] == low.release


@pytest.mark.parametrize("lock", ["lock.txt", "lowest.txt"])
def test_lock_has_hashes(lock: str) -> None:
    text = (PROJECT / "requirements" / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[\w.-]+==)", text)[1:]
    assert len(entries) > 30
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


@pytest.mark.parametrize(("name", "part"), [("demo", "leakdetect demo"), ("test", "pytest")])
def test_readme_commands_are_what_ci_runs(name: str, part: str) -> None:
    printed = run("bash", ".ci/readme-command", name)
    assert printed.returncode == 0, printed.stderr
    command = printed.stdout.strip()
    assert part in command
    assert "\n" not in command
    assert command in (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()
    assert f'bash -c "$(bash .ci/readme-command {name})"' in (PROJECT / ".ci" / "run").read_text(encoding="utf-8")


def test_readme_command_says_what_is_missing() -> None:
    printed = run("bash", ".ci/readme-command", "nonsense")
    assert printed.returncode == 1
    assert "no block" in printed.stderr


def test_wntr_imports_as_installed() -> None:
    done = run(sys.executable, "-c", "import wntr; print(wntr.__version__)")
    assert done.returncode == 0, done.stderr
    assert Version(done.stdout.strip()) >= lowest(next(r for r in RUNTIME if r.name == "wntr"))


def test_licence_is_whole() -> None:
    text = (PROJECT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert "limitations under the License." in text


def test_links_in_the_documents_lead_somewhere() -> None:
    for page in [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_trace_of_the_machine() -> None:
    """No file speaks of the place it was written in; tests may name a temporary folder."""
    listed = run("git", "ls-files", "-z")
    if listed.returncode:
        pytest.skip("not a git checkout")
    home = re.compile(rb"(?<![\w.])/(?:work|opt|root|home/\w+|Users/\w+)/|work ?place", re.IGNORECASE)
    scratch = re.compile(rb"(?<![\w.])/(?:tmp|var/tmp)/")
    traces = []
    for name in filter(None, listed.stdout.split("\0")):
        path = PROJECT / name
        if not path.is_file() or path == Path(__file__):
            continue
        data = path.read_bytes()
        if b"\0" in data[:8192]:
            continue
        if home.search(data) or (scratch.search(data) and not name.startswith("tests/")):
            traces.append(name)
    assert not traces
