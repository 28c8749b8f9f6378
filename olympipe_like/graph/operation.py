"""A node of an expression graph, and what Python's operators make of it. Knows no evaluation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from olympipe_like.errors import PlanError, PlanTypeError


@dataclass(frozen=True)
class Definition:
    """What a node computes, as it was written."""

    kind: str  # what it is called in drawings and default names
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()  # values, nodes, or lists, tuples, dicts and slices that hold nodes
    kwargs: dict[str, Any] | None = None
    lazy: bool = False  # its function is a generator function that asks for what it needs: see `evaluate`
    length: int | None = None  # how many values it unpacks into
    dependencies: tuple[Any, ...] = ()  # nodes that are evaluated before it
    site: str = ""  # file and line

    def with_parts(self, part: Callable[[Any], Any]) -> Definition:
        """Return the definition with a function applied to each argument and dependency."""
        return replace(
            self,
            args=tuple(part(each) for each in self.args),
            kwargs={name: part(each) for name, each in (self.kwargs or {}).items()},
            dependencies=tuple(part(each) for each in self.dependencies),
        )


class Owner(Protocol):
    """The graph, as its nodes see it."""

    def rename(self, node: Operation, name: str) -> None:
        """Give a node a name of its own."""

    def add(self, definition: Definition, name: str | None = None) -> Operation:
        """Make a node."""


def call(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what is called in the graph."""
    return target(*args, **kwargs)


def _unary(function: Callable[..., Any]) -> Callable[[Operation], Operation]:
    return lambda self: self._then(function, self)


def _binary(function: Callable[..., Any]) -> Callable[[Operation, Any], Operation]:
    return lambda self, other: self._then(function, self, other)


def _reflected(function: Callable[..., Any]) -> Callable[[Operation, Any], Operation]:
    return lambda self, other: self._then(function, other, self)


class Operation:
    """A node of a `Graph`: stands for a value that is there when the graph is applied.

    Attributes, items, calls, arithmetic and comparisons of a node are nodes. Nodes are equal to themselves only:
    ``==`` makes a node, too. They have no truth value, and no text but their description.

    Attributes
    ----------
    name : str
        Unique in the graph; made up until `set_name` is called.
    graph : Graph
        The graph it is in.
    length : int or None
        How many values it can be unpacked into.
    """

    __slots__ = ("__weakref__", "_definition", "_graph", "_name", "_named", "_needs", "_number", "_run")

    # numpy and pandas leave `array + node` to the node; else they would add to each element of their own.
    __array_ufunc__ = None
    __pandas_priority__ = 1 << 20

    _definition: Definition
    _graph: Any
    _name: str
    _named: bool  # by the user
    _needs: tuple[Operation, ...]  # what is evaluated before it, whatever the values are
    _number: int  # its place in the graph; whatever it needs has a smaller one
    _run: Callable[[dict[Any, Any]], Any] | None  # its function with arguments, once a plan has needed it

    # -- its own ------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def graph(self) -> Any:
        """Its graph."""
        return self._graph

    @property
    def length(self) -> int | None:
        """How many values it unpacks into; None if that was not said."""
        return self._definition.length

    def set_name(self, name: str) -> Operation:
        """Give it a name, unique in the graph, and return it.

        Raises
        ------
        PlanError
            If another node has that name. It is a ValueError.
        """
        self._graph.rename(self, name)
        return self

    def __repr__(self) -> str:
        definition = self._definition
        return f"<{definition.kind} {self._name!r} ({definition.site})>"

    def __reduce__(self) -> Any:
        return node_of, (self._graph, self._number)

    def __copy__(self) -> Operation:
        return self

    # -- what makes nodes ---------------------------------------------------------------------------------------------

    def _then(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Operation:
        length = 2 if function is divmod else None
        made: Operation = self._graph.add(Definition(function.__name__, function, args, kwargs, length=length))
        return made

    def __getattr__(self, name: str) -> Operation:
        # What the language, pickle and notebooks look for is no attribute of the value-to-be.
        if (name.startswith("__") and name.endswith("__")) or name.startswith(("_repr_", "_ipython_")):
            raise AttributeError(name)
        if name in Operation.__slots__:
            raise AttributeError(f"{name}: this node is still being made")
        return self._then(getattr, self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Operation:
        """Return the node of what calling the value gives."""
        return self._then(call, self, *args, **kwargs)

    def __getitem__(self, key: Any) -> Operation:
        return self._then(operator.getitem, self, key)

    def __iter__(self) -> Iterator[Operation]:
        return (self[place] for place in range(len(self)))

    def __round__(self, digits: Any = None) -> Operation:
        return self._then(round, self) if digits is None else self._then(round, self, digits)

    def __pow__(self, other: Any, modulus: Any = None) -> Operation:
        return self._then(pow, self, other) if modulus is None else self._then(pow, self, other, modulus)

    def __rpow__(self, other: Any, modulus: Any = None) -> Operation:
        return self._then(pow, other, self) if modulus is None else self._then(pow, other, self, modulus)

    __hash__ = object.__hash__

    __eq__ = _binary(operator.eq)  # type: ignore[assignment]
    __ne__ = _binary(operator.ne)  # type: ignore[assignment]
    __lt__ = _binary(operator.lt)
    __le__ = _binary(operator.le)
    __gt__ = _binary(operator.gt)
    __ge__ = _binary(operator.ge)

    __add__, __radd__ = _binary(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _binary(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul), _reflected(operator.mul)
    __matmul__, __rmatmul__ = _binary(operator.matmul), _reflected(operator.matmul)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _binary(operator.mod), _reflected(operator.mod)
    __divmod__, __rdivmod__ = _binary(divmod), _reflected(divmod)
    __lshift__, __rlshift__ = _binary(operator.lshift), _reflected(operator.lshift)
    __rshift__, __rrshift__ = _binary(operator.rshift), _reflected(operator.rshift)
    __and__, __rand__ = _binary(operator.and_), _reflected(operator.and_)
    __or__, __ror__ = _binary(operator.or_), _reflected(operator.or_)
    __xor__, __rxor__ = _binary(operator.xor), _reflected(operator.xor)

    __neg__ = _unary(operator.neg)
    __pos__ = _unary(operator.pos)
    __abs__ = _unary(abs)
    __invert__ = _unary(operator.invert)
    __reversed__ = _unary(reversed)

    # -- what cannot be a node, because Python wants a value at once --------------------------------------------------

    def __len__(self) -> int:
        length = self._definition.length
        if length is None:
            raise PlanTypeError(
                f"{self!r} cannot be unpacked: how many values it has is known when it is evaluated. "
                "Say it where the node is made, with length=; len_(node) is a node"
            )
        return length

    def __bool__(self) -> bool:
        raise PlanTypeError(
            f"{self!r} is neither true nor false before it is evaluated: for if and else use conditional(node, x, y), "
            "for and, or, not the operators &, | and not_(node)"
        )

    def __contains__(self, value: object) -> bool:
        raise PlanTypeError(f"{self!r}: what it contains is known when it is evaluated; contains(node, x) is a node")

    def __format__(self, specification: str) -> str:
        raise PlanTypeError(
            f"{self!r} has no text before it is evaluated: use str_format('{{}}', node), or str(node) to describe it"
        )


def node_of(graph: Any, number: int) -> Operation:
    """Return a node by its place; while the graph itself is being rebuilt, one that is filled in later."""
    found: Operation = graph.at(number)
    return found


def check_name(node: str, name: object) -> str:
    """Return the name if it can be one."""
    if not isinstance(name, str):
        raise PlanTypeError(f"{node}: name must be a text, got {type(name).__name__} {name!r}")
    if not name:
        raise PlanError(f"{node}: name must not be empty")
    return name
