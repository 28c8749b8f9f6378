"""Ship functions, and objects that hold functions, by value to a fresh interpreter.

Decides what of the caller's ``__main__`` travels with an object and how it is rebuilt. A top-level name of ``__main__``
that the object refers to, or that code it holds uses, travels once, by its name, into the worker's own ``__main__``;
everything else says "the one called Point". So ``isinstance``, Enum members, globals that functions share and items
pickled by plain pickle mean in the worker what they mean in the caller. What has no name there (lambdas, closures,
local classes) travels by value; what can be imported, by reference. Classes are copied as they are: a metaclass or
``__init_subclass__`` of ``__main__`` ran when the user's class was made and does not run again.

Plain pickle writes most of it, dill what pickle refuses, cloudpickle (where installed) what dill refuses. Locks and
open files never travel: a copy would guard or write something else.

Refuses to know processes, connections and plans; source code; names that code looks up by text (``globals()["x"]``).
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
import pickle
import sys
import threading
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not by C code
_LOCAL = {"__name__", "__builtins__", "__spec__", "__loader__"}  # every __main__ has its own
_IMMUTABLE = {bool, int, float, complex, str, bytes, tuple, frozenset, range, type(None), type(...)}
_CONTAINERS = {list, dict, set, bytearray}
_SLOTS = {types.MemberDescriptorType, types.GetSetDescriptorType}  # __dict__ and __weakref__ are of the second type
_FUNCTION_FIELDS = ["__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__", "__dict__"]
_FUNCTION_FIELDS += ["__type_params__", "__annotate__" if sys.version_info >= (3, 14) else "__annotations__"]
_ENUM_TABLES = {"_member_names_", "_member_map_", "_value2member_map_", "_hashable_values_"}  # EnumMeta makes its own
_ENUM_TABLES |= {"_unhashable_values_", "_unhashable_values_map_"}


class ShippingError(Exception):
    """An object cannot be sent to a worker."""

    def __init__(self, reason: str, variable: str | None = None, kind: str = "captured variable") -> None:
        super().__init__(reason, variable, kind)  # every field in args, so it pickles
        self.reason, self.variable, self.kind = reason, variable, kind

    def __str__(self) -> str:
        return self.reason if self.variable is None else f"{self.reason} ({self.kind} {self.variable!r})"


@dataclasses.dataclass(frozen=True, slots=True)
class Shipment:
    """An object and what it needs from ``__main__``, ready for plain pickle."""

    names: dict[str, bytes]  # top-level name -> its definition; names that hold each other have the same one
    blob: bytes  # the object itself


def pack(obj: object) -> Shipment:
    """Return an object and all it needs from ``__main__``, as bytes.

    Raises
    ------
    ShippingError
        If something will not pickle; names the captured variable, global or attribute.
    """
    packer = _Packer()
    packer.names[""] = obj
    names = packer.collect([""])
    return Shipment(blob=names.pop(""), names=names)


def pack_main_classes() -> dict[str, bytes]:
    """Return every class of ``__main__`` that packs, and what their methods use.

    For items: plain pickle sends an instance with no more than the name of its class.
    """
    packer = _Packer()
    not_yet_asked_for = packer.main.__shipped__.pending if isinstance(packer.main, _Main) else {}
    classes = [name for name, value in packer.names.items() if _is_class(value) and _is_mains(value)]
    return {**not_yet_asked_for, **packer.collect(classes, strict=False)}


def install_main() -> types.ModuleType:
    """Return a fresh ``__main__`` for `unpack` to fill, already in its place."""
    main = _Main("__main__")
    vars(main).clear()
    vars(main).update(__name__="__main__", __builtins__=sys.modules["builtins"], __spec__=None, __loader__=None)
    main.__shipped__ = _Names(vars(main))
    # In a caller that multiprocessing spawned, classes of its __main__ give the second name.
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main
    return main


def unpack(shipment: Shipment, classes: Mapping[str, bytes] = types.MappingProxyType({})) -> Any:
    """Return the object of a shipment, with its names defined in ``__main__``.

    Names that ``__main__`` has already stay as they are. ``classes`` wait until something asks for them.
    """
    main = sys.modules["__main__"]
    names = main.__shipped__ if isinstance(main, _Main) else _Names(vars(main))
    with names.lock:
        names.pending.update({k: blob for k, blob in {**classes, **shipment.names}.items() if k not in names.space})
        obj = names.define(shipment.blob)[""]
        names.settle(shipment.names)
    return obj


# -- packing ----------------------------------------------------------------------------------------------------------


class _Definition(typing.NamedTuple):
    blob: bytes
    refers: set[str]  # names to define before this one
    uses: set[str]  # names its code needs when it runs
    holds: dict[int, object]  # nameless objects that must stay one, by id; kept, so that no id is given twice


class _Packer:
    """One look at ``__main__``: its values by name, and the name under which each value is at home."""

    def __init__(self) -> None:
        self.main = sys.modules["__main__"]
        self.space = vars(self.main)
        self.names: dict[str, Any] = dict(self.space)  # a copy: keeps the values, and so their ids
        self.homes: dict[int, str] = {id(self.space): "__dict__"}
        self.spaces: dict[int, _Space] = {}
        for name, value in self.names.items():
            is_code = type(value) is types.FunctionType or _is_class(value)
            elsewhere = issubclass(type(value), types.ModuleType) or (is_code and _is_importable(value))
            if elsewhere or type(value) in _IMMUTABLE or name.startswith("__"):
                continue
            if id(value) not in self.homes or (is_code and value.__name__ == name):  # by which plain pickle knows it
                self.homes[id(value)] = name

    def collect(self, roots: Iterable[str], *, strict: bool = True) -> dict[str, bytes]:
        """Return the definitions of names and of all they need; if not strict, of those that pack."""
        found: dict[str, _Definition] = {}
        broken: set[str] = set()
        todo = [*roots, *(["__package__"] if self.names.get("__package__") else [])]  # for `from . import` in functions
        while todo:
            name = todo.pop()
            if name in found or name in broken or name in _LOCAL or name not in self.names:
                continue
            try:
                found[name] = self.define([name])
                todo += found[name].refers | found[name].uses
            except ShippingError:
                if strict:
                    raise
                broken.add(name)
        return self._together(found, broken)

    def _together(self, found: dict[str, _Definition], broken: set[str]) -> dict[str, bytes]:
        """Define names that hold each other, or share something nameless, in one blob: apart they would hold copies."""
        reach = {name: {name} | definition.refers for name, definition in found.items()}
        holders: dict[int, str] = {}
        for name, definition in found.items():
            for other in {holders.setdefault(key, name) for key in definition.holds}:
                reach[name].add(other)
                reach[other].add(name)
        for via in found:
            for name in found:
                if via in reach[name]:
                    reach[name] |= reach[via]
        blobs: dict[str, bytes] = {}
        for name in sorted(found):
            if name not in blobs and not reach[name] & broken:
                group = sorted(other for other in found if other in reach[name] and name in reach[other])
                blob = found[name].blob if group == [name] else self.define(group).blob
                blobs.update(dict.fromkeys(group, blob))
        return blobs

    def define(self, group: list[str]) -> _Definition:
        """Pickle the values of some names with the first pickler that can."""
        failure = ShippingError("no pickler")
        for module in ("pickle", "dill", "cloudpickle"):
            try:
                pickler = _pickler(module)
            except ImportError:  # cloudpickle is optional
                break
            file = io.BytesIO()
            writer = pickler(file, pickle.HIGHEST_PROTOCOL)
            writer.aim(self, set(group))
            try:
                writer.dump({name: self.names[name] for name in group})
            except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything; it becomes the reason
                if writer.trail:  # dill's, the one written in Python: it can tell where it was
                    known = isinstance(error, (TypeError, pickle.PicklingError))
                    reason = str(error) if known else f"{type(error).__name__}: {error}"
                    failure = ShippingError(reason, *_blame(writer.trail[-2::-1], group[0]))
                    failure.__cause__ = error
            else:
                pickle.dump(sorted(writer.uses), file)
                holds = {} if _is_class(self.names[group[0]]) else writer.holds
                return _Definition(file.getvalue(), writer.refers, writer.uses, holds)
        raise failure


class _Writer:
    """What all three picklers do alike: names by reference, code by value."""

    def aim(self, packer: _Packer, group: set[str]) -> None:
        self.packer, self.group = packer, group
        self.refers: set[str] = set()
        self.uses: set[str] = set()
        self.holds: dict[int, object] = {}
        self.trail: list[object] = []  # from what failed outwards

    def persistent_id(self, obj: object) -> str | None:
        name = self.packer.homes.get(id(obj))
        if name is not None and name not in self.group:
            self.refers.add(name)
            return name
        if type(obj) in _CONTAINERS:
            self.holds[id(obj)] = obj
        return None

    def save(self, obj: object, save_persistent_id: bool = True) -> None:  # noqa: FBT001, FBT002 - pickle's signature
        try:
            super().save(obj, save_persistent_id)  # type: ignore[misc]
        except Exception:
            self.trail.append(obj)
            raise

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is types.FunctionType or _is_class(obj):
            if _is_importable(obj):
                return obj.__qualname__
            return self._in_a_class(obj) or (self._class(obj) if _is_class(obj) else self._function(obj))
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
        if is_python and self.packer.homes.get(id(obj)) in self.group and _is_mains(obj):
            return (object.__new__, (type(obj),), vars(obj)) if isinstance(obj.__reduce__(), str) else NotImplemented
        return NotImplemented

    def _in_a_class(self, obj: Any) -> Any:
        """Refer to what a class of ``__main__`` holds, like ``Point.norm``, by way of that class; else None."""
        root, _, path = obj.__qualname__.partition(".")
        holder = found = self.packer.names.get(root)
        if not path or self.packer.homes.get(id(holder), "") in self.group | {""}:
            return None
        for name in path.split("."):
            found = vars(found).get(name) if _is_class(found) else None
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
            space = self.packer.spaces.setdefault(id(space), _Space(space))
            if space.module is None:
                self.holds[id(space)] = space
                own = {name: function.__globals__[name] for name in used - _LOCAL}
        fields = {name: getattr(function, name) for name in _FUNCTION_FIELDS if getattr(function, name, None)}
        parts = (marshal.dumps(function.__code__), space, function.__closure__)
        return _make_function, parts, (fields, own), None, None, _fill_function

    def _class(self, cls: Any) -> Any:
        if not cls.__flags__ & _HEAP_TYPE:
            name = next((name for name, kind in vars(types).items() if kind is cls), None)
            return NotImplemented if name is None else (getattr, (types, name))
        self.holds[id(cls)] = cls
        fields = {k: v for k, v in vars(cls).items() if not (type(v) in _SLOTS and v.__objclass__ is cls)}
        fields["__qualname__"] = cls.__qualname__
        early = {name: fields.pop(name) for name in ("__module__", "__slots__", "__orig_bases__") if name in fields}
        members, details, virtual = {}, {}, []
        if fields.pop("_abc_impl", None) is not None:
            virtual = [ref() for ref in abc._get_dump(cls)[0]]  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
        if issubclass(type(cls), enum.EnumMeta):
            members = {name: (member._value_, *_data_of(member)) for name, member in cls.__members__.items()}
            details = {name: vars(member) for name, member in cls.__members__.items()}
            fields = {name: fields[name] for name in fields if name not in members and name not in _ENUM_TABLES}
        parts = (type(cls), cls.__name__, cls.__bases__, early, members)
        return _make_class, parts, (fields, virtual, details), None, None, _fill_class


class _Space:
    """Stands for a dict of globals that is not that of ``__main__``; all functions over it find one dict again."""

    __slots__ = ("module", "name")

    def __init__(self, space: dict[str, Any]) -> None:
        self.name = space.get("__name__")
        module = sys.modules.get(str(self.name))
        self.module = module if module is not None and vars(module) is space else None

    def __reduce__(self) -> Any:
        return (dict, ({"__name__": self.name},)) if self.module is None else (vars, (self.module,))


@functools.cache
def _pickler(module: str) -> Any:
    return type("_Pickler", (_Writer, importlib.import_module(module).Pickler), {})


def _is_class(obj: object) -> bool:
    return issubclass(type(obj), type)  # isinstance would ask obj.__class__, which a proxy answers with user code


def _is_mains(obj: Any) -> bool:
    return sys.modules.get(obj.__module__) is sys.modules["__main__"]


def _is_importable(obj: Any) -> bool:
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
        return types.CellType, (), {"cell_contents": cell.cell_contents}, None, None, _fill
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
    return make, (), {} if hasattr(parameter, "__value__") else {"__module__": parameter.__module__}, None, None, _fill


def _refuse(obj: Any) -> Any:
    raise TypeError(f"cannot pickle '{type(obj).__module__}.{type(obj).__qualname__}' object")


def _with_cache(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


_REDUCERS: dict[Any, Any] = {
    types.CellType: _reduce_cell,
    types.ModuleType: _reduce_module,
    types.MethodType: lambda method: (types.MethodType, (method.__func__, method.__self__)),
    type(functools.lru_cache(len)): lambda cached: (_with_cache, (cached.__wrapped__, cached.cache_parameters())),
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


def _blame(trail: list[Any], root: str) -> tuple[str | None, str]:
    """Name the variable that did not pickle, from the objects on the way to it, the outermost first."""
    kind, path, at = "global", root, 0
    places = {id(obj): place for place, obj in enumerate(trail)}
    while at < len(trail):
        on_the_way = (part for part in _parts(trail[at]) if places.get(id(part[2]), 0) > at)
        step, name, part = next(on_the_way, ("", "", None))
        at = places[id(part)] if step else at + 1
        if step in {"captured variable", "argument", "global"}:
            kind, path = step, name
        elif step in {"item", "attribute"}:
            kind = kind if path else step
            path += f"[{name}]" if step == "item" else f".{name}" if path else name
    return (path[:100] or None), kind  # a recursion can be a long way


def _parts(obj: Any) -> Iterator[tuple[str, str, object]]:
    if type(obj) is types.CellType:
        yield "cell", "", obj.cell_contents
    elif type(obj) is types.FunctionType:
        code = obj.__code__
        defaults = zip(code.co_varnames[: code.co_argcount][::-1], (obj.__defaults__ or ())[::-1], strict=False)
        yield from (("captured variable", *pair) for pair in zip(code.co_freevars, obj.__closure__ or (), strict=True))
        yield from (("argument", *pair) for pair in [*defaults, *(obj.__kwdefaults__ or {}).items()])
        yield from (("global", name, obj.__globals__.get(name)) for name in code.co_names)
    elif type(obj) in {dict, list}:
        yield from (("item", repr(key), part) for key, part in (obj.items() if type(obj) is dict else enumerate(obj)))
    slots = {name: getattr(obj, name, None) for kind in type(obj).__mro__ for name in vars(kind).get("__slots__", ())}
    yield from (("attribute", *pair) for pair in {**slots, **getattr(obj, "__dict__", {})}.items())


# -- rebuilding, in the worker ----------------------------------------------------------------------------------------


def _fill(obj: object, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(obj, name, value)


def _make_function(code: bytes, space: dict[str, Any], closure: tuple[Any, ...] | None) -> types.FunctionType:
    return types.FunctionType(marshal.loads(code), space, None, None, closure)  # noqa: S302 - as private as pickle


def _fill_function(function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    fields, space = state
    function.__globals__.update(space)
    _fill(function, fields)


def _make_class(meta: Any, name: str, bases: tuple[Any, ...], early: dict[str, Any], members: dict[str, Any]) -> Any:
    """Make a class without its contents, so that they can refer to it; members of an Enum are there from the start."""
    ready = ("typing", "typing_extensions")  # what their metaclasses do is in the contents
    maker = next(kind for kind in meta.__mro__ if not _is_mains(kind) and kind.__module__ not in ready)
    parents = dict.fromkeys(parent for base in bases for parent in base.__mro__ if _is_mains(parent))
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


def _fill_class(cls: Any, state: tuple[dict[str, Any], list[Any], dict[str, dict[str, Any]]]) -> None:
    fields, virtual, details = state
    for name, value in fields.items():
        type.__setattr__(cls, name, value)
    for other in virtual:
        cls.register(other)
    for name, attributes in details.items():
        vars(cls.__members__[name]).update(attributes)


class _Names:
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
    names: _Names

    def persistent_load(self, name: str) -> Any:
        names = self.names
        if name == "__dict__":
            return names.space
        if name not in names.space:
            names.define(names.pending[name])
        return names.space[name]


class _Main(types.ModuleType):
    """A ``__main__`` that defines a name when it is first asked for."""

    __slots__ = ("__shipped__",)
    __shipped__: _Names

    def __getattr__(self, name: str) -> Any:
        self.__shipped__.settle([name])
        if name in vars(self):
            return vars(self)[name]
        raise AttributeError(f"module '__main__' has no attribute {name!r}")
