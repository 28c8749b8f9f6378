"""As `pescador3`, with the mux in a process of Pescador's own: `ZMQStreamer`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks import handwritten
from benchmarks.pescador3 import mux_of
from benchmarks.workloads import Workload


def collect(workload: Workload) -> list[Any]:
    def source() -> Any:
        import pescador  # type: ignore[import-not-found,unused-ignore]

        return pescador.ZMQStreamer(mux_of(workload.source()))(max_iter=workload.items)

    return handwritten.collect(replace(workload, source=source))
