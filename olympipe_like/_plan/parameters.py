"""What a function of the user's asks for besides what it works on."""

from __future__ import annotations

import inspect
from functools import partial
from types import FunctionType, MethodType


def wants_rng(function: object, behind: int) -> bool:
    """Whether a function has a parameter ``rng`` that can be given by name.

    ``behind``: it gets so many positional arguments (>= 0); a parameter that takes one of those does not count, nor
    does one that a `functools.partial` has given already.
    """
    if isinstance(function, FunctionType):
        return _declares_rng(function, behind)  # `inspect` takes 10 µs, and streams are opened by the thousand
    if isinstance(function, MethodType):
        return wants_rng(function.__func__, behind + 1)
    if isinstance(function, partial):
        return "rng" not in function.keywords and wants_rng(function.func, behind + len(function.args))
    if not callable(function):
        return False
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # builtins may have no signature; then they ask for nothing
        return False
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = next((n for n, each in enumerate(parameters) if each.name == "rng" and each.kind in by_name), None)
    return found is not None and (found >= behind or parameters[found].kind is inspect.Parameter.KEYWORD_ONLY)


def _declares_rng(function: FunctionType, behind: int) -> bool:
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    by_name = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    if "rng" in positional[max(behind, code.co_posonlyargcount) :] or "rng" in by_name:
        return True
    # A decorator that passes on whatever it is given; one that takes the item alone is not to be given more.
    inner = getattr(function, "__wrapped__", None)
    return inner is not None and bool(code.co_flags & inspect.CO_VARKEYWORDS) and wants_rng(inner, behind)
