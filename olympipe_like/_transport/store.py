"""Shared memory of one run: a memfd that writers write to and readers read from, in slots the hub grants.

A memfd has no name in /dev/shm and is not limited by its size, and nothing of it is left after any kill. Who writes
has the kernel set memory aside first, so that lack of space is an OSError, never a SIGBUS; who reads copies what it
keeps, unless it wants nothing of its own (`views`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Sequence
from mmap import PROT_READ, PROT_WRITE, mmap

from olympipe_like._transport.buffers import Buffer, room, split

INLINE_BYTES = 1 << 16
"""Frames up to this size travel inside the message: two copies through a socket cost less than a grant."""

KEPT_BYTES = 32 << 20
"""Slots that nobody uses keep so much memory. Written to again it takes 3.6 GiB/s, new memory 2.7 (measured on two
cores, blocks of 1 MiB that were too many for the cache)."""

SEGMENT_BYTES = 1 << 28
"""What is mapped at a time, address space only. No slot crosses a border of these."""

_FILE_BYTES = 1 << 40  # of address space, as far as slots may lie; memory is taken by what is written
_SMALLEST_SLOT = 1 << 17
_MAX_VECTORS = 512
_MADV_REMOVE, _MADV_POPULATE_READ, _MADV_POPULATE_WRITE = 9, 22, 23  # of <sys/mman.h>; the last two: Linux 5.14


def create(nbytes: int = _FILE_BYTES) -> int:
    """Return the descriptor of new shared memory.

    Parameters
    ----------
    nbytes : int
        Its size; memory is taken by what is written.

    Raises
    ------
    OSError
        If the system refuses it, or has none without a name.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    descriptor = os.memfd_create("olympipe_like", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    # Only what lies within the file's size can be mapped. Where that is refused (RLIMIT_FSIZE) it is read and written.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, nbytes)
        _never_shrinks(descriptor)
    return descriptor


def _never_shrinks(descriptor: int) -> None:
    """Refuse to cut it off, by mistake of whoever holds the descriptor: touching what was mapped would be a SIGBUS."""
    import fcntl  # not on every system that gets as far as this module

    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)


class Memory:
    """A process's way to the shared memory: mapped where that is allowed, else by system calls.

    A copy to or from a mapping takes half the time of ``pwritev`` and ``preadv``: the kernel looks up every page.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._segments: dict[tuple[int, int], mmap | None] = {}  # number, protection -> None: cannot be mapped
        self._read: dict[int, int] = {}  # slot -> bytes of it that were read here, and are in the page tables
        self._seen: dict[int, int] = {}  # the same of those that were looked at

    def write(self, offset: int, parts: Sequence[Buffer]) -> None:
        """Write the parts one after the other, to a slot.

        Raises
        ------
        OSError
            If memory is short.
        """
        views = [memoryview(part).cast("B") for part in parts]
        total = sum(view.nbytes for view in views)
        segment = self._segment(offset, total)
        if segment is None:
            write(self.descriptor, offset, parts)
            return
        start = offset % SEGMENT_BYTES
        try:
            # Every time: the slot may have been given to the system since. 8 us for 1 MiB that is there already.
            segment.madvise(_MADV_POPULATE_WRITE, start, total)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            write(self.descriptor, offset, parts)  # an older kernel, which cannot set memory aside in time
            return
        for view in views:
            segment[start : start + view.nbytes] = view
            start += view.nbytes

    def read(self, offset: int, lengths: Sequence[int]) -> list[Buffer]:
        """Return the parts of a slot: to be looked at, and what is kept to be copied, before it is given back."""
        total = sum(lengths)
        segment = self._segment(offset, total)
        if segment is None:
            return read(self.descriptor, offset, lengths)
        _populate(segment, offset, total, self._read)
        start = offset % SEGMENT_BYTES
        return split(memoryview(segment)[start : start + total], lengths)

    def look(self, offset: int, nbytes: int) -> mmap | None:
        """Return a mapping for reading only that holds these bytes, ``offset % SEGMENT_BYTES`` behind its beginning.

        None if they cannot be mapped.

        Raises
        ------
        OSError
            If it was closed.
        """
        segment = self._segment(offset, nbytes, PROT_READ)
        if segment is not None:
            _populate(segment, offset, nbytes, self._seen)
        return segment

    def close(self) -> None:
        """Give everything back; a thread that is still at it meets an OSError."""
        descriptor, self.descriptor = self.descriptor, -1
        self._segments.clear()  # unmapped when nothing points there any more
        os.close(descriptor)

    def _segment(self, offset: int, nbytes: int, protection: int = PROT_READ | PROT_WRITE) -> mmap | None:
        """Return the mapping that holds these bytes, or None if they cannot be mapped.

        Raises
        ------
        OSError
            If it was closed.
        """
        if self.descriptor < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # mmap would take -1 for memory of nobody's
        number, start = divmod(offset, SEGMENT_BYTES)
        if start + nbytes > SEGMENT_BYTES:
            return None
        key = number, protection
        if key not in self._segments:
            try:
                self._segments[key] = mmap(
                    self.descriptor, SEGMENT_BYTES, prot=protection, offset=number * SEGMENT_BYTES
                )
            except (OSError, ValueError):  # of address space, or of the file's size
                self._segments[key] = None
        return self._segments[key]


def _populate(segment: mmap, offset: int, nbytes: int, known: dict[int, int]) -> None:
    """Put a slot into the page tables, if it is not known to be there."""
    if known.get(offset, 0) < nbytes:
        # Spares a fault for every few pages; where the kernel cannot do it they are taken one by one.
        with contextlib.suppress(OSError):
            segment.madvise(_MADV_POPULATE_READ, offset % SEGMENT_BYTES, nbytes)
        known[offset] = nbytes


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
    parts = [room(length) for length in lengths]
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
        self._shared: dict[int, int] = {}  # slot -> how many hold it besides one

    def take(self, nbytes: int) -> tuple[int, int]:
        """Return offset and size of a slot with room for so many bytes."""
        size = max(_SMALLEST_SLOT, 1 << (nbytes - 1).bit_length())
        if free := self._free.get(size):
            offset = free.pop()
            self._warm_bytes -= self._warm.pop(offset)
        elif empty := self._empty.get(size):
            offset = empty.pop()
        else:
            if size <= SEGMENT_BYTES < self._end % SEGMENT_BYTES + size:
                self._end += -self._end % SEGMENT_BYTES
            offset = self._end
            self._end += size
        self._sizes[offset] = size
        return offset, size

    def share(self, offset: int) -> None:
        """Let a slot in use be held by one more, who gives it back, too."""
        self._shared[offset] = self._shared.get(offset, 0) + 1

    def size(self, offset: int) -> int:
        """Return the bytes of a slot in use."""
        return self._sizes[offset]

    def give_back(self, offset: int) -> bool:
        """Give up one hold of a slot; with the last it may be used again. Return whether it was the last."""
        if others := self._shared.pop(offset, 0):
            if others > 1:
                self._shared[offset] = others - 1
            return False
        size = self._sizes.pop(offset)
        self._warm[offset] = size
        self._warm_bytes += size
        self._free.setdefault(size, deque()).append(offset)
        while self._warm_bytes > KEPT_BYTES:
            self._empty_oldest()
        return True

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
    with contextlib.suppress(OSError), mmap(descriptor, size, offset=offset) as view:  # short of addresses: kept
        view.madvise(_MADV_REMOVE)
