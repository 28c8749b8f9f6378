"""Take functions, classes and what else picklers refuse apart, for `rebuild` to put together again.

Decides what travels by name, by import and by value while something is pickled. Refuses to know what is packed, and in
which order: a packer says where the values of ``__main__`` are at home.
"""

from __future__ import annotations

import abc
import dataclasses
import dis
import enum
import functools
import importlib
import io
import marshal
import operator
import sys
import threading
import types
import typing
from collections.abc import Container, Iterable, Iterator
from typing import Any, Protocol

from olympipe_like._transport.loading import load
from olympipe_like._transport.marks import class_of, mark_of
from olympipe_like._transport.rebuild import (
    fill,
    fill_class,
    fill_function,
    is_mains,
    make_class,
    make_function,
    with_cache,
)

LOCAL = {"__name__", "__builtins__", "__spec__", "__loader__"}  # every __main__ has its own
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not by C code
_CONTAINERS = {list, dict, set, bytearray}
_SLOTS = {types.MemberDescriptorType, types.GetSetDescriptorType}  # __dict__ and __weakref__ are of the second type
_FUNCTION_FIELDS = ["__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__", "__dict__"]
_FUNCTION_FIELDS += ["__type_params__", "__annotate__" if sys.version_info >= (3, 14) else "__annotations__"]
_ENUM_TABLES = {"_member_names_", "_member_map_", "_value2member_map_", "_hashable_values_"}  # EnumMeta makes its own
_ENUM_TABLES |= {"_unhashable_values_", "_unhashable_values_map_"}


class Packer(Protocol):
    """What a writer asks: the values of ``__main__``, under which names they are at home, and what travels apart."""

    space: dict[str, Any]
    names: dict[str, Any]
    homes: dict[int, str]
    spaces: dict[int, Space]
    apart: Container[str]  # marks of the classes that the receiver has before the object comes
    needed: set[str]  # those of them that the object refers to
    met: dict[str, type]  # the other classes, by mark


class Writer:
    """What all three picklers do alike: names by reference, code by value."""

    def aim(self, packer: Packer, group: set[str]) -> None:
        """Prepare to write the names of a group."""
        self.packer, self.group = packer, group
        self.refers: set[str] = set()
        self.uses: set[str] = set()
        self.holds: dict[int, object] = {}
        self.trail: list[object] = []  # from what failed outwards

    def persistent_id(self, obj: object) -> str | None:
        """Return the name by which a value of ``__main__`` travels, if it has one outside the group."""
        name = self.packer.homes.get(id(obj))
        if name is not None and name not in self.group:
            self.refers.add(name)
            return name
        if type(obj) in _CONTAINERS:
            self.holds[id(obj)] = obj
        return None

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Save an object and, if that fails, leave a trail to it; only a pickler written in Python calls this."""
        try:
            super().save(obj, save_persistent_id)  # type: ignore[misc]
        except Exception:
            self.trail.append(obj)
            raise

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object is rebuilt, or leave it to the pickler."""
        if type(obj) is types.FunctionType or is_class(obj):
            if is_importable(obj):
                return obj.__qualname__
            return self._in_a_class(obj) or (self._class(obj) if is_class(obj) else self._function(obj))
        kind: Any = type(obj)
        mutable = kind.__hash__ is None or kind.__dictoffset__ or kind is types.CellType
        if mutable and not issubclass(kind, (types.ModuleType, enum.Enum)):
            self.holds[id(obj)] = obj
        for name in ("stdin", "stdout", "stderr"):
            if obj is getattr(sys, name):
                return getattr, (sys, name)
        reduce = next((_REDUCERS[each] for each in kind.__mro__ if each in _REDUCERS), None)
        if reduce is not None:
            return reduce(obj)
        # A global whose __reduce__ gives its own name, like a NewType: no use where that name is being defined.
        is_python = type(getattr(type(obj), "__reduce__", None)) is types.FunctionType
        if is_python and self.packer.homes.get(id(obj)) in self.group and is_mains(obj):
            return (object.__new__, (type(obj),), vars(obj)) if isinstance(obj.__reduce__(), str) else NotImplemented
        return NotImplemented

    def _in_a_class(self, obj: Any) -> Any:
        """Refer to what a class of ``__main__`` holds, like ``Point.norm``, by way of that class; else None."""
        root, _, path = obj.__qualname__.partition(".")
        holder = found = self.packer.names.get(root)
        if not path or self.packer.homes.get(id(holder), "") in self.group | {""}:
            return None
        for name in path.split("."):
            found = vars(found).get(name) if is_class(found) else None
        found = found.__func__ if type(found) is staticmethod else found
        return (operator.attrgetter(path), (holder,)) if found is obj else None

    def _function(self, function: types.FunctionType) -> Any:
        self.holds[id(function)] = function
        space: Any = function.__globals__
        used = set(_globals_of(function.__code__, space.keys()))
        own = {}
        if space is self.packer.space:
            self.uses |= used
        else:
            space = self.packer.spaces.setdefault(id(space), Space(space))
            if space.module is None:
                self.holds[id(space)] = space
                own = {name: function.__globals__[name] for name in used - LOCAL}
        fields = {name: getattr(function, name) for name in _FUNCTION_FIELDS if getattr(function, name, None)}
        parts = (marshal.dumps(function.__code__), space, function.__closure__)
        return make_function, parts, (fields, own), None, None, fill_function

    def _class(self, cls: Any) -> Any:
        if not cls.__flags__ & _HEAP_TYPE:
            name = next((name for name, kind in vars(types).items() if kind is cls), None)
            return NotImplemented if name is None else (getattr, (types, name))
        mark = mark_of(cls)
        if mark in self.packer.apart:
            self.packer.needed.add(mark)
            return class_of, (mark,)
        self.packer.met[mark] = cls
        self.holds[id(cls)] = cls
        fields = {k: v for k, v in vars(cls).items() if not (type(v) in _SLOTS and v.__objclass__ is cls)}
        fields["__qualname__"] = cls.__qualname__
        early = {name: fields.pop(name) for name in ("__module__", "__slots__", "__orig_bases__") if name in fields}
        members, details, virtual = {}, {}, []
        if fields.pop("_abc_impl", None) is not None:
            virtual = [ref() for ref in abc._get_dump(cls)[0]]  # type: ignore[attr-defined]
        if issubclass(type(cls), enum.EnumMeta):
            members = {name: (member._value_, *_data_of(member)) for name, member in cls.__members__.items()}
            details = {name: vars(member) for name, member in cls.__members__.items()}
            fields = {name: fields[name] for name in fields if name not in members and name not in _ENUM_TABLES}
        parts = (type(cls), cls.__name__, cls.__bases__, early, members, mark)
        return make_class, parts, (fields, virtual, details, mark), None, None, fill_class


class Space:
    """Stands for a dict of globals that is not that of ``__main__``; all functions over it find one dict again."""

    __slots__ = ("module", "name")

    def __init__(self, space: dict[str, Any]) -> None:
        self.name = space.get("__name__")
        module = sys.modules.get(str(self.name))
        self.module = module if module is not None and vars(module) is space else None

    def __reduce__(self) -> Any:
        return (dict, ({"__name__": self.name},)) if self.module is None else (vars, (self.module,))


@functools.cache
def pickler_of(module: str) -> Any:
    """Return a module's pickler, as a writer."""
    return type("_Pickler", (Writer, load(module).Pickler), {})


def is_class(obj: object) -> bool:
    """Tell whether an object is a class."""
    return issubclass(type(obj), type)  # isinstance would ask obj.__class__, which a proxy answers with user code


def is_importable(obj: Any) -> bool:
    """Tell whether a function or class is what its module holds under its name."""
    found: Any = sys.modules.get(obj.__module__)
    if found is None or found is sys.modules["__main__"]:
        return False
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def _globals_of(code: types.CodeType, known: Iterable[str]) -> Iterator[str]:
    if not set(code.co_names).isdisjoint(known):  # disassembling is slow; attributes are in co_names too
        for step in dis.get_instructions(code):
            if ("GLOBAL" in step.opname or step.opname == "LOAD_NAME") and step.argval in known:
                yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_of(constant, known)


def _data_of(member: Any) -> tuple[type, tuple[Any, ...]]:
    """Return the built-in type a member of an Enum is made of, and the arguments that make it again."""
    kinds = type(member)._member_type_.__mro__
    data: Any = next(kind for kind in kinds if type(vars(kind).get("__new__")) is types.BuiltinFunctionType)
    if hasattr(data, "__getnewargs__"):
        return data, data.__getnewargs__(member)
    return data, () if data.__reduce__ is object.__reduce__ else data.__reduce__(member)[1]


# -- values that need more than the picklers know ---------------------------------------------------------------------


def _reduce_cell(cell: Any) -> Any:
    try:
        return types.CellType, (), {"cell_contents": cell.cell_contents}, None, None, fill
    except ValueError:  # empty
        return types.CellType, ()


def _reduce_module(module: types.ModuleType) -> Any:
    if sys.modules.get(module.__name__) is not module:
        raise TypeError(f"cannot pickle module {module.__name__!r}: nothing can be imported by that name")
    return importlib.import_module, (module.__name__,)


def _reduce_type_parameter(parameter: Any) -> Any:
    options = ["bound", "covariant", "contravariant", "type_params"]
    options += ["infer_variance"] * (sys.version_info >= (3, 12)) + ["default"] * (sys.version_info >= (3, 13))
    given = {name: getattr(parameter, f"__{name}__") for name in options if hasattr(parameter, f"__{name}__")}
    value = (parameter.__value__,) if hasattr(parameter, "__value__") else getattr(parameter, "__constraints__", ())
    kind: Any = type(parameter)
    make = functools.partial(kind, parameter.__name__, *value, **given)
    return make, (), {} if hasattr(parameter, "__value__") else {"__module__": parameter.__module__}, None, None, fill


def _refuse(obj: Any) -> Any:
    raise TypeError(f"cannot pickle '{type(obj).__module__}.{type(obj).__qualname__}' object")


_REDUCERS: dict[Any, Any] = {
    types.CellType: _reduce_cell,
    types.ModuleType: _reduce_module,
    types.MethodType: lambda method: (types.MethodType, (method.__func__, method.__self__)),
    type(functools.lru_cache(len)): lambda cached: (with_cache, (cached.__wrapped__, cached.cache_parameters())),
    functools.cached_property: lambda prop: (type(prop), (prop.func,), {"attrname": prop.attrname}),
}
for _name in ("TypeVar", "ParamSpec", "TypeVarTuple", "TypeAliasType"):  # the last ones are of Python 3.11 and 3.12
    _REDUCERS[getattr(typing, _name, typing.TypeVar)] = _reduce_type_parameter
for _type in (io.FileIO, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper):
    _REDUCERS[_type] = _refuse
_REDUCERS[type(threading.Lock())] = _REDUCERS[type(threading.RLock())] = _refuse
for _name, _mark in vars(dataclasses).items():  # MISSING and the like, which are compared with `is`
    if type(_mark).__module__ == "dataclasses":
        _REDUCERS[type(_mark)] = lambda mark: next(name for name, value in vars(dataclasses).items() if value is mark)
