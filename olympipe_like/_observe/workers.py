"""The single workers of stages that other machines may join, for people."""

from __future__ import annotations

from collections.abc import Sequence

from olympipe_like._model.stats import WorkerStats
from olympipe_like._observe.text import grouped, one_line, percent, rate, seconds, table

_HEADINGS = ("worker", "of stage", "host", "pid", "items", "items/s", "busy %", "last seen")
_LONGEST_NAME = 40  # columns


def table_of_workers(workers: Sequence[WorkerStats]) -> list[str]:
    """Return the lines of a table of workers; rates and shares are of the time from each start to its last answer.

    So a worker that came late or left early is shown as fast as it was.
    """
    return table([_HEADINGS, *map(_row, workers)])


def hosts_in_words(workers: Sequence[WorkerStats]) -> str:
    """Return in a line who works now, for a display that has no room for a table.

    >>> here = WorkerStats("decode", "1.0", "", 17, 100, 0.9, None, left=False, seconds=1.0)
    >>> there = WorkerStats("decode", "1.1", "nodeb", 18, 90, 0.9, 0.1, left=False, seconds=1.0)
    >>> hosts_in_words([here, there, there])
    'here 1 worker, 100/s; nodeb 2 workers, 180/s, seen 0.10 s ago'
    """
    hosts: dict[str, list[WorkerStats]] = {}
    for worker in workers:
        if not worker.left:
            hosts.setdefault(worker.host, []).append(worker)
    return "; ".join(_host_in_words(host, present) for host, present in sorted(hosts.items()))


def _host_in_words(host: str, workers: Sequence[WorkerStats]) -> str:
    speed = rate(sum(worker.items / worker.seconds for worker in workers if worker.seconds > 0))
    name = one_line(host, _LONGEST_NAME) or "here"
    text = f"{name} {len(workers)} worker{'' if len(workers) == 1 else 's'}, {speed}/s"
    seen = [worker.last_seen for worker in workers if worker.last_seen is not None]
    return f"{text}, seen {seconds(max(seen))} ago" if seen else text


def _row(worker: WorkerStats) -> tuple[str, ...]:
    seen = "left" if worker.left else "-" if worker.last_seen is None else f"{seconds(worker.last_seen)} ago"
    was_at_work = worker.seconds > 0
    return (
        worker.name,
        one_line(worker.stage, _LONGEST_NAME),
        one_line(worker.host, _LONGEST_NAME) or "here",
        str(worker.pid or "-"),
        grouped(worker.items),
        rate(worker.items / worker.seconds) if was_at_work else "-",
        str(percent(min(worker.busy / worker.seconds, 1.0))) if was_at_work else "-",
        seen,
    )
