"""Modules that travel with functions, and those that must be there already."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import pickle
import pickletools
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, ModuleType

from olympipe_like._transport.callables import Shipment
from olympipe_like.errors import PlanError

Modules = Mapping[str, tuple[bytes, bool, str]]  # name -> source, whether it is a package, file name

_OURS = {"__main__", "__mp_main__", "builtins", "olympipe_like", "dill", "multiprocess", "tqdm"}


def collect(names: Sequence[str]) -> dict[str, tuple[bytes, bool, str]]:
    """Return the sources of modules, and of all that is in those that are packages.

    Raises
    ------
    PlanError
        If there is no such module, or it is not written in Python.
    """
    found: dict[str, tuple[bytes, bool, str]] = {}
    for name in names:
        for each in _with_parents(name):
            found[each] = _source(each)
        for each in _below(name):
            found[each] = _source(each)
    return found


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _below(name: str) -> Iterator[str]:
    spec = _spec(name)
    for each in pkgutil.walk_packages(spec.submodule_search_locations or [], f"{name}.", onerror=lambda _: None):
        below = importlib.util.find_spec(each.name)
        if below is not None and isinstance(below.loader, importlib.machinery.SourceFileLoader):
            yield each.name


def _spec(name: str) -> importlib.machinery.ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise PlanError(f"modules: {name!r} cannot travel: {error}") from None
    if spec is None:
        raise PlanError(f"modules: there is no module {name!r} that could travel")
    return spec


def _source(name: str) -> tuple[bytes, bool, str]:
    spec = _spec(name)
    loader = spec.loader
    if not isinstance(loader, importlib.abc.InspectLoader) or spec.origin in (None, "built-in", "frozen"):
        if spec.submodule_search_locations is not None:
            return b"", True, f"<{name}>"  # a namespace package: a folder without __init__.py
        raise PlanError(f"modules: {name!r} cannot travel: it is not a Python file")
    if not isinstance(loader, importlib.machinery.SourceFileLoader):
        raise PlanError(f"modules: {name!r} cannot travel: it is not a Python file but {spec.origin}")
    return loader.get_data(loader.get_filename(name)), loader.is_package(name), loader.get_filename(name)


def install(modules: Modules) -> None:
    """Let this process import these modules, before any of the same name that may be installed."""
    if modules:
        sys.meta_path.insert(0, _Luggage(modules))


class _Luggage(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports from memory."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname not in self._modules:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=self._modules[fullname][2])
        spec.submodule_search_locations = [] if self.is_package(fullname) else None
        return spec

    def is_package(self, fullname: str) -> bool:
        return self._modules[fullname][1]

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._modules[fullname][0])

    def get_code(self, fullname: str) -> CodeType:
        source, _, file = self._modules[fullname]
        return self.source_to_code(source, file)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._modules[module.__name__][2]
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102 - what an import does


# -- what must be there -----------------------------------------------------------------------------------------------


def needed(shipment: bytes, classes: Mapping[str, bytes], travelling: Modules, named: Sequence[str]) -> tuple[str, ...]:
    """Return the top-level modules without which a shipment, and the modules ``named`` that travel, cannot be imported.

    Without those of Python, of ours, and that travel; without what is imported within functions or on a condition,
    which may not be needed; and without what only those parts of a package import that nothing refers to: its tests.

    Raises
    ------
    PlanError
        If a module that travels is no Python.
    """
    shipped = pickle.loads(shipment)  # made by this very process
    assert isinstance(shipped, Shipment)
    blobs = [shipped.blob, *shipped.names.values(), *classes.values()]
    waiting = [*named, *(name for blob in blobs for name in _named_in(blob))]
    met: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in met:
            met.add(name)
            if name in travelling:
                waiting += _with_parents(name)
                waiting += _imported_by(name, travelling[name])
    found = {name.partition(".")[0] for name in met}
    return tuple(sorted(found - sys.stdlib_module_names - _OURS - {each.partition(".")[0] for each in travelling}))


def _imported_by(name: str, module: tuple[bytes, bool, str]) -> Iterator[str]:
    """Yield the modules without which a module cannot be imported, and names in them, which may be modules."""
    source, is_package, file = module
    package = name if is_package else name.rpartition(".")[0]
    try:
        statements = ast.parse(source, file).body
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes
        raise PlanError(f"modules: {name!r} cannot travel: {type(error).__name__}: {error}") from error
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (each.name for each in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            try:
                origin = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
            except ImportError:
                continue  # beyond its package: importing it will say so
            yield origin
            yield from (f"{origin}.{each.name}" for each in statement.names)


def _named_in(blob: bytes) -> Iterator[str]:
    """Yield the modules that one pickle after the other refers to; nothing is unpickled."""
    rest = blob
    while rest:
        end = 0
        for module, position in _scan(rest):
            if module:
                yield module
            end = position
        rest = rest[end + 1 :]


def _scan(stream: bytes) -> Iterator[tuple[str, int]]:
    """Yield each module named, and at last ("", where the pickle ends)."""
    memo: dict[int, str | tuple[str, str]] = {}
    pushed: list[str | tuple[str, str]] = ["", ""]  # the last two: texts, or (module, name)
    for opcode, argument, position in pickletools.genops(stream):
        name = opcode.name
        assert position is not None
        if name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"):
            text = str(argument)
            if pushed[-1] == ("importlib", "import_module"):
                yield text, position
            pushed.append(text)
        elif name == "STACK_GLOBAL":
            module, attribute = pushed[-2:]
            if isinstance(module, str) and isinstance(attribute, str):
                yield module, position
                pushed.append((module, attribute))
        elif name == "GLOBAL":
            module, _, attribute = str(argument).partition(" ")
            yield module, position
            pushed.append((module, attribute))
        elif name == "MEMOIZE":
            memo[len(memo)] = pushed[-1]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[int(str(argument))] = pushed[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            found = memo.get(int(str(argument)), "")
            if pushed[-1] == ("importlib", "import_module") and isinstance(found, str) and found:
                yield found, position
            pushed.append(found)
        elif name == "STOP":
            yield "", position
        elif opcode.stack_after and name != "FRAME":
            pushed.append("")  # something else is on top of the stack now
        del pushed[:-2]
