"""The workloads on olympipe_like with neighbouring stages in one process, as ``fuse=True`` has it."""

from __future__ import annotations

from typing import Any

from benchmarks.ours import build
from benchmarks.workloads import Workload


def collect(workload: Workload) -> list[Any]:
    return build(workload).wait_for_result(fuse=True)
