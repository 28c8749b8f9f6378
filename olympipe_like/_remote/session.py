"""Packets that arrive once and in order, over connections that break and come back.

One side of a session: numbers what it sends and keeps it until the other side has heard it; after a new connection
both say how far they heard, and send the rest again. Knows numbers and times it is told. Does not know sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from olympipe_like._remote.envelope import CHUNK_BYTES, Envelope, Kind, ProtocolError

Buffer = bytes | bytearray | memoryview

ACKNOWLEDGE_PACKETS = 32  # heard and not yet acknowledged, before that is said by itself
MOST_UNHEARD_BYTES = 64 << 20  # above, nothing new is taken from whoever makes messages here


class Packet(NamedTuple):
    """Something to send: the envelope is made when it goes, because what was heard is in it."""

    kind: Kind
    channel: int
    number: int
    data: Buffer


class Session:
    """One side's book-keeping."""

    def __init__(self, token: bytes, at: float) -> None:
        self.token = token
        self.heard = 0  # the last packet in order from the other side
        self.heard_at = at  # any sign of life
        self.duplicates = 0
        self.unheard_bytes = 0
        self._sent = 0
        self._unheard: deque[Packet] = deque()
        self._told = 0  # of what was heard, the last that the other side knows of

    @property
    def is_full(self) -> bool:
        """Whether so much is on its way that no more should be made for now."""
        return self.unheard_bytes > MOST_UNHEARD_BYTES

    @property
    def owes_acknowledgement(self) -> bool:
        """Whether the other side keeps packets only because it does not know that they came."""
        return self.heard - self._told >= ACKNOWLEDGE_PACKETS

    def cut(self, channel: int, parts: Iterable[Buffer]) -> list[Packet]:
        """Return a message as new packets; the first part begins it. Large buffers are cut, not copied."""
        pieces: list[Buffer] = []
        small = bytearray()
        for part in parts:
            view = memoryview(part).cast("B")
            if len(small) + view.nbytes <= CHUNK_BYTES and view.nbytes < CHUNK_BYTES // 4:
                small += view
                continue
            if small:
                pieces.append(small)
                small = bytearray()
            pieces += [view[at : at + CHUNK_BYTES] for at in range(0, view.nbytes, CHUNK_BYTES)]
        if small:
            pieces.append(small)
        return [self._put(Kind.MORE if index else Kind.BEGIN, channel, piece) for index, piece in enumerate(pieces)]

    def _put(self, kind: Kind, channel: int, data: Buffer) -> Packet:
        self._sent += 1
        packet = Packet(kind, channel, self._sent, data)
        self._unheard.append(packet)
        self.unheard_bytes += len(data)
        return packet

    def envelope(self, packet: Packet) -> bytes:
        """Return what goes in front of a packet that is sent now."""
        self._told = self.heard
        return Envelope(packet.kind, packet.channel, packet.number, self.heard, self.token).pack(len(packet.data))

    def beat(self) -> bytes:
        """Return the envelope of a sign of life, which says how far we heard."""
        self._told = self.heard
        return Envelope(Kind.BEAT, heard=self.heard, token=self.token).pack(0)

    def receive(self, envelope: Envelope, at: float) -> bool:
        """Take note of a packet; return whether it is the next new one.

        Raises
        ------
        ProtocolError
            If it acknowledges what was never sent, or leaves a gap, which no connection makes.
        """
        self.heard_at = at
        self.acknowledge(envelope.heard)
        if not envelope.number:
            return False
        if envelope.number <= self.heard:
            self.duplicates += 1
            return False
        if envelope.number != self.heard + 1:
            raise ProtocolError(f"packet {envelope.number} after {self.heard}")
        self.heard = envelope.number
        return True

    def acknowledge(self, number: int) -> None:
        """Forget what the other side has heard."""
        if number > self._sent:
            raise ProtocolError(f"it heard packet {number} of {self._sent}")
        unheard = self._unheard
        while unheard and unheard[0].number <= number:
            self.unheard_bytes -= len(unheard.popleft().data)

    def resume(self, heard: int, at: float) -> list[Packet]:
        """Return what must be sent again over a new connection, to someone who has heard so far."""
        self.heard_at = at
        self.acknowledge(heard)
        return list(self._unheard)


class Assembly:
    """Puts the packets of one channel together again."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[Buffer] = []
        self._missing = 0
        self._total = 0

    def add(self, kind: Kind, data: Buffer) -> list[Buffer] | None:
        """Return the pieces of a message with its last one, None before.

        Raises
        ------
        ProtocolError
            If pieces are missing or too many, or the message is larger than it may be.
        """
        if kind is Kind.BEGIN:
            if self._pieces:
                raise ProtocolError("a message within a message")
            if len(data) < LENGTH_BYTES:
                raise ProtocolError("a message without a length")
            self._total = int.from_bytes(data[:LENGTH_BYTES], "big")
            if self._total > self._most_bytes:
                raise ProtocolError(f"a message of {self._total} bytes, and {self._most_bytes} is the most")
            self._missing = self._total + LENGTH_BYTES
        elif not self._pieces:
            raise ProtocolError("the middle of a message that never began")
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing < 0 or (self._missing and not len(data)):
            raise ProtocolError("a message longer than it said")
        if self._missing:
            return None
        pieces, self._pieces = self._pieces, []
        return pieces


LENGTH_BYTES = 8


def with_length(body: bytes, parts: Iterable[Buffer]) -> list[Buffer]:
    """Return the parts of a message as `Session.cut` takes and `Assembly` gives them."""
    listed = [memoryview(part).cast("B") for part in parts]
    total = 4 + len(body) + sum(part.nbytes for part in listed)
    return [total.to_bytes(LENGTH_BYTES, "big") + len(body).to_bytes(4, "big") + body, *listed]


def without_length(pieces: list[Buffer]) -> tuple[bytes, list[memoryview]]:
    """Return body and payload of a message that came as these pieces; the payload stays in pieces.

    Raises
    ------
    ProtocolError
        If the body is longer than the message.
    """
    views = [memoryview(piece).cast("B") for piece in pieces]
    head = bytes(views[0][LENGTH_BYTES : LENGTH_BYTES + 4])
    if len(head) < 4:
        raise ProtocolError("a message without a body")
    length = int.from_bytes(head, "big")
    views[0] = views[0][LENGTH_BYTES + 4 :]
    body = bytearray()
    while views and len(body) < length:
        taken = views[0][: length - len(body)]
        body += taken
        if taken.nbytes == views[0].nbytes:
            del views[0]
        else:
            views[0] = views[0][taken.nbytes :]
    if len(body) < length:
        raise ProtocolError("a body longer than its message")
    return bytes(body), [view for view in views if view.nbytes]
