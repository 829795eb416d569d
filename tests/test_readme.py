"""What the README tells a reader to type, typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    done = subprocess.run(["bash", ".ci/readme-command", name], cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return the folder in which the walk-through was typed, and what each command printed."""
    folder = tmp_path_factory.mktemp("readme")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = {}
    for line in block("site").splitlines():
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (10 if "detect village" in line else 0), f"{line}\n{done.stderr}"
        printed[line.split()[1]] = done.stdout
    return folder, printed


@pytest.mark.slow
def test_the_walk_through(typed: tuple[Path, dict[str, str]]) -> None:
    folder, printed = typed
    assert list(printed) == ["simulate", "init", "check", "fit", "detect", "events", "report", "score"]
    for name in ("site.toml", "model.nc", "leakdetect.db"):
        assert (folder / "village" / name).is_file()
    assert (folder / "report.html").stat().st_size > 10_000
    assert "no events" not in printed["detect"]
    assert re.search(r"found of leaks +1 of 1", printed["score"])


@pytest.mark.slow
def test_the_python_example(typed: tuple[Path, dict[str, str]]) -> None:
    folder, _ = typed
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_is_told_of_and_real() -> None:
    from leakdetect.cli import app

    real = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    real |= {group.name for group in app.registered_groups if group.name}
    told = set(re.findall(r"^\| `(\w+)`", README, flags=re.MULTILINE))
    assert told <= real, told - real
    used = set(re.findall(r"leakdetect (\w+)", README)) - {"import", "COMMAND", "finds"}
    assert used <= real, used - real


def test_the_french_readme_says_what_the_english_one_does() -> None:
    """What it has typed is typed from the English one; only the language of what is printed may be added."""
    french = (PROJECT / "README.fr.md").read_text(encoding="utf-8")
    typed = [line for text in re.findall(r"```sh\n(.*?)```", french, flags=re.DOTALL) for line in text.splitlines()]
    assert typed
    english = README.splitlines()
    new = [line for line in typed if line.replace(" --lang fr", "") not in english]
    assert new == ["leakdetect kpi village --language fr"]
    told, here = (set(re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE)) for text in (README, french))
    assert here == told
    figures, those = (
        {
            tuple(re.findall(r"\d+", row))
            for row in re.findall(r"^\|[^|]*(\|[^|]*\|[^|]*\|[^|]*\|)$", text, re.MULTILINE)
        }
        for text in (README, french)
    )
    assert len(those) > 5  # of the table of how well it does
    assert those <= figures
