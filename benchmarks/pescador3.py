"""The workloads of samples on Pescador 3.0.0; stages by hand, because it has none.

Its mux is in another process by `ZMQStreamer`, as its documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks import handwritten
from benchmarks.workloads import Mux, Workload


def mux_of(mux: Mux) -> Any:
    import numpy as np
    import pescador  # type: ignore[import-not-found,unused-ignore]

    streams = [pescador.Streamer(mux.function, *arguments) for arguments in mux.arguments]
    weights = None if mux.weights is None else np.array(mux.weights)  # it takes no other kind of sequence
    made = pescador.StochasticMux(streams, mux.n_active, mux.rate, weights=weights, random_state=1)
    return made if mux.buffer is None else pescador.Streamer(pescador.buffer_stream, made, mux.buffer)


def draw(workload: Workload) -> list[Any]:
    return [int(sample["Y"]) for sample in mux_of(workload.source())(max_iter=workload.items)]


def into_stages(workload: Workload, wrapped: Callable[[Any], Any]) -> list[Any]:
    def source() -> Any:
        return wrapped(mux_of(workload.source()))(max_iter=workload.items)

    return handwritten.collect(replace(workload, source=source))


def collect(workload: Workload) -> list[Any]:
    import pescador

    return into_stages(workload, pescador.ZMQStreamer)
