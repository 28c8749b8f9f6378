"""The single workers of stages that other machines may join, for people."""

from __future__ import annotations

from collections.abc import Sequence

from olympipe_like._model.stats import WorkerStats
from olympipe_like._observe.text import grouped, one_line, percent, rate, seconds, table

_HEADINGS = ("worker", "of stage", "host", "pid", "items", "items/s", "busy %", "last seen")
_LONGEST_NAME = 40  # columns


def table_of_workers(workers: Sequence[WorkerStats], elapsed: float) -> list[str]:
    """Return the lines of a table of workers, in a run of so many seconds."""
    return table([_HEADINGS, *(_row(worker, elapsed) for worker in workers)])


def _row(worker: WorkerStats, elapsed: float) -> tuple[str, ...]:
    seen = "left" if worker.left else "-" if worker.last_seen is None else f"{seconds(worker.last_seen)} ago"
    return (
        worker.name,
        one_line(worker.stage, _LONGEST_NAME),
        one_line(worker.host, _LONGEST_NAME) or "here",
        str(worker.pid or "-"),
        grouped(worker.items),
        rate(worker.items / elapsed) if elapsed > 0 else "-",
        str(percent(worker.busy / elapsed)) if elapsed > 0 else "-",
        seen,
    )
