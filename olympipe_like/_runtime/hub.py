"""The hub process: one run after the other, each driven by a single-threaded loop; forks the workers.

A fresh interpreter that never imports the user's modules: it can fork safely at any time, and nothing of the caller's
threads and locks is in it. It ends when its caller is gone.
"""

from __future__ import annotations

import os
import selectors
import socket
import warnings
from collections.abc import Callable
from time import monotonic
from typing import Any

from olympipe_like._executors.processes import WorkerProcess
from olympipe_like._model.commands import (
    AllowSource,
    ContinueFrame,
    Deliver,
    EndSink,
    FailRun,
    FreePayload,
    RunFrame,
    StartWorker,
    StopSource,
    StopWorker,
)
from olympipe_like._model.events import (
    FrameConsumed,
    FrameReturned,
    SourceEnded,
    SourcePulled,
    StopRequested,
    WorkerFailed,
    WorkerLost,
)
from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import NO_PAYLOAD, PayloadId, StageId, WorkerId
from olympipe_like._runtime.driver import Driver
from olympipe_like._runtime.obituary import worker_lost
from olympipe_like._runtime.orders import HubStage, Idle, RunOrder
from olympipe_like._scheduler.scheduler import Scheduler
from olympipe_like._transport import messages as wire
from olympipe_like._transport.connection import Channel, Connection, Message
from olympipe_like._transport.store import INLINE_BYTES, Slots
from olympipe_like._worker.loop import WorkerOrder
from olympipe_like._worker.startup import ignore_interrupts

CLOSE_SECONDS = 10.0  # how long the workers of a finished run may take to close what they built
LEAVE_SECONDS = 0.2  # how long those of a run that was left may take to end the item at hand


def main(descriptor: int) -> None:
    """Serve the caller at the other end of the descriptor until it is gone."""
    ignore_interrupts()
    # Libraries that were forked with threads alive warn; here there is one thread, and OpenBLAS ends its own first.
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    import multiprocess

    context = multiprocess.get_context("fork")
    control_socket = socket.socket(fileno=descriptor)
    control = Connection(control_socket)
    while True:
        try:
            mark, descriptors, _, _ = socket.recv_fds(control_socket, 1, 250)
            if not mark:
                return
            order, _ = control.receive()
        except (EOFError, OSError):
            return
        assert isinstance(order, RunOrder)
        HubRun(order, descriptors, context, control_socket).serve()
        try:
            control.send(Idle())
        except OSError:
            return


class _Worker:
    """What the hub knows of a worker, in a process or in the caller's."""

    def __init__(self, stage: HubStage, slot: int, peer: _Peer, process: WorkerProcess | None) -> None:
        self.stage = stage
        self.slot = slot
        self.peer = peer
        self.process = process
        self.in_hand = 0  # frames given and not answered
        self.stopping = False


class _Peer:
    """One connection, with the slots of shared memory granted to it."""

    def __init__(self, channel: Channel, receive: Callable[[Message], None], gone: Callable[[], None]) -> None:
        self.channel = channel
        self.receive = receive
        self.gone = gone
        self.slots: set[int] = set()
        self.writing = False  # registered for writing as well


class HubRun:
    """One run in the hub: the driver's hands, and its loop."""

    def __init__(self, order: RunOrder, descriptors: list[int], context: Any, control: socket.socket) -> None:
        self._order = order
        self._context = context
        self._stages = {stage.spec.id: stage for stage in order.stages}
        self._selector = selectors.DefaultSelector()
        self._peers: dict[int, _Peer] = {}
        self._control = control
        self._memory = descriptors.pop(0) if order.has_memory else None
        self._slots = Slots()
        self._payloads: dict[PayloadId, tuple[wire.Parcel, bytearray | None]] = {}
        self._next_payload = 0
        self._workers: dict[WorkerId, _Worker] = {}
        self._recent_bytes: dict[StageId, float] = {}
        self._sources: dict[StageId, _Peer] = {}
        self._source_processes: dict[StageId, WorkerProcess] = {}
        self._failure: Failure | None = None
        self._over = False  # no event matters any more
        self._left = False  # the caller is gone or wants no more
        self._results = self._connect(descriptors.pop(0), self._from_caller, self._caller_left)
        self._host: _Peer | None = None
        if order.has_host:
            self._host = self._connect(descriptors.pop(0), self._from_host, self._caller_left)
        for stage in order.stages:
            if stage.runs == "caller":
                source = stage.spec.id
                self._sources[source] = self._connect(
                    descriptors.pop(0), lambda message, source=source: self._from_source(source, message), _nothing
                )
        assert not descriptors
        self._driver = Driver(Scheduler([stage.spec for stage in order.stages]), self)

    # -- the loop -----------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Run to the end, whatever the end; leaves no process and no descriptor."""
        try:
            for stage in self._order.stages:
                if stage.runs == "process" and stage.spec.workers == 0:
                    self._start_source(stage)
            self._driver.start(monotonic())
            interval = self._order.status_interval
            due = monotonic() + interval if interval else None
            while not self._over:
                self._wait(due - monotonic() if due is not None else None)
                if due is not None and interval and monotonic() >= due:
                    due = monotonic() + interval
                    if not self._results.channel.wants_to_write:  # who does not read needs no news
                        self._send(self._results, wire.Status(self._driver.scheduler.tallies()))
            self._end()
        finally:
            self._clean_up()

    def _wait(self, timeout: float | None) -> None:
        for peer in self._peers.values():
            if peer.channel.wants_to_write != peer.writing:
                peer.writing = not peer.writing
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.writing else 0)
                self._selector.modify(peer.channel, events, self._selector.get_key(peer.channel).data)
        for key, events in self._selector.select(timeout if timeout is None else max(timeout, 0)):
            key.data(events)

    def _connect(self, descriptor: int, receive: Callable[[Message], None], gone: Callable[[], None]) -> _Peer:
        return self._add(Channel(socket.socket(fileno=descriptor)), receive, gone)

    def _add(self, channel: Channel, receive: Callable[[Message], None], gone: Callable[[], None]) -> _Peer:
        peer = _Peer(channel, receive, gone)
        self._peers[channel.fileno()] = peer
        self._selector.register(channel, selectors.EVENT_READ, lambda events: self._ready(peer, events))
        return peer

    def _ready(self, peer: _Peer, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            peer.channel.flush()
        if events & selectors.EVENT_READ:
            self._read(peer)
            if peer.channel.is_gone and peer.channel.fileno() in self._peers:
                self._forget(peer)
                peer.gone()

    def _read(self, peer: _Peer) -> None:
        for message in peer.channel.receive():
            peer.receive(message)

    def _forget(self, peer: _Peer) -> None:
        if self._peers.pop(peer.channel.fileno(), None) is not None:
            self._selector.unregister(peer.channel)

    def _send(self, peer: _Peer, message: object, payload: bytearray | None = None) -> None:
        peer.channel.send(message, (payload,) if payload is not None else ())

    # -- what is heard ------------------------------------------------------------------------------------------------

    def _from_caller(self, received: Message) -> None:
        message, _ = received
        if isinstance(message, wire.Consumed):
            self._handle(FrameConsumed(at=monotonic(), sink=message.sink))
        elif isinstance(message, wire.StopSources):
            self._handle(StopRequested(at=monotonic()))
        elif isinstance(message, wire.AskStatus):
            self._send(self._results, wire.Status(self._driver.scheduler.tallies()))

    def _from_source(self, source: StageId, received: Message) -> None:
        message, payload = received
        peer = self._sources[source]
        if isinstance(message, wire.NeedSlot):
            self._grant_now(peer, message.nbytes)
        elif isinstance(message, wire.Pulled):
            frame = self._frame(peer, source, message, payload)
            self._handle(SourcePulled(at=monotonic(), source=source, frame=frame))
        elif isinstance(message, wire.Ended):
            self._handle(SourceEnded(at=monotonic(), source=source))
        elif isinstance(message, wire.Broken):
            self._fail(Failure.unpack(message.failure))

    def _from_worker(self, received: Message) -> None:
        message, payload = received
        if isinstance(message, wire.Answered):
            worker = self._workers.get(message.worker)
            if worker is None:
                return
            frame = self._frame(worker.peer, worker.stage.spec.id, message, payload)
            if not message.more:
                worker.in_hand -= 1
            event = FrameReturned(
                at=monotonic(),
                worker=message.worker,
                frame=frame,
                counts=message.counts,
                seconds=message.seconds,
                more=message.more,
                done=message.done,
            )
            self._handle(event)
        elif isinstance(message, wire.Broken):
            if self._over:
                self._failure = self._failure or Failure.unpack(message.failure)
            else:
                self._handle(WorkerFailed(at=monotonic(), worker=message.worker, failure=message.failure))
        elif isinstance(message, wire.Closed):
            self._workers.pop(message.worker, None)

    def _handle(self, event: Any) -> None:
        if not self._over:
            self._driver.handle(event)

    def _caller_left(self) -> None:
        self._left = self._over = True

    def _died(self, worker: WorkerId) -> None:
        """A worker process has ended; whatever it had sent before still counts."""
        found = self._workers[worker]
        process = found.process
        assert process is not None
        self._selector.unregister(process.death_handle)
        if process.channel.fileno() in self._peers:
            self._read(found.peer)
            self._forget(found.peer)
        del self._workers[worker]
        for offset in found.peer.slots:
            self._slots.give_back(offset)
        pid = process.pid
        code = process.reap()
        if not found.stopping:
            self._handle(WorkerLost(at=monotonic(), worker=worker, exit_code=code, pid=pid))

    def _source_died(self, source: StageId) -> None:
        process = self._source_processes.pop(source)
        self._selector.unregister(process.death_handle)
        peer = self._sources[source]
        if process.channel.fileno() in self._peers:
            self._read(peer)
            self._forget(peer)
        pid, code = process.pid, process.reap()
        if code != 0:
            self._fail(worker_lost(self._stages[source].label, 0, pid, code, 0, 1))

    # -- payloads -----------------------------------------------------------------------------------------------------

    def _frame(
        self, peer: _Peer, stage: StageId, message: wire.Answered | wire.Pulled, payload: bytearray | None
    ) -> Frame:
        for offset in message.returned:
            peer.slots.discard(offset)
            self._slots.give_back(offset)
        parcel = message.parcel
        identity, nbytes = NO_PAYLOAD, 0
        if parcel is not None:
            if parcel.offset is not None:
                peer.slots.discard(parcel.offset)
            nbytes = sum(parcel.lengths)
            identity = PayloadId(self._next_payload)
            self._next_payload += 1
            self._payloads[identity] = (parcel, payload)
        self._recent_bytes[stage] = max(nbytes, self._recent_bytes.get(stage, 0.0) * 0.9)
        return Frame(
            count=message.length,
            span=message.length,
            upto=message.upto,
            payload=identity,
            nbytes=nbytes,
            failure=message.failure,
        )

    def _grant(self, peer: _Peer, stage: StageId, in_hand: int) -> wire.SlotGrant:
        """Return a slot for the next frame where frames of late were too large to travel inline."""
        recent = self._recent_bytes.get(stage, 0.0)
        if self._memory is None or recent <= INLINE_BYTES or len(peer.slots) > in_hand:
            return wire.NO_SLOT
        return self._grant_of(peer, int(recent * 1.1))

    def _grant_of(self, peer: _Peer, nbytes: int) -> wire.SlotGrant:
        offset, size = self._slots.take(nbytes)
        peer.slots.add(offset)
        return wire.SlotGrant(offset, size)

    def _grant_now(self, peer: _Peer, nbytes: int) -> None:
        self._send(peer, self._grant_of(peer, nbytes) if self._memory is not None else wire.NO_SLOT)

    def free(self, command: FreePayload) -> None:
        parcel, _ = self._payloads.pop(command.payload)
        if parcel.offset is not None:
            self._slots.give_back(parcel.offset)

    def _parcel(self, frame: Frame) -> tuple[wire.Parcel | None, bytearray | None]:
        return self._payloads[frame.payload] if frame.payload != NO_PAYLOAD else (None, None)

    # -- what is done -------------------------------------------------------------------------------------------------

    def start_worker(self, command: StartWorker) -> None:
        stage = self._stages[command.stage]
        if stage.runs == "hosted":
            assert self._host is not None
            self._workers[command.worker] = _Worker(stage, command.slot, self._host, None)
            self._send(self._host, wire.Start(command.worker, command.stage, command.slot))
            return
        process = self._fork(stage, command.worker, command.slot)
        peer = self._add(process.channel, lambda received: self._from_process(command.worker, received), _nothing)
        self._workers[command.worker] = _Worker(stage, command.slot, peer, process)
        self._selector.register(process.death_handle, selectors.EVENT_READ, lambda _: self._died(command.worker))

    def _from_host(self, received: Message) -> None:
        if isinstance(received[0], wire.NeedSlot):
            assert self._host is not None
            self._grant_now(self._host, received[0].nbytes)
        else:
            self._from_worker(received)

    def _from_process(self, worker: WorkerId, received: Message) -> None:
        if isinstance(received[0], wire.NeedSlot):
            self._grant_now(self._workers[worker].peer, received[0].nbytes)
        else:
            self._from_worker(received)

    def _start_source(self, stage: HubStage) -> None:
        source = stage.spec.id
        process = self._fork(stage, WorkerId(-1), 0)
        self._source_processes[source] = process
        self._sources[source] = self._add(
            process.channel, lambda received: self._from_source(source, received), _nothing
        )
        self._selector.register(process.death_handle, selectors.EVENT_READ, lambda _: self._source_died(source))

    def _fork(self, stage: HubStage, worker: WorkerId, slot: int) -> WorkerProcess:
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
        )
        name = f"olympipe-{stage.label.name}-{slot}"
        return WorkerProcess(self._context, order, name, self._close_inherited)

    def _close_inherited(self) -> None:
        """In a new worker: close its copies of the hub's sockets."""
        self._selector.close()
        self._control.close()
        for peer in self._peers.values():
            peer.channel.close()

    def run_frame(self, command: RunFrame) -> None:
        worker = self._workers[command.worker]
        worker.in_hand += 1
        frame = command.frame
        parcel, payload = self._parcel(frame) if frame is not None else (None, None)
        failure = frame.failure if frame is not None else None
        assert failure is None or isinstance(failure, bytes)
        message = wire.Run(
            worker=command.worker,
            leg=command.leg,
            ended=frame is None,
            parcel=parcel,
            skip=frame.skip if frame is not None else 0,
            length=frame.count if frame is not None else 0,
            prefix=frame.prefix if frame is not None else (),
            upto=frame.upto if frame is not None else (),
            failure=failure,
            part_items=command.part_items,
            skip_items=command.skip_items,
            slot=self._grant(worker.peer, command.stage, worker.in_hand),
        )
        self._send(worker.peer, message, payload)

    def go_on(self, command: ContinueFrame) -> None:
        worker = self._workers[command.worker]
        slot = self._grant(worker.peer, worker.stage.spec.id, worker.in_hand)
        self._send(worker.peer, wire.GoOn(command.worker, slot))

    def stop_worker(self, command: StopWorker) -> None:
        worker = self._workers.get(command.worker)
        if worker is not None and not worker.stopping:
            worker.stopping = True
            self._send(worker.peer, wire.Stop(command.worker))

    def allow(self, command: AllowSource) -> None:
        peer = self._sources[command.source]
        slot = self._grant(peer, command.source, 1)
        self._send(peer, wire.Allow(command.items, command.size, slot))

    def stop_source(self, command: StopSource) -> None:
        self._send(self._sources[command.source], wire.Stop(WorkerId(-1)))

    def deliver(self, command: Deliver) -> None:
        frame = command.frame
        parcel, payload = self._parcel(frame)
        failure = frame.failure
        assert failure is None or isinstance(failure, bytes)
        message = wire.Delivered(command.sink, parcel, frame.skip, frame.count, frame.prefix, failure)
        self._send(self._results, message, payload)

    def end_sink(self, command: EndSink) -> None:
        self._send(self._results, wire.SinkEnded(command.sink))

    def finish(self) -> None:
        self._over = True

    def fail(self, command: FailRun) -> None:
        if command.failure is not None:
            failure = command.failure
            self._fail(Failure.unpack(failure) if isinstance(failure, bytes) else failure)
            return
        stage = self._stages[command.stage]
        held = command.frame.count if command.frame is not None else 0
        self._fail(worker_lost(stage.label, command.slot, command.pid, command.exit_code, held, command.attempts))

    def _fail(self, failure: object) -> None:
        if not self._over:
            assert isinstance(failure, Failure)
            self._failure = failure
            self._over = True

    # -- the end ------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Let the workers close, end those that do not, then tell the caller."""
        orderly = not self._left and self._failure is None
        for worker in list(self._workers):
            self.stop_worker(StopWorker(worker))
        for source in self._source_processes:
            self._send(self._sources[source], wire.Stop(WorkerId(-1)))
        until = monotonic() + (CLOSE_SECONDS if orderly else LEAVE_SECONDS)
        while self._has_workers and monotonic() < until:
            self._wait(until - monotonic())
            if self._left and orderly:
                orderly = False
                until = min(until, monotonic() + LEAVE_SECONDS)
        self._kill_all()
        if not self._left:
            tallies = self._driver.scheduler.tallies()
            failure = self._failure.pack() if self._failure is not None else None
            self._send(self._results, wire.Finished(tallies, failure))
            while self._results.channel.wants_to_write and not self._left:
                self._wait(None)

    @property
    def _has_workers(self) -> bool:
        hosted = not self._left and any(worker.process is None for worker in self._workers.values())
        processes = any(worker.process is not None for worker in self._workers.values())
        return hosted or processes or bool(self._source_processes)

    def _kill_all(self) -> None:
        for worker in self._workers.values():
            worker.stopping = True
            if worker.process is not None:
                worker.process.kill()
        for process in self._source_processes.values():
            process.kill()
        for identity, worker in list(self._workers.items()):
            if worker.process is not None:
                self._died(identity)  # waits for the end, which is certain now
        for source in list(self._source_processes):
            self._source_died(source)

    def _clean_up(self) -> None:
        self._kill_all()
        for peer in list(self._peers.values()):
            self._forget(peer)
            peer.channel.close()
        self._selector.close()
        if self._memory is not None:
            os.close(self._memory)


def _nothing() -> None:
    """What a closed connection means where the process behind it is watched anyway."""
