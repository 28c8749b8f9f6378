"""Frames looked at where they are: arrays over shared memory that can be read and not written to.

Whoever looks at a slot must say when it no longer does, since only then may it be used again. The memory itself tells:
every view, and every slice of one, keeps the one object alive that all of them came from, and that is watched.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from olympipe_like._transport.buffers import Buffer, split
from olympipe_like._transport.store import SEGMENT_BYTES, Memory


class Views:
    """A process's looks at slots that were lent to it.

    Mapped for reading only: what writes there in spite of numpy, in C, is a crash, and not another value for whoever
    reads the frame next.
    """

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory
        self._looks: dict[int, tuple[int, weakref.ref[object]]] = {}  # number -> slot, and what its views came from
        self._next = 0
        self.gone: deque[int] = deque()  # slots that are looked at no longer, for each look once

    def look(self, offset: int | None, lengths: Sequence[int]) -> tuple[Buffer, list[Buffer]] | None:
        """Return a frame's pickle and the buffers outside it, where they are; None: they must be copied out.

        Either way the slot becomes one that is `gone`: when nothing is left of the buffers, or at once.
        """
        assert offset is not None
        whole = self._whole(offset, sum(lengths)) if len(lengths) > 1 else None
        if whole is None:
            self.gone.append(offset)
            return None
        # Of an array: it is not among what the garbage collector walks, so that no finalizer in a cycle of garbage can
        # still read a view of it after it was said to be gone.
        number, self._next = self._next, self._next + 1
        self._looks[number] = offset, weakref.ref(whole, partial(self._end, number))
        data, *buffers = split(whole, lengths)
        return data, buffers

    def holds(self, offset: int | None, lengths: Sequence[int], parts: Sequence[Buffer]) -> bool:
        """Whether a pickle and the buffers outside it are what is in a slot that is looked at.

        The pickle byte for byte. The buffers by their place: it is mapped for reading only, so they are as they came.
        """
        whole = self._whole(offset, sum(lengths)) if offset is not None and len(parts) == len(lengths) > 1 else None
        if whole is None:
            return False
        pickled, there = memoryview(parts[0]), memoryview(whole)
        size = pickled.nbytes
        if size > lengths[0] or there[:size] != pickled or any(there[size : lengths[0]]):
            return False
        place = _address(whole) + lengths[0]
        for part, length in zip(parts[1:], lengths[1:], strict=True):
            if memoryview(part).nbytes != length or _address(part) != place:
                return False
            place += length
        return True

    def _end(self, number: int, _: object) -> None:
        """Note that nothing is left of what was looked at; called by whichever thread let go of it."""
        offset, _ = self._looks.pop(number)
        self.gone.append(offset)

    def take_gone(self) -> tuple[int, ...]:
        """Return the slots that are looked at no longer, once."""
        found = []
        with contextlib.suppress(IndexError):  # other threads let go meanwhile
            while True:
                found.append(self.gone.popleft())
        return tuple(found)

    def slots(self) -> tuple[int, ...]:
        """Return the slots that are looked at."""
        return tuple({offset for offset, _ in list(self._looks.values())})

    def _whole(self, offset: int, nbytes: int) -> Any:
        """Return what there is in a slot; None: it cannot be looked at."""
        try:
            import numpy as np  # whoever has buffers outside a pickle has it, but for Arrow's
        except ImportError:
            return None
        segment = self._memory.look(offset, nbytes) if self._memory is not None else None
        return None if segment is None else np.frombuffer(segment, np.uint8, nbytes, offset % SEGMENT_BYTES)


def _address(buffer: Buffer) -> int:
    import numpy as np  # as above

    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    return address
