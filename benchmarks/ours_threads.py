"""The workloads on olympipe_like with every stage in a thread of this process: nothing is copied or pickled."""

from __future__ import annotations

from typing import Any

from benchmarks.ours import build
from benchmarks.workloads import Workload


def collect(workload: Workload) -> list[Any]:
    return build(workload).wait_for_result(executor="thread")
