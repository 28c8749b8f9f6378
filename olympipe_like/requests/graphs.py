"""An expression graph as the target of a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanTypeError
from olympipe_like.graph.graph import Graph


def target_of(graph: object) -> Callable[[Any], Any]:
    """Return what applies a graph to requests; see `Worker.from_graph`."""
    if not isinstance(graph, Graph):
        where = f"Worker.from_graph ({call_site()})"
        raise PlanTypeError(f"{where}: graph must be a Graph, got {type(graph).__name__} {graph!r}")

    def apply(request: Any) -> Any:
        fits = isinstance(request, Mapping) and "fetches" in request and ("context" in request or "contexts" in request)
        if not fits:
            raise TypeError(
                "a request to a graph must be {'fetches': ..., 'context': {...}} or {'fetches': ..., 'contexts': [...]}"
            )
        fetches = request["fetches"]
        if "contexts" in request:
            return [graph.apply(fetches, context) for context in request["contexts"]]
        return graph.apply(fetches, request["context"])

    apply.__name__ = "graph"
    return apply
