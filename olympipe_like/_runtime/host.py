"""Thread and async workers of a run that has a hub: they live in the caller's process, behind one connection."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from queue import SimpleQueue
from time import perf_counter

from olympipe_like._executors.port import ChunkAnswer, ChunkExecutor, ChunkTask, Notice, WorkerBroken, WorkerClosed
from olympipe_like._model.closed import assert_never
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._model.options import ExecutorName
from olympipe_like._plan.segment import Label, Segment
from olympipe_like._runtime.local import make_executors
from olympipe_like._transport import messages as wire
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.store import Memory
from olympipe_like._worker.port import Port, Unreadable, unpack_chunk


class Host:
    """Receives frames for this process's workers and sends their answers."""

    def __init__(
        self,
        connection: Connection,
        memory: Memory | None,
        segments: Mapping[StageId, Segment],
        where: Mapping[StageId, ExecutorName],
        senders: Mapping[StageId, tuple[Label, ...]],
    ) -> None:
        self._connection = connection
        self._port = _SharedPort(connection, memory)
        self._where = where
        self._senders = senders
        self.executors = make_executors(set(where.values()), segments, self._told)
        self._stage_of: dict[WorkerId, StageId] = {}
        self._decoding: dict[WorkerId, float] = {}
        self._sending = threading.Lock()
        self._over = False
        self._thread = threading.Thread(target=self._listen, name="olympipe-host", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def leave_to_parent(self) -> None:
        """In a fork of this process: close its copy of the socket."""
        self._connection.close()

    def close(self) -> None:
        """End all workers and the connection."""
        self._over = True
        self._connection.shut_down()
        self._port.replies.put(wire.NO_SLOT)  # wakes a worker that waits for a slot
        if self._thread.ident is not None:  # else the run never began
            self._thread.join()  # first: it may be about to start another worker
        for executor in self.executors.values():
            executor.abandon()
        self._connection.close()

    def _listen(self) -> None:
        while True:
            try:
                message, payload = self._connection.receive()
            except (EOFError, OSError):
                self._port.replies.put(wire.NO_SLOT)  # nobody answers any more: wake a worker that waits for a slot
                return
            if isinstance(message, wire.SlotGrant):
                self._port.replies.put(message)
            elif isinstance(message, wire.Start):
                self._stage_of[message.worker] = message.stage
                self.executors[self._where[message.stage]].start(message.worker, message.stage, message.slot)
            elif isinstance(message, wire.Run):
                self._run(message, payload)
            elif isinstance(message, wire.GoOn):
                self._port.accept(message.slot)
                self._executor_of(message.worker).go_on(message.worker)
            elif isinstance(message, wire.Stop):
                self._executor_of(message.worker).stop(message.worker)

    def _executor_of(self, worker: WorkerId) -> ChunkExecutor:
        return self.executors[self._where[self._stage_of[worker]]]

    def _run(self, message: wire.Run, payload: bytearray | None) -> None:
        began = perf_counter()
        self._port.accept(message.slot)
        chunk = None
        if not message.ended:
            cut = (message.skip, message.length, message.prefix)
            try:
                chunk = unpack_chunk(message.parcel, payload, self._port.memory, cut, message.upto, message.failure)
            except Unreadable as error:
                sender = self._senders[self._stage_of[message.worker]][message.leg]
                chunk = error.blame(sender, "the caller's process")
        self._decoding[message.worker] = perf_counter() - began
        task = ChunkTask(message.worker, message.leg, chunk, message.part_items)
        self._executor_of(message.worker).run(task)

    def _told(self, notice: Notice) -> None:
        """Send what a worker says; called in the worker's thread."""
        if self._over:
            return
        try:
            match notice:
                case ChunkAnswer():
                    self._answer(notice)
                case WorkerBroken():
                    with self._sending:
                        self._connection.send(wire.Broken(notice.worker, notice.failure.pack()))
                case WorkerClosed():
                    with self._sending:
                        self._connection.send(wire.Closed(notice.worker))
                case _:
                    assert_never(notice)
        except (EOFError, OSError):
            return  # the run is over; whoever waits for it has been told another way

    def _answer(self, notice: ChunkAnswer) -> None:
        began = perf_counter()
        answer, parts = notice.program.encode(notice.answer)
        chunk = answer.chunk
        failure = chunk.failure.pack() if chunk.failure is not None else None
        with self._sending:
            parcel, inline = self._port.place(parts) if parts else (None, [])
            seconds = notice.seconds + self._decoding.pop(notice.worker, 0.0) + perf_counter() - began
            message = wire.Answered(
                notice.worker,
                parcel,
                len(chunk.items),
                chunk.upto,
                failure,
                answer.counts,
                seconds,
                answer.more,
                answer.done,
                self._port.returned(),
                tuple(record.pack() for record in answer.records),
            )
            self._connection.send(message, inline)


class _SharedPort(Port):
    """A port whose replies are received by the host's thread, for the workers that send."""

    def __init__(self, connection: Connection, memory: Memory | None) -> None:
        super().__init__(connection, memory)
        self.replies: SimpleQueue[wire.SlotGrant] = SimpleQueue()

    # `accept` takes no lock: the thread that calls it is the one that receives the reply which a sender waits for.

    def _ask_for(self, nbytes: int) -> wire.SlotGrant:
        self.connection.send(wire.NeedSlot(nbytes))
        return self.replies.get()
