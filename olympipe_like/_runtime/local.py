"""A run without a hub: every worker is a thread, a coroutine or the caller itself; items are never pickled."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple

from olympipe_like._executors.inline import InlineExecutor
from olympipe_like._executors.port import ChunkAnswer, ChunkExecutor, ChunkTask, Notice, WorkerBroken, WorkerClosed
from olympipe_like._executors.threads import ThreadExecutor
from olympipe_like._model.closed import assert_never
from olympipe_like._model.commands import (
    AllowSource,
    ContinueFrame,
    Deliver,
    DropFrame,
    EndSink,
    FailRun,
    FinishRun,
    FreePayload,
    GiveUp,
    ReportDropped,
    RestoreWorker,
    RunFrame,
    StartWorker,
    StopSource,
    StopWorker,
)
from olympipe_like._model.events import (
    Event,
    FrameConsumed,
    FrameReturned,
    SourcePulled,
    StopRequested,
    WorkerFailed,
)
from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import NO_PAYLOAD, Path, PayloadId, StageId, WorkerId
from olympipe_like._model.options import NO_LIMITS, ExecutorName, Limits, Placement
from olympipe_like._model.tallies import StageTally
from olympipe_like._plan.layout import Layout
from olympipe_like._plan.segment import Segment
from olympipe_like._runtime import stall
from olympipe_like._runtime.driver import Driver
from olympipe_like._runtime.local_feed import InlineFeed, ThreadFeed
from olympipe_like._runtime.local_stall import LocalStall, own_stacks
from olympipe_like._runtime.obituary import too_many, unbalanced
from olympipe_like._runtime.sources import maker_of
from olympipe_like._runtime.stall import StallWatch
from olympipe_like._runtime.weight import weight
from olympipe_like._scheduler.scheduler import Scheduler
from olympipe_like._transport.messages import Marked
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.feed import PortGone
from olympipe_like.errors import InternalError

MOST_MARKS = 1024  # a consumer that takes nothing for long loses the oldest of them, which only costs time


class Dropped(NamedTuple):
    """Items that failed and were dropped."""

    records: tuple[Failure, ...]


class Waiting(Enum):
    """That nothing has come yet."""

    WAITING = "waiting"


WAITING = Waiting.WAITING


def executor_here(placement: Placement, *, inline: bool) -> ExecutorName:
    """Return what runs a stage in this process; a single inline stage among others gets a thread."""
    if inline:
        return "inline"
    assert placement.executor != "remote"  # such a run has a hub
    return "thread" if placement.executor == "inline" else placement.executor


def make_executors(
    wanted: set[ExecutorName], segments: Mapping[StageId, Segment], tell: Any
) -> dict[ExecutorName, ChunkExecutor]:
    """Return the executors of this process that a run needs."""
    made: dict[ExecutorName, ChunkExecutor] = {}
    if "thread" in wanted:
        made["thread"] = ThreadExecutor(segments, tell)
    if "async" in wanted:
        from olympipe_like._executors.asyncio_tasks import AsyncExecutor  # asyncio takes 20 ms to import

        made["async"] = AsyncExecutor(segments, tell)
    if "inline" in wanted:
        made["inline"] = InlineExecutor(segments, tell)
    return made


class LocalRun:
    """One run in the caller's process.

    There is no thread for the loop: whoever has an event, a worker, a feeder or the consumer, hands it to the
    scheduler under the lock. An inline run has no thread at all: `next` does whatever is to be done.
    """

    def __init__(self, layout: Layout, *, inline: bool, limits: Limits = NO_LIMITS) -> None:
        self._lock = threading.RLock()
        self._events: deque[Event] = deque()
        self._handling = False
        self._payloads: dict[PayloadId, Chunk] = {}
        self._next_payload = 0
        self._results: SimpleQueue[tuple[StageId, Chunk] | Dropped | Failure | None] = SimpleQueue()
        self._over = False
        self.balanced = False  # the books are closed, and agree
        self.left_to_parent = False
        self.marks: deque[Marked] = deque(maxlen=MOST_MARKS)  # where sources were, until somebody takes them
        self._finishing = False
        self._workers: dict[WorkerId, ExecutorName] = {}  # those that have not ended
        self._stopping: set[WorkerId] = set()
        self._in_hand: StageId | None = None  # sink whose frame the consumer has
        self._inline = inline
        segments = {stage.spec.id: stage.segment for stage in layout.stages if stage.segment is not None}
        self._where: dict[StageId, ExecutorName] = {
            stage.spec.id: executor_here(stage.placement, inline=inline)
            for stage in layout.stages
            if stage.placement is not None
        }
        self._executors = make_executors(set(self._where.values()), segments, self._told)
        self._feeds: dict[StageId, ThreadFeed | InlineFeed] = {}
        for stage in layout.stages:
            if stage.source is not None:
                make, feed = maker_of(stage.source), InlineFeed if inline else ThreadFeed
                self._feeds[stage.spec.id] = feed(self, stage.spec.id, make, stage.labels[0])
        watch = StallWatch(limits.stall_timeout, stall.STALL_SECONDS)
        self._driver = Driver(Scheduler(layout.specs, limits), self, watch)
        labels = self._labels = {stage.spec.id: stage.label for stage in layout.stages}
        threads = [feed.thread for feed in self._feeds.values() if isinstance(feed, ThreadFeed)]
        stacks = partial(own_stacks, self._executors.values(), threads)
        self._stall = LocalStall(self._driver, self._lock, labels, stacks)

    # -- the consumer's side ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        with self._lock:
            self._handling = True
            try:
                self._driver.start(monotonic())
            finally:
                self._handling = False
        for feed in self._feeds.values():
            feed.start()

    def next(self, timeout: float | None) -> tuple[StageId, Chunk] | Dropped | Failure | Waiting | None:
        """Return the next frame of results, a failure outside the items' order, or None at the end.

        With a timeout (seconds) also `WAITING`, when nothing came for so long.
        """
        if self._in_hand is not None:
            sink, self._in_hand = self._in_hand, None
            self.handle(FrameConsumed(at=monotonic(), sink=sink))
        if self._inline:
            self._work_until_result()
        try:
            found = self._stall.get(self._results, timeout)
        except Empty:
            return WAITING
        if isinstance(found, tuple) and not isinstance(found, Dropped):
            self._in_hand = found[0]
        return found

    def stop(self) -> None:
        """Ask the sources for no more."""
        self.handle(StopRequested(at=monotonic()))

    def tallies(self) -> tuple[StageTally, ...]:
        """Return every stage's counts."""
        with self._lock:
            return self._driver.scheduler.tallies()

    def leave_to_parent(self) -> None:
        """In a fork of the caller, where none of the run's threads is; without threads it goes on in both."""
        if not self._inline:
            self.left_to_parent = self._over = True
            self._lock = threading.RLock()  # the parent's may be held by one of them

    def close(self) -> None:
        """End everything that still runs."""
        with self._lock:
            if self._over:
                return
            self._over = True
        for feed in self._feeds.values():
            feed.stop()
        for executor in self._executors.values():
            executor.abandon()
        for feed in self._feeds.values():
            feed.join()
        self._results.put(None)  # wakes a consumer that waits in another thread

    def _work_until_result(self) -> None:
        executor = self._executors.get("inline")
        assert executor is None or isinstance(executor, InlineExecutor)
        while self._results.empty():
            if executor is not None and executor.step():
                continue
            ready = [feed for feed in self._feeds.values() if isinstance(feed, InlineFeed) and feed.may_pull]
            if not ready:
                raise InternalError("an inline run has nothing to do, and no result")
            min(ready, key=lambda feed: feed.given).pull()

    # -- events -------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Hand an event to the scheduler; from any thread."""
        with self._lock:
            self._events.append(event)
            if self._handling:
                return  # whoever is at it below us on this thread's stack takes it next
            self._handling = True
            try:
                while self._events and not self._over:
                    self._driver.handle(self._events.popleft())
            finally:
                self._handling = False

    def _told(self, notice: Notice) -> None:
        match notice:
            case ChunkAnswer():
                with self._lock:
                    answer = notice.answer
                    frame = self._frame_of(answer.chunk)
                    event = FrameReturned(
                        at=monotonic(),
                        worker=notice.worker,
                        frame=frame,
                        counts=answer.counts,
                        seconds=notice.seconds,
                        more=answer.more,
                        done=answer.done,
                        records=answer.records,
                    )
                    self.handle(event)
            case WorkerBroken() if notice.worker in self._stopping:
                self._results.put(notice.failure)  # it has done all it had to: this may come behind the last event
            case WorkerBroken():
                self.handle(WorkerFailed(at=monotonic(), worker=notice.worker, failure=notice.failure))
            case WorkerClosed():
                with self._lock:
                    self._workers.pop(notice.worker, None)
                    self._finish_if_closed()
            case _:
                assert_never(notice)

    def pulled(self, source: StageId, chunk: Chunk) -> None:
        """Take a source's next frame.

        Raises
        ------
        PortGone
            If the run is over.
        """
        with self._lock:
            if self._over:
                raise PortGone
            self.handle(SourcePulled(at=monotonic(), source=source, frame=self._frame_of(chunk)))

    def marked(self, source: StageId, position: Path, state: Mapping[str, Any]) -> None:
        """Note where a source is."""
        self.marks.append(Marked(source, position, state))

    def _frame_of(self, chunk: Chunk) -> Frame:
        """Return the header of a frame whose items this run keeps."""
        payload = NO_PAYLOAD
        count = len(chunk.items)
        if count:
            payload = PayloadId(self._next_payload)
            self._next_payload += 1
            self._payloads[payload] = chunk
        nbytes = count * weight(chunk.items[0]) if count else 0
        return Frame(count=count, span=count, upto=chunk.upto, payload=payload, nbytes=nbytes, failure=chunk.failure)

    def _chunk_of(self, frame: Frame) -> Chunk:
        if frame.payload == NO_PAYLOAD:
            chunk = Chunk([], (), frame.upto)
        else:
            chunk = self._payloads[frame.payload].view(frame.skip, frame.count, frame.prefix)
        failure = frame.failure
        assert failure is None or isinstance(failure, Failure)
        return Chunk(chunk.items, chunk.columns, frame.upto, failure)

    # -- commands -----------------------------------------------------------------------------------------------------

    def start_worker(self, command: StartWorker) -> None:
        where = self._where[command.stage]
        self._workers[command.worker] = where
        self._executors[where].start(command.worker, command.stage, command.slot)

    def run_frame(self, command: RunFrame) -> None:
        chunk = self._chunk_of(command.frame) if command.frame is not None else None
        task = ChunkTask(command.worker, command.leg, chunk, command.part_items)
        self._executors[self._where[command.stage]].run(task)

    def go_on(self, command: ContinueFrame) -> None:
        self._executors[self._workers[command.worker]].go_on(command.worker)

    def drop_frame(self, command: DropFrame) -> None:
        raise AssertionError(f"{command}, and none of these workers can be lost")

    def stop_worker(self, command: StopWorker) -> None:
        if command.worker in self._workers:
            self._stop_worker(command.worker)

    def allow(self, command: AllowSource) -> None:
        self._feeds[command.source].allow(command.items, command.size)

    def stop_source(self, command: StopSource) -> None:
        self._feeds[command.source].stop()

    def deliver(self, command: Deliver) -> None:
        self._results.put((command.sink, self._chunk_of(command.frame)))

    def end_sink(self, command: EndSink) -> None:
        pass  # the end of the last one ends the run

    def free(self, command: FreePayload) -> None:
        del self._payloads[command.payload]

    def finish(self, command: FinishRun) -> None:
        if command.discrepancies:
            self._results.put(unbalanced(command.discrepancies))
        self.balanced = not command.discrepancies
        self._finishing = True
        for worker in list(self._workers):
            self._stop_worker(worker)
        self._finish_if_closed()

    def _stop_worker(self, worker: WorkerId) -> None:
        self._stopping.add(worker)
        self._executors[self._workers[worker]].stop(worker)

    def fail(self, command: FailRun) -> None:
        assert isinstance(command.failure, Failure)  # a thread cannot be lost
        self._results.put(command.failure)

    def give_up(self, command: GiveUp) -> None:
        self._results.put(too_many(command, self._labels))

    def restore(self, command: RestoreWorker) -> None:
        raise AssertionError(f"a worker of this process was lost: {command}")

    def report_dropped(self, command: ReportDropped) -> None:
        self._results.put(Dropped(tuple(_unpacked(record) for record in command.records)))

    def _finish_if_closed(self) -> None:
        if self._finishing and not self._workers:
            self._results.put(None)


def _unpacked(record: object) -> Failure:
    assert isinstance(record, Failure)
    return record
