"""Values that are made once in each process, when they are first needed."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import PlanTypeError
from olympipe_like.graph.operation import Operation
from olympipe_like.graph.writing import NodeOptions, new_node

if TYPE_CHECKING:
    import sys

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack


def lazy_constant(target: Callable[[], Any], **options: Unpack[NodeOptions]) -> Operation:
    """Return a node whose value a function makes, once in each process and when it is first needed.

    Copies of the graph in one process share the value, threads wait for the one that makes it. If the function fails
    so does the node, and the next evaluation calls it again. The value does not travel with the graph.

    >>> from olympipe_like.graph import Graph, lazy_constant, placeholder
    >>> with Graph() as graph:
    ...     table = lazy_constant(lambda: print("loading") or {"a": 1})
    ...     found = table[placeholder("key")]
    >>> graph(found, key="a"), graph(found, key="a")
    loading
    (1, 1)
    """
    if not callable(target):
        raise PlanTypeError(f"lazy_constant ({call_site()}): target must be a function, got {type(target).__name__}")
    return new_node("lazy_constant", _Once(target, uuid.uuid4().hex), **options)


class _Holder:
    """The value, once it is there."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # the function may apply a graph that needs the value: an error, not a hang
        self.made = False
        self.value: Any = None


_HOLDERS: weakref.WeakValueDictionary[str, _Holder] = weakref.WeakValueDictionary()
_FINDING = threading.Lock()


class _Once:
    def __init__(self, target: Callable[[], Any], key: str) -> None:
        self.target, self.key = target, key
        with _FINDING:
            self.holder = _HOLDERS.setdefault(key, _Holder())

    def __call__(self) -> Any:
        holder = self.holder
        if not holder.made:
            with holder.lock:
                if not holder.made:
                    holder.value = self.target()
                    holder.made = True
        return holder.value

    def __reduce__(self) -> Any:
        return _Once, (self.target, self.key)
