"""Stages whose workers come and go: those of other machines, beside a fixed number of this one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from olympipe_like._model.commands import FailRun
from olympipe_like._model.events import WorkerLeft, WorkerReady
from olympipe_like._scheduler.changing_stage import ChangingStage
from olympipe_like._scheduler.crew import Task


class OpenStage(ChangingStage):
    """A stage that any number of workers may join and leave while it runs; without any it waits.

    Its first ``spec.workers`` slots are processes of this machine, which are replaced as everywhere. A worker that
    comes takes the lowest slot above them; nobody is started in the place of one that goes.
    """

    @property
    def awaits(self) -> bool:
        """As everywhere; without any worker it waits for one to come."""
        return super().awaits or (not self.ended and not len(self.crew))

    def came(self) -> None:
        """Take on a worker, unless there is nothing left to do."""
        if self.ended:
            return
        self.book()
        taken = self.crew.slots
        self.crew.start(next(slot for slot in count(self.spec.workers) if slot not in taken))
        self._widen()
        self.ledger.mark(self.id)

    def ready(self, event: WorkerReady) -> None:
        """Note how much a worker wants in hand."""
        super().ready(event)
        if event.holds:
            self._widen()
            self.ledger.mark(self.id)

    def left(self, event: WorkerLeft) -> None:
        """Give what a worker had in hand to the others."""
        self.book()
        self.tally.lost_workers += event.lost
        _, tasks = self.crew.remove(event.worker)
        if self.ended:
            for task in tasks:
                self._forget(task)
        elif tasks and self.spec.worker_retries == 0:
            frame = tasks[0].frame
            self.ledger.fail(FailRun(event.failure, self.id, event.worker, frame=frame))
            return
        else:
            self._give_back(tasks)
        self._widen()
        self.ledger.mark(self.id)

    def _succeed(self, slot: int, tasks: Iterable[Task]) -> None:
        if slot < self.spec.workers:
            super()._succeed(slot, tasks)

    def _widen(self) -> None:
        """Let frames follow the number of workers, and a window that is not the default one count what is in hands."""
        self._tell_staff()
        if self.spec.queue_frames is not None:
            for edge in self.inputs:
                edge.queue_frames = self.spec.queue_frames + max(self.crew.capacity, 1)
        if self.spec.queue_size is not None:
            for edge in self.inputs:
                edge.queue_size = self.spec.queue_size + max(len(self.crew), 1)
