"""Put together in the worker what `by_value` took apart in the caller, and fill the worker's ``__main__``.

Decides when a name of ``__main__`` is defined: those of a shipment at once, others when something asks for them.
Refuses to know how a definition came to be.
"""

from __future__ import annotations

import enum
import functools
import io
import marshal
import pickle
import sys
import threading
import types
from collections.abc import Iterable
from typing import Any

from olympipe_like._transport import marks


def is_mains(obj: Any) -> bool:
    """Tell whether a function or class says it is of ``__main__``, by whichever name that goes."""
    return sys.modules.get(obj.__module__) is sys.modules["__main__"]


def fill(obj: object, fields: dict[str, Any]) -> None:
    """Set attributes."""
    for name, value in fields.items():
        setattr(obj, name, value)


def make_function(code: bytes, space: dict[str, Any], closure: tuple[Any, ...] | None) -> types.FunctionType:
    """Make a function without its contents, so that they can refer to it."""
    return types.FunctionType(marshal.loads(code), space, None, None, closure)  # noqa: S302 - as private as pickle


def fill_function(function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a function its attributes, and its globals where they are not those of a module."""
    fields, space = state
    function.__globals__.update(space)
    fill(function, fields)


def make_class(
    meta: Any, name: str, bases: tuple[Any, ...], early: dict[str, Any], members: dict[str, Any], mark: str = ""
) -> Any:
    """Make a class without its contents, so that they can refer to it; members of an Enum are there from the start.

    One that is here already, as its mark tells, is taken as it is.
    """
    if (known := marks.find(mark)) is not None:
        return known
    ready = ("typing", "typing_extensions")  # what their metaclasses do is in the contents
    maker = next(kind for kind in meta.__mro__ if not is_mains(kind) and kind.__module__ not in ready)
    parents = dict.fromkeys(parent for base in bases for parent in base.__mro__ if is_mains(parent))
    hooks = [(parent, vars(parent)["__init_subclass__"]) for parent in parents if "__init_subclass__" in vars(parent)]
    for parent, _ in hooks:
        type.__delattr__(parent, "__init_subclass__")
    try:
        if not issubclass(meta, enum.EnumMeta):
            return maker.__new__(meta, name, bases, early)
        cls = maker.__new__(meta, name, bases, _enum_space(meta.__prepare__(name, bases), early, members))
        for trace in {"__init__", "__new_member__"} & vars(cls).keys():
            type.__delattr__(cls, trace)
        return cls
    finally:
        for parent, hook in hooks:
            type.__setattr__(parent, "__init_subclass__", hook)


def _enum_space(space: Any, early: dict[str, Any], members: dict[str, Any]) -> Any:
    parts = iter(members.values())

    def remake(cls: Any, *_: object) -> Any:  # a __new__ of the user's would want what the value was made of
        value, data, args = next(parts)
        member = data.__new__(cls, *args)
        member._value_ = value
        return member

    for name, value in {**early, "__new__": remake, "__init__": lambda *_: None}.items():
        space[name] = value
    mark = getattr(enum, "member", lambda value: value)  # Python 3.11: a function can be a member too
    for name, (value, *_) in members.items():
        space[name] = mark(value)
    return space


def fill_class(cls: Any, state: tuple[Any, ...]) -> None:
    """Give a class its contents, its virtual subclasses and, if it is an Enum, its members' attributes."""
    fields, virtual, details, *mark = state  # older dead letters have no mark
    if mark and marks.find(mark[0]) is cls:
        return  # it was here already
    for name, value in fields.items():
        type.__setattr__(cls, name, value)
    for other in virtual:
        cls.register(other)
    for name, attributes in details.items():
        vars(cls.__members__[name]).update(attributes)
    for each in mark:
        marks.settle(each, cls)


def with_cache(function: Any, parameters: dict[str, Any]) -> Any:
    """Return a function with a cache of its own."""
    return functools.lru_cache(**parameters)(function)


class Names:
    """The names of a ``__main__`` that are defined, and those that are not yet."""

    def __init__(self, space: dict[str, Any]) -> None:
        self.space = space
        self.pending: dict[str, bytes] = {}
        self.wanted: list[str] = []
        self.lock = threading.RLock()  # a worker of several threads unpickles items in each

    def define(self, blob: bytes) -> dict[str, Any]:
        """Define the names of one blob and those they refer to; note those that their code uses."""
        file = io.BytesIO(blob)
        reader = _Reader(file)
        reader.names = self
        values: dict[str, Any] = reader.load()
        self.wanted += pickle.load(file)
        for name in values.keys() - {""}:
            self.space.setdefault(name, values[name])
            self.pending.pop(name, None)
        return values

    def settle(self, names: Iterable[str]) -> None:
        """Define names and all that their code uses."""
        with self.lock:
            self.wanted += names
            while self.wanted:
                name = self.wanted.pop()
                if name in self.pending and name not in self.space:
                    self.define(self.pending[name])


class _Reader(pickle.Unpickler):
    names: Names

    def persistent_load(self, name: str) -> Any:
        names = self.names
        if name == "__dict__":
            return names.space
        if name not in names.space:
            names.define(names.pending[name])
        return names.space[name]


class Main(types.ModuleType):
    """A ``__main__`` that defines a name when it is first asked for."""

    __slots__ = ("__shipped__",)
    __shipped__: Names

    def __getattr__(self, name: str) -> Any:
        self.__shipped__.settle([name])
        if name in vars(self):
            return vars(self)[name]
        raise AttributeError(f"module '__main__' has no attribute {name!r}")
