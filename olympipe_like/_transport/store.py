"""Shared memory of one run: a memfd that writers write to and readers read from, in slots the hub grants.

A memfd has no name in /dev/shm and is not limited by its size, and nothing of it is left after any kill. Frames are
copied with pwritev and preadv: lack of space is an OSError, never a SIGBUS, and the receiver's arrays are its own.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections import deque
from collections.abc import Sequence

from olympipe_like._transport.codec import Buffer

INLINE_BYTES = 1 << 16
"""Frames up to this size travel inside the message: two copies through a socket cost less than a grant."""

KEPT_BYTES = 32 << 20
"""Slots that nobody uses keep so much memory. Written to again it takes 3.6 GiB/s, new memory 2.7 (measured on two
cores, blocks of 1 MiB that were too many for the cache)."""

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
    """Hands out slots of shared memory. Lives in the hub, the only one who knows when a frame is done with.

    What is free stays warm up to `KEPT_BYTES`, the last given back first in use; the system gets the rest back.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._end = 0
        self._warm: dict[int, int] = {}  # free slot -> its size, the one that has been free longest first
        self._warm_bytes = 0
        self._free: dict[int, deque[int]] = {}  # size -> those of them, in the same order
        self._empty: dict[int, list[int]] = {}  # size -> free slots without memory
        self._sizes: dict[int, int] = {}  # slot in use -> its size

    def take(self, nbytes: int) -> tuple[int, int]:
        """Return offset and size of a slot with room for so many bytes."""
        size = max(_SMALLEST_SLOT, 1 << (nbytes - 1).bit_length())
        if free := self._free.get(size):
            offset = free.pop()
            self._warm_bytes -= self._warm.pop(offset)
        elif empty := self._empty.get(size):
            offset = empty.pop()
        else:
            offset = self._end
            self._end += size
        self._sizes[offset] = size
        return offset, size

    def give_back(self, offset: int) -> None:
        """Let a slot be used again."""
        size = self._sizes.pop(offset)
        self._warm[offset] = size
        self._warm_bytes += size
        self._free.setdefault(size, deque()).append(offset)
        while self._warm_bytes > KEPT_BYTES:
            self._empty_oldest()

    def _empty_oldest(self) -> None:
        offset = next(iter(self._warm))
        size = self._warm.pop(offset)
        self._warm_bytes -= size
        self._free[size].popleft()
        self._empty.setdefault(size, []).append(offset)
        if self._descriptor is not None:
            give_to_system(self._descriptor, offset, size)

    @property
    def in_use(self) -> int:
        """Slots that have not been given back."""
        return len(self._sizes)


def give_to_system(descriptor: int, offset: int, size: int) -> None:
    """Give memory back; it reads as zeros from then on."""
    size = min(size, os.fstat(descriptor).st_size - offset)
    if size <= 0:
        return  # nobody has written there
    with contextlib.suppress(OSError), mmap.mmap(descriptor, size, offset=offset) as view:  # short of addresses: kept
        view.madvise(mmap.MADV_REMOVE)
