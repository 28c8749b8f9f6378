"""Where new nodes go, and what is evaluated before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.checks import show, whole_number
from olympipe_like.errors import PlanError, PlanTypeError
from olympipe_like.graph.graph import FIRST, OPEN, Graph
from olympipe_like.graph.operation import Definition, Operation
from olympipe_like.graph.templates import nodes_in

if TYPE_CHECKING:
    import sys

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack


class Unnamed(TypedDict, total=False):
    """`NodeOptions` without the name."""

    length: int | None
    graph: Graph | None
    dependencies: Sequence[Operation]


class NodeOptions(Unnamed, total=False):
    """What every function that makes a node accepts, by keyword.

    - ``name``: as `Operation.set_name` gives it;
    - ``length``: how many values it unpacks into;
    - ``graph``: the graph to be in, where neither its inputs nor ``with`` say;
    - ``dependencies``: nodes to evaluate before it, though it does not use their values.
    """

    name: str | None


def new_node(
    kind: str,
    function: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    lazy: bool = False,
    **options: Unpack[NodeOptions],
) -> Operation:
    """Make a node in the graph that is named, or its inputs are in, or the innermost ``with`` has opened."""
    site = call_site()
    where = f"{kind} ({site})"
    unknown = set(options) - set(NodeOptions.__annotations__)
    if unknown:
        known = ", ".join(sorted(NodeOptions.__annotations__))
        raise PlanTypeError(f"{where}: there is no option {min(unknown)!r}; there are {known}")
    if not isinstance(options.get("graph"), Graph | None):
        raise PlanTypeError(f"{where}: graph must be a Graph, got {show(options['graph'])}")
    dependencies = _nodes(where, options.get("dependencies"))
    owners = [options.get("graph"), *(node._graph for node in nodes_in([args, kwargs, dependencies]))]
    owners += reversed(OPEN.get())
    graph: Graph | None = next((owner for owner in owners if owner is not None), None)
    if graph is None:
        raise PlanError(f"{where}: which graph is it in? Write it inside 'with Graph() as graph:'")
    length = options.get("length")
    if length is not None:
        whole_number(where, "length", length, 0)
    definition = Definition(kind, function, args, kwargs or {}, lazy, length, dependencies, site)
    return graph.add(definition, options.get("name"))


def _nodes(where: str, value: object) -> tuple[Operation, ...]:
    """Return the dependencies given; refuse what is none."""
    if value is None:
        return ()
    # A node can be iterated if its length is known, which is not meant here.
    found = tuple(value) if isinstance(value, Iterable) and type(value) is not Operation else (None,)
    if not all(type(node) is Operation for node in found):
        raise PlanTypeError(f"{where}: dependencies must be a list of nodes, got {show(value)}")
    return found


def control_dependencies(dependencies: Sequence[Operation], graph: Graph | None = None) -> AbstractContextManager[None]:
    """Evaluate some nodes before any node that is written inside the ``with``.

    Parameters
    ----------
    dependencies : sequence of Operation
        What to evaluate first; for their effects, as their values are not used.
    graph : Graph, optional
        The graph they must be in; by default theirs.

    Examples
    --------
    >>> from olympipe_like.graph import Graph, assert_, control_dependencies, placeholder
    >>> with Graph() as graph:
    ...     x = placeholder("x")
    ...     with control_dependencies([assert_(x > 0, "x must be > 0")]):
    ...         root = x**0.5
    >>> graph(root, x=4)
    2.0
    """
    where = f"control_dependencies ({call_site()})"
    nodes = _nodes(where, dependencies)
    for node in nodes:
        if graph is not None and node._graph is not graph:
            raise PlanError(f"{where}: {node!r} is a node of another graph")
    return _first(nodes)


@contextmanager
def _first(nodes: tuple[Operation, ...]) -> Iterator[None]:
    before = FIRST.set((*FIRST.get(), *nodes))
    try:
        yield
    finally:
        FIRST.reset(before)
