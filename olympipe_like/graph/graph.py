"""A graph: its nodes and their names, and what is asked of it. Knows no node in particular."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import NodeNotFound, PlanError, PlanTypeError
from olympipe_like.graph.drawing import Box, boxes, dot, mermaid
from olympipe_like.graph.evaluate import Callback, evaluate
from olympipe_like.graph.operation import Definition, Operation, check_name
from olympipe_like.graph.plan import Plan, all_behind, make_plan, needs
from olympipe_like.graph.templates import answer, asked_in, nodes_in, rebuild, unfit

MOST_PLANS = 256  # kept for a graph; who asks for ever other nodes pays with time for planning, not with memory

# What `with` has opened, the innermost last: of this thread, or of this coroutine.
OPEN: ContextVar[tuple[Graph, ...]] = ContextVar("open graphs", default=())
FIRST: ContextVar[tuple[Operation, ...]] = ContextVar("control dependencies", default=())


class Graph:
    """An expression graph: written once as plain Python, evaluated for one item after the other, in part if wanted.

    Inside ``with Graph() as graph:`` functions of this package make nodes; operators, attributes, items and calls of
    nodes make more. Nothing is evaluated until the graph is applied. A graph can be pickled if the functions and
    constants in it can; its nodes then are those of the copy.

    Examples
    --------
    >>> from olympipe_like.graph import Graph, placeholder
    >>> with Graph() as graph:
    ...     x = placeholder("x")
    ...     doubled = (x * 2).set_name("doubled")
    ...     result = (doubled + 1).set_name("result")
    >>> graph("result", x=20)
    41
    >>> graph(["doubled", result], {x: 3})
    (6, 7)
    """

    def __init__(self) -> None:
        self._nodes: list[Operation] = []
        self._names: dict[str, Operation] = {}
        self._shells: dict[int, Operation] = {}
        self._plans: dict[Any, Plan] = {}
        self._lock = threading.Lock()  # of names and places; a graph may be written by several threads

    # -- writing ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Graph:  # noqa: PYI034 - typing has no Self before 3.11
        OPEN.set((*OPEN.get(), self))
        return self

    def __exit__(self, *_: object) -> None:
        opened = OPEN.get()
        if not opened or opened[-1] is not self:
            raise PlanError("a graph was left that is not the innermost 'with Graph()' of this thread")
        OPEN.set(opened[:-1])

    def add(self, definition: Definition, name: str | None = None) -> Operation:
        """Make a node; the package's functions and the operators of nodes do. It must use nodes of this graph only."""
        site = definition.site or call_site()
        first = tuple(node for node in FIRST.get() if node._graph is self)
        definition = replace(
            definition, site=site, dependencies=tuple(dict.fromkeys((*first, *definition.dependencies)))
        )
        for node in nodes_in([definition.args, definition.kwargs, definition.dependencies]):
            if node._graph is not self:
                raise PlanError(f"{definition.kind} ({site}): {node!r} is a node of another graph")
        problem = unfit([definition.args, definition.kwargs])
        if problem is not None:
            raise PlanError(f"{definition.kind} ({site}): {problem}")
        made = Operation()
        with self._lock:
            made._graph, made._definition, made._run = self, definition, None
            made._needs = needs(definition)
            made._number, made._named = len(self._nodes), False
            made._name = self._free_name(made)
            if name is not None:
                self._claim(made, check_name(f"{definition.kind} ({site})", name))
            self._nodes.append(made)
            self._names[made._name] = made
        return made

    def _free_name(self, node: Operation) -> str:
        """Return a name for a node that has none: what it is, and where it stands."""
        name = f"{_title(node._definition)}_{node._number}"
        while name in self._names:
            name += "_"
        return name

    def _claim(self, node: Operation, name: str) -> None:
        holder = self._names.get(name)
        if holder is not None and holder is not node:
            if holder._named:
                raise PlanError(f"{node!r} cannot be named {name!r}: {holder!r} is")
            holder._name = self._free_name(holder)  # that name was made up
            self._names[holder._name] = holder
        node._name, node._named = name, True

    def rename(self, node: Operation, name: str) -> None:
        """Name a node; see `Operation.set_name`."""
        check_name(repr(node), name)
        with self._lock:
            old = node._name
            self._claim(node, name)
            if old != name:
                del self._names[old]
            self._names[name] = node

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def operations(self) -> dict[str, Operation]:
        """All nodes by name, in the order written."""
        return {node.name: node for node in list(self._nodes)}

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self._nodes))

    def __len__(self) -> int:
        return len(self._nodes)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, node: object) -> bool:
        return node in self._names if isinstance(node, str) else type(node) is Operation and node._graph is self

    def __getitem__(self, name: str) -> Operation:
        found = self._names.get(name)
        if found is None:
            raise NodeNotFound(self._not_found(name))
        return found

    def _not_found(self, name: object) -> str:
        if not isinstance(name, str):
            return f"a graph has nodes by name, got {type(name).__name__} {name!r}"
        near = difflib.get_close_matches(name, self._names, 3)
        named = [node.name for node in self._nodes if node._named]
        known = f"did you mean {' or '.join(map(repr, near))}?" if near else f"named are: {', '.join(named) or 'none'}"
        return f"the graph has no node {name!r}; {known}"

    def node(self, node: object) -> Operation:
        """Return a node of this graph, given as such or by its name.

        Raises
        ------
        NodeNotFound
            If there is none of that name; a PlanError and a KeyError.
        PlanError
            If it is a node of another graph; PlanTypeError if it is neither node nor name.
        """
        if type(node) is Operation:
            if node._graph is not self:
                raise PlanError(f"{node!r} is a node of another graph; a copy of a graph knows its nodes by name")
            return node
        if isinstance(node, str):
            return self[node]
        raise PlanTypeError(f"expected a node or its name, got {type(node).__name__} {node!r}")

    def at(self, place: int) -> Operation:
        """Return a node by its place. While the graph is being unpickled: the object that will be that node."""
        return self._nodes[place] if place < len(self._nodes) else self._shells.setdefault(place, Operation())

    # -- applying -----------------------------------------------------------------------------------------------------

    def apply(
        self,
        fetches: Any,
        context: Mapping[Any, Any] | None = None,
        *,
        callback: Callback | None = None,
        **values: Any,
    ) -> Any:
        """Return the values of some nodes, and evaluate what they need for that: each node once, others not at all.

        Parameters
        ----------
        fetches : Operation, str, list, tuple or dict
            A node or its name gives its value; a list or tuple of such gives a tuple, a dict gives a dict with the same
            keys. They may be nested.
        context : mapping, optional
            Values by node or name, for placeholders or any other nodes: those are not evaluated, nor what only they
            need. If it is a dict, the value of every node evaluated is put into it, with the node as key.
        callback : callable, optional
            Called with each node to be evaluated and the values so far; returns a context manager that is entered
            before and left after (`Profiler` is one). Around conditional, try_ and cache it spans what they ask for.
        **values
            More values, by name.

        Raises
        ------
        EvaluationError
            If a node fails; also an instance of what it raised. The context has all values found before.
        PlanError
            If the graph has no such node, or a node is given two values; PlanTypeError if the callback cannot be called
            with a node and values, or returns no context manager.

        Examples
        --------
        >>> from olympipe_like.graph import Graph, placeholder
        >>> with Graph() as graph:
        ...     x = placeholder("x")
        ...     y = (x + 1).set_name("y")
        ...     z = y * 2
        >>> context = {"x": 1}
        >>> graph.apply(z, context)
        4
        >>> context[y]
        2
        >>> graph.apply({"z": z}, y=10)
        {'z': 20}
        """
        asked = fetches if type(fetches) is Operation and fetches._graph is self else self.resolve(fetches)
        known = self._known(context, values)
        given = frozenset([key for key in known if type(key) is Operation])
        targets = (asked,) if type(asked) is Operation else tuple(asked_in(asked))
        evaluate(self._plan(targets, given), known, callback)
        for node in targets:
            if type(known[node]) is Operation:
                raise PlanTypeError(
                    f"the value of {node!r} is a node, {known[node]!r}: one was in an object that is not looked into. "
                    "Nodes may be in lists, tuples, dicts, sets and slices"
                )
        return known[asked] if type(asked) is Operation else answer(asked, known)

    __call__ = apply

    def resolve(self, fetches: Any) -> Any:
        """Return fetches with nodes for names, and tuples for lists."""
        if isinstance(fetches, (str, Operation)):
            return self.node(fetches)
        if isinstance(fetches, (list, tuple)):
            return tuple([self.resolve(each) for each in fetches])
        if isinstance(fetches, dict):
            return {key: self.resolve(each) for key, each in fetches.items()}
        raise PlanTypeError(
            f"fetches must be nodes, names, or lists, tuples or dicts of such, got {type(fetches).__name__} {fetches!r}"
        )

    def _known(self, context: Mapping[Any, Any] | None, values: Mapping[str, Any]) -> dict[Any, Any]:
        """Return the values given, by node; the caller's own dict if it is one."""
        if context is None:
            return self._known({}, values) if values else {}
        if not isinstance(context, Mapping):
            raise PlanTypeError(f"context must be a mapping of nodes or names to values, got {type(context).__name__}")
        known = context if isinstance(context, dict) else dict(context)
        for key, value in list(known.items()):
            node = self.node(key)
            _refuse_node(node, value)
            if node is not key and known.setdefault(node, value) is not value:
                raise PlanError(f"node {key!r} is given two values: by its name and as a node, from an apply before?")
        for name, value in values.items():
            node = self[name]
            _refuse_node(node, value)
            if node in known:
                raise PlanError(f"node {name!r} is given two values: in the context and by keyword")
            known[node] = value
        return known

    def _plan(self, targets: tuple[Operation, ...], given: frozenset[Operation]) -> Plan:
        plan = self._plans.get((targets, given))
        if plan is None:
            plan = make_plan(targets, given)
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            self._plans[targets, given] = plan
        return plan

    # -- drawing ------------------------------------------------------------------------------------------------------

    def to_mermaid(self, fetches: Any = None) -> str:
        """Return a drawing as Mermaid text, as GitHub and notebooks show it: of all nodes, or what some need."""
        return mermaid(self._boxes(fetches))

    def to_dot(self, fetches: Any = None) -> str:
        """Return a drawing as DOT text, for Graphviz: of all nodes, or what some need."""
        return dot(self._boxes(fetches))

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self.to_mermaid()}```"

    def _boxes(self, fetches: Any) -> list[Box]:
        if fetches is None:
            return boxes(list(self._nodes), frozenset())
        ends = tuple(asked_in(self.resolve(fetches)))
        return boxes(all_behind(ends), frozenset(ends))

    # -- travelling ---------------------------------------------------------------------------------------------------

    def __reduce__(self) -> Any:
        # Flat, with places for nodes: a pickler would go from node to node, and no deeper than the stack.
        def place(leaf: Any) -> Any:
            return _Place(leaf._number) if type(leaf) is Operation else leaf

        with self._lock:
            nodes = [
                (node._name, node._named, node._definition.with_parts(lambda part: rebuild(part, place)))
                for node in self._nodes
            ]
        return Graph, (), nodes

    def __setstate__(self, nodes: Iterable[tuple[str, bool, Definition]]) -> None:
        def node_at(leaf: Any) -> Any:
            return self.at(leaf.number) if type(leaf) is _Place else leaf

        for number, (name, named, definition) in enumerate(nodes):
            node = self.at(number)
            self._shells.pop(number, None)
            node._graph, node._number, node._run = self, number, None
            node._name, node._named = name, named
            node._definition = definition.with_parts(lambda part: rebuild(part, node_at))
            node._needs = needs(node._definition)
            self._nodes.append(node)
            self._names[name] = node


def _refuse_node(node: Operation, value: object) -> None:
    if type(value) is Operation:
        raise PlanTypeError(f"{node!r} must be given a value, got the node {value!r}")


@dataclass(frozen=True)
class _Place:
    """Stands for a node in a pickled graph."""

    number: int


def _title(definition: Definition) -> str:
    """Return what to call a node that has no name: by its attribute, function or module if it is one."""
    kind, args = definition.kind, definition.args
    if kind == "call" and type(args[0]) is Operation:
        called = args[0]._definition
        return called.args[1] if called.kind == "getattr" and type(called.args[1]) is str else kind
    if kind == "getattr" and type(args[1]) is str:
        return args[1]
    if kind == "import" and type(args[0]) is str:
        return args[0].rpartition(".")[2]
    return kind
