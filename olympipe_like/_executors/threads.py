"""Workers as threads of this process: they share the caller's objects, and nothing is pickled between them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from queue import SimpleQueue
from time import perf_counter

from olympipe_like._executors.port import ChunkAnswer, ChunkTask, Tell, WorkerBroken, WorkerClosed, WorkerStack
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._plan.segment import Segment
from olympipe_like._worker import stacks
from olympipe_like._worker.blame import blame, text_of
from olympipe_like._worker.program import Program

JOIN_SECONDS = 0.25  # how long an abandoned thread is waited for; one stuck in the user's function is left behind


class ThreadExecutor:
    """One thread a worker."""

    def __init__(self, segments: Mapping[StageId, Segment], tell: Tell) -> None:
        self._segments = segments
        self._tell = tell
        self._threads: dict[WorkerId, _WorkerThread] = {}

    def start(self, worker: WorkerId, stage: StageId, slot: int) -> None:
        """Start a thread."""
        thread = _WorkerThread(self._segments[stage], worker, slot, self._tell)
        self._threads[worker] = thread
        thread.start()

    def run(self, task: ChunkTask) -> None:
        """Put a frame into the thread's inbox."""
        self._threads[task.worker].inbox.put(task)

    def go_on(self, worker: WorkerId) -> None:
        """Let the thread make the next part."""
        self._threads[worker].inbox.put(True)

    def stop(self, worker: WorkerId) -> None:
        """Ask the thread to end."""
        self._threads[worker].inbox.put(None)

    def abandon(self) -> None:
        """Ask all threads to end after the item at hand, and wait a little."""
        for thread in self._threads.values():
            thread.abandoned = True
            thread.inbox.put(None)
        for thread in self._threads.values():
            # One that is only just being started, as Ctrl-C may meet it, cannot be waited for.
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(JOIN_SECONDS)

    def stacks(self) -> list[WorkerStack]:
        """Return the stack of each thread that has not ended."""
        return [
            WorkerStack(thread.title, text)
            for thread in list(self._threads.values())
            if (text := stacks.of_thread(thread.ident))
        ]


class _WorkerThread(threading.Thread):
    """The loop of one worker."""

    def __init__(self, segment: Segment, worker: WorkerId, slot: int, tell: Tell) -> None:
        label = segment.label
        super().__init__(name=f"olympipe-{label.name}-{slot}", daemon=True)
        self.inbox: SimpleQueue[ChunkTask | bool | None] = SimpleQueue()
        self.abandoned = False
        self._segment = segment
        self._worker = worker
        self._slot = slot
        self._label = label
        self._tell = tell
        self.title = f"worker {label.number}.{slot}, thread {self.name}"

    def run(self) -> None:
        try:
            program = Program(self._segment, self._slot, self.title)
        except BaseException as error:  # noqa: BLE001 - the user's class may raise anything
            self._break(error, "could not start")
        else:
            try:
                self._serve(program)
            except BaseException as error:  # noqa: BLE001 - ours, and must not leave the run waiting for an answer
                self._break(error, "worker failed")
            try:
                program.close()
            except BaseException as error:  # noqa: BLE001 - as above
                self._break(error, "could not close")
        self._tell(WorkerClosed(self._worker))

    def _serve(self, program: Program) -> None:
        while isinstance(task := self.inbox.get(), ChunkTask):
            began = perf_counter()
            for answer in program.run(task.chunk, task.leg, task.part_items):
                if self.abandoned:
                    return
                seconds = perf_counter() - began
                self._tell(ChunkAnswer(self._worker, answer, seconds, program))
                if answer.more and self.inbox.get() is None:
                    return
                began = perf_counter()

    def _break(self, error: BaseException, what: str) -> None:
        failure = blame(error, self._label, self.title, what=f"{what}: {text_of(error)}")
        self._tell(WorkerBroken(self._worker, failure))
