"""A frame's header: all that the scheduler knows about a run of consecutive items."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.identity import NO_PAYLOAD, Path, PayloadId


class Frame(NamedTuple):
    """Consecutive items of one stream, without the items."""

    count: int  # type: ignore[assignment]  # items inside, after the cut by ``skip``; hides how often a tuple has what
    span: int  # items of the stream's origin it stands for, filtered ones included; what windows count
    upto: Path  # every later frame of the stream holds only items at or after this path
    payload: PayloadId = NO_PAYLOAD
    nbytes: int = 0  # size of the payload; 0 where it never left its process
    skip: int = 0  # items at the payload's start that do not belong to this frame (limit and skip cut frames unopened)
    prefix: Path = ()  # goes in front of every item's path: the legs of concats it went through
    failure: object | None = None  # the failed item right after the last one; opaque here; nothing follows it

    def spanning(self, span: int) -> Frame:
        """Return it as standing for so many items; for each frame of a run, so faster than `_replace`."""
        return Frame(self.count, span, self.upto, self.payload, self.nbytes, self.skip, self.prefix, self.failure)


NO_FRAME = Frame(count=0, span=0, upto=())


class OpCounts(NamedTuple):
    """What one operator did with one frame."""

    items_in: int = 0
    items_out: int = 0
    filtered: int = 0
    failed: int = 0
    merged: int = 0
    retried: int = 0  # further tries of items that raised
