"""Compiles plain loops to machine code: the only place that knows the compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function at its first call, and keep the machine code for the next process.

    It is kept in `__pycache__` beside the module; where that cannot be written, as in a package that the administrator
    installed, in the user's own cache folder (numba's, or the one that ``NUMBA_CACHE_DIR`` names); where there is none
    either, it is compiled in every process.

    It must call no compiled function of another module: what is kept is made anew only when its own file changes. The
    constants of other modules are kept with it: whoever changes one of those removes `__pycache__`.
    """
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
    try:
        return cast(Function, njit(cache=True, **options)(function))
    except RuntimeError:  # no folder to keep it in
        return cast(Function, njit(**options)(function))
