"""One run's connection to the gateway: frames from its hub go to machines, answers come back into its shared memory."""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import NamedTuple, Protocol

from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._model.options import Remote
from olympipe_like._model.topology import StageSpec
from olympipe_like._plan.segment import Label
from olympipe_like._remote.conduct import Conduct
from olympipe_like._remote.guests import Guest
from olympipe_like._remote.serialising import serializer_of
from olympipe_like._remote.session import Buffer
from olympipe_like._remote.speech import Terms
from olympipe_like._transport import messages as wire
from olympipe_like._transport import store
from olympipe_like._transport.connection import Channel
from olympipe_like._transport.remote_messages import Declined


class StageNeed(NamedTuple):
    """What the gateway must know of a remote stage; the caller says it."""

    label: Label
    remote: Remote
    terms: Terms
    spec: StageSpec


class Worker:
    """One remote worker of a run."""

    def __init__(self, guest: Guest, channel: int, link: RunLink, stage: StageId, identity: WorkerId) -> None:
        self.guest = guest
        self.channel = channel
        self.link = link
        self.stage = stage
        self.identity = identity
        need = link.needs[stage]
        self.conduct = Conduct(need.spec, need.terms.timeout)
        self.passed_on: dict[int, bytes] = {}  # failures of earlier stages in the frames it has


class Desk(Protocol):
    """Who carries out what a run asks for."""

    def start(self, link: RunLink, message: wire.Start) -> None: ...
    def run(self, worker: Worker, message: wire.Run, payload: list[Buffer]) -> None: ...
    def go_on(self, worker: Worker) -> None: ...
    def drop(self, worker: Worker) -> None: ...
    def stop(self, worker: Worker) -> None: ...
    def declined(self, link: RunLink, stage: StageId) -> None: ...


class RunLink:
    """The gateway's end of the connection to a run's hub."""

    def __init__(self, sock: socket.socket, memory: int | None, needs: dict[StageId, StageNeed]) -> None:
        self.channel = Channel(sock)
        self.needs = needs
        self.serializers = {stage: serializer_of(need.terms.codec, need.terms.classes) for stage, need in needs.items()}
        self.workers: dict[WorkerId, Worker] = {}
        self._memory = memory
        self._spare: list[wire.SlotGrant] = []
        self._outgoing: deque[tuple[object, list[Buffer]]] = deque()  # in order; the first may wait for a slot
        self._has_asked = False

    def receive(self, desk: Desk) -> bool:
        """Do what the hub asks for; say whether it is still there."""
        for message, payload in self.channel.receive():
            if isinstance(message, wire.Run):
                self._accept(message.slot)
                worker = self.workers.get(message.worker)
                if worker is not None:  # else it left while this was on its way; the hub will hear of it
                    desk.run(worker, message, self._open(message.parcel, payload))
            elif isinstance(message, wire.GoOn):
                self._accept(message.slot)
                if message.worker in self.workers:
                    desk.go_on(self.workers[message.worker])
            elif isinstance(message, wire.Drop):
                if message.worker in self.workers:
                    desk.drop(self.workers[message.worker])
            elif isinstance(message, wire.SlotGrant):
                self._has_asked = False
                self._granted(message)
            elif isinstance(message, wire.Start):
                desk.start(self, message)
            elif isinstance(message, wire.Stop):
                if message.worker in self.workers:
                    desk.stop(self.workers[message.worker])
            elif isinstance(message, Declined):
                desk.declined(self, message.stage)
        return not self.channel.is_gone

    def _open(self, parcel: wire.Parcel | None, payload: bytearray | None) -> list[Buffer]:
        """Return a frame's parts, in memory of their own."""
        if parcel is None:
            return []
        if parcel.offset is None:
            return [payload] if payload is not None else []
        assert self._memory is not None
        return store.read(self._memory, parcel.offset, parcel.lengths)

    def _accept(self, slot: wire.SlotGrant) -> None:
        if slot.size:
            self._spare.append(slot)

    # -- towards the hub ----------------------------------------------------------------------------------------------

    def tell(self, message: object, pieces: list[Buffer] | None = None) -> None:
        """Send a message, after those before it; large payloads go into shared memory."""
        self._outgoing.append((message, pieces or []))
        self._flush()

    def _flush(self) -> None:
        while self._outgoing:
            message, pieces = self._outgoing[0]
            total = sum(len(piece) for piece in pieces)
            if total > store.INLINE_BYTES and self._memory is not None:
                fitting = [slot for slot in self._spare if slot.size >= total]
                if not fitting:
                    if not self._has_asked:
                        self._has_asked = True
                        self.channel.send(wire.NeedSlot(total))
                    return
                slot = min(fitting, key=lambda each: each.size)
                self._send_in(slot, message, pieces)
            else:
                self.channel.send(message, pieces)
            self._outgoing.popleft()

    def _send_in(self, slot: wire.SlotGrant, message: object, pieces: list[Buffer]) -> None:
        assert isinstance(message, wire.Answered)
        assert message.parcel is not None
        assert self._memory is not None
        try:
            store.write(self._memory, slot.offset, pieces)
        except OSError:  # shared memory is short: the socket has its own
            self.channel.send(message, pieces)
            return
        self._spare.remove(slot)
        parcel = wire.Parcel(message.parcel.lengths, slot.offset)
        self.channel.send(message._replace(parcel=parcel))

    def _granted(self, slot: wire.SlotGrant) -> None:
        if slot.size:
            self._spare.append(slot)
        else:  # there is no shared memory after all
            message, pieces = self._outgoing.popleft()
            self.channel.send(message, pieces)
        self._flush()

    def close(self) -> None:
        """Give everything back."""
        self.channel.close()
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None
