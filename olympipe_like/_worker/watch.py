"""Tells the hub which item a worker is at, and keeps the worker from items that cost too much already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from olympipe_like._model.failure import READING, Failure
from olympipe_like._transport.codec import EncodingError, encode_item
from olympipe_like._transport.progress_cell import ProgressCell
from olympipe_like._worker.attempts import Poisoned

_NONE: Mapping[int, Failure] = {}

ORDINALS = 1 << 32
"""Each step of a worker counts from a multiple of this on: the hub must not take an item of one for that of another."""


SEVERAL_SECONDS = 1.0
"""What a frame of several items gets on top of the time of one: it has 2.25 MiB at most, and took some ms before."""


class Reading:
    """Tells the hub which item of a frame is being built from bytes, and keeps the worker from those given up.

    ``wanted`` are the items needed of the frame.
    """

    def __init__(self, cell: ProgressCell | None, wanted: range, poison: Mapping[int, Failure]) -> None:
        self._cell = cell
        self._wanted = wanted
        found = {ordinal - READING - wanted.start: failure for ordinal, failure in poison.items() if ordinal >= READING}
        self.unread = found  # what to tell of items not built, by their number among those wanted

    def each(self, index: int) -> bool:
        """Begin the next item; return whether it shall be built."""
        if index not in self._wanted or index - self._wanted.start in self.unread:
            return False
        if self._cell is not None:
            self._cell.enter(READING + index)
        return True


class Watch:
    """One worker's, for one step.

    Items are numbered within a frame, from 0, as the step meets them: a frame that is run again meets them alike.
    Off most of the time, because a note for each item costs more than a tiny item does.
    """

    def __init__(self, cell: ProgressCell | None = None, first: int = 0) -> None:
        self._cell = cell
        self._poison = _NONE
        self._before = self._ordinal = first - 1
        self._rehearsed = False
        self.active = False

    def begin(self, *, careful: bool, rehearsed: bool = False, poison: Mapping[int, Failure] = _NONE) -> None:
        """Begin a frame."""
        self.active = bool(poison) or (careful and self._cell is not None)
        self._rehearsed = rehearsed and self._cell is not None
        self._poison = poison
        self._ordinal = self._before

    def enter(self) -> None:
        """Begin the next item.

        Raises
        ------
        Poisoned
            If it must not be run again.
        """
        self._ordinal += 1
        # Also of one that is not run: what on_error does with it must not be laid at the door of the item before.
        self.again()
        if self._ordinal in self._poison:
            self.rest()
            raise Poisoned(self._poison[self._ordinal])

    def rehearse(self, results: Iterable[object]) -> None:
        """Pickle what the item at hand became, if asked to: should that end the worker, the hub knows by which item."""
        if self._rehearsed:
            for result in results:
                try:
                    encode_item(result)
                except EncodingError:
                    continue  # met again, and dealt with, when the whole frame is sent

    def again(self) -> None:
        """Begin the same item once more: another try, or the next part of what it gives."""
        if self._cell is not None:
            self._cell.enter(self._ordinal)

    def rest(self) -> None:
        """Let the item's time stand still: it waits for its next try, or is in the hands of ``on_error``."""
        if self._cell is not None:
            self._cell.rest()

    def leave(self) -> None:
        """Note that the worker is in no item: what it does now is our affair."""
        if self._cell is not None:
            self._cell.leave()
