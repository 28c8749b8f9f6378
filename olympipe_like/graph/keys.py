"""Keys for caches: the same for equal values in every process, whatever its hash seed."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import struct
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

# Of a function's code: what it does. Not: file names and lines, which change while it does the same.
_CODE = (
    "co_code",
    "co_consts",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_argcount",
    "co_kwonlyargcount",
    "co_flags",
)


def stable_key(value: Any) -> str:
    """Return a text of 32 hexadecimal digits made of a value; equal values of the same types give the same.

    Numbers, texts, bytes, containers, arrays, paths, dates, classes and functions do, and objects that pickle. A
    function is its name, code, defaults and captured variables; what it calls is its name only. Sets and dicts count
    in no order. ``1``, ``1.0`` and ``True`` give different keys.

    Raises
    ------
    TypeError
        If there is something in it that cannot be pickled.

    Examples
    --------
    >>> from olympipe_like.graph import stable_key
    >>> stable_key({"a": 1, "b": {2, 3}}) == stable_key({"b": {3, 2}, "a": 1})
    True
    """
    return _digest(value, {}).hex()


def _digest(value: Any, above: dict[int, int]) -> bytes:
    """Return 16 bytes; ``above`` numbers the objects that this one is a part of, as some contain themselves."""
    if id(value) in above:
        return _hash("above", struct.pack("<q", above[id(value)]))
    kind = type(value)
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return _hash(kind.__name__, simple(value))
    inner = {**above, id(value): len(above)}
    digest = functools.partial(_digest, above=inner)
    if kind in (tuple, list):
        return _hash(kind.__name__, *map(digest, value))
    if kind in (set, frozenset):
        return _hash(kind.__name__, *sorted(map(digest, value)))
    if kind is dict:
        return _hash("dict", *sorted(digest(key) + digest(part) for key, part in value.items()))
    if kind is types.CodeType:
        return _hash("code", *(digest(getattr(value, name)) for name in _CODE))
    return _hash(_name(kind), *_object_parts(value, digest))


def _hash(kind: str, *parts: bytes) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for part in (kind.encode(), *parts):
        found.update(struct.pack("<q", len(part)))  # where one part ends and the next begins
        found.update(part)
    return found.digest()


_SIMPLE: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"",
    type(...): lambda _: b"",
    bool: lambda value: b"%d" % value,
    int: lambda value: b"%d" % value,
    float: lambda value: struct.pack("<d", value),
    complex: lambda value: struct.pack("<dd", value.real, value.imag),
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: bytes,
    bytearray: bytes,
}


def _name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_numpy(value: Any, *path: str) -> bool:
    """Whether a value is of a class of numpy; what only behaves like it may be more than its bytes."""
    found: Any = sys.modules.get("numpy")  # None, or half imported: then there is no value of it
    for name in path:
        found = getattr(found, name, None)
    return isinstance(found, type) and isinstance(value, found)


def _object_parts(value: Any, digest: Callable[[Any], bytes]) -> Iterator[bytes]:
    if isinstance(value, type):
        yield digest(_name(value))
    elif isinstance(value, types.ModuleType):
        yield digest(value.__name__)
    elif isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        yield digest(
            (value.__module__, value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, cells)
        )
    elif isinstance(value, types.MethodType):
        yield digest((value.__func__, value.__self__))
    elif isinstance(value, types.BuiltinFunctionType):
        owner = value.__self__
        yield digest((value.__qualname__, value.__module__, None if isinstance(owner, types.ModuleType) else owner))
    elif _is_numpy(value, "ma", "MaskedArray"):
        yield digest((value.data, value.mask, getattr(value, "fill_value", None)))  # numpy.ma.masked has none
    elif (_is_numpy(value, "ndarray") or _is_numpy(value, "generic")) and not value.dtype.hasobject:
        # Their pickle depends on the memory layout; the values do not.
        yield digest((value.dtype.str if value.dtype.names is None else value.dtype.descr, value.shape))
        yield value.tobytes()
        if type(value).__module__.partition(".")[0] != "numpy":
            yield digest(getattr(value, "__dict__", None))  # of an array with a unit, the unit
    else:
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(reduced, str):
            yield digest((getattr(value, "__module__", None), reduced))
            return
        parts: list[Any] = [*reduced, None, None, None]
        make, args, state, items, pairs = parts[:5]
        yield digest((make, args, state))
        yield digest(list(items) if items is not None else None)
        yield digest(dict(pairs) if pairs is not None else None)
