"""A graph as a function of an item: what a stage of a pipeline runs, in whatever process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.graph.graph import Graph
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.plan import make_plan
from olympipe_like.graph.templates import asked_in

MOST_NAMES = 4  # in the name of a stage
Inputs = str | Operation | Sequence["str | Operation"] | Callable[[Any], Mapping[Any, Any]] | None


def graph_function(graph: Graph, fetches: Any, inputs: Inputs = None) -> GraphFunction:
    """Return a graph as a function of one argument, which can be pickled if the graph can.

    Parameters
    ----------
    graph : Graph
        What to apply.
    fetches : Operation, str, list, tuple or dict
        What to return, as in `Graph.apply`.
    inputs : str, Operation, sequence of these, or callable, optional
        What the argument is. A node or its name: the value of that node. Several: a sequence of their values. A
        function: it returns a mapping of nodes or names to values; ``inputs=dict`` where the argument is such a
        mapping. By default the value of the graph's only placeholder.

    Raises
    ------
    PlanError
        If the graph has no such node, or a placeholder that is needed in any case gets no value.

    Examples
    --------
    >>> from olympipe_like.graph import Graph, graph_function, placeholder
    >>> with Graph() as graph:
    ...     area = (placeholder("width") * placeholder("height")).set_name("area")
    >>> list(map(graph_function(graph, "area", ["width", "height"]), [(1, 2), (3, 4)]))
    [2, 12]
    """
    where = f"graph_function ({call_site()})"
    if not isinstance(graph, Graph):
        raise PlanTypeError(f"{where}: graph must be a Graph, got {type(graph).__name__} {graph!r}")
    return GraphFunction(graph, graph.resolve(fetches), _inputs(where, graph, fetches, inputs))


def _inputs(
    where: str, graph: Graph, fetches: Any, inputs: Inputs
) -> Operation | tuple[Operation, ...] | Callable[[Any], Any]:
    chosen: Operation | tuple[Operation, ...]
    if inputs is None:
        chosen = _only_placeholder(where, graph)
    elif isinstance(inputs, (str, Operation)):
        chosen = graph.node(inputs)
    elif isinstance(inputs, (list, tuple)):
        chosen = tuple(graph.node(each) for each in inputs)
        if len(set(chosen)) < len(chosen):
            raise PlanError(f"{where}: a node is among the inputs twice: {_list([node.name for node in chosen])}")
    elif callable(inputs):
        return inputs
    else:
        raise PlanTypeError(
            f"{where}: inputs must be a node, a name, several of them, or a function, got {type(inputs).__name__}"
        )
    given = (chosen,) if isinstance(chosen, Operation) else chosen
    steps = make_plan(tuple(asked_in(graph.resolve(fetches))), frozenset(given)).steps
    missing = [node.name for node, _ in steps if node._definition.kind == "placeholder"]
    if missing:
        raise PlanError(
            f"{where}: {_list(missing)} would get no value, only {_list([node.name for node in given])}; "
            "name them in inputs, or give a function that returns a mapping"
        )
    return chosen


def _only_placeholder(where: str, graph: Graph) -> Operation:
    found = [node for node in graph if node._definition.kind == "placeholder"]
    if len(found) != 1:
        names = _list([node.name for node in found]) if found else "no placeholder"
        raise PlanError(f"{where}: say with inputs= which node an item is the value of: the graph has {names}")
    return found[0]


def _title(names: Sequence[str]) -> str:
    shown = (
        list(names) if len(names) <= MOST_NAMES else [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1} more"]
    )
    return ", ".join(shown) or "graph"


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"


class GraphFunction:
    """A graph with what to fetch and what to feed; `graph_function` makes one.

    Attributes
    ----------
    graph : Graph
        What is applied.
    fetches : Operation, tuple or dict
        What is returned.
    """

    def __init__(
        self, graph: Graph, fetches: Any, inputs: Operation | tuple[Operation, ...] | Callable[[Any], Any]
    ) -> None:
        self.graph, self.fetches, self._inputs = graph, fetches, inputs
        self.__name__ = _title([node.name for node in asked_in(fetches)])  # what a stage is called

    def __call__(self, item: Any) -> Any:
        """Return what is fetched for an item."""
        return self.graph.apply(self.fetches, self.context_of(item))

    def context_of(self, item: Any) -> dict[Any, Any]:
        """Return the values that an item gives."""
        inputs = self._inputs
        if type(inputs) is Operation:
            return {inputs: item}
        if isinstance(inputs, tuple):
            if type(item) is not tuple:
                self._check(item)
            values = tuple(islice(item, len(inputs) + 1))
            if len(values) != len(inputs):
                raise ValueError(self._mismatch(len(values)))
            return dict(zip(inputs, values, strict=True))
        found = inputs(item)
        if not isinstance(found, Mapping):
            raise TypeError(f"inputs must return a mapping of nodes or names to values, got {type(found).__name__}")
        return dict(found)

    def _check(self, item: Any) -> None:
        """Refuse an item whose values cannot be told apart by their places."""
        if isinstance(item, Mapping):
            advice = "whose values have names: give inputs=dict, or a function that returns such a mapping"
        elif isinstance(item, set | frozenset):
            advice = "which has no order; make it a list or a mapping before"
        elif not isinstance(item, Iterable) and not hasattr(type(item), "__getitem__"):
            advice = "which is one value; where an item is itself the value of one node, give that node and no list"
        else:
            return
        raise TypeError(f"{self._wanted()}, and the item is of type {type(item).__name__}, {advice}")

    def _mismatch(self, count: int) -> str:
        assert isinstance(self._inputs, tuple)
        wanted = len(self._inputs)
        found = f"more than {wanted}" if count > wanted else str(count)
        text = f"{self._wanted()}, and the item has {found} values"
        return (
            f"{text}; where an item is itself the value of one node, give that node and no list"
            if wanted == 1
            else text
        )

    def _wanted(self) -> str:
        assert isinstance(self._inputs, tuple)
        return f"inputs are {len(self._inputs)} nodes ({_list([each.name for each in self._inputs])})"

    def __repr__(self) -> str:
        return f"<graph function {self.__name__!r}>"
