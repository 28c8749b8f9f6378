"""What the caller, the hub and the workers say to each other. Named tuples: small, fast to pickle, fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import Path, StageId, WorkerId
from olympipe_like._model.tallies import StageTally


class Parcel(NamedTuple):
    """Where a frame's bytes are: right behind the message, or in the run's shared memory."""

    lengths: tuple[int, ...]  # of the pickle and of each buffer outside it
    offset: int | None  # in shared memory; None: behind the message
    lent: bool = False  # to be looked at there; the receiver says when it no longer does


class SlotGrant(NamedTuple):
    """Shared memory to write one frame to; size 0: there is none, send the bytes inline."""

    offset: int
    size: int


NO_SLOT = SlotGrant(0, 0)


class Run(NamedTuple):
    """Hub to worker: apply your segment to this frame (or, without a parcel and count, to none)."""

    worker: WorkerId
    leg: int
    ended: bool  # the leg has ended; there is no frame
    parcel: Parcel | None
    skip: int
    length: int  # items
    prefix: Path
    upto: Path
    failure: bytes | None
    part_items: int
    skip_items: int
    slot: SlotGrant
    careful: bool = False  # note for each item that it has begun
    rehearsed: bool = False  # and pickle its result at once
    poison: tuple[tuple[int, bytes], ...] = ()  # items not to be run, and the failure to report instead
    replay: bool = False  # answered before: only the worker's memory is wanted


class Restore(NamedTuple):
    """Hub to worker: remember what your predecessor did."""

    worker: WorkerId
    snapshot: bytes


class GoOn(NamedTuple):
    """Hub to worker: make the next part."""

    worker: WorkerId
    slot: SlotGrant


class Drop(NamedTuple):
    """Hub to worker: the next part is not wanted from you, nor what follows it."""

    worker: WorkerId


class Start(NamedTuple):
    """Hub to the caller's host: start one worker of a stage that runs in the caller's process."""

    worker: WorkerId
    stage: StageId
    slot: int


class Stop(NamedTuple):
    """Hub to worker or source: close and end."""

    worker: WorkerId


class Answered(NamedTuple):
    """Worker to hub: (a part of) the answer to a frame."""

    worker: WorkerId
    parcel: Parcel | None
    length: int  # items
    upto: Path
    failure: bytes | None
    counts: tuple[OpCounts, ...]
    seconds: float
    more: bool
    done: bool
    returned: tuple[int, ...]  # slots the worker will not use, or no longer looks at
    records: tuple[bytes, ...] = ()  # of items that were dropped
    snapshot: bytes | None = None  # what the stage remembers; None: no new one, b"": it cannot be kept
    rss: int = 0  # bytes of memory the worker holds, where asked for
    same: bool = False  # the items are those of the frame, which is not sent back


class Ready(NamedTuple):
    """Worker to hub: has loaded its segment."""

    worker: WorkerId
    holds: int = 0  # frames it wants in hand; 0: as many as others


class Broken(NamedTuple):
    """Worker to hub: could not start, or not close."""

    worker: WorkerId
    failure: bytes


class Logged(NamedTuple):
    """Worker or source to hub, and hub to caller: a log record, which the hub does not open."""

    record: bytes  # pickled: fields of the record, and what the user added, each pickled by itself


class Closed(NamedTuple):
    """Host to hub: a worker in the caller's process has ended."""

    worker: WorkerId


class NeedSlot(NamedTuple):
    """Worker or source to hub: the frame at hand needs so many bytes of shared memory."""

    nbytes: int


class Returned(NamedTuple):
    """Worker to hub, before it waits: slots it will not use, or no longer looks at."""

    slots: tuple[int, ...]


class Forks(NamedTuple):
    """Worker to hub: the user's code forks; the child may look at these slots for as long as it lives."""

    slots: tuple[int, ...]


class MemoryShort(NamedTuple):
    """Worker, host or source to hub, and hub to caller: large frames take the socket for want of shared memory."""

    reason: str  # empty: the run never had any, and the caller knows why


class Allow(NamedTuple):
    """Hub to source: pull until you have given so many items, in frames of at most ``size``."""

    items: int
    size: int
    slot: SlotGrant


class Pulled(NamedTuple):
    """Source to hub: the next frame."""

    parcel: Parcel | None
    length: int  # items
    upto: Path
    failure: bytes | None
    returned: tuple[int, ...]  # slots the source will not use


class Marked(NamedTuple):
    """Source to hub, and hub to caller: where a source is, in its own words."""

    source: StageId  # named by the hub
    position: Path
    state: Mapping[str, object]


class Ended(NamedTuple):
    """Source to hub: there is no more."""


class Delivered(NamedTuple):
    """Hub to caller: results."""

    sink: StageId
    parcel: Parcel | None
    skip: int
    length: int  # items
    prefix: Path
    failure: bytes | None


class Dropped(NamedTuple):
    """Hub to caller: the records of items that failed and were dropped."""

    records: tuple[bytes, ...]


class SinkEnded(NamedTuple):
    """Hub to caller: that was all on this sink."""

    sink: StageId


class Status(NamedTuple):
    """Hub to caller: how the run stands."""

    tallies: tuple[StageTally, ...]


class Stalled(NamedTuple):
    """Hub to caller: nothing has moved for a long time, and why; ``fatal``: longer than the caller allows."""

    text: str
    fatal: bool


class Finished(NamedTuple):
    """Hub to caller: every worker is gone; ``failure`` if the run failed outside the order of items."""

    tallies: tuple[StageTally, ...]
    failure: bytes | None
    balanced: bool  # every item is accounted for


class Consumed(NamedTuple):
    """Caller to hub: done with the oldest frame of this sink."""

    sink: StageId


class StopSources(NamedTuple):
    """Caller to hub: ask the sources for no more, finish what is in flight."""


class AskStatus(NamedTuple):
    """Caller to hub: say how the run stands."""
