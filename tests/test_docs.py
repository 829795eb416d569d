"""What the pages tell a reader to type is typed, but for what `NOT_TYPED` names: that the command line only reads."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from leakdetect.cli import app, main

PROJECT = Path(__file__).parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
TUTORIAL = PROJECT / "docs" / "tutorial.md"
RECIPES = sorted((PROJECT / "docs" / "howto").glob("*.md"))
ELSEWHERE = PROJECT / "README.fr.md"
"""What it has typed is compared with what tests/test_readme.py types of the English one."""
NOT_TYPED = {
    "installs",
    "goes on until it is stopped",
    "data to be fetched",
    "costs.csv and private.csv are yours",
    "as howto/sites.md",
}
"""Why a block of a page is not typed, as the page says it above the block."""
OTHERS = [PROJECT / "docs" / f"{name}.md" for name in ("kpi", "operate", "networks", "placement", "scenarios", "web")]
FENCE = re.compile(r"(<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)

sys.path.insert(0, str(PROJECT / "docs"))
import generated  # noqa: E402


@dataclass
class Block:
    """What is to be typed, and what the page says is printed of the last line; None where it says nothing."""

    lines: list[str]
    mark: str = ""
    printed: str | None = None


def blocks(page: Path, kind: str = "sh", *, run: bool = False) -> list[Block]:
    """Return the fenced blocks of a page; with `run` without those that it says are not run."""
    found: list[Block] = []
    last = None
    for fence in FENCE.finditer(page.read_text(encoding="utf-8")):
        if fence["kind"] == kind and not (run and (fence["mark"] or "").startswith("not run")):
            last = Block(re.sub(r"\\\n\s*", "", fence["text"]).splitlines(), fence["mark"] or "")
            found.append(last)
        elif fence["kind"] == "text" and last:
            last.printed = fence["text"]
        else:
            last = None
    return found


def commands(line: str) -> list[list[str]]:
    """Return the arguments of each leakdetect that a line starts, in the line itself or in `$(...)`."""
    found: list[list[str]] = []
    words = shlex.shlex(line.split(" #", maxsplit=1)[0], posix=True, punctuation_chars=True)
    words.whitespace_split = True
    begins, taking = True, False
    for word in words:
        if set(word) <= set("();<>|&"):
            begins, taking = not set(word) & set("<>"), False
        elif begins and Path(word).name == "leakdetect":
            begins, taking = False, True
            found.append([])
        elif taking:
            found[-1].append(word)
        else:
            begins = begins and (word in ("do", "then") or word.endswith("=$"))
    return found


def read(arguments: list[str]) -> None:
    """Let the command line read the arguments, to the last option; nothing is run."""
    command: Any = typer.main.get_command(app)
    above: Any = None
    name, rest = "leakdetect", arguments
    while True:
        above = command.make_context(name, list(rest), parent=above)
        if not hasattr(command, "commands"):
            return
        rest = [*getattr(above, "_protected_args", []), *above.args]
        name, command, rest = command.resolve_command(above, rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_the_command_line_reads_every_command(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        for line in block.lines:
            for arguments in commands(line):
                try:
                    read(arguments)
                except Exception as error:  # noqa: BLE001 (whatever it is, the page is wrong)
                    pytest.fail(f"{line}\n{error}")


def test_the_command_line_knows_the_options_that_the_text_names() -> None:
    named = []
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        found = [" ".join(span.split()) for span in re.findall(r"`(leakdetect [^`]* --[^`]*)`", text)]
        named += [span for span in found if "..." not in span and not span.endswith("--help")]
    for arguments in (arguments for span in named for arguments in commands(span)):
        read(arguments)
    assert len(named) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_is_not_typed_says_why(page: Path) -> None:
    for block in blocks(page):
        kind, _, why = block.mark.partition(": ")
        if kind == "not run":
            assert why in NOT_TYPED, why
        elif any(commands(line) for line in block.lines) and kind != "command":  # which test_readme.py types
            assert page in {TUTORIAL, *RECIPES, *OTHERS, ELSEWHERE}


def test_a_command_that_is_not_there_is_told_of() -> None:
    for wrong in ("leakdetect fid town", "cd x && leakdetect fit town --form 2018", "leakdetect events town shew E"):
        [arguments] = commands(wrong)
        with pytest.raises(Exception, match=r"(?i)no such|missing"):
            read(arguments)


def type_line(folder: Path, line: str) -> tuple[int, str]:
    """Type a line and return its exit code and what it printed; in this process where it is one command alone."""
    unquoted = "".join(line.split("'")[::2])
    if line.startswith("leakdetect ") and not set(unquoted) & set("$*;<>|&"):
        return in_process(folder, shlex.split(line, comments=True))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def in_process(folder: Path, words: list[str]) -> tuple[int, str]:
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed), contextlib.chdir(folder):
        patch.setattr(sys, "argv", words)
        patch.setattr(sys, "stdin", io.StringIO("what is asked for a password\n"))
        patch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as left:
            main()
    return int(left.value.code or 0), printed.getvalue()


def type_in(folder: Path, page: Path) -> None:
    """Type a page's commands, line by line, and compare what the last line of each block prints with what it says."""
    for block in blocks(page, run=True):
        printed = ""
        for line in block.lines:
            code, printed = type_line(folder, line)
            assert code in ((0, 10) if "detect " in line else (0,)), f"{page.name}: {line}"
        if block.printed is not None:
            told = [" ".join(row.split()) for row in block.printed.splitlines() if row != "..."]
            rows = [" ".join(row.split()) for row in printed.splitlines()]
            assert [row for row in rows if row in told] == told, f"{page.name}: {block.lines[-1]}\n{printed}"


@pytest.fixture(scope="module")
def tutored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    type_in(folder, TUTORIAL)
    return folder


@pytest.mark.slow
def test_the_tutorial(tutored: Path) -> None:
    for name in ("town/report.html", "mine/model.nc", "mine/leakdetect.db", "report.html"):
        assert (tutored / name).stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.stem)
def test_a_recipe(page: Path, tutored: Path, tmp_path: Path) -> None:
    shutil.copytree(tutored / "town", tmp_path / "town")
    type_in(tmp_path, page)
    for block in blocks(page, "python"):
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(block.lines)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.stem)
def test_a_page(page: Path, tutored: Path, tmp_path: Path) -> None:
    shutil.copytree(tutored / "town", tmp_path / "town")
    type_in(tmp_path, page)


def test_every_formula_becomes_mathml() -> None:
    converter = pytest.importorskip("latex2mathml.converter", reason="needs the extra 'docs'")
    written = 0
    for page in PAGES:
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for formula in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, flags=re.DOTALL):
            made = converter.convert("".join(formula))
            assert "\\" not in made, "".join(formula)  # a command that it does not know is left as it is
            written += 1
    assert written > 50


def test_every_page_is_in_the_navigation() -> None:
    index = (PROJECT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(?:[^<\n]* <)?([\w/]+)>?$", index, flags=re.MULTILINE)
    there = {str(page.relative_to(PROJECT / "docs").with_suffix("")) for page in (PROJECT / "docs").rglob("*.md")}
    assert set(listed) == there - {"index"}
    assert len(listed) == len(set(listed))


def test_links_of_files_above_lead_to_pages() -> None:
    readme = generated.above("README.md")
    assert "](/tutorial.md)" in readme
    assert "](/changelog.md)" in readme
    assert "](../notebooks/first_leak.ipynb)" in readme
    assert "](docs/" not in readme
    assert generated.to_pages("see [it](../../README.md#more)") == "see [it](/readme.md#more)"
    assert generated.filled("a\n<!-- generated: above CHANGELOG.md -->\nb").startswith("a\n# Changelog")


def test_every_command_has_its_help_in_the_reference() -> None:
    printed = generated.commands()
    for name in ("demo", "fit", "detect", "events repair", "networks"):
        assert f"\n## {name}\n" in f"\n{printed}" or f"\n## {name} " in printed
    assert "--false" not in printed
    assert printed.count("Usage: leakdetect ") == printed.count("\n## ") + 1


def test_every_key_of_the_site_is_in_the_reference() -> None:
    table = generated.keys()
    assert "| `step_minutes` | whole number, ≥ 5, ≤ 360 | `60` | Readings are averaged over it. |" in table
    assert "| `quantity` | `flow` `pressure` `head` `level` `demand` | must be given | What is read. |" in table
    for block in ("[[readings]]", "[detection]", "[kpi.districts.NAME]", "[store]"):
        assert f"\n## {block}\n" in table
    keys = re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)
    assert {"glob", "late_days", "smallest_leak_m3h", "connections", "key_file", "url"} <= set(keys)


def test_a_key_without_a_meaning_is_told_of() -> None:
    from pydantic import BaseModel

    class Untold(BaseModel):
        depth: float

    with pytest.raises(LookupError, match=r"Untold\.depth: say what it means"):
        generated.meanings(Untold)
