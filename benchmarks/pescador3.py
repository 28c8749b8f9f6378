"""The workloads of samples on Pescador 3.0.0; stages by hand, because it has none.

Its mux runs in the process that feeds the first stage. That is quicker than its own way into another process, which
`pescador3_zmq` takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks import handwritten
from benchmarks.workloads import Mux, Workload


def mux_of(mux: Mux) -> Any:
    import numpy as np
    import pescador  # type: ignore[import-not-found,unused-ignore]

    streams = [pescador.Streamer(mux.function, *arguments) for arguments in mux.arguments]
    weights = None if mux.weights is None else np.array(mux.weights)  # it takes no other kind of sequence
    return pescador.StochasticMux(streams, mux.n_active, mux.rate, weights=weights, random_state=1)


def draw(workload: Workload) -> list[Any]:
    return [int(sample["Y"]) for sample in mux_of(workload.source())(max_iter=workload.items)]


def collect(workload: Workload) -> list[Any]:
    def source() -> Any:
        return mux_of(workload.source())(max_iter=workload.items)

    return handwritten.collect(replace(workload, source=source))
