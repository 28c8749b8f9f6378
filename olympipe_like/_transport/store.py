"""Shared memory of one run: a memfd that writers write to and readers read from, in slots the hub grants.

A memfd has no name in /dev/shm and is not limited by its size, and nothing of it is left after any kill. Frames are
copied with pwritev and preadv: lack of space is an OSError, never a SIGBUS, and the receiver's arrays are its own.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from olympipe_like._transport.codec import Buffer

INLINE_BYTES = 1 << 16
"""Frames up to this size travel inside the message: two copies through a socket cost less than a grant."""

_SMALLEST_SLOT = 1 << 17
_MAX_VECTORS = 512


def create() -> int:
    """Return the descriptor of new shared memory.

    Raises
    ------
    OSError
        If the system refuses it, or has none without a name.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return os.memfd_create("olympipe_like", os.MFD_CLOEXEC)


def write(descriptor: int, offset: int, parts: Sequence[Buffer]) -> None:
    """Write the parts one after the other.

    Raises
    ------
    OSError
        If memory is short.
    """
    views = [memoryview(part).cast("B") for part in parts]
    while views:
        written = os.pwritev(descriptor, views[:_MAX_VECTORS], offset)
        offset += written
        while views and written >= views[0].nbytes:
            written -= views.pop(0).nbytes
        if written:
            views[0] = views[0][written:]


def read(descriptor: int, offset: int, lengths: Sequence[int]) -> list[Buffer]:
    """Return the parts as buffers of the reader's own."""
    parts = [_buffer(length) for length in lengths]
    views = [memoryview(part).cast("B") for part in parts]
    while views:
        got = os.preadv(descriptor, views[:_MAX_VECTORS], offset)
        if not got:
            raise EOFError("shared memory ends before the frame does")
        offset += got
        while views and got >= views[0].nbytes:
            got -= views.pop(0).nbytes
        if got:
            views[0] = views[0][got:]
    return parts


def _buffer(length: int) -> Buffer:
    numpy = sys.modules.get("numpy")
    if numpy is not None and length >= 1 << 16:
        # Uninitialised: a bytearray would be filled with zeros first, a third of the cost of reading.
        view: memoryview = numpy.empty(length, numpy.uint8).data
        return view
    return bytearray(length)


class Slots:
    """Hands out slots of shared memory. Lives in the hub, the only one who knows when a frame is done with."""

    def __init__(self) -> None:
        self._end = 0
        self._free: dict[int, list[int]] = {}
        self._sizes: dict[int, int] = {}  # slot in use -> its size

    def take(self, nbytes: int) -> tuple[int, int]:
        """Return offset and size of a slot with room for so many bytes; the last one given back first: it is warm."""
        size = max(_SMALLEST_SLOT, 1 << (nbytes - 1).bit_length())
        waiting = self._free.get(size)
        if waiting:
            offset = waiting.pop()
        else:
            offset = self._end
            self._end += size
        self._sizes[offset] = size
        return offset, size

    def give_back(self, offset: int) -> None:
        """Let a slot be used again."""
        self._free.setdefault(self._sizes.pop(offset), []).append(offset)

    @property
    def in_use(self) -> int:
        """Slots that have not been given back."""
        return len(self._sizes)
