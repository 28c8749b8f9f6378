"""Frames whose items are bytes to everybody on the way: to and from a process that reads frames as pickles."""

from __future__ import annotations

from collections.abc import Sequence

from olympipe_like._remote.serialising import Serializer, parts_of
from olympipe_like._remote.session import Buffer
from olympipe_like._transport import codec


def opened(lengths: Sequence[int], pieces: Sequence[Buffer], serializer: Serializer) -> list[Buffer]:
    """Return a frame that travelled as the parts that this machine's processes read."""
    items, rest = serializer.decode_leniently(*parts_of(lengths, pieces))
    return codec.encode(items, rest)


def closed(lengths: Sequence[int], pieces: Sequence[Buffer], serializer: Serializer) -> list[Buffer]:
    """Return a frame of this machine's processes as the parts that travel."""
    items, rest = codec.decode(*parts_of(lengths, pieces, own=True))
    return serializer.encode(items, rest, strict=False)
