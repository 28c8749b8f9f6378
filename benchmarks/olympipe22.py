"""The workloads on Olympipe 2.2.0, through its public methods only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from olympipe import Pipeline  # type: ignore[import-not-found,import-untyped,unused-ignore]

from benchmarks.workloads import Batch, Filter, Map, Workload


def build(workload: Workload) -> Any:
    pipe: Any = Pipeline(workload.source())
    for stage in workload.stages:
        match stage:
            case Map():
                pipe = pipe.task(stage.function, count=stage.workers)
            case Filter():
                pipe = pipe.filter(stage.keep)
            case Batch():
                pipe = pipe.batch(stage.size)
    return pipe


def collect(workload: Workload) -> list[Any]:
    results: list[Any] = build(workload).wait_for_result()
    return results


class _StampedOnArrival:
    """Unpickles as (item, time): Olympipe has no loop over results in which to look at a clock."""

    def __init__(self, item: Any) -> None:
        self.item = item

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return _stamp, (self.item,)


def _stamp(item: Any) -> tuple[Any, float]:
    return item, time.perf_counter()


def _then_stamp(function: Callable[[Any], Any], item: Any) -> _StampedOnArrival:
    return _StampedOnArrival(function(item))


def arrivals(workload: Workload) -> list[tuple[Any, float]]:
    *before, last = workload.stages
    assert isinstance(last, Map)
    return collect(replace(workload, stages=(*before, Map(partial(_then_stamp, last.function), last.workers))))


def first(workload: Workload, count: int) -> list[Any]:
    results: list[Any] = build(workload).limit(count).wait_for_result()
    return results
