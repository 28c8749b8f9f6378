"""The machines that are connected: who they are, whether they are alive, what they say. Knows no run and no stage."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from time import monotonic
from typing import Protocol

from olympipe_like._remote import fields, speech
from olympipe_like._remote.door import Door, Incoming
from olympipe_like._remote.envelope import (
    NO_TOKEN,
    NUMBERED,
    PROTOCOL,
    TOKEN_BYTES,
    Envelope,
    Kind,
    ProtocolError,
    WrongProtocol,
    open_packet,
)
from olympipe_like._remote.keys import PublicKey
from olympipe_like._remote.session import Assembly, Buffer, Session, with_length, without_length
from olympipe_like._remote.speech import MOST_BODY_BYTES, Hello, Welcome

BEAT_SECONDS = 0.25  # a closed connection is noticed at the next beat
DIED = 1  # channel of a good-bye that somebody says for a machine whose main process is dead
FAREWELL_SECONDS = 1.0  # for all machines to hear that the program has ended


class Guest:
    """One machine and its session."""

    def __init__(self, key: PublicKey, hello: Hello, connection: bytes, at: float) -> None:
        self.key = key
        self.host = hello.host
        self.pid = hello.pid
        self.workers = hello.workers  # how many it can have
        self.is_client = hello.workers == 0  # it asks, and works for nobody
        self.connection: bytes | None = connection  # None: it is away
        self.session = Session(os.urandom(TOKEN_BYTES), at)
        self.channels: set[int] = set()  # in use
        self._last_channel = 0
        self.is_known = False  # people have been told of it
        self.reserved = 0  # workers that a run was told of and has not started
        self.terms: set[int] = set()  # that it has
        self._assemblies: dict[int, Assembly] = {}

    @property
    def title(self) -> str:
        """How people are told who it is."""
        return self.host if self.host == self.key.name else f"{self.host} (key {self.key.name!r})"

    @property
    def idle(self) -> int:
        """How many workers more it can have."""
        return self.workers - len(self.channels) - self.reserved if self.connection is not None else 0

    def new_channel(self) -> int:
        """Return a number no worker of this session had before."""
        self._last_channel += 1
        self.channels.add(self._last_channel)
        return self._last_channel

    def had(self, channel: int) -> bool:
        """Whether a channel that is not in use once was."""
        return 0 < channel <= self._last_channel

    def assemble(self, envelope: Envelope, data: Buffer, most: int) -> tuple[bytes, list[memoryview]] | None:
        """Return body and payload of a message once all of it is there."""
        assembly = self._assemblies.get(envelope.channel)
        if assembly is None:
            assembly = self._assemblies[envelope.channel] = Assembly(most)
        pieces = assembly.add(envelope.kind, data)
        if pieces is None:
            return None
        del self._assemblies[envelope.channel]
        return without_length(pieces)


class Ears(Protocol):
    """Who is told what happens."""

    def came(self, guest: Guest) -> None: ...
    def said(self, guest: Guest, channel: int, body: bytes, payload: list[memoryview]) -> None: ...
    def broke(self, guest: Guest, channel: int) -> None: ...
    def left(self, guest: Guest, *, lost: bool, why: str) -> None: ...
    def note(self, text: str) -> None: ...
    def may_not_ask(self, key: PublicKey) -> str: ...


class Guests:
    """All machines of one address."""

    def __init__(self, door: Door, ears: Ears, lost_after: float, most_bytes: int) -> None:
        self._door = door
        self._ears = ears
        self.lost_after = lost_after
        self.most_bytes = most_bytes
        self._by_connection: dict[bytes, Guest] = {}
        self._by_token: dict[bytes, Guest] = {}
        self._late: Counter[PublicKey] = Counter()  # packets of sessions that are over
        self._beat_at = 0.0

    def __iter__(self) -> Iterator[Guest]:
        return iter(list(self._by_token.values()))

    @property
    def beat(self) -> float:
        """Seconds between two signs of life; at least five before somebody counts as lost."""
        return min(BEAT_SECONDS, self.lost_after / 5)

    # -- what is heard ------------------------------------------------------------------------------------------------

    def receive(self, incoming: Incoming) -> None:
        """Deal with one packet; nothing that it may hold raises."""
        connection = incoming.connection
        guest = self._by_connection.get(connection)
        try:
            frames = [frame.buffer for frame in incoming.frames]
            envelope = open_packet(frames)
            if envelope.kind is Kind.HELLO:
                self._greet(incoming, speech.unpack_hello(frames[1]))
            elif guest is None or envelope.token != guest.session.token:
                self._late[incoming.key] += envelope.kind in NUMBERED
                self._door.send(connection, Envelope(Kind.WHO).pack(0))
            elif envelope.kind is Kind.BYE:
                why = speech.readable(bytes(frames[1]).decode(errors="replace"), 200)
                self._drop(guest, lost=envelope.channel == DIED, why=why)
            else:
                self._hear(guest, envelope, frames[1])
        except WrongProtocol as error:
            self._refuse(
                incoming,
                incoming.key.name,
                f"runs protocol {error.version}, this hub speaks {PROTOCOL}: install the same"
                " version of olympipe-like on both",
            )
        except ProtocolError as error:
            if guest is not None:
                self.throw_out(guest, str(error))
            else:
                self._ears.note(f"worker {incoming.key.name} broke the protocol: {error}")

    def _hear(self, guest: Guest, envelope: Envelope, data: Buffer) -> None:
        if envelope.kind not in (Kind.BEAT, Kind.BEGIN, Kind.MORE):
            raise ProtocolError(f"{envelope.kind.name} from a worker")
        if not guest.session.receive(envelope, monotonic()):
            return
        try:
            message = guest.assemble(envelope, data, self.most_bytes + MOST_BODY_BYTES)
        except ProtocolError:
            self._ears.broke(guest, envelope.channel)
            raise
        if message is not None:
            self._ears.said(guest, envelope.channel, *message)
        if guest.session.owes_acknowledgement:
            self._send_beat(guest)

    def throw_out(self, guest: Guest, what: str) -> None:
        """End the session of a machine that does not keep to the protocol."""
        if guest.connection is not None:
            self._door.send(guest.connection, Envelope(Kind.WHO).pack(0))
        self._drop(guest, lost=True, why=f"broke the protocol: {what}")

    def _greet(self, incoming: Incoming, hello: Hello) -> None:
        if hello.python != sys.version_info[:2]:
            theirs, ours = ".".join(map(str, hello.python)), ".".join(map(str, sys.version_info[:2]))
            self._refuse(
                incoming, hello.host, f"runs Python {theirs}, this hub {ours}: functions do not travel between them"
            )
            return
        if hello.workers == 0 and (why := self._ears.may_not_ask(incoming.key)):
            self._refuse(incoming, hello.host, why)
            return
        now = monotonic()
        guest = self._by_token.get(hello.resumes) if hello.resumes != NO_TOKEN else None
        again = []
        if guest is not None and guest.key == incoming.key:
            again = guest.session.resume(hello.heard, now)
            if guest.connection is not None:
                self._by_connection.pop(guest.connection, None)
            guest.connection = incoming.connection
            is_new = False
        else:
            known = self._by_connection.get(incoming.connection)
            if known is not None:
                self._drop(known, lost=True, why="began anew")
            guest = Guest(incoming.key, hello, incoming.connection, now)
            self._by_token[guest.session.token] = guest
            is_new = True
        self._by_connection[incoming.connection] = guest
        self._welcome(guest, is_new=is_new)
        for packet in again:
            self._door.send(incoming.connection, guest.session.envelope(packet), packet.data)
        self._ears.came(guest)

    def _welcome(self, guest: Guest, *, is_new: bool) -> None:
        welcome = Welcome(guest.session.heard, is_new, self.lost_after, self.beat, self.most_bytes)
        data = fields.pack(tuple(welcome))
        envelope = Envelope(Kind.WELCOME, token=guest.session.token).pack(len(data))
        if guest.connection is not None and not self._door.send(guest.connection, envelope, data):
            self._is_away(guest)

    def agree(self, lost_after: float, most_bytes: int) -> None:
        """Take over what another run says; the machines hear what holds now."""
        is_new = (lost_after, most_bytes) != (self.lost_after, self.most_bytes)
        self.lost_after, self.most_bytes = lost_after, most_bytes
        for guest in self if is_new else ():
            self._welcome(guest, is_new=False)

    def _refuse(self, incoming: Incoming, host: str, why: str) -> None:
        text = f"worker {host} {why}"
        data = text.encode()
        self._door.send(incoming.connection, Envelope(Kind.REFUSE).pack(len(data)), data)
        self._ears.note(f"refused: {text}")

    def count_of_late(self, key: PublicKey) -> int:
        """Return how many packets of sessions that were over have come from a key since last asked, all dropped."""
        return self._late.pop(key, 0)

    # -- what is said -------------------------------------------------------------------------------------------------

    def send(self, guest: Guest, channel: int, body: bytes, payload: list[Buffer] | None = None) -> None:
        """Send a message; one who is away gets it when it is back."""
        for packet in guest.session.cut(channel, with_length(body, payload or [])):
            if guest.connection is not None and not self._door.send(
                guest.connection, guest.session.envelope(packet), packet.data
            ):
                self._is_away(guest)

    def _send_beat(self, guest: Guest) -> None:
        if guest.connection is not None and not self._door.send(guest.connection, guest.session.beat()):
            self._is_away(guest)

    def _is_away(self, guest: Guest) -> None:
        if guest.connection is not None:
            self._by_connection.pop(guest.connection, None)
            guest.connection = None

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When `look` is due next."""
        return self._beat_at

    def look(self, now: float) -> None:
        """Give signs of life, and miss those of others."""
        self._beat_at = now + self.beat
        for guest in self:
            self._send_beat(guest)
            silent = now - guest.session.heard_at
            if silent > self.lost_after:
                self._drop(guest, lost=True, why=f"last seen {silent:.1f} s ago")

    def revoke(self, key: PublicKey) -> None:
        """Have no more to do with a key."""
        for guest in self:
            if guest.key.public == key.public:
                self._drop(guest, lost=True, why="its key was revoked")

    def say_goodbye(self) -> None:
        """Send everybody home: there will be no more runs. Waits a moment for each to say that it has heard.

        A machine that has not read it when the connection ends never will: its ZeroMQ throws away what is unread. It
        would then go on with work that nobody wants, until the silence has lasted `lost_after`.
        """
        waiting = set()
        for guest in self:
            bye = Envelope(Kind.BYE, token=guest.session.token).pack(0)
            if guest.connection is not None and self._door.send(guest.connection, bye):
                waiting.add(guest.connection)
        until = monotonic() + FAREWELL_SECONDS
        while waiting and (left := until - monotonic()) > 0:
            self._door.wait(left)
            waiting -= {incoming.connection for incoming in self._door.read() if _says_bye(incoming)}

    def _drop(self, guest: Guest, *, lost: bool, why: str) -> None:
        self._is_away(guest)
        if self._by_token.pop(guest.session.token, None) is not None:
            self._ears.left(guest, lost=lost, why=why)


def _says_bye(incoming: Incoming) -> bool:
    try:
        return open_packet([frame.buffer for frame in incoming.frames]).kind is Kind.BYE
    except ProtocolError:
        return False  # it is too late to have words with it
