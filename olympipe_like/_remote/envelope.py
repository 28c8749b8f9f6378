"""What goes in front of everything that crosses the network: fixed, binary, and checked before anything else is read.

Knows bytes and limits. Does not know sockets, sessions or what a packet means; unpickles nothing, and cannot.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"OPL1"
PROTOCOL = 2  # raised with every change that an older side would misunderstand
CHUNK_BYTES = 1 << 18
"""Longer messages travel in pieces of this size. Each piece that arrives is a sign of life, so a slow link is not taken
for a dead one: 0.2 s at 10 Mbit/s."""
TOKEN_BYTES = 16

_LAYOUT = struct.Struct("!4sBBHIQQI16s")  # magic, protocol, kind, flags, channel, number, heard, length, token
SIZE = _LAYOUT.size
NO_TOKEN = bytes(TOKEN_BYTES)


class Kind(IntEnum):
    """What a packet is."""

    HELLO = 1  # worker: who I am, and which session I had
    WELCOME = 2  # hub: your session
    REFUSE = 3  # hub: why there will be none
    WHO = 4  # hub: say hello (again)
    BEAT = 5  # both: I am here, and have heard so much
    BYE = 6  # both: there will be no more
    BEGIN = 7  # both, numbered: a message begins
    MORE = 8  # both, numbered: it goes on


NUMBERED = frozenset({Kind.BEGIN, Kind.MORE})


class ProtocolError(Exception):
    """The other side said what cannot be."""


class WrongProtocol(ProtocolError):
    """It speaks another version."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version

    def __str__(self) -> str:
        return f"it speaks protocol {self.version}, this side {PROTOCOL}"


class Envelope(NamedTuple):
    """The checked fields of a packet."""

    kind: Kind
    channel: int = 0  # which worker of the session; never used for another
    number: int = 0  # of the packet in its session and direction, from 1; 0: not numbered
    heard: int = 0  # the last number heard from the other side
    token: bytes = NO_TOKEN  # the session

    def pack(self, length: int) -> bytes:
        """Return it as bytes, for a packet that holds so many more."""
        return _LAYOUT.pack(MAGIC, PROTOCOL, self.kind, 0, self.channel, self.number, self.heard, length, self.token)


def open_packet(frames: list[memoryview] | list[bytes]) -> Envelope:
    """Return the envelope of a packet that came as these frames: the envelope and the data.

    Raises
    ------
    ProtocolError
        If it is not what it must be; nothing else, whatever the bytes.
    """
    if len(frames) != 2:
        raise ProtocolError(f"a packet of {len(frames)} frames")
    head, data = frames
    if len(head) != SIZE:
        raise ProtocolError(f"an envelope of {len(head)} bytes")
    magic, protocol, kind, flags, channel, number, heard, length, token = _LAYOUT.unpack(head)
    if magic != MAGIC:
        raise ProtocolError("no envelope of ours")
    if protocol != PROTOCOL:
        raise WrongProtocol(protocol)
    try:
        known = Kind(kind)
    except ValueError:
        raise ProtocolError(f"a packet of unknown kind {kind}") from None
    if flags:
        raise ProtocolError(f"unknown flags {flags:#x}")
    if length != len(data) or length > CHUNK_BYTES:
        raise ProtocolError(f"{len(data)} bytes where the envelope says {length}, and {CHUNK_BYTES} is the most")
    if (number > 0) is not (known in NUMBERED):
        raise ProtocolError(f"packet number {number} on {known.name}")
    return Envelope(known, channel, number, heard, token)
