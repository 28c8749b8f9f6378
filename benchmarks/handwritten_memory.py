"""The array workloads by hand in shared memory: one process per stage, a ring of slots between neighbours.

The fastest that a careful person would write for one program on Linux: each edge has slots in memory that all processes
map, a pipe that says which slot holds what, and a pipe that gives slots back. A frame is a pickle of protocol 5 with
its buffers in the slot. A stage computes on views of the slot, so that it copies each array once, when it writes its
results. What it gives up: views must not be changed or kept, slots have a fixed size, one worker a stage, no error
handling; it hangs where a function raises or a process dies.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from mmap import mmap
from typing import Any

from benchmarks.workloads import Map, Workload

_fork = multiprocessing.get_context("fork")

SLOTS = 4  # on an edge; more leave the processor's cache
SLOT_BYTES = 2 << 20


class Edge:
    """Slots between two processes."""

    def __init__(self) -> None:
        self._memory = mmap(-1, SLOTS * SLOT_BYTES)
        self._taker, self._giver = _fork.Pipe(duplex=False)
        self._finder, self._returner = _fork.Pipe(duplex=False)
        self._spare = list(range(SLOTS))

    def put(self, items: list[Any] | None) -> None:
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(items, protocol=5, buffer_callback=buffers.append)
        slot = self._spare.pop() if self._spare else self._finder.recv_bytes()[0]
        place = slot * SLOT_BYTES
        lengths = []
        for buffer in buffers:
            raw = buffer.raw()
            lengths.append(raw.nbytes)
            self._memory[place : place + raw.nbytes] = raw
            place += raw.nbytes
        self._giver.send((slot, lengths, data))

    def take(self) -> tuple[list[Any] | None, int]:
        slot, lengths, data = self._taker.recv()
        place = slot * SLOT_BYTES
        buffers = []
        view = memoryview(self._memory).toreadonly()
        for length in lengths:
            buffers.append(view[place : place + length])
            place += length
        return pickle.loads(data, buffers=buffers), slot

    def give_back(self, slot: int) -> None:
        self._returner.send_bytes(bytes((slot,)))


def _feed(source: Callable[[], Iterable[Any]], chunk: int, outbox: Edge) -> None:
    items = iter(source())
    while taken := list(islice(items, chunk)):
        outbox.put(taken)
    outbox.put(None)


def _work(function: Callable[[Any], Any], inbox: Edge, outbox: Edge) -> None:
    while True:
        items, slot = inbox.take()
        results = None if items is None else list(map(function, items))
        del items
        inbox.give_back(slot)
        outbox.put(results)
        if results is None:
            return


def _results(edge: Edge) -> Iterator[Any]:
    while True:
        items, slot = edge.take()
        if items is None:
            return
        yield from items
        edge.give_back(slot)


def collect(workload: Workload) -> list[Any]:
    """Run to the end; the results must hold no arrays, which would be views of slots used again."""
    stages = [stage for stage in workload.stages if isinstance(stage, Map)]
    assert len(stages) == len(workload.stages)
    edges = [Edge() for _ in range(len(stages) + 1)]
    processes = [_fork.Process(target=_feed, args=(workload.source, workload.chunk, edges[0]))]
    for stage, inbox, outbox in zip(stages, edges, edges[1:], strict=False):
        processes.append(_fork.Process(target=_work, args=(stage.function, inbox, outbox)))
    for process in processes:
        process.start()
    results = list(_results(edges[-1]))
    for process in processes:
        process.join()
    return results
