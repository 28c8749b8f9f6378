"""What every stage with workers has: it gives them frames, and knows what a loss costs. Knows no window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from olympipe_like._model.commands import FailRun, RestoreWorker, RunFrame
from olympipe_like._model.events import WorkerFailed, WorkerLost, WorkerReady
from olympipe_like._model.identity import WorkerId
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._scheduler.crew import Crew, Task
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.recovery import Memory, Suspects
from olympipe_like._scheduler.release import Release
from olympipe_like._scheduler.sizing import FrameSizer
from olympipe_like._scheduler.stage import Stage


class StaffedStage(Stage):
    """Workers, what is in their hands, and who follows those that are lost."""

    def __init__(self, spec: StageSpec, ledger: Ledger, part_sizer: FrameSizer | None, max_frame: int) -> None:
        super().__init__(spec, ledger)
        self._part_sizer = part_sizer
        self._max_frame = max_frame
        self.crew = Crew(spec, ledger)
        self._suspects = Suspects(spec.worker_retries, spec.timeout_retries)
        self._is_scan = spec.role is Role.SCAN
        self._memory = Memory(ledger.payloads) if self._is_scan and spec.may_die else None
        self._given: dict[int, tuple[int, int]] = {}  # frame -> items and records taken over before its worker was lost
        self._blocked = False
        self._since = 0.0
        self._release: Release | None = None

    def ready(self, event: WorkerReady) -> None:
        """A worker has come so far: what befalls it now says nothing against its stage."""
        self._suspects.came_along(self.crew.note_ready(event.worker, event.holds))

    def lost(self, event: WorkerLost) -> None:
        """Give a lost worker's frames to the others and start its successor."""
        self.book()
        self.tally.lost_workers += not event.excused
        was_ready = event.worker in self.crew.ready
        slot, tasks = self.crew.remove(event.worker)
        if self.ended:
            for task in tasks:
                self._forget(task)
            return
        head = tasks[0] if tasks else None
        attempts: int | None = None
        if not was_ready:  # whatever it was given had no part in it
            attempts = self._suspects.lost_early(slot)
        elif head is None:
            attempts = self._suspects.lost_idle()
        elif not event.excused:
            # Alone in its frame an item is known without being noted; not so among what a stage remembers.
            one_item = head.frame is not None and head.frame.count == 1 and not self._is_scan
            before = self._suspects.poison(head.key)
            attempts = self._suspects.lost(head, event, slot, one_item=one_item and not self.spec.parts)
            self.tally.retried += event.timed_out and self._suspects.poison(head.key) == before
        if self._is_scan and (self._memory is None or self._memory.is_lost):
            attempts = attempts or 1
        if attempts is not None:
            frame = head.frame if head is not None else None
            self.ledger.fail(FailRun(None, self.id, event.worker, slot, event.exit_code, event.pid, attempts, frame))
            return
        if self._memory is not None:
            for task in tasks:
                if task.replay:
                    self._forget(task)
            self._succeed(slot, [task for task in tasks if not task.replay])
        else:
            self._give_back(tasks)
            # Only now: the successor must find the oldest work first.
            self._succeed(slot, ())
        self.ledger.mark(self.id)

    def _give_back(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if not task.edge.wants(task.number):
                self._forget(task)
                continue
            assert task.frame is not None
            task.edge.give_back(task.number, task.frame)
            if self._release is None:
                self.withdraw(task.key)
            elif task.given or task.reported:
                self._given[task.number] = (task.given, task.reported)
            self._take_back_counts(task)

    def _succeed(self, slot: int, tasks: Iterable[Task]) -> None:
        """Start a worker that remembers what its predecessor knew and goes on with what that had in hand."""
        worker = self.crew.start(slot)
        if self._memory is not None:
            if self._memory.snapshot is not None:
                self.ledger.command(RestoreWorker(worker, self._memory.snapshot))
            for task in self._memory:
                if task.frame is not None:
                    self.ledger.payloads.hold(task.frame)
                self._send(worker, replace(task, replay=True))
        for task in tasks:
            task.poison = self._suspects.poison(task.key)
            task.repeated = task.reported
            self._take_back_counts(task)
            self._send(worker, task)

    def _take_back_counts(self, task: Task) -> None:
        """Parts that were answered are counted again when the frame is run again."""
        for counts in task.counts:
            self.tally.take_back(counts)
            self.ledger.failed_at[self.id] -= sum(each.failed for each in counts)
        task.counts.clear()

    def _send(self, worker: WorkerId, task: Task) -> None:
        self.crew.give(worker, task)
        rehearsed = self.spec.worker_retries == 0 or task.key in self._suspects.cases
        careful = self.spec.careful or rehearsed
        leg, size = task.edge.leg, self._max_frame
        if self._part_sizer is not None:
            size = min(self._part_sizer.size, size)
        self.ledger.command(
            RunFrame(worker, self.id, leg, task.frame, size, task.given, careful, rehearsed, task.poison, task.replay)
        )

    def _forget(self, task: Task) -> None:
        """Be done with a frame."""
        if task.frame is not None and task.replay:
            self.ledger.payloads.drop(task.frame)
        elif task.frame is not None:
            self.finish(task.edge, task.number, task.frame)

    def failed(self, event: WorkerFailed) -> None:
        """A worker could not start or close: the whole run fails, once."""
        self.ledger.fail(FailRun(event.failure, self.id, event.worker))

    @property
    def awaits(self) -> bool:
        """Whether a worker is about to come, or is at something."""
        return self.crew.awaits

    def book(self) -> None:
        """Book the time since the last look for the workers that had nothing to do."""
        passed = self.ledger.at - self._since
        if passed > 0 and not self.ended:  # else it is the same event, mostly
            if self._blocked or self.crew.paused:
                self.tally.blocked += passed * self.crew.idle
            else:
                self.tally.starved += passed * self.crew.idle
            self._since = self.ledger.at
