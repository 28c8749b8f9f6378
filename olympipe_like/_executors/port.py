"""What every way to run workers offers, and how it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.program import Answer, Program


class ChunkTask(NamedTuple):
    """A frame with its items, for workers that share the driver's memory."""

    worker: WorkerId
    leg: int
    chunk: Chunk | None  # None: the leg has ended
    part_items: int


class ChunkAnswer(NamedTuple):
    """(A part of) the answer to a frame, from such a worker."""

    worker: WorkerId
    answer: Answer
    seconds: float
    program: Program  # that gave it; for whoever sends the answer on from the thread in which it is told


class WorkerBroken(NamedTuple):
    """Such a worker could not start, or not close."""

    worker: WorkerId
    failure: Failure


class WorkerClosed(NamedTuple):
    """Such a worker has ended as it was asked to."""

    worker: WorkerId


class WorkerStack(NamedTuple):
    """What a worker, or whatever else works for a run, is doing."""

    title: str
    text: str


Notice = ChunkAnswer | WorkerBroken | WorkerClosed
Tell = Callable[[Notice], None]


class ChunkExecutor(Protocol):
    """Runs workers in this process. No method waits; what happens is told by the `Tell` it was made with."""

    def start(self, worker: WorkerId, stage: StageId, slot: int) -> None:
        """Start one worker of a stage."""

    def run(self, task: ChunkTask) -> None:
        """Give a worker a frame."""

    def go_on(self, worker: WorkerId) -> None:
        """Let a worker make the next part of its answer."""

    def stop(self, worker: WorkerId) -> None:
        """Let a worker close and end."""

    def abandon(self) -> None:
        """End all workers as soon as they can; what they still say is not wanted."""

    def stacks(self) -> list[WorkerStack]:
        """Return what each worker is doing; from any thread."""
