"""A few bytes that a worker and the hub share: which item is being worked on, since when.

They outlive the worker, so the hub knows what killed it, and see it through a C loop that never lets go of the GIL.
"""

from __future__ import annotations

import os
from mmap import PAGESIZE, mmap
from time import monotonic_ns

from olympipe_like._transport import store

NOTHING = -1
NEVER = (1 << 63) - 1  # nanoseconds


def shared_page() -> int:
    """Return the descriptor of a file of a page that has no name, for a cell that others can open."""
    try:
        descriptor = store.create(PAGESIZE)
    except OSError:
        import tempfile  # slow to import, and hardly ever needed

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, PAGESIZE)
    return descriptor


class ProgressCell:
    """Written by one worker, read by the hub; anonymous memory that a fork inherits.

    A reader may meet the number of one item and the time of the next: it looks twice before it acts.

    Parameters
    ----------
    descriptor : int, optional
        Of a file of a page that both share, where the reader is no relative of the worker's; nothing is written yet.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._memory = mmap(-1 if descriptor is None else descriptor, PAGESIZE)
        self._words = memoryview(self._memory).cast("q")
        if descriptor is None:
            self.leave()

    def enter(self, ordinal: int, later: float = 0.0) -> None:
        """Note that the work on an item begins now, or may be said to begin so many seconds ``later``."""
        words = self._words
        words[0] = NOTHING
        words[1] = monotonic_ns() + int(later * 1e9)
        words[0] = ordinal

    def rest(self) -> None:
        """Note that the item at hand takes no time for now; whoever reads it is told of a time that never comes."""
        self._words[1] = NEVER

    def leave(self) -> None:
        """Note that no item is being worked on."""
        self._words[0] = NOTHING

    def read(self) -> tuple[int, float] | None:
        """Return the item's ordinal and the time its work began (`monotonic`, seconds), None if there is none."""
        ordinal, since = self._words[0], self._words[1]
        return None if ordinal == NOTHING else (ordinal, since / 1e9)

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._memory.close()
