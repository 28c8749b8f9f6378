"""The plain loop: no process, no thread, no library. For scale."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from benchmarks.workloads import Batch, Filter, Map, Workload


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def stream(workload: Workload) -> Iterator[Any]:
    items: Iterator[Any] = iter(workload.source())
    for stage in workload.stages:
        match stage:
            case Map():
                items = map(stage.function, items)
            case Filter():
                items = filter(stage.keep, items)
            case Batch():
                items = batches(items, stage.size)
    return items


def collect(workload: Workload) -> list[Any]:
    return list(stream(workload))


def arrivals(workload: Workload) -> list[tuple[Any, float]]:
    return [(item, time.perf_counter()) for item in stream(workload)]


def first(workload: Workload, count: int) -> list[Any]:
    return list(islice(stream(workload), count))
