"""Clients of a broker in other processes: their requests go to the program, and outcomes back. Opens neither."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from olympipe_like._remote import speech
from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._remote.guests import Guest, Guests
from olympipe_like._remote.keys import PublicKey
from olympipe_like._remote.session import Buffer
from olympipe_like._remote.speech import Says
from olympipe_like._transport.connection import Channel

MOST_ASKED = 100_000
"""Requests of one client that are not answered yet; the look-ahead of its calls keeps an honest one far below."""


class Serve(NamedTuple):
    """Program to gateway: clients may come; their requests go to the descriptor that comes along."""

    names: tuple[str, ...] | None  # of the keys that may ask; None: all that are allowed


class Asked(NamedTuple):
    """Gateway to program: requests; their bytes go with it, one after the other."""

    client: int
    channel: int
    numbers: tuple[int, ...]
    lengths: tuple[int, ...]


class Withdrawn(NamedTuple):
    """Gateway to program: nobody waits for what was asked here any more."""

    client: int
    channel: int | None  # None: the client has gone


class Told(NamedTuple):
    """Program to gateway: outcomes of requests; their bytes go with it, one after the other."""

    client: int
    channel: int
    numbers: tuple[int, ...]
    lengths: tuple[int, ...]


def several(numbers: Sequence[int], lengths: Sequence[int], payload: Buffer) -> list[tuple[int, memoryview]]:
    """Return what came together, each with its number."""
    view = memoryview(payload)
    found, at = [], 0
    for number, length in zip(numbers, lengths, strict=True):
        found.append((number, view[at : at + length]))
        at += length
    return found


class Clients:
    """Those of one gateway."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests
        self.front: Channel | None = None  # to the program
        self._names: tuple[str, ...] | None = ()
        self._numbers: dict[Guest, int] = {}
        self._by_number: dict[int, Guest] = {}
        self._asked: dict[Guest, set[tuple[int, int]]] = {}
        self._last = 0

    def open(self, sock: socket.socket, order: Serve) -> None:
        """Let clients come."""
        self.close()
        self.front, self._names = Channel(sock), order.names

    def close(self) -> None:
        """Let none come any more."""
        if self.front is not None:
            self.front.close()
            self.front = None

    def why_not(self, key: PublicKey) -> str:
        """Return why a key may not ask; empty: it may."""
        if self.front is None:
            return "asks, and there is no Broker at this address"
        if self._names is not None and key.name not in self._names:
            return f"may not ask: its key {key.name!r} is not among Broker(..., clients=[...])"
        return ""

    # -- from clients -------------------------------------------------------------------------------------------------

    def said(self, guest: Guest, channel: int, says: Says, values: Sequence[Any], payload: list[memoryview]) -> None:
        """Pass a client's message on."""
        if self.front is None:
            return
        number = self._numbers.get(guest)
        if number is None:
            self._last += 1
            number = self._numbers[guest] = self._last
            self._by_number[number] = guest
            self._asked[guest] = set()
        asked = self._asked[guest]
        if says is Says.ASK:
            numbers, lengths = speech.unpack_several(values, sum(piece.nbytes for piece in payload))
            if not numbers:
                raise ProtocolError("a question without requests")
            places = {(channel, each) for each in numbers}
            if len(places) < len(numbers) or not places.isdisjoint(asked):
                raise ProtocolError("the same request twice")
            if len(asked) + len(places) > MOST_ASKED:
                raise ProtocolError("too many requests")
            asked |= places
            self.front.send(Asked(number, channel, numbers, lengths), payload)
        elif says is Says.WITHDRAW and not values:
            self._asked[guest] = {each for each in asked if each[0] != channel}
            self.front.send(Withdrawn(number, channel))
        else:
            raise ProtocolError(f"{says.name} from a client")

    def left(self, guest: Guest) -> None:
        """A client has gone."""
        number = self._numbers.pop(guest, None)
        if number is not None:
            del self._by_number[number], self._asked[guest]
            if self.front is not None:
                self.front.send(Withdrawn(number, None))

    # -- from the program ---------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """Send the outcomes that have come to those who asked."""
        assert self.front is not None
        for message, payload in self.front.receive():
            assert isinstance(message, Told)
            guest = self._by_number.get(message.client)
            if guest is None:
                continue  # it has gone
            self._asked[guest] -= {(message.channel, number) for number in message.numbers}
            pieces: list[Buffer] = [payload] if payload is not None else []
            body = speech.pack(Says.TOLD, message.numbers, message.lengths)
            self._guests.send(guest, message.channel, body, pieces)
        if self.front.is_gone:
            self.close()
