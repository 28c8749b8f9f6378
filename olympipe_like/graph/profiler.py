"""Where the time of a graph goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from olympipe_like.graph.expression import expression_of
from olympipe_like.graph.operation import Operation


class Profiler:
    """A callback that adds up how long each node takes, over any number of applies and threads of this process.

    A node's time is its own: without that of the nodes it needs or, if it is lazy, asks for.

    Attributes
    ----------
    times : dict of Operation to float
        Seconds in all.
    counts : dict of Operation to int
        How often it was evaluated.

    Examples
    --------
    >>> from olympipe_like.graph import Graph, Profiler, placeholder
    >>> with Graph() as graph:
    ...     y = placeholder("x") + 1
    >>> profiler = Profiler()
    >>> [graph(y, x=x, callback=profiler) for x in range(3)]
    [1, 2, 3]
    >>> profiler.counts[y]
    3
    """

    def __init__(self) -> None:
        self.times: dict[Operation, float] = {}
        self.counts: dict[Operation, int] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def __call__(self, operation: Operation, _context: Mapping[Any, Any]) -> Iterator[None]:
        """Measure what happens within."""
        around: list[float] = self._local.__dict__.setdefault("around", [])
        around.append(0.0)  # seconds of nodes inside this one
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            own = seconds - around.pop()
            if around:
                around[-1] += seconds
            with self._lock:
                self.times[operation] = self.times.get(operation, 0.0) + own
                self.counts[operation] = self.counts.get(operation, 0) + 1

    def get_slow_operations(self, num_operations: int | None = None) -> dict[Operation, float]:
        """Return the nodes with their seconds, the slowest first; all, or as many as asked for."""
        slowest = sorted(self.times.items(), key=lambda pair: pair[1], reverse=True)
        return dict(slowest[:num_operations])

    def __str__(self) -> str:
        total = sum(self.times.values())
        lines = [f"{'seconds':>10}  {'share':>6}  {'times':>7}  node"]
        for node, seconds in self.get_slow_operations().items():
            share = seconds / total if total else 0.0
            what = f"{node.name} = {expression_of(node)}  ({node._definition.site})"
            lines.append(f"{seconds:10.4f}  {share:6.1%}  {self.counts[node]:7}  {what}")
        return "\n".join(lines)
