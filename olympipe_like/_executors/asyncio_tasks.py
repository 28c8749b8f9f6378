"""Workers as coroutines on one event loop in a thread of this process: each has one frame in hand at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from time import perf_counter

from olympipe_like._executors.port import ChunkAnswer, ChunkTask, Tell, WorkerBroken, WorkerClosed, WorkerStack
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._plan.segment import Segment
from olympipe_like._worker import stacks
from olympipe_like._worker.blame import blame, text_of
from olympipe_like._worker.coroutines import end_loop, in_hand
from olympipe_like._worker.program import Program

JOIN_SECONDS = 0.25  # how long the loop's thread is waited for when the run is abandoned


class AsyncExecutor:
    """All async stages of a run on one loop; the loop starts with the first worker."""

    def __init__(self, segments: Mapping[StageId, Segment], tell: Tell) -> None:
        self._segments = segments
        self._tell = tell
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._workers: dict[WorkerId, _WorkerTask] = {}
        self._running = 0
        self._finished = threading.Event()

    def start(self, worker: WorkerId, stage: StageId, slot: int) -> None:
        """Start a worker on the loop."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="olympipe-async", daemon=True)
            self._thread.start()
        task = self._workers[worker] = _WorkerTask(self._segments[stage], worker, slot, self._tell)
        self._running += 1
        self._call(self._begin, task)

    def run(self, task: ChunkTask) -> None:
        """Put a frame into the worker's inbox."""
        self._call(self._workers[task.worker].inbox.put_nowait, task)

    def go_on(self, worker: WorkerId) -> None:
        """Never asked: these workers answer in one part."""
        raise AssertionError(f"worker {worker} answers in one part")

    def stop(self, worker: WorkerId) -> None:
        """Ask the worker to end."""
        self._call(self._workers[worker].inbox.put_nowait, None)

    def abandon(self) -> None:
        """Cancel all workers and wait a little for the loop to end."""
        if self._thread is None:
            self._loop.close()
        elif self._thread.is_alive():
            self._call(self._cancel_all)
            self._thread.join(JOIN_SECONDS)

    def stacks(self) -> list[WorkerStack]:
        """Return where each coroutine waits, and what the loop's thread is doing: it may be held up by one of them."""
        found = [
            WorkerStack(task.title, task.stack())
            for task in list(self._workers.values())
            if task.future is not None and not task.future.done()
        ]
        thread = stacks.of_thread(self._thread.ident) if self._thread is not None else ""
        return [*found, WorkerStack("event loop, thread olympipe-async", thread)] if thread else found

    def _call(self, what: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise  # else the run has ended since, and nobody is left to do it

    def _begin(self, task: _WorkerTask) -> None:
        future = self._loop.create_task(task.live())
        task.future = future
        future.add_done_callback(self._ended)

    def _ended(self, future: asyncio.Task[None]) -> None:
        self._running -= 1
        if not future.cancelled():
            future.result()
        if self._running == 0:
            self._loop.stop()

    def _cancel_all(self) -> None:
        for task in self._workers.values():
            task.abandoned = True
            if task.future is not None:
                task.future.cancel()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            end_loop(self._loop)


class _WorkerTask:
    """The coroutine of one worker."""

    def __init__(self, segment: Segment, worker: WorkerId, slot: int, tell: Tell) -> None:
        self.inbox: asyncio.Queue[ChunkTask | None] = asyncio.Queue()
        self.future: asyncio.Task[None] | None = None
        self.abandoned = False
        self._segment = segment
        self._worker = worker
        self._slot = slot
        self._tell = tell
        self._label = segment.label
        self.title = f"worker {self._label.number}.{slot}, event loop"

    async def live(self) -> None:
        """Answer frames until told to stop."""
        try:
            program = Program(self._segment, self._slot, self.title)
        except BaseException as error:  # noqa: BLE001 - the user's class may raise anything
            self._break(error, "could not start")
            self._tell(WorkerClosed(self._worker))
            return
        try:
            while (task := await self.inbox.get()) is not None:
                began = perf_counter()
                answer = await program.run_async(task.chunk, task.leg)
                seconds = perf_counter() - began
                self._tell(ChunkAnswer(self._worker, answer, seconds, program))
                program.forget()
        except Exception as error:  # noqa: BLE001 - ours, and must not leave the run waiting for an answer
            self._break(error, "worker failed")
        except asyncio.CancelledError as error:
            if not self.abandoned:  # by a function that cancels whatever it finds on its loop
                self._break(error, "worker failed")
        finally:
            try:
                program.close()
            except BaseException as error:  # noqa: BLE001 - as above
                self._break(error, "could not close")
            self._tell(WorkerClosed(self._worker))

    def stack(self) -> str:
        """Return where it waits; from any thread."""
        assert self.future is not None
        calls = (stacks.of_coroutine(coroutine) for coroutine in (self.future.get_coro(), in_hand(self.future)))
        return "\n".join(filter(None, calls))

    def _break(self, error: BaseException, what: str) -> None:
        failure = blame(error, self._label, self.title, what=f"{what}: {text_of(error)}")
        self._tell(WorkerBroken(self._worker, failure))
