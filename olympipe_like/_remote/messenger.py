"""A client's connection to a broker, in a process of its own: it gives signs of life whatever the program computes.

Carries requests and outcomes, and opens neither. A session that is over is begun anew; the program then asks again.
"""

from __future__ import annotations

import socket
from collections import deque
from time import monotonic
from typing import NamedTuple

from olympipe_like._remote import speech
from olympipe_like._remote.clients import MOST_ASKED
from olympipe_like._remote.keys import SecretKey
from olympipe_like._remote.session import Buffer
from olympipe_like._remote.speech import Says
from olympipe_like._remote.visit import Visit, hello_of
from olympipe_like._remote.zeromq import load_zmq
from olympipe_like._transport.connection import Channel
from olympipe_like._worker.interrupts import ignore_all

TOGETHER_BYTES, MOST_TOGETHER = 1 << 20, 256
"""Requests that come together travel so, up to this size and number: all of them may be more than the broker takes, and
those of another call have their turn."""


class Meet(NamedTuple):
    """Program to messenger, first of all: where to go, as whom."""

    address: str
    own: SecretKey
    hub: str  # its public key
    host: str
    reconnect_for: float  # seconds without the broker after which there is no more waiting


class Ask(NamedTuple):
    """Program to messenger: a request; its bytes go with it."""

    channel: int
    number: int


class Withdraw(NamedTuple):
    """Program to messenger: what was asked on this channel is not wanted any more."""

    channel: int


class Answered(NamedTuple):
    """Messenger to program: outcomes of requests; their bytes go with it, one after the other."""

    channel: int
    numbers: tuple[int, ...]
    lengths: tuple[int, ...]


class TooLarge(NamedTuple):
    """Messenger to program: the broker takes no request of this size."""

    channel: int
    number: int
    nbytes: int
    most: int


class Anew(NamedTuple):
    """Messenger to program: the broker knows of no request; whatever has no outcome yet must be asked again."""


class Over(NamedTuple):
    """Messenger to program: there is no more to come."""

    why: str


class Messenger:
    """The loop, and what it does with each message."""

    def __init__(self, control: socket.socket) -> None:
        self._control = Channel(control)
        self._visit: Visit | None = None
        self._order: Meet | None = None
        self._known: set[tuple[int, int]] = set()  # requests of the present session that are not answered
        self._waiting: dict[int, deque[tuple[int, Buffer]]] = {}  # those not asked yet; the first is whose turn it is
        self._held = 0  # how many those are
        self._alone_since = monotonic()
        self._is_over = False

    def serve(self) -> None:
        """Work until the program is gone, or there is no broker."""
        zmq = load_zmq()
        while not self._is_over:
            visit = self._visit
            poller = zmq.Poller()
            is_full = visit is not None and visit.session is not None and visit.session.is_full
            wants = 0 if is_full else zmq.POLLIN  # who cannot send takes nothing in
            poller.register(self._control, wants | (zmq.POLLOUT if self._control.wants_to_write else 0))
            timeout = None
            if visit is not None:
                poller.register(visit.socket, zmq.POLLIN)
                timeout = max(visit.due - monotonic(), 0) * 1000
            found = dict(poller.poll(timeout)).get(self._control.fileno(), 0)
            if found & zmq.POLLOUT:
                self._control.flush()
            if found & ~zmq.POLLOUT:
                self._from_program()
            if visit is not None and not self._is_over:
                visit.read()
                if monotonic() >= visit.due:
                    visit.look(monotonic())
                    self._look(visit)
        if self._visit is not None:
            self._visit.close()

    def _look(self, visit: Visit) -> None:
        assert self._order is not None
        if visit.session is not None:
            self._alone_since = monotonic()
        elif monotonic() - self._alone_since > self._order.reconnect_for:
            patience = f"reconnect_for={self._order.reconnect_for:g} s"
            self._end(f"no broker at {self._order.address} for {patience}: {visit.trouble()}")

    def _end(self, why: str) -> None:
        self._is_over = True
        self._control.send(Over(why))

    def _from_program(self) -> None:
        asked: dict[int, list[tuple[int, Buffer]]] = {}  # what has come together goes together
        for message, payload in self._control.receive():
            match message:
                case Meet():
                    self._order = message
                    hello = hello_of(message.host, 0, "")
                    self._visit = Visit(message.address, message.own, message.hub, hello, self)
                case Ask():
                    asked.setdefault(message.channel, []).append((message.number, payload or b""))
                case Withdraw():
                    asked.pop(message.channel, None)
                    self._withdraw(message.channel)
        for channel, requests in asked.items():
            self._ask(channel, requests)
        if self._control.is_gone:
            if self._visit is not None:
                self._visit.say_goodbye("it has ended", died=False)
            self._is_over = True

    def _ask(self, channel: int, requests: list[tuple[int, Buffer]]) -> None:
        if self._visit is None or self._visit.session is None:
            return  # they are asked again when there is a session
        most = self._visit.most_bytes
        for number, request in requests:
            # In the moment of a new session the program may ask twice: because it would, and because it must.
            if (channel, number) in self._known:
                continue
            if len(request) > most:
                self._control.send(TooLarge(channel, number, len(request), most))
                continue
            self._known.add((channel, number))
            self._waiting.setdefault(channel, deque()).append((number, request))
            self._held += 1
        self._go_on()

    def _go_on(self) -> None:
        """Ask what waits, each call in turn, as far as the broker takes requests of one client at once."""
        while self._waiting and (room := MOST_ASKED - (len(self._known) - self._held)) > 0:
            channel, waiting = next(iter(self._waiting.items()))
            del self._waiting[channel]
            together: list[tuple[int, Buffer]] = []
            nbytes = 0
            while waiting and len(together) < min(room, MOST_TOGETHER):
                nbytes += len(waiting[0][1])
                if together and nbytes > TOGETHER_BYTES:
                    break
                together.append(waiting.popleft())
            if waiting:
                self._waiting[channel] = waiting  # behind the others
            self._held -= len(together)
            assert self._visit is not None
            numbers, pieces = zip(*together, strict=True)
            self._visit.send(channel, speech.pack(Says.ASK, numbers, tuple(map(len, pieces))), list(pieces))

    def _withdraw(self, channel: int) -> None:
        held = self._waiting.pop(channel, ())
        self._held -= len(held)
        known = [each for each in self._known if each[0] == channel]
        self._known.difference_update(known)
        if self._visit is not None and len(known) > len(held):
            self._visit.send(channel, speech.pack(Says.WITHDRAW))
        self._go_on()

    def _forget_all(self) -> None:
        self._known.clear()
        self._waiting.clear()
        self._held = 0

    # -- the broker ---------------------------------------------------------------------------------------------------

    def began(self, *, anew: bool) -> None:
        """The broker has welcomed us."""
        if anew:
            self._forget_all()
            self._control.send(Anew())

    def over(self, why: str) -> None:
        """The session has ended; there may be another."""
        del why
        self._forget_all()

    def refused(self, text: str) -> None:
        """The broker will not have us."""
        self._end(f"refused: {text}")

    def said(self, channel: int, body: bytes, payload: list[memoryview]) -> None:
        """Pass an outcome on."""
        says, values = speech.unpack(body)
        if says is Says.TOLD:
            numbers, lengths = speech.unpack_several(values, sum(piece.nbytes for piece in payload))
            self._known.difference_update((channel, number) for number in numbers)
            self._go_on()
            self._control.send(Answered(channel, numbers, lengths), payload)


def main(control: int) -> None:
    """Be a client's messenger; the descriptor is that of the program."""
    ignore_all()
    Messenger(socket.socket(fileno=control)).serve()
