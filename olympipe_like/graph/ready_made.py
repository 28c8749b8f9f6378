"""Python's built-in functions (``list_``, ``sorted_``) and those of ``operator`` (``not_``, ``itemgetter``), as nodes.

Made when one is asked for: importing the package makes none of them.
"""

from __future__ import annotations

import builtins
import operator
import types
from typing import Any

from olympipe_like.graph.nodes import opmethod


def ready_made(name: str) -> Any:
    """Return what makes nodes of a function, by the name it has here; None if there is no such function."""
    return None if name not in names() else _Named(_function(name), name)


def names() -> list[str]:
    """Return the names there are."""
    return [f"{name}_" for name in vars(builtins) if _is_function(builtins, name)] + [
        name for name in vars(operator) if _is_function(operator, name)
    ]


def _is_function(module: types.ModuleType, name: str) -> bool:
    found = getattr(module, name)
    if name.startswith("_") or (isinstance(found, type) and issubclass(found, BaseException)):
        return False
    return isinstance(found, (type, types.FunctionType, types.BuiltinFunctionType))


def _function(name: str) -> Any:
    if name.endswith("_") and _is_function(builtins, name[:-1]) if hasattr(builtins, name[:-1]) else False:
        return getattr(builtins, name[:-1])
    return getattr(operator, name)


class _Named(opmethod):
    """Found again by its name in this package, which no module holds before it is asked for."""

    def __init__(self, target: Any, name: str) -> None:
        super().__init__(target)
        self.key = name

    def __new__(cls, *_: Any) -> Any:
        return object.__new__(cls)

    def __reduce__(self) -> Any:
        return ready_made, (self.key,)
