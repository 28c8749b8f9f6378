"""The workloads on olympipe_like."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.workloads import Batch, Filter, Map, Mux, Workload
from olympipe_like import Pipeline


def mux_of(mux: Mux) -> Any:
    from olympipe_like.sampling import StochasticMux, Streamer, buffer_stream

    streams = [Streamer(mux.function, *arguments) for arguments in mux.arguments]
    made = StochasticMux(streams, mux.n_active, mux.rate, mux.weights, random_state=1)
    return made if mux.buffer is None else buffer_stream(made, mux.buffer)


def draw(workload: Workload) -> list[Any]:
    return [int(sample["Y"]) for sample in mux_of(workload.source()).iterate(workload.items)]


def build(workload: Workload) -> Pipeline[Any]:
    made = workload.source()
    pipe: Pipeline[Any] = Pipeline(mux_of(made), workload.items) if isinstance(made, Mux) else Pipeline(made)
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
