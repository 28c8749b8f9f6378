"""One run in the hub process: driven by a single-threaded loop that forks the workers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from olympipe_like._executors.processes import CannotStart
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
    FrameConsumed,
    SourceEnded,
    SourcePulled,
    StopRequested,
    WorkerFailed,
    WorkerReady,
)
from olympipe_like._model.failure import Failure, GivenUp
from olympipe_like._model.frame import NO_FRAME
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._runtime.driver import Driver
from olympipe_like._runtime.hub_remote import RemoteWorkers
from olympipe_like._runtime.hub_stall import HubStall
from olympipe_like._runtime.hub_workers import HubWorker, HubWorkers
from olympipe_like._runtime.log_records import LogQueue
from olympipe_like._runtime.obituary import given_up, no_room, not_started, too_many, unbalanced, worker_lost
from olympipe_like._runtime.openings import Openings
from olympipe_like._runtime.orders import HubStage, RunOrder
from olympipe_like._runtime.peers import Peer, Peers
from olympipe_like._runtime.stall import StallWatch
from olympipe_like._runtime.telling import delivered_of, packed, run_of
from olympipe_like._runtime.vault import SLOTS_AHEAD, Vault
from olympipe_like._scheduler.scheduler import Scheduler
from olympipe_like._transport import messages as wire
from olympipe_like._transport.connection import Channel, Message

CLOSE_SECONDS = 10.0  # how long the workers of a finished run may take to close what they built
LEAVE_SECONDS = 0.2  # how long those of a run that was left may take to end the item at hand


class HubRun:
    """One run in the hub: the driver's hands, and its loop."""

    def __init__(self, order: RunOrder, descriptors: list[int], context: Any, control: socket.socket) -> None:
        self._order = order
        self._stages = {stage.spec.id: stage for stage in order.stages}
        self._peers = Peers()
        self._control = control
        self._vault = Vault(descriptors.pop(0) if order.has_memory else None, order.limits.memory)
        gateways = [descriptors.pop(0) for _ in range(order.gateways)]
        self._crew = HubWorkers(order, context, self._vault.memory, self._close_inherited)
        self._openings = Openings()
        self._sources: dict[StageId, Peer] = {}
        self._ended_sources: set[StageId] = set()
        self._failure: Failure | None = None
        self._over = False  # no event matters any more
        self._balanced = False  # the books are closed, and agree
        self._left = False  # the caller is gone or wants no more
        self._results = self._connect(descriptors.pop(0), self._from_caller, self._caller_left)
        self._logs = LogQueue(self._results)
        self._host: Peer | None = None
        if order.has_host:
            self._host = self._connect(descriptors.pop(0), self._from_worker, self._caller_left)
        self._remote = RemoteWorkers(self, self._crew, self._peers, self._logs)
        for descriptor in gateways:
            self._remote.add(Channel(socket.socket(fileno=descriptor)), order.stages)
        for stage in order.stages:
            if stage.runs == "caller":
                source = stage.spec.id
                self._sources[source] = self._connect(descriptors.pop(0), partial(self._from_source, source), _nothing)
        assert not descriptors
        watch = StallWatch(order.limits.stall_timeout, order.stall_warning)
        self._driver = Driver(Scheduler([stage.spec for stage in order.stages], order.limits), self, watch)
        labels = {stage.spec.id: stage.label for stage in order.stages}
        self._stall = HubStall(self._driver, labels, self._crew.processes, self._crew.elsewhere)
        self._status_due = monotonic() + order.status_interval if order.status_interval else None
        # Whether any event may bring forward what has its time: a worker begins an item, a stage lacks workers.
        self._is_restless = any(stage.timeout is not None or stage.spec.auto for stage in order.stages)
        self._looks_always = True  # for that reason, or because a silence was looked at
        self._due: float | None = None  # when to look around, if nothing happens

    # -- the loop -----------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Run to the end, whatever the end; leaves no process and no descriptor."""
        try:
            for stage in self._order.stages:
                if stage.runs == "process" and stage.spec.workers == 0:
                    self._start_source(stage)
            self._driver.start(monotonic())
            while not self._over:
                if self._openings.asked:
                    self._peers.wait(0)
                    self._start_some()
                else:
                    self._peers.wait(None if self._due is None else self._due - monotonic())
                if self._looks_always or self._due is None or monotonic() >= self._due:
                    self._look_around()
            self._end()
        except CannotStart as error:
            self._fail(not_started(error.order.label, error.order.slot, error.__cause__))
            self._end()
        finally:
            self._clean_up()

    def _look_around(self) -> None:
        """See to all that has its time, and find out when it is time for any of it again."""
        now = monotonic()
        self._driver.pass_time(now, self._crew.take_refused())
        self._crew.end_overdue(now)
        if (found := self._stall.look(now)) is not None:
            self._results.send(found)
        if self._status_due is not None and now >= self._status_due:
            self._status_due = now + (self._order.status_interval or 0)
            if not self._results.channel.wants_to_write:  # who does not read needs no news
                self._results.send(wire.Status(self._crew.with_workers(self._driver.scheduler.tallies())))
        dues = (self._status_due, self._stall.due, self._crew.next_look(now), self._driver.due)
        self._due = min((due for due in dues if due is not None), default=None)
        self._looks_always = self._is_restless or not self._stall.can_wait

    def _connect(self, descriptor: int, receive: Callable[[Peer, Message], None], gone: Callable[[], None]) -> Peer:
        return self._peers.add(Channel(socket.socket(fileno=descriptor)), receive, gone)

    # -- what is heard ------------------------------------------------------------------------------------------------

    def _from_caller(self, peer: Peer, received: Message) -> None:
        message, _ = received
        if isinstance(message, wire.Consumed):
            self._handle(FrameConsumed(monotonic(), message.sink))
        elif isinstance(message, wire.StopSources):
            self._handle(StopRequested(at=monotonic()))
        elif isinstance(message, wire.AskStatus):
            peer.send(wire.Status(self._crew.with_workers(self._driver.scheduler.tallies())))

    def _from_source(self, source: StageId, peer: Peer, received: Message) -> None:
        message, payload = received
        if isinstance(message, wire.Pulled):
            frame = self._vault.frame(peer, source, message, payload)
            self._handle(SourcePulled(monotonic(), source, frame))
            if (slot := self._vault.grant(peer, source, SLOTS_AHEAD)).size:  # before it has to ask for one
                peer.send(slot)
        elif isinstance(message, wire.NeedSlot):
            peer.send(self._vault.grant_bytes(peer, message.nbytes))
        elif isinstance(message, wire.Marked):
            self._results.send(message._replace(source=source))
        elif isinstance(message, wire.Ended):
            self._ended_sources.add(source)
            self._handle(SourceEnded(at=monotonic(), source=source))
        elif isinstance(message, wire.Logged):
            self._logs.put(message)
        elif isinstance(message, wire.MemoryShort):
            self._results.send(message)
        elif isinstance(message, wire.Broken):
            self._fail(Failure.unpack(message.failure))

    def _from_worker(self, peer: Peer, received: Message) -> None:
        message, payload = received
        if isinstance(message, wire.Answered):
            worker = self._crew.workers.get(message.worker)
            if worker is not None:
                frame = self._vault.frame(peer, worker.stage.spec.id, message, payload)
                self._handle(self._crew.answered(worker, message, frame))
        elif isinstance(message, wire.NeedSlot | wire.Returned | wire.Forks):
            self._vault.hear(peer, message)
        elif isinstance(message, wire.Logged):
            self._logs.put(message)
        elif isinstance(message, wire.MemoryShort):
            self._results.send(message)
        elif isinstance(message, wire.Ready):
            self._handle(WorkerReady(at=monotonic(), worker=message.worker, holds=message.holds))
        elif isinstance(message, wire.Broken):
            if self._over:
                self._failure = self._failure or Failure.unpack(message.failure)
            else:
                self._handle(WorkerFailed(at=monotonic(), worker=message.worker, failure=message.failure))
        elif isinstance(message, wire.Closed):
            self._crew.workers.pop(message.worker, None)

    def _handle(self, event: Any) -> None:
        if not self._over:
            self._driver.handle(event)

    def _caller_left(self) -> None:
        self._left = self._over = True

    def _died(self, worker: WorkerId) -> None:
        """A worker process has ended; whatever it had sent before still counts."""
        found = self._crew.workers[worker]
        assert found.process is not None
        self._peers.unwatch(found.process.death_handle)
        self._peers.finish(found.peer)
        self._vault.take_back(found.peer)
        lost = self._crew.bury(worker)
        if lost is not None:
            loss, title, text = lost
            self._logs.note(logging.WARNING, text, found.stage.label.name, title)
            self._handle(loss)

    def _source_died(self, source: StageId) -> None:
        process = self._crew.sources.pop(source)
        self._peers.unwatch(process.death_handle)
        self._peers.finish(self._sources[source])
        pid, code = process.pid, process.reap()
        if source not in self._ended_sources:
            self._fail(worker_lost(self._stages[source].label, 0, pid, code, 0, 1))

    # -- what is done -------------------------------------------------------------------------------------------------

    def start_worker(self, command: StartWorker) -> None:
        stage = self._stages[command.stage]
        if stage.runs == "hosted":
            assert self._host is not None
            self._crew.add(command.worker, HubWorker(stage, command.slot, self._host, None))
            self._host.send(wire.Start(command.worker, command.stage, command.slot))
            return
        if self._remote.runs(stage, command.slot):
            self._remote.start(stage, command)
            return
        self._openings.add(command)

    def _start_some(self) -> None:
        """Start some of the processes that were asked for, unless the run has ended."""
        for command, told in self._openings.take() if not self._over else ():
            self._start(command, told)

    def _start(self, command: StartWorker, told: list[RunFrame | RestoreWorker]) -> None:
        """Start a process and let it know what it was told meanwhile."""
        stage = self._stages[command.stage]
        process = self._crew.hire(stage, command)
        if isinstance(process, CannotStart):
            self._logs.note(logging.WARNING, no_room(process.__cause__), stage.label.name)
            return
        # A worker that has closed its socket cannot be talked to, alive or not.
        peer = self._peers.add(process.channel, self._from_worker, process.kill)
        self._crew.add(command.worker, HubWorker(stage, command.slot, peer, process))
        self._peers.watch(process.death_handle, partial(self._died, command.worker))
        for each in told:
            if isinstance(each, RunFrame):
                self.run_frame(each)
            else:
                self.restore(each)

    def _start_source(self, stage: HubStage) -> None:
        source = stage.spec.id
        process = self._crew.fork(stage, WorkerId(-1), 0)
        self._crew.sources[source] = process
        self._sources[source] = self._peers.add(process.channel, partial(self._from_source, source), process.kill)
        self._peers.watch(process.death_handle, partial(self._source_died, source))

    def _close_inherited(self) -> None:
        """In a new worker: close its copies of the hub's sockets."""
        self._peers.close()
        self._control.close()

    def run_frame(self, command: RunFrame) -> None:
        worker = self._crew.gave(command.worker)
        if worker is None:
            self._openings.hold(command)
            return
        frame = command.frame or NO_FRAME
        parcel, payload = self._vault.hand(worker.peer, frame, looks=worker.stage.looks)
        slot = self._vault.grant(worker.peer, command.stage, worker.in_hand)
        poison = tuple([(case.ordinal, self._failure_of(worker.stage, case)) for case in command.poison])
        worker.peer.send(run_of(command, frame, parcel, slot, poison), payload)

    def _failure_of(self, stage: HubStage, case: GivenUp) -> bytes:
        host = self._remote.hosts.get((stage.spec.id, case.pid), "")
        return given_up(stage.label, case, stage.timeout, host).pack()

    def restore(self, command: RestoreWorker) -> None:
        if self._openings.hold(command):
            return
        self._crew.workers[command.worker].peer.send(wire.Restore(command.worker, packed(command.snapshot)))

    def report_dropped(self, command: ReportDropped) -> None:
        self._results.send(wire.Dropped(tuple(packed(record) for record in command.records)))

    def give_up(self, command: GiveUp) -> None:
        self._fail(too_many(command, {stage.spec.id: stage.label for stage in self._order.stages}))

    def go_on(self, command: ContinueFrame) -> None:
        worker = self._crew.workers[command.worker]
        slot = self._vault.grant(worker.peer, worker.stage.spec.id, worker.in_hand)
        worker.peer.send(wire.GoOn(command.worker, slot))

    def drop_frame(self, command: DropFrame) -> None:
        self._crew.relieve(command.worker).send(wire.Drop(command.worker))

    def stop_worker(self, command: StopWorker) -> None:
        if self._openings.drop(command.worker):
            return
        worker = self._crew.workers.get(command.worker)
        if worker is not None and not worker.stopping:
            worker.stopping = True
            worker.peer.send(wire.Stop(command.worker))

    def allow(self, command: AllowSource) -> None:
        peer = self._sources[command.source]
        peer.send(wire.Allow(command.items, command.size, self._vault.grant(peer, command.source, SLOTS_AHEAD)))

    def free(self, command: FreePayload) -> None:
        self._vault.free(command.payload)

    def stop_source(self, command: StopSource) -> None:
        self._sources[command.source].send(wire.Stop(WorkerId(-1)))

    def deliver(self, command: Deliver) -> None:
        parcel, payload = self._vault.open(command.frame)
        self._results.send(delivered_of(command, parcel), payload)

    def end_sink(self, command: EndSink) -> None:
        self._results.send(wire.SinkEnded(command.sink))

    def finish(self, command: FinishRun) -> None:
        if command.discrepancies:
            self._fail(unbalanced(command.discrepancies))
        self._balanced = not command.discrepancies
        self._over = True

    def fail(self, command: FailRun) -> None:
        if command.failure is not None:
            failure = command.failure
            self._fail(Failure.unpack(failure) if isinstance(failure, bytes) else failure)
            return
        stage = self._stages[command.stage]
        held = command.frame.count if command.frame is not None else 0
        host = self._remote.hosts.get((command.stage, command.pid), "")
        self._fail(worker_lost(stage.label, command.slot, command.pid, command.exit_code, held, command.attempts, host))

    def _fail(self, failure: object) -> None:
        if not self._over:
            assert isinstance(failure, Failure)
            self._failure = failure
            self._over = True

    # -- the end ------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Let the workers close, end those that do not, then tell the caller."""
        orderly = not self._left and self._failure is None
        for worker in list(self._crew.workers):
            self.stop_worker(StopWorker(worker))
        for source in self._crew.sources:
            self._sources[source].send(wire.Stop(WorkerId(-1)))
        until = monotonic() + (CLOSE_SECONDS if orderly else LEAVE_SECONDS)
        while self._has_workers and monotonic() < until:
            self._peers.wait(until - monotonic())
            if self._left and orderly:
                orderly = False
                until = min(until, monotonic() + LEAVE_SECONDS)
        self._kill_all()
        if not self._left:
            tallies = self._crew.with_workers(self._driver.scheduler.tallies())
            failure = self._failure.pack() if self._failure is not None else None
            self._logs.tell_dropped()
            self._results.send(wire.Finished(tallies, failure, self._balanced))
            while self._results.channel.wants_to_write and not self._left:
                self._peers.wait(None)

    @property
    def _has_workers(self) -> bool:
        hosted = not self._left and any(worker.process is None for worker in self._crew.workers.values())
        return hosted or self._crew.are_processes_left

    def _kill_all(self) -> None:
        self._crew.kill()
        for identity, worker in list(self._crew.workers.items()):
            if worker.process is not None:
                self._died(identity)  # waits for the end, which is certain now
        for source in list(self._crew.sources):
            self._source_died(source)

    def _clean_up(self) -> None:
        self._kill_all()
        self._peers.close()
        self._vault.close()


def _nothing() -> None:
    """What a closed connection means where the process behind it is watched anyway."""
