"""The rules of docs/architecture.md: who may import whom, and how quick the door opens.

The order of the modules stands in pyproject.toml as import-linter contracts. What those cannot say stands here.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "leakdetect"
HEAVY = {"matplotlib", "numba", "pandas", "pyarrow", "scipy", "sklearn", "sqlalchemy", "wntr", "xarray"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield every module that is imported, at the top or inside a function, but for what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node, package)


@cache
def imports() -> dict[str, set[str]]:
    """Return what each module imports, ``from a import b`` as ``a.b``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = module_name(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = set(imported(ast.parse(path.read_text(encoding="utf-8")), package))
    return found


def inside(module: str, *packages: str) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


def test_imports_are_found() -> None:
    tree = ast.parse("import a.b\ndef f():\n    from ..c import d\nif TYPE_CHECKING:\n    import e\n")
    assert set(imported(tree, "x.y")) == {"a.b", "x.c.d"}
    assert inside("leakdetect.core.head", "leakdetect.core")
    assert not inside("leakdetect.corebus", "leakdetect.core")
    assert len(imports()) > 10


def test_core_imports_only_numerics() -> None:
    allowed = (*sys.stdlib_module_names, "numpy", "scipy", "numba", "leakdetect.core", "leakdetect.errors")
    wrong = {
        f"{module} imports {name}"
        for module, names in imports().items()
        if inside(module, "leakdetect.core")
        for name in names
        if not inside(name, *allowed)
    }
    assert not wrong


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("wntr", ("leakdetect.epanet", "leakdetect.epanet_run", "leakdetect.toolkit")),
        ("matplotlib", ("leakdetect.plot", "leakdetect.report")),
        ("numba", ("leakdetect.core.compiled",)),
        ("sqlalchemy", ("leakdetect.store", "leakdetect.readings", "leakdetect.databases")),
        ("alembic", ("leakdetect.store",)),
        ("fastapi", ("leakdetect.web",)),
        ("starlette", ("leakdetect.web",)),
        ("uvicorn", ("leakdetect.cli.serve",)),
        ("typer", ("leakdetect.cli",)),
        ("rich", ("leakdetect.cli",)),
    ],
)
def test_library_has_one_home(library: str, homes: tuple[str, ...]) -> None:
    users = {module for module, names in imports().items() if any(inside(name, library) for name in names)}
    assert users <= {module for module in imports() if inside(module, *homes)}


def test_contracts_are_kept() -> None:
    pytest.importorskip("importlinter")
    script = "import sys; from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_architecture_page_names_every_module() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layout = page.partition("## Layout")[2].partition("\n## ")[0]
    tops = {name.split(".")[1] for name in imports() if "." in name}
    assert not {top for top in tops if not re.search(rf"\b{top}(?:\.py|/)", layout)}


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded once `code` has run."""
    tail = "import json, sys; print('\\n' + json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_is_quick() -> None:
    assert not loaded_after("import leakdetect") & (HEAVY | {"numpy", "typer", "pydantic"})


def test_help_is_quick() -> None:
    code = """
import contextlib, sys
from leakdetect.cli import main
sys.argv = ["leakdetect", "--help"]
with contextlib.suppress(SystemExit):
    main()
"""
    assert not loaded_after(code) & (HEAVY | {"numpy"})


def test_what_is_imported_is_declared() -> None:
    from importlib.metadata import packages_distributions

    from packaging.requirements import Requirement

    table = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (line for name, lines in table["optional-dependencies"].items() if name != "dev" for line in lines)
    declared = {canonical(Requirement(line).name) for line in (*table["dependencies"], *extras)}
    known = packages_distributions()
    tops = {name.partition(".")[0] for names in imports().values() for name in names}
    undeclared = {
        top
        for top in tops - set(sys.stdlib_module_names) - {"leakdetect"}
        if not declared & {canonical(d) for d in known.get(top, [top])}
    }
    assert not undeclared


def canonical(distribution: str) -> str:
    return distribution.lower().replace("_", "-")
