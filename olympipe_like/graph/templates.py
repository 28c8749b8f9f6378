"""Nested literals with nodes in them: arguments, fetches and what lazy nodes ask for.

Lists, tuples, dicts, sets and slices are looked into, as deep as they go; other objects are values as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from olympipe_like.graph.operation import Operation

_NESTED = (list, tuple, dict, slice, set, frozenset)
_END = object()
DEEPEST = 100
"""How deep literals may be nested: building one takes two calls within each other for each level, of a thousand."""


def _parts(value: Any) -> Sequence[Any]:
    """Return what a nested literal is made of; nothing for other objects."""
    kind = type(value)
    if kind is dict:
        return [part for pair in value.items() for part in pair]
    if kind is slice:
        return value.start, value.stop, value.step
    if kind in (set, frozenset):
        return list(value)
    return value if kind in (list, tuple) or _is_namedtuple(kind) else ()


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def nodes_in(value: Any) -> Iterator[Operation]:
    """Return the nodes in a nested literal, in the order written."""
    waiting = [value]
    seen: set[int] = set()  # as some contain themselves
    while waiting:
        part = waiting.pop()
        if type(part) is Operation:
            yield part
        elif isinstance(part, _NESTED) and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(reversed(_parts(part)))


def unfit(value: Any) -> str | None:
    """Return why a nested literal with nodes cannot be built anew for each evaluation; None if it can."""
    around: list[tuple[int, Iterator[Any]]] = [(id(value), iter(_parts(value)))]
    above = {id(value)}
    while around:
        own, parts = around[-1]
        part = next(parts, _END)
        if part is _END:
            around.pop()
            above.discard(own)
        elif isinstance(part, _NESTED):
            if id(part) in above:
                return f"a {type(part).__name__} among its arguments contains itself; make it a constant"
            if len(around) == DEEPEST:
                return f"an argument is nested more than {DEEPEST} times; make it a constant"
            if any(type(each) is Operation for each in _hidden_parts(part)):
                name = type(part).__name__
                return f"a node is in a {name}, which is not looked into; make that in the graph: func_op({name}, ...)"
            around.append((id(part), iter(_parts(part))))
            above.add(id(part))
    return None


def _hidden_parts(value: Any) -> Sequence[Any]:
    """Return what is in a container of a class that is not looked into, as that may be more than its parts."""
    if _parts(value) or type(value) in _NESTED:
        return ()
    if isinstance(value, dict):
        return [part for pair in dict.items(value) for part in pair]
    kind: Any = next(kind for kind in (list, tuple, set, frozenset) if isinstance(value, kind))
    return list(kind.__iter__(value))


def rebuild(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return a nested literal made anew, with a function applied to what is not nested."""
    kind = type(value)
    if kind is list:
        return [rebuild(part, leaf) for part in value]
    if kind is tuple:
        return tuple([rebuild(part, leaf) for part in value])
    if kind is dict:
        return {rebuild(key, leaf): rebuild(part, leaf) for key, part in value.items()}
    if kind is slice:
        return slice(rebuild(value.start, leaf), rebuild(value.stop, leaf), rebuild(value.step, leaf))
    if kind in (set, frozenset):
        return kind([rebuild(part, leaf) for part in value])
    if _is_namedtuple(kind):
        return kind._make([rebuild(part, leaf) for part in value])
    return leaf(value)


def fill(template: Any, values: Mapping[Any, Any]) -> Any:
    """Return a nested literal with the values of its nodes in their places."""
    if type(template) is Operation:
        return values[template]
    if not isinstance(template, _NESTED):
        return template
    return rebuild(template, lambda leaf: values[leaf] if type(leaf) is Operation else leaf)


def asked_in(fetches: Any) -> Iterator[Operation]:
    """Return the nodes that are fetched, in the order written; keys of dicts are not, they are labels."""
    if type(fetches) is Operation:
        yield fetches
        return
    for each in fetches.values() if type(fetches) is dict else fetches:
        yield from asked_in(each)


def answer(fetches: Any, values: Mapping[Any, Any]) -> Any:
    """Return fetches with the values of the nodes in their places."""
    if type(fetches) is Operation:
        return values[fetches]
    if type(fetches) is dict:
        return {key: answer(each, values) for key, each in fetches.items()}
    return tuple([answer(each, values) for each in fetches])


def is_fixed(value: Any) -> bool:
    """Tell whether a value is the same each time: no node in it, and nothing that a function may change."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if type(part) in (Operation, list, dict, set):
            return False
        waiting.extend(_parts(part))
    return True
