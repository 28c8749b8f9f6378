"""Expression graphs: a transformation written once as plain Python, evaluated item by item, in part if wanted.

>>> from olympipe_like.graph import Graph, import_, placeholder
>>> with Graph() as graph:
...     math = import_("math")  # imported where the graph is evaluated
...     radius = placeholder("radius")
...     area = (math.pi * radius**2).set_name("area")
...     text = area.__round__(2).set_name("rounded")
>>> graph("rounded", radius=2)
12.57
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olympipe_like.errors import EvaluationError, NodeNotFound
    from olympipe_like.graph.caching import cache, cache_file
    from olympipe_like.graph.function import GraphFunction, graph_function
    from olympipe_like.graph.graph import Graph
    from olympipe_like.graph.keys import stable_key
    from olympipe_like.graph.lazy import conditional, try_
    from olympipe_like.graph.nodes import assert_, constant, func_op, import_, opmethod, placeholder, str_format
    from olympipe_like.graph.once import lazy_constant
    from olympipe_like.graph.operation import Operation
    from olympipe_like.graph.profiler import Profiler
    from olympipe_like.graph.side_by_side import Preview, preview
    from olympipe_like.graph.writing import control_dependencies

_HOMES = {
    "caching": ["cache", "cache_file"],
    "function": ["GraphFunction", "graph_function"],
    "graph": ["Graph"],
    "lazy": ["conditional", "try_"],
    "nodes": ["assert_", "constant", "func_op", "import_", "opmethod", "placeholder", "str_format"],
    "once": ["lazy_constant"],
    "operation": ["Operation"],
    "side_by_side": ["Preview", "preview"],
    "writing": ["control_dependencies"],
    "profiler": ["Profiler"],
    "keys": ["stable_key"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "EvaluationError",
    "Graph",
    "GraphFunction",
    "NodeNotFound",
    "Operation",
    "Preview",
    "Profiler",
    "assert_",
    "cache",
    "cache_file",
    "conditional",
    "constant",
    "control_dependencies",
    "func_op",
    "graph_function",
    "import_",
    "lazy_constant",
    "opmethod",
    "placeholder",
    "preview",
    "stable_key",
    "str_format",
    "try_",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use: a worker must not pay for what it does not use."""
    if name in _HOME_OF:
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    elif name in __all__:
        value = getattr(import_module("olympipe_like.errors"), name)
    else:  # list_, sorted_, add, itemgetter, ...
        value = None if name.startswith("_") else import_module(f"{__name__}.ready_made").ready_made(name)
        if value is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    names: list[str] = import_module(f"{__name__}.ready_made").names()
    return sorted({*__all__, *names})
