"""The frame that the loops over a run take items from. Knows whose turn it is; does not know what a run is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from olympipe_like.errors import RunInUse

T_co = TypeVar("T_co", covariant=True)


class Hand(Generic[T_co]):
    """The items of the frame at hand, shared by all loops over a run: each takes what the others have left."""

    def __init__(self, following: Callable[[], Iterator[T_co] | None]) -> None:
        self.items: Iterator[T_co] | None = iter(())  # None: that was all
        self._following = following
        self._asking = threading.Lock()  # held by the loop that waits for the next frame

    def after(self, done: Iterator[T_co]) -> Iterator[T_co] | None:
        """Return the items of the frame behind the one that was taken; None: that was all.

        Raises
        ------
        RunInUse
            If another loop is waiting for it.
        """
        if not self._asking.acquire(blocking=False):
            raise RunInUse
        try:
            if self.items is done:  # else another loop has asked for it since
                self.items = self._following()
            return self.items
        finally:
            self._asking.release()
