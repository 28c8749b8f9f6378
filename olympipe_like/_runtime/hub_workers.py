"""The processes of one run: forked by the hub, watched, ended. Opens no frame and decides nothing about them."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Any

from olympipe_like._executors.deadlines import Deadlines
from olympipe_like._executors.processes import CannotStart, WorkerProcess
from olympipe_like._model.commands import StartWorker
from olympipe_like._model.events import FrameReturned, WorkerLost
from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._model.tallies import StageTally, WorkerTally
from olympipe_like._runtime.hub_stall import StageProcess
from olympipe_like._runtime.obituary import notice_of_death
from olympipe_like._runtime.orders import HubStage, RunOrder
from olympipe_like._runtime.peers import Peer
from olympipe_like._transport.messages import Answered
from olympipe_like._transport.progress_cell import ProgressCell
from olympipe_like._worker.loop import WorkerOrder


class HubWorker:
    """What the hub knows of a worker, in a process or in the caller's."""

    def __init__(self, stage: HubStage, slot: int, peer: Peer, process: WorkerProcess | None) -> None:
        self.stage = stage
        self.slot = slot
        self.peer = peer
        self.process = process
        self.in_hand = 0  # frames given and not answered
        self.stopping = False
        self.overdue: tuple[int, float] | None = None  # the item it was ended for, and when that had begun
        self.host = ""  # the machine it runs on, if another
        self.pid: int | None = process.pid if process is not None else None
        self.seen_at: float | None = None  # the last sign of life of that machine
        self.items = 0  # answered, as far as they are counted
        self.busy = 0.0
        self.left = False  # it was lost, or has left
        self.began_at = self.answered_at = monotonic()


class HubWorkers:
    """All workers and source processes of a run."""

    def __init__(self, order: RunOrder, context: Any, memory: int | None, close_inherited: Callable[[], None]) -> None:
        self._order = order
        self._context = context
        self._memory = memory
        self._close_inherited = close_inherited
        self._deadlines = Deadlines()
        self._refused: list[WorkerId] = []
        self.workers: dict[WorkerId, HubWorker] = {}
        self.sources: dict[StageId, WorkerProcess] = {}
        self._shown: list[HubWorker] = []  # those of stages that workers of other machines may join

    def fork(self, stage: HubStage, worker: WorkerId, slot: int) -> WorkerProcess:
        """Return a new process for a worker, or for a source.

        Raises
        ------
        CannotStart
            If the system refuses it.
        """
        assert stage.shipment is not None
        order = WorkerOrder(
            worker=worker,
            slot=slot,
            label=stage.label,
            senders=stage.senders,
            shipment=stage.shipment,
            classes=self._order.classes,
            surroundings=self._order.surroundings,
            parent=os.getpid(),
            memory=self._memory,
            cell=ProgressCell(),
            tells_rss=stage.spec.max_rss is not None,
            refers=True,
        )
        return WorkerProcess(self._context, order, f"olympipe-{stage.label.name}-{slot}", self._forget_inherited)

    def hire(self, stage: HubStage, command: StartWorker) -> WorkerProcess | CannotStart:
        """Return a new process for a worker; of one that others can do without, what the system has too little of.

        Raises
        ------
        CannotStart
            If others cannot.
        """
        try:
            return self.fork(stage, command.worker, command.slot)
        except CannotStart as error:
            if not command.spare:
                raise
            self._refused.append(command.worker)
            return error

    def take_refused(self) -> list[WorkerId]:
        """Return the workers that were refused since this was last asked."""
        refused, self._refused = self._refused, []
        return refused

    def _forget_inherited(self) -> None:
        """In a new worker: close its copies of what is the hub's and the other workers'."""
        for each in self.processes():
            each.process.stacks.close()
        self._close_inherited()

    def add(self, identity: WorkerId, worker: HubWorker) -> None:
        """Note a worker that has been started."""
        self.workers[identity] = worker
        if worker.stage.gateway is not None:
            self._shown.append(worker)
        if worker.process is not None and worker.process.cell is not None and worker.stage.timeout is not None:
            self._deadlines.watch(identity, worker.process.cell, worker.stage.timeout)

    def elsewhere(self, worker: WorkerId) -> str:
        """Return on which machine a worker is, if on another one."""
        found = self.workers.get(worker)
        return f" on {found.host}, pid {found.pid}" if found is not None and found.host else ""

    def processes(self) -> list[StageProcess]:
        """Return all processes, and what each is there for."""
        workers = [
            StageProcess(worker.stage.spec.id, identity, worker.slot, worker.process)
            for identity, worker in self.workers.items()
            if worker.process is not None
        ]
        return workers + [StageProcess(source, None, 0, process) for source, process in self.sources.items()]

    def gave(self, identity: WorkerId) -> HubWorker | None:
        """Note that a worker has a frame more in hand; return it, None if it has not been started."""
        worker = self.workers.get(identity)
        if worker is not None:
            worker.in_hand += 1
            if worker.stage.timeout is not None:
                self._deadlines.set_busy(identity, busy=True)
        return worker

    def answered(self, worker: HubWorker, message: Answered, frame: Frame) -> FrameReturned:
        """Note that a worker is done with a frame, or a part of one; return what the scheduler is told of it."""
        identity, _, _, _, _, counts, seconds, more, done, _, records, snapshot, rss, same = message
        if worker.stage.gateway is not None:
            worker.items += counts[0].items_in if counts else 0
            worker.busy += seconds
            worker.answered_at = monotonic()
        if not more:
            self._took(identity, worker)
        return FrameReturned(monotonic(), identity, frame, counts, seconds, more, done, records, snapshot, rss, same)

    def relieve(self, identity: WorkerId) -> Peer:
        """Note that a worker has a frame less in hand; return how to talk to it."""
        worker = self.workers[identity]
        self._took(identity, worker)
        return worker.peer

    def _took(self, identity: WorkerId, worker: HubWorker) -> None:
        worker.in_hand -= 1
        if worker.stage.timeout is not None:
            self._deadlines.set_busy(identity, busy=worker.in_hand > 0)

    def with_workers(self, tallies: tuple[StageTally, ...]) -> tuple[StageTally, ...]:
        """Return the stages' counts with those of their single workers, where people are shown them."""
        if not self._shown:
            return tallies
        made: dict[StageId, tuple[WorkerTally, ...]] = {}
        for each in self._shown:
            if each.pid is None:
                continue  # its machine has not begun it, or never did: there is nothing to show of it
            seconds = each.answered_at - each.began_at
            one = WorkerTally(each.slot, each.host, each.pid, each.items, each.busy, each.seen_at, each.left, seconds)
            made[each.stage.spec.id] = (*made.get(each.stage.spec.id, ()), one)
        return tuple(tally._replace(workers=made.get(tally.stage, ())) for tally in tallies)

    def next_look(self, now: float) -> float | None:
        """Return when `end_overdue` is due next (`monotonic`, seconds)."""
        return self._deadlines.next_look(now)

    def end_overdue(self, now: float) -> None:
        """End the workers that have been at one item for too long, even those that are stopped or deep in C."""
        for identity, at in self._deadlines.overdue(now):
            worker = self.workers[identity]
            assert worker.process is not None
            worker.overdue = at
            self._deadlines.forget(identity)
            worker.process.kill()

    def bury(self, identity: WorkerId) -> tuple[WorkerLost, str, str] | None:
        """Forget a process that ends now; return its loss, who it was and what to say of it; None if it was asked to.

        Waits for the end, which must be certain.
        """
        worker = self.workers.pop(identity)
        worker.left = not worker.stopping
        process = worker.process
        assert process is not None
        self._deadlines.forget(identity)
        pid = process.pid
        at = process.cell.read() if process.cell is not None else None
        code = process.reap()
        if worker.stopping:
            return None
        # Between our look and its end it may have come to the next item, which is not to blame.
        excused = worker.overdue is not None and worker.overdue != at
        timeout = worker.stage.timeout if worker.overdue is not None else None
        loss = WorkerLost(
            at=monotonic(),
            worker=identity,
            exit_code=code,
            pid=pid,
            ordinal=at[0] if at is not None and not excused else None,
            timed_out=worker.overdue is not None and not excused,
            excused=excused,
        )
        title, text = notice_of_death(worker.stage.label, worker.slot, pid, code, timeout)
        return loss, title, text

    @property
    def are_processes_left(self) -> bool:
        """Whether any process of the run has not been buried."""
        return bool(self.sources) or any(worker.process is not None for worker in self.workers.values())

    def kill(self) -> None:
        """End all processes at once."""
        for worker in self.workers.values():
            worker.stopping = True
            if worker.process is not None:
                worker.process.kill()
        for process in self.sources.values():
            process.kill()
