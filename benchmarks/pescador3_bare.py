"""As `pescador3` without `ZMQStreamer`: the mux runs in the hand-written process that feeds the first stage."""

from __future__ import annotations

from typing import Any

from benchmarks.pescador3 import into_stages
from benchmarks.workloads import Workload


def collect(workload: Workload) -> list[Any]:
    return into_stages(workload, lambda mux: mux)
