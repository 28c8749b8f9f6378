"""The workloads on olympipe_like."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.workloads import Batch, Filter, Map, Workload
from olympipe_like import Pipeline


def build(workload: Workload) -> Pipeline[Any]:
    pipe: Pipeline[Any] = Pipeline(workload.source())
    for stage in workload.stages:
        match stage:
            case Map():
                pipe = pipe.task(stage.function, workers=stage.workers)
            case Filter():
                pipe = pipe.filter(stage.keep)
            case Batch():
                pipe = pipe.batch(stage.size)
    return pipe


def collect(workload: Workload) -> list[Any]:
    return build(workload).wait_for_result()


def arrivals(workload: Workload) -> list[tuple[Any, float]]:
    return [(item, time.perf_counter()) for item in build(workload)]


def first(workload: Workload, count: int) -> list[Any]:
    taken: list[Any] = []
    for item in build(workload):
        taken.append(item)
        if len(taken) == count:
            break
    return taken
