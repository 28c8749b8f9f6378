"""One measurement in a process of its own: ``python -m benchmarks.once SPECIFICATION REPORT``.

The specification is JSON: peer, workload, arguments of the workload. The report is a JSON file: figures, and
``order``, which says "ordered", "unordered" (all values right, order lost) or what is wrong.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from benchmarks.workloads import ITEMS_READ, WARM_UP_ITEMS, WORKLOADS, Workload, growth

MODULES = {
    "ours": "benchmarks.ours",
    "handwritten": "benchmarks.handwritten",
    "handwritten-memory": "benchmarks.handwritten_memory",
    "ours-threads": "benchmarks.ours_threads",
    "ours-fused": "benchmarks.ours_fused",
    "olympipe": "benchmarks.olympipe22",
    "serial": "benchmarks.serial",
    "pescador": "benchmarks.pescador3",
    "pescador-bare": "benchmarks.pescador3_bare",
}

FEW_ITEMS = 10  # of the run that warms a peer up


class Peer(Protocol):
    """What a peer's module offers."""

    def collect(self, workload: Workload) -> list[Any]:
        """Run to the end; return the results."""
        ...

    def arrivals(self, workload: Workload) -> list[tuple[Any, float]]:
        """Run to the end; return each result with the time at which it reached the caller."""
        ...

    def first(self, workload: Workload, count: int) -> list[Any]:
        """Return the first results and stop everything."""
        ...

    def draw(self, workload: Workload) -> list[Any]:
        """Draw all samples in this process; return their labels."""
        ...


def make(name: str, arguments: dict[str, Any]) -> Workload:
    return growth(**arguments) if name == "growth" else WORKLOADS[name].make(arguments["items"])


def judge(found: list[Any], expected: list[Any]) -> str:
    if found == expected:
        return "ordered"
    if Counter(found) == Counter(expected):
        return "unordered"
    if len(found) != len(expected):
        return f"wrong: {len(found)} results, {len(expected)} expected"
    place = next(n for n, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)
    return f"wrong: result {place} is {found[place]!r}, expected {expected[place]!r}"


def items_per_second(workload: Workload, seconds: float) -> float:
    assert workload.amount is not None
    return workload.amount / seconds


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]


def measure(peer: Peer, workload: Workload, import_seconds: float) -> tuple[list[float], str]:
    """Return one value for each figure of the workload, and the verdict on the results."""
    started = time.perf_counter()
    match workload.mode:
        case "collect":
            results = peer.collect(workload)
            seconds = time.perf_counter() - started
            values = [seconds if workload.amount is None else items_per_second(workload, seconds)]
        case "draw":
            results = peer.draw(workload)
            values = [items_per_second(workload, time.perf_counter() - started)]
        case "start":
            results = peer.collect(workload)
            cold = time.perf_counter()
            again = peer.collect(workload)
            warm = time.perf_counter()
            values = [import_seconds * 1e3, (cold - started) * 1e3, (warm - cold) * 1e3]
            if again != results:
                return values, "wrong: the second run differs from the first"
        case "latency":
            arrived = peer.arrivals(workload)
            delays = [(at - item[1]) * 1e6 for item, at in arrived][WARM_UP_ITEMS:]
            values = [percentile(delays, 0.50), percentile(delays, 0.99)]
            results = [item for item, _ in arrived]
        case "leave":
            results = peer.first(workload, workload.items)
            seconds = time.perf_counter() - started
            values = [seconds * 1e3, ITEMS_READ.value]
    return values, judge(workload.summary(results), workload.expected())


def warm_up(peer: Peer, name: str, arguments: dict[str, Any]) -> None:
    """Do what only the first run of a program does, alike for every peer: W4 shows what that costs."""
    workload = make(name, {**arguments, "items": FEW_ITEMS})
    match workload.mode:
        case "collect" | "latency":
            peer.collect(workload)
        case "leave":
            peer.first(workload, workload.items)
            ITEMS_READ.value = 0
        case "start" | "draw":  # the first run is what is measured; nothing is started
            pass


def main(specification: str, report: str) -> None:
    asked = json.loads(specification)
    workload = make(asked["workload"], asked["arguments"])
    started = time.perf_counter()
    peer: Any = importlib.import_module(MODULES[asked["peer"]])
    import_seconds = time.perf_counter() - started
    warm_up(peer, asked["workload"], asked["arguments"])
    values, order = measure(peer, workload, import_seconds)
    figures = {figure.name: value for figure, value in zip(workload.figures, values, strict=True)}
    Path(report).write_text(json.dumps({"figures": figures, "order": order}))


if __name__ == "__main__":
    _, given, destination = sys.argv
    main(given, destination)
