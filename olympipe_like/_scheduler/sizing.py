"""How many items a frame should hold. Knows what items cost at each stage. Does not know queues or workers."""

from __future__ import annotations

from collections.abc import Iterable

from olympipe_like._model.identity import StageId

TARGET_SECONDS = 0.001
"""Work in one frame at each stage, to begin with."""

MAX_SECONDS = 0.012
"""Work in one frame once there is much of it. A frame costs 0.2 to 0.5 ms of everybody's time on its way through the
hub and back; 2 000 items of 1 ms on two workers and two cores took 1.6 s with 1 ms, 1.3 s with 8 ms, 1.25 s with 12 and
with 16 ms."""

SHARE = 8
"""A frame holds at most one part in so many of the work each worker has done: at the end of a stream that many
workers share, none has much more than the others left to do."""

MAX_ITEMS = 32768
"""Frames of tiny items gain nothing beyond this: 3.6 M items/s with 4 096, 4.7 M with 8 192, 5.0 M with 16 384, 5.5 M
with 32 768 and 65 536, 5.3 M with 131 072."""

TARGET_BYTES = 9 << 18
"""Two arrays of 1 MiB with what is around them. Where such arrays pass, caches are cold, and a frame costs the hub and
the workers some 0.8 ms: one for each array takes a tenth to a fifth more time. Frames of 4 MiB leave the second-level
cache, and take as long as those of 1 MiB."""

START_ITEMS = 8
"""Items for each worker that may be on their way before any was answered: they travel one by one, and a window full of
them would be all through before the first larger frame is."""

START_FRAMES = 2
"""Frames for each worker that an edge holds in the beginning, while frames grow: those on their way are small, each
takes the time of a large one, and all must be through before the first larger one is. 100 000 tiny items through three
stages were 68 frames where 8 might wait at each edge, and are 34 with two."""

BYTES_DECAY = 0.8
"""How much of the largest item of late is still expected of the next frame: memory is bounded by the largest."""

HORIZON = 32
"""An item's cost is the mean of about so many: slow frames are believed soon, a slow item among quick ones counts for
no more than it costs. With the largest cost of late instead, frames of uneven items (one in twenty of 20 ms, the others
of 0.75 ms) held one item nearly always, and such a stream took a tenth more time."""

EARLY_SECONDS = SHARE * TARGET_SECONDS
"""Work each worker of a stage has done until its items' cost is a mean. Before, it is that of the latest frame: the
first ones tell of caches that were cold, processes that were still being started and what a frame costs itself, some
60 µs in a worker. With means from the beginning 100 frames of a few items each went through three stages before the
first of 1 000 (figures: docs/explanation/performance.md)."""

SHORT_SECONDS = 2 * MAX_SECONDS
"""Where workers share a stage, a second frame is sent ahead to one only while frames are shorter than this: slow items
are dealt greedily."""


class _Cost:
    """What one stage has shown so far of what items cost it."""

    __slots__ = ("items", "known", "seconds", "work", "workers")

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.seconds: float | None = None  # an item's; None: nothing was answered
        self.known = 0  # of how many items that is the cost
        self.work = 0.0  # seconds so far, of each worker
        self.items = 0  # answered so far

    def observe(self, seconds: float, items: int) -> None:
        if not items:
            return  # a part of an answer that nothing was in
        if self.work >= EARLY_SECONDS and self.seconds is not None:
            # By items, not by frames: one of a hundred items outweighs one of a single item, whose cost is mostly ours.
            share = items / (items + min(self.known, HORIZON))
            self.seconds += (seconds / items - self.seconds) * share
            self.known += items
        elif 2 * items >= self.known:  # one much smaller, of those still on their way, says less
            self.seconds, self.known = seconds / items, max(items, self.known)
        self.work += seconds / self.workers
        self.items += items

    def pass_by(self, items: int) -> None:
        if self.work >= EARLY_SECONDS:
            self.observe(0.0, items)
        else:
            self.items += items


class FrameSizer:
    """The frame size of one stream of frames, from what its stages report.

    Starts at one item and grows only after every stage of the stream has answered a frame, so that the first slow
    item never has company. Follows what items cost of late, on average: slow ones travel alone, and a slow one among
    quick ones keeps no more of them waiting than are done in some milliseconds. Items of more than ``most_bytes`` in
    all do not travel together.
    """

    def __init__(self, most_bytes: float = TARGET_BYTES) -> None:
        self._most_bytes = min(most_bytes, TARGET_BYTES)
        self._costs: dict[StageId, _Cost] = {}
        self._bytes = 0.0
        self._size: int | None = None  # None: to be found anew

    def expect(self, stage: StageId, workers: int = 1) -> None:
        """Wait for this stage's first answer before growing."""
        self._costs.setdefault(stage, _Cost(max(workers, 1)))
        self._size = None

    def staffed(self, stage: StageId, workers: int) -> None:
        """Take note of how many workers a stage has from now on."""
        self._costs[stage].workers = workers

    def observe(self, stage: StageId, seconds: float, items: int) -> None:
        """Learn what ``items`` of this stream cost at a stage."""
        self._costs[stage].observe(seconds, items)
        self._size = None

    def pass_by(self, stage: StageId, items: int) -> None:
        """Learn that a frame of ``items`` had none left for a stage, which tells little of what one costs there."""
        self._costs[stage].pass_by(items)
        self._size = None

    def observe_bytes(self, nbytes: int, items: int) -> None:
        """Learn how many payload bytes stand for ``items`` of this stream."""
        self._bytes = max(nbytes / max(items, 1), self._bytes * BYTES_DECAY)
        self._size = None

    def frame_seconds(self, stage: StageId) -> float | None:
        """Return how long a frame of the present size takes at a stage, or None before its first answer."""
        cost = self._costs[stage].seconds
        return None if cost is None else cost * self.size

    @property
    def proven(self) -> int:
        """Items that every stage has answered, and as many as it takes to learn what one costs."""
        if not self._costs:
            return MAX_ITEMS
        costs = self._costs.values()
        return min(each.items for each in costs) + START_ITEMS * max(each.workers for each in costs)

    @property
    def start_frames(self) -> int:
        """Frames that an edge should hold until `is_settled`."""
        return START_FRAMES * max((each.workers for each in self._costs.values()), default=1)

    @property
    def is_settled(self) -> bool:
        """Whether any stage has worked long enough to know what items cost it, so that frames have grown."""
        return not self._costs or any(each.work >= EARLY_SECONDS for each in self._costs.values())

    @property
    def size(self) -> int:
        """Items the next frame should hold, 1 to `MAX_ITEMS`."""
        if self._size is None:
            self._size = self._find_size()
        return self._size

    def _find_size(self) -> int:
        size: float = MAX_ITEMS
        for cost in self._costs.values():
            if cost.seconds is None:
                # As many as have passed without any for this stage: among so many again there will be one or so.
                size = min(size, cost.items)
            elif cost.seconds > 0:
                size = min(size, min(max(TARGET_SECONDS, cost.work / SHARE), MAX_SECONDS) / cost.seconds)
        if self._bytes > 0:
            size = min(size, self._most_bytes / self._bytes)
        return max(1, int(size + 1e-6))  # a mean is a little off


def frames_ahead(sizers: Iterable[FrameSizer], stage: StageId) -> int:
    """Return how many frames a worker may have in hand: a second one, so that it never waits, while frames are short.

    Of workers that share a stage: for one that is alone it may be as long as it likes.
    """
    for sizer in sizers:
        seconds = sizer.frame_seconds(stage)
        if seconds is None or seconds > SHORT_SECONDS:
            return 1
    return 2
