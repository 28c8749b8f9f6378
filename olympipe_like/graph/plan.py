"""Which nodes are evaluated for what is asked, and in what order. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from olympipe_like.graph.operation import Definition, Operation
from olympipe_like.graph.templates import fill, is_fixed, nodes_in

_number_of = attrgetter("_number")
Run = Callable[[dict[Any, Any]], Any]  # values of nodes, to the value of one more


class Plan(NamedTuple):
    """The nodes to evaluate, one after the other; a lazy node has no function here, as it asks for what it needs."""

    steps: tuple[tuple[Operation, Run | None], ...]
    plain: bool  # no lazy node among them


def make_plan(targets: Iterable[Operation], given: Container[Operation]) -> Plan:
    """Return what must be evaluated for some nodes when the values of others are given.

    A node is written after all that it needs, so the order of writing will do. Side effects come in that order, too.
    """
    found: set[Operation] = set()
    waiting = list(targets)
    while waiting:
        node = waiting.pop()
        if node not in found and node not in given:
            found.add(node)
            waiting += node._needs
    steps = tuple([(node, runner(node)) for node in sorted(found, key=_number_of)])
    return Plan(steps, all(run is not None for _, run in steps))


def needs(definition: Definition) -> tuple[Operation, ...]:
    """Return the nodes that must be evaluated before one, whatever their values are."""
    if definition.lazy:
        return tuple(definition.dependencies)
    return tuple(dict.fromkeys([*definition.dependencies, *nodes_in([definition.args, definition.kwargs])]))


def all_behind(ends: tuple[Operation, ...]) -> list[Operation]:
    """Return some nodes and all that they may need, in the order written."""
    found: set[Operation] = set()
    waiting = list(ends)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            definition = node._definition
            waiting += nodes_in([definition.args, definition.kwargs])
            waiting += definition.dependencies
    return sorted(found, key=_number_of)


def runner(node: Operation) -> Run | None:
    """Return what makes a node's value of those before it; None for a lazy node."""
    if node._definition.lazy:
        return None
    if node._run is None:
        definition = node._definition
        # A function behind a decorator that makes nodes: see `opmethod`.
        function = getattr(definition.function, "evaluated", definition.function)
        node._run = _runner(function, definition.args, definition.kwargs or {})
    return node._run


def _runner(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
    """Return a function with its arguments bound. Operators, attributes and items have one or two: the fast ways."""
    shape = "" if kwargs else "".join(_shape(each) for each in args)
    if not kwargs and not args:
        return lambda _: function()
    if shape == "n":
        (a,) = args
        return lambda values: function(values[a])
    if shape == "nn":
        a, b = args
        return lambda values: function(values[a], values[b])
    if shape == "nv":
        a, b = args
        return lambda values: function(values[a], b)
    if shape == "vn":
        a, b = args
        return lambda values: function(a, values[b])
    if not kwargs:
        return lambda values: function(*[fill(each, values) for each in args])
    return lambda values: function(
        *[fill(each, values) for each in args], **{name: fill(each, values) for name, each in kwargs.items()}
    )


def _shape(argument: Any) -> str:
    """Return "n" for a node, "v" for a value, "t" for what must be built anew each time."""
    return "n" if type(argument) is Operation else "v" if is_fixed(argument) else "t"
