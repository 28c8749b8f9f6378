"""The workloads by hand: one process per worker over bounded queues of ``multiprocessing``.

As good as a careful person would write it for one program, and no better: frames of (number, items), chunked
where items are tiny, order restored by number in the caller. Small frames go through a ``SimpleQueue``
(bounded by its pipe of 64 KiB, no threads), large ones through a ``Queue`` of 8 (its threads send while the
stage works on). There is no error handling at all: a function that raises hangs it.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count, islice
from typing import Any

from benchmarks.serial import batches
from benchmarks.workloads import Batch, Filter, Map, Workload

_fork = multiprocessing.get_context("fork")


def _feed(source: Callable[[], Iterable[Any]], chunk: int, outbox: Any) -> None:
    items = iter(source())
    for number in count():
        taken = list(islice(items, chunk))
        outbox.put((number, taken or None))
        if not taken:
            break


def _work(stage: Map | Filter, inbox: Any, outbox: Any) -> None:
    while True:
        number, items = inbox.get()
        if items is not None:
            match stage:
                case Map(function):
                    items = list(map(function, items))
                case Filter(keep):
                    items = list(filter(keep, items))
        outbox.put((number, items))


def _in_order(outbox: Any) -> Iterator[list[Any]]:
    """Yield lists of results; the end is a frame like any other, so it comes after everything before it."""
    early: dict[int, list[Any] | None] = {}
    for wanted in count():
        while wanted not in early:
            number, items = outbox.get()
            early[number] = items
        due = early.pop(wanted)
        if due is None:
            return
        yield due


@contextmanager
def chunks(workload: Workload) -> Iterator[Iterator[list[Any]]]:
    """Start the chain and give its results, list by list; leaving the block ends every process."""
    stages = [stage for stage in workload.stages if not isinstance(stage, Batch)]
    queues = [_fork.Queue(8) if workload.large else _fork.SimpleQueue() for _ in range(len(stages) + 1)]
    processes = [_fork.Process(target=_feed, args=(workload.source, workload.chunk, queues[0]))]
    for stage, inbox, outbox in zip(stages, queues, queues[1:], strict=False):
        workers = stage.workers if isinstance(stage, Map) else 1
        processes += [_fork.Process(target=_work, args=(stage, inbox, outbox)) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        results = _in_order(queues[-1])
        match workload.stages[-1]:
            case Batch(size):
                yield batches(chain.from_iterable(results), size)  # in the caller: a process would only copy
            case _:
                yield results
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def collect(workload: Workload) -> list[Any]:
    results: list[Any] = []
    with chunks(workload) as lists:
        if isinstance(workload.stages[-1], Batch):
            return list(lists)
        for items in lists:
            results += items
    return results


def arrivals(workload: Workload) -> list[tuple[Any, float]]:
    with chunks(workload) as lists:
        return [(item, time.perf_counter()) for items in lists for item in items]


def first(workload: Workload, count: int) -> list[Any]:
    with chunks(workload) as lists:
        return list(islice(chain.from_iterable(lists), count))
