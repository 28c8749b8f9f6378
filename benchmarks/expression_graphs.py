"""What applying an expression graph costs: ours, and the plain way, recursion over nodes with a dict of values.

python -m benchmarks.expression_graphs
"""

from __future__ import annotations

import operator
import timeit

from olympipe_like.graph import Graph, Profiler, conditional, placeholder

NODES = 10
APPLIES = 20_000


class Recursive:
    """A node as one would write it first: evaluates its inputs, then itself, and notes the value."""

    def __init__(self, function=None, *args):
        self.function, self.args = function, args

    def value(self, known):
        if self not in known:
            args = [each.value(known) if isinstance(each, Recursive) else each for each in self.args]
            known[self] = self.function(*args)
        return known[self]


def microseconds(function) -> float:
    """Return the best mean time of a call, of five rounds."""
    return min(timeit.repeat(function, number=APPLIES, repeat=5)) / APPLIES * 1e6


def main() -> None:
    """Measure chains of additions."""
    start = plain = Recursive()
    with Graph() as graph:
        x = node = placeholder("x")
        for _ in range(NODES - 1):
            plain, node = Recursive(operator.add, plain, 1), node + 1
        node.set_name("end")
        chosen = conditional(x > 0, node, 0)
    profiler = Profiler()
    results = {
        "recursion with a dict": lambda: plain.value({start: 1}),
        "graph('end', x=1)": lambda: graph("end", x=1),
        "graph(node, {x: 1})": lambda: graph(node, {x: 1}),
        "the same behind a conditional": lambda: graph(chosen, {x: 1}),
        "with a profiler": lambda: graph(node, {x: 1}, callback=profiler),
    }
    print(f"{NODES} nodes, microseconds per apply")
    for name, apply in results.items():
        print(f"  {name:<32} {microseconds(apply):6.1f}")


if __name__ == "__main__":
    main()
