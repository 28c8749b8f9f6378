"""The courier of a machine: carries frames between the hub and this machine's worker processes, which notice nothing.

To a worker it is the hub: it speaks the same messages over the same sockets and grants the same shared memory.
"""

from __future__ import annotations

import socket
from collections import deque
from time import monotonic
from typing import Any

from olympipe_like._model.identity import WorkerId
from olympipe_like._remote import speech
from olympipe_like._remote.byte_frames import closed, opened
from olympipe_like._remote.household import Died, Fork, Forked, Kill, Leave, NotForked, Over, Tell, Visiting
from olympipe_like._remote.main_process import MainProcess
from olympipe_like._remote.serialising import plain_failure, plain_record, serializer_of
from olympipe_like._remote.session import Buffer
from olympipe_like._remote.speech import Ended, Says, Terms
from olympipe_like._remote.visit import Visit, hello_of
from olympipe_like._remote.zeromq import load_zmq
from olympipe_like._transport import messages as wire
from olympipe_like._transport import store
from olympipe_like._transport.connection import Channel
from olympipe_like._transport.progress_cell import ProgressCell
from olympipe_like._worker.interrupts import ignore_all

COMPLAIN_SECONDS = 3.0  # without a hub, before the reason is said
GRACE_SECONDS = 0.2  # for a worker whose run is over to close what it holds, as at home
REFUSED_CODE = 3  # exit code of a machine that the hub will not have


class _Worker:
    """One worker process, as the courier knows it."""

    def __init__(self, number: int, channel: int, identity: WorkerId, terms: Terms) -> None:
        self.plain = terms.plain  # what it says travels without pickles
        # A program's own process cannot change how its frames are written, as a fork of ours can: it is done here.
        self.serializer = serializer_of(terms.codec, terms.classes) if terms.own_target else None
        self.number = number  # here, never used again: the channels of the next session begin anew
        self.channel = channel
        self.identity = identity
        self.is_wanted = True  # by the present session
        self.peer: Channel | None = None  # its socket, once it runs
        self.early: list[tuple[object, list[Buffer]]] = []  # for it, before it ran
        self.frames: deque[tuple[int, int | None]] = deque()  # number and slot of each frame it has
        self.granted: set[int] = set()

    def tell(self, message: object, payload: list[Buffer]) -> None:
        if self.peer is None:
            self.early.append((message, payload))
        else:
            self.peer.send(message, payload)


class Courier:
    """The loop, and what it does with each message."""

    def __init__(self, control: socket.socket, lane: socket.socket, memory: int | None) -> None:
        self._control = Channel(control)
        self._lane = lane
        self._memory = memory
        self._slots = store.Slots(memory)
        self._workers: dict[int, _Worker] = {}  # all that live, by number
        self._by_channel: dict[int, _Worker] = {}  # those of the present session
        self._dismissed: dict[int, float] = {}  # worker -> when it is killed, if it has not ended by then
        self._last = 0
        self._terms: dict[int, Terms] = {}
        self._visit: Visit | None = None
        self._order: Visiting | None = None
        self._alone_since = monotonic()
        self._complaint = ""  # said since there was a hub
        self._main = MainProcess()
        self._is_over = False

    def serve(self) -> None:
        """Work until the main process says so, or is gone."""
        zmq = load_zmq()
        while not self._is_over:
            visit = self._visit
            poller = zmq.Poller()
            poller.register(self._control, zmq.POLLIN | (zmq.POLLOUT if self._control.wants_to_write else 0))
            timeout = None
            is_full = False
            if visit is not None:
                poller.register(visit.socket, zmq.POLLIN)
                timeout = max(min([visit.due, *self._dismissed.values()]) - monotonic(), 0) * 1000
                is_full = visit.session is not None and visit.session.is_full
            for worker in self._workers.values():
                if worker.peer is not None and not worker.peer.is_gone:
                    wants = 0 if is_full else zmq.POLLIN  # who cannot send takes nothing in
                    poller.register(worker.peer, wants | (zmq.POLLOUT if worker.peer.wants_to_write else 0))
            ready = dict(poller.poll(timeout))
            found = ready.get(self._control.fileno(), 0)
            if found & zmq.POLLOUT:
                self._control.flush()
            if found & ~zmq.POLLOUT:
                self._from_main()
            for worker in list(self._workers.values()):
                found = ready.get(worker.peer.fileno(), 0) if worker.peer is not None else 0
                if found & zmq.POLLOUT and worker.peer is not None:
                    worker.peer.flush()
                if found & ~zmq.POLLOUT:
                    self._from_worker(worker)
            self._kill_dismissed()
            if visit is not None and visit is self._visit and not self._is_over:
                visit.read()
                if monotonic() >= visit.due:
                    visit.look(monotonic())
                    self._look()
        if self._visit is not None:
            self._visit.close()

    def _dismiss(self, worker: _Worker) -> None:
        """Let a worker end, and see to it that it does."""
        worker.tell(wire.Stop(worker.identity), [])
        self._dismissed.setdefault(worker.number, monotonic() + GRACE_SECONDS)

    def _kill_dismissed(self) -> None:
        now = monotonic()
        for number in [number for number, due in self._dismissed.items() if due <= now]:
            del self._dismissed[number]
            self._control.send(Kill(number))

    def _look(self) -> None:
        assert self._visit is not None
        assert self._order is not None
        if self._order.cell is not None:
            if self._main.has_gone:
                self._main_has_died()
                return
            # Where the only worker is stopped its items are for others, as long as that lasts.
            stopped_for = self._main.stopped_for(monotonic())
            if stopped_for > self._visit.lost_after and not self._visit.is_paused:
                self._visit.pause("its process is stopped")
            self._visit.is_paused = self._visit.is_paused and stopped_for > 0
        if self._visit.session is not None:
            self._alone_since = monotonic()
            self._complaint = ""
            return
        alone = monotonic() - self._alone_since
        if self._order.linger is not None and alone > self._order.linger:
            self._end(f"no hub at {self._order.address} for {self._order.linger:g} s", 0)
        elif alone > COMPLAIN_SECONDS and not self._complaint:
            self._complaint = self._visit.trouble()
            self._control.send(Tell(self._complaint))

    def _end(self, text: str, code: int) -> None:
        if not self._is_over:
            self._is_over = True
            self._control.send(Over(text, code))

    # -- the main process ---------------------------------------------------------------------------------------------

    def _from_main(self) -> None:
        messages = self._control.receive()
        self._take_sockets()  # sent before the messages about them
        for message, _ in messages:
            match message:
                case Visiting():
                    self._order = message
                    hello = hello_of(message.host, message.workers, _version())
                    self._visit = Visit(message.address, message.own, message.hub, hello, self)
                case Forked():
                    self._say(self._workers[message.worker], Says.STARTED, message.pid)
                case NotForked():
                    self._say(self._forget(message.worker), Says.REFUSED, message.why)
                case Died():
                    self._died(message)
                case Leave():
                    self._say_goodbye(message.why, died=False)
                    self._is_over = True
        if self._control.is_gone:
            self._main_has_died()

    def _main_has_died(self) -> None:
        self._say_what_it_was_at()
        self._say_goodbye("its main process was killed", died=True)
        self._is_over = True

    def _say_what_it_was_at(self) -> None:
        """Where the main process did the work, and died with it: let the item be found, as that of any worker."""
        if self._order is None or self._order.cell is None:
            return
        at = ProgressCell(self._order.cell).read()
        for worker in self._workers.values():
            if worker.peer is not None:
                self._from_worker(worker)  # what it had sent before still counts
            if worker.frames:
                ordinal = at[0] if at is not None else None
                self._say(worker, Says.ENDED, *Ended(None, self._main.pid, ordinal, timed_out=False, excused=False))

    def _say_goodbye(self, why: str, *, died: bool) -> None:
        if self._visit is not None:
            self._visit.say_goodbye(why, died=died)

    def _take_sockets(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._lane, 16, 1)
            except BlockingIOError:
                return
            if not data:
                return
            sock = socket.socket(fileno=descriptors[0])
            worker = self._workers[int.from_bytes(data, "big")]
            worker.peer = Channel(sock)
            for message, payload in worker.early:
                worker.peer.send(message, payload)
            worker.early.clear()

    def _died(self, message: Died) -> None:
        worker = self._forget(message.worker)
        if worker.peer is not None:
            self._from_worker(worker)  # what it had sent before still counts
            worker.peer.close()
        for _, slot in worker.frames:
            if slot is not None:
                self._slots.give_back(slot)
        for slot in worker.granted:
            self._slots.give_back(slot)
        self._say(worker, Says.ENDED, *message.ended)

    def _forget(self, number: int) -> _Worker:
        worker = self._workers.pop(number)
        self._dismissed.pop(number, None)
        if worker.is_wanted:
            del self._by_channel[worker.channel]
        return worker

    # -- the hub ------------------------------------------------------------------------------------------------------

    def began(self, *, anew: bool) -> None:
        """The hub has welcomed us."""
        assert self._order is not None
        if anew:
            self._control.send(Tell(f"connected to the hub at {self._order.address}"))

    def over(self, why: str) -> None:
        """The session has ended: what its workers do is not wanted any more."""
        self._control.send(Tell(f"the session is over: {why}"))
        for worker in self._by_channel.values():
            worker.is_wanted = False
            self._dismiss(worker)
        self._by_channel.clear()
        self._terms.clear()

    def refused(self, text: str) -> None:
        """The hub will not have us."""
        self._end(f"refused: {text}", REFUSED_CODE)

    def said(self, channel: int, body: bytes, payload: list[memoryview]) -> None:
        """Do what the hub says."""
        says, values = speech.unpack(body)
        if says is Says.TERMS:
            terms = Terms(*values)
            self._terms[terms.number] = terms
            return
        if says is Says.FORGET:
            self._terms.pop(speech.one_int(values), None)
            return
        if says is Says.START:
            self._start(channel, *values)
            return
        worker = self._by_channel.get(channel)
        if worker is None:
            return  # it has died; that is on its way
        match says:
            case Says.RUN:
                self._run(worker, values, payload)
            case Says.GO_ON:
                worker.tell(wire.GoOn(worker.identity, wire.NO_SLOT), [])
            case Says.DROP:
                self._done_with(worker)
                worker.tell(wire.Drop(worker.identity), [])
            case Says.STOP:
                worker.tell(wire.Stop(worker.identity), [])
            case Says.ABORT:
                self._dismiss(worker)
            case _:
                pass

    def _start(self, channel: int, number: int, identity: int, slot: int) -> None:
        assert self._order is not None
        assert self._visit is not None
        terms = self._terms[number]
        if self._order.forbid_pickle and not terms.plain:
            why = (
                "it was started with --forbid-pickle, and this hub would unpickle what it sends; "
                'remote(..., serializer="msgpack") does not'
            )
            self._control.send(Tell(f"refused for stage {terms.label[0]!r}: {why}"))
            self._visit.send(channel, speech.pack(Says.REFUSED, why))
            return
        self._last += 1
        worker = _Worker(self._last, channel, WorkerId(identity), terms)
        self._workers[worker.number] = self._by_channel[channel] = worker
        self._control.send(Fork(worker.number, terms, identity, slot))

    def _run(self, worker: _Worker, values: tuple[Any, ...], payload: list[memoryview]) -> None:
        run = speech.unpack_run(worker.identity, values)
        pieces: list[Buffer] = list(payload)
        lengths = run.parcel.lengths if run.parcel is not None else None
        if lengths is not None and worker.serializer is not None:
            pieces = opened(lengths, pieces, worker.serializer)
            lengths = tuple(memoryview(piece).nbytes for piece in pieces)
        total = sum(lengths or ())
        slot = None
        if total > store.INLINE_BYTES and self._memory is not None:
            slot, _ = self._slots.take(total)
            try:
                store.write(self._memory, slot, pieces)
                pieces = []
            except OSError:  # shared memory is short: the socket has its own
                self._slots.give_back(slot)
                slot = None
        worker.frames.append((values[0], slot))
        parcel = wire.Parcel(lengths, slot) if lengths is not None else None
        worker.tell(run._replace(parcel=parcel), pieces)

    def _say(self, worker: _Worker, says: Says, *values: object) -> None:
        if self._visit is not None and worker.is_wanted:
            self._visit.send(worker.channel, speech.pack(says, *values))

    # -- workers ------------------------------------------------------------------------------------------------------

    def _from_worker(self, worker: _Worker) -> None:
        assert worker.peer is not None
        plain = worker.plain
        for message, payload in worker.peer.receive():
            match message:
                case wire.NeedSlot():
                    worker.peer.send(self._grant(worker, message.nbytes))
                case wire.Answered():
                    self._answered(worker, message, payload)
                case wire.Ready():
                    self._say(worker, Says.READY, message.holds)
                case wire.Broken():
                    self._say(worker, Says.BROKEN, plain_failure(message.failure, plain=plain))
                case wire.Logged():
                    self._say(worker, Says.LOGGED, plain_record(message.record, plain=plain))

    def _grant(self, worker: _Worker, nbytes: int) -> wire.SlotGrant:
        if self._memory is None:
            return wire.NO_SLOT
        offset, size = self._slots.take(nbytes)
        worker.granted.add(offset)
        return wire.SlotGrant(offset, size)

    def _answered(self, worker: _Worker, answer: wire.Answered, payload: bytearray | None) -> None:
        for offset in answer.returned:
            worker.granted.discard(offset)
            self._slots.give_back(offset)
        parts: list[Buffer] = [payload] if payload is not None else []
        parcel = answer.parcel
        if parcel is not None and parcel.offset is not None:
            assert self._memory is not None
            parts = store.read(self._memory, parcel.offset, parcel.lengths)
            worker.granted.discard(parcel.offset)
            self._slots.give_back(parcel.offset)
        number, _ = worker.frames[0]
        if not answer.more:
            self._done_with(worker)
        failure = plain_failure(answer.failure, plain=worker.plain) if answer.failure is not None else None
        records = tuple(plain_failure(record, plain=worker.plain) for record in answer.records)
        if parcel is not None and worker.serializer is not None:
            parts = closed(parcel.lengths, parts, worker.serializer)
            lengths = tuple(memoryview(part).nbytes for part in parts)
            answer = answer._replace(parcel=wire.Parcel(lengths, None))
        body = speech.pack_answer(number, answer, failure, records)
        if self._visit is not None and worker.is_wanted:
            self._visit.send(worker.channel, body, parts)

    def _done_with(self, worker: _Worker) -> None:
        """Forget the frame that a worker is at."""
        _, slot = worker.frames.popleft()
        if slot is not None:
            self._slots.give_back(slot)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("olympipe-like")
    except PackageNotFoundError:
        return "unknown"


def main(control: int, lane: int, memory: int) -> None:
    """Be a machine's courier; the descriptors are those of the main process. ``memory``: -1 for none."""
    ignore_all()
    sockets = socket.socket(fileno=lane)
    sockets.setblocking(False)
    Courier(socket.socket(fileno=control), sockets, memory if memory >= 0 else None).serve()
