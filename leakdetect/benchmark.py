"""Finds the benchmark registry: inside the installed package, or beside it in a source tree."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from leakdetect.errors import MissingFileError

NAME = "leakdetect.benchmarks"


def load_registry() -> ModuleType:
    """Return the package of benchmarks, imported as `NAME`.

    Raises
    ------
    MissingFileError
        If it is not there.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    here = Path(__file__).resolve().parent
    for folder in (here / "benchmarks", here.parent / "benchmarks"):
        init = folder / "__init__.py"
        if init.is_file():
            spec = spec_from_file_location(NAME, init, submodule_search_locations=[str(folder)])
            if spec is not None and spec.loader is not None:
                module = module_from_spec(spec)
                sys.modules[NAME] = module
                spec.loader.exec_module(module)
                return module
    raise MissingFileError(f"{here / 'benchmarks'}: no such folder: install leakdetect anew")


def call(module: str, function: str, asked: dict[str, Any]) -> Any:
    """Call a function of a benchmark module, in a process that may not have loaded the registry yet.

    Bound to module and function with `functools.partial` it can be sent there; what is asked and what comes back must
    then be of no class of the registry, which in a source tree is not found by its name.

    Parameters
    ----------
    module, function : str
    asked : dict
        The function's keywords.
    """
    load_registry()
    return getattr(import_module(f"{NAME}.{module}"), function)(**asked)
