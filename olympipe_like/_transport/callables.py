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

import contextlib
import dataclasses
import io
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from olympipe_like._transport.by_value import LOCAL, Space, is_class, is_importable, pickler_of
from olympipe_like._transport.rebuild import Main, Names, is_mains

_IMMUTABLE = {bool, int, float, complex, str, bytes, tuple, frozenset, range, type(None), type(...)}


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
    classes: tuple[str, ...] = ()  # marks of those of its `Series` that must be there before


def pack(obj: object) -> Shipment:
    """Return an object and all it needs from ``__main__``, as bytes.

    Raises
    ------
    ShippingError
        If something will not pickle; names the captured variable, global or attribute.
    """
    return _Packer().pack(obj)


class Series:
    """Objects packed for one receiver, and beside them the classes that several of them may be of.

    Most of an instance of a nameless class is its class, which takes a hundred times as long to pack as a few numbers.
    It is packed once, until `look_anew`.
    """

    def __init__(self) -> None:
        self.classes: dict[str, Shipment] = {}  # by mark; who unpacks one for an object keeps it till the last object

    def pack(self, obj: object) -> Shipment:
        """Return the next object and all it needs but ``classes``; raises what `pack` raises."""
        known = _packed
        packer = _Packer(known)
        shipment = packer.pack(obj)
        self.classes.update((mark, known[mark].shipment) for mark in shipment.classes)
        for mark, cls in packer.met.items():
            with contextlib.suppress(ShippingError):  # by itself, for whatever reason; with an object it could
                known[mark] = _Packed(pack(cls), weakref.ref(cls, partial(_forget, known, mark)))
        return shipment


class _Packed(typing.NamedTuple):
    shipment: Shipment
    lives: weakref.ref[type]  # forgets the shipment when the class dies


def _forget(known: dict[str, _Packed], mark: str, _: object) -> None:
    known.pop(mark, None)


_packed: dict[str, _Packed] = {}  # classes that objects of a series were of, by mark


def look_anew() -> None:
    """Pack classes as they are by now: a run that begins sees what was changed in them since."""
    global _packed  # noqa: PLW0603 - whoever is at work with the old one is not disturbed
    _packed = {}


def pack_main_classes() -> dict[str, bytes]:
    """Return every class of ``__main__`` that packs, and what their methods use.

    For items: plain pickle sends an instance with no more than the name of its class.
    """
    packer = _Packer()
    not_yet_asked_for = packer.main.__shipped__.pending if isinstance(packer.main, Main) else {}
    classes = [name for name, value in packer.names.items() if is_class(value) and is_mains(value)]
    return {**not_yet_asked_for, **packer.collect(classes, strict=False)}


def install_main() -> types.ModuleType:
    """Return a fresh ``__main__`` for `unpack` to fill, already in its place."""
    main = Main("__main__")
    vars(main).clear()
    vars(main).update(__name__="__main__", __builtins__=sys.modules["builtins"], __spec__=None, __loader__=None)
    main.__shipped__ = Names(vars(main))
    # In a caller that multiprocessing spawned, classes of its __main__ give the second name.
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main
    return main


def unpack(shipment: Shipment, classes: Mapping[str, bytes] = types.MappingProxyType({})) -> Any:
    """Return the object of a shipment, with its names defined in ``__main__``.

    Names that ``__main__`` has already stay as they are. ``classes`` wait until something asks for them.
    """
    main = sys.modules["__main__"]
    names = main.__shipped__ if isinstance(main, Main) else Names(vars(main))
    with names.lock:
        names.pending.update({k: blob for k, blob in {**classes, **shipment.names}.items() if k not in names.space})
        obj = names.define(shipment.blob)[""]
        names.settle(shipment.names)
    return obj


def recall(name: str, classes: Mapping[str, bytes]) -> None:
    """Define a name in ``__main__``, from what another one packed, if it is neither there nor awaited."""
    main = sys.modules["__main__"]
    names = main.__shipped__ if isinstance(main, Main) else Names(vars(main))
    with names.lock:
        for known in classes.keys() - names.space.keys():
            names.pending.setdefault(known, classes[known])
        names.settle([name])


# -- packing ----------------------------------------------------------------------------------------------------------


class _Definition(typing.NamedTuple):
    blob: bytes
    refers: set[str]  # names to define before this one
    uses: set[str]  # names its code needs when it runs
    holds: dict[int, object]  # nameless objects that must stay one, by id; kept, so that no id is given twice


class _Packer:
    """One look at ``__main__``: its values by name, and the name under which each value is at home."""

    def __init__(self, apart: Container[str] = ()) -> None:
        self.apart = apart
        self.needed: set[str] = set()
        self.met: dict[str, type] = {}
        self.main = sys.modules["__main__"]
        self.space = vars(self.main)
        self.names: dict[str, Any] = dict(self.space)  # a copy: keeps the values, and so their ids
        self.homes: dict[int, str] = {id(self.space): "__dict__"}
        self.spaces: dict[int, Space] = {}
        for name, value in self.names.items():
            is_code = type(value) is types.FunctionType or is_class(value)
            elsewhere = issubclass(type(value), types.ModuleType) or (is_code and is_importable(value))
            if elsewhere or type(value) in _IMMUTABLE or name.startswith("__"):
                continue
            if id(value) not in self.homes or (is_code and value.__name__ == name):  # by which plain pickle knows it
                self.homes[id(value)] = name

    def pack(self, obj: object) -> Shipment:
        """Return an object and all it needs."""
        self.names[""] = obj
        names = self.collect([""])
        return Shipment(blob=names.pop(""), names=names, classes=tuple(sorted(self.needed)))

    def collect(self, roots: Iterable[str], *, strict: bool = True) -> dict[str, bytes]:
        """Return the definitions of names and of all they need; if not strict, of those that pack."""
        found: dict[str, _Definition] = {}
        broken: set[str] = set()
        todo = [*roots, *(["__package__"] if self.names.get("__package__") else [])]  # for `from . import` in functions
        while todo:
            name = todo.pop()
            if name in found or name in broken or name in LOCAL or name not in self.names:
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
                pickler = pickler_of(module)
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
                holds = {} if is_class(self.names[group[0]]) else writer.holds
                return _Definition(file.getvalue(), writer.refers, writer.uses, holds)
        raise failure


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
