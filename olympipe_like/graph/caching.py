"""Nodes that remember what others had."""

from __future__ import annotations

import logging
import pickle
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.checks import sync_function
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.graph.keys import stable_key
from olympipe_like.graph.operation import Operation, call
from olympipe_like.graph.writing import NodeOptions, new_node

if TYPE_CHECKING:
    import sys

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack

_log = logging.getLogger("olympipe_like")


def cache(
    operation: Operation,
    get: Callable[[Any], Any],
    put: Callable[[Any, Any], Any],
    key: Any = None,
    **options: Unpack[NodeOptions],
) -> Operation:
    """Return a node with the value of another, which is evaluated only if the cache does not have it.

    Parameters
    ----------
    operation : Operation
        What to cache.
    get : callable
        Given a key it returns the value, or raises KeyError or FileNotFoundError.
    put : callable
        Given a key and a value it stores them.
    key : Operation or value, optional
        The key. By default it is made of the operation's function and the values of its arguments (`stable_key`),
        which are evaluated for that.
    **options
        See `NodeOptions`.

    Raises
    ------
    PlanError
        If no key is given for a conditional, try_ or cache, whose arguments must not all be evaluated; PlanTypeError if
        ``get`` or ``put`` is no function.

    Examples
    --------
    >>> from olympipe_like.graph import Graph, cache, func_op, placeholder
    >>> store = {}
    >>> with Graph() as graph:
    ...     length = cache(
    ...         func_op(lambda word: print("counting") or len(word), placeholder("word")),
    ...         store.__getitem__,
    ...         store.__setitem__,
    ...     )
    >>> graph(length, word="abc"), graph(length, word="abc")
    counting
    (3, 3)
    """
    _functions(f"cache ({call_site()})", get=get, put=put)
    return new_node("cache", _cache, (operation, get, put, _key_of("cache", operation, key)), lazy=True, **options)


def _functions(where: str, **given: Any) -> None:
    """Refuse what is no function; a node could be called, and would make another node."""
    for name, value in given.items():
        if type(value) is Operation:
            raise PlanTypeError(f"{where}: {name} must be a function, got the node {value!r}")
        sync_function(where, name, value)


def _key_of(kind: str, operation: Any, key: Any) -> Any:
    """Return a literal with nodes in it, whose value makes the key."""
    if type(operation) is not Operation:
        raise PlanTypeError(f"{kind} ({call_site()}): expected a node, got {type(operation).__name__}")
    if key is not None:
        return _Given, key
    definition = operation._definition
    if definition.lazy:
        raise PlanError(
            f"{kind} ({call_site()}): {operation!r} evaluates only what it needs, "
            "so its arguments make no key; give key="
        )
    # What is called is among the arguments of a call.
    function = None if definition.function is call else getattr(definition.function, "evaluated", definition.function)
    return _Made, function, definition.args, definition.kwargs


class _Given:
    """Marks a key of the user's."""


class _Made:
    """Marks what a key is to be made of."""


def _cache(
    operation: Operation, get: Callable[[Any], Any], put: Callable[[Any, Any], Any], key: Any
) -> Generator[Any, Any, Any]:
    mark, *parts = yield key
    found_key = parts[0] if mark is _Given else stable_key(tuple(parts))
    try:
        return get(found_key)
    except (KeyError, FileNotFoundError):
        pass
    value = yield operation
    put(found_key, value)
    return value


def cache_file(
    operation: Operation,
    filename_template: str,
    load: Callable[[str], Any] | None = None,
    dump: Callable[[Any, str], Any] | None = None,
    key: Any = None,
    **options: Unpack[NodeOptions],
) -> Operation:
    """Return a node with the value of another, kept in a file for each key.

    Files appear whole or not at all, whoever else writes them and whenever the program is killed. A file that cannot
    be loaded is logged (logger ``olympipe_like``), and made again.

    Parameters
    ----------
    operation : Operation
        What to cache.
    filename_template : str
        The file's name, with one ``%s`` for the key; as in ``"cache/%s.npy"``. Missing folders are made.
    load, dump : callable, optional
        ``load(filename)`` returns the value, ``dump(value, filename)`` writes it; by default with pickle. ``dump`` is
        given another name in the same folder, with the same ending.
    key : Operation or value, optional
        As in `cache`. Of an array, or another object whose text does not say all of it, the name has the `stable_key`.
    **options
        See `NodeOptions`.

    Raises
    ------
    PlanError
        If the template has no place for the key, or only one of ``load`` and ``dump`` is given; PlanTypeError if
        these are no functions.
    """
    where = f"cache_file ({call_site()})"
    if not _has_a_place(filename_template):
        raise PlanError(f"{where}: filename_template must have one %s for the key, got {filename_template!r}")
    if (load is None) != (dump is None):
        raise PlanError(f"{where}: give load= and dump=, or neither")
    if load is not None:
        _functions(where, load=load, dump=dump)
    files = _Files(filename_template, load or _load_pickle, dump or _dump_pickle)
    args = (operation, files.get, files.put, _key_of("cache_file", operation, key))
    return new_node("cache_file", _cache, args, lazy=True, **options)


def _has_a_place(template: object) -> bool:
    try:
        return isinstance(template, str) and template % "a" != template % "b"
    except (TypeError, ValueError):  # none, several, or one for a number
        return False


class _Files:
    def __init__(self, template: str, load: Callable[[str], Any], dump: Callable[[Any, str], Any]) -> None:
        self.template, self.load, self.dump = template, load, dump

    def get(self, key: Any) -> Any:
        name = self.template % (_in_a_name(key),)
        if not Path(name).is_file():
            raise FileNotFoundError(name)
        try:
            return self.load(name)
        except Exception as error:  # cut, or of another version; a loader raises anything
            _log.warning("cache file %s cannot be loaded and is made again: %s: %s", name, type(error).__name__, error)
            raise FileNotFoundError(name) from error

    def put(self, key: Any, value: Any) -> None:
        path = Path(self.template % (_in_a_name(key),))
        path.parent.mkdir(parents=True, exist_ok=True)
        # The ending stays the last thing: numpy.save would add one.
        unfinished = path.with_name(f".unfinished-{uuid.uuid4().hex}-{path.name}")
        try:
            self.dump(value, str(unfinished))
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _in_a_name(key: Any) -> Any:
    """Return a key, or its `stable_key` if its text does not say all of it: two would have one file."""
    return key if _says_all(key) else stable_key(key)


def _says_all(key: Any) -> bool:
    if type(key) in (tuple, list):
        return all(map(_says_all, key))
    if type(key) is dict:
        return _says_all([*key.items()])
    # Arrays and frames leave parts out, sets have another order in each process, and an address says nothing.
    return not getattr(key, "shape", ()) and not isinstance(key, set | frozenset) and " at 0x" not in str(key)


def _load_pickle(name: str) -> Any:
    with open(name, "rb") as file:  # noqa: PTH123 - as a user's load would
        return pickle.load(file)


def _dump_pickle(value: Any, name: str) -> None:
    with open(name, "wb") as file:  # noqa: PTH123 - as a user's dump would
        pickle.dump(value, file, protocol=4)
