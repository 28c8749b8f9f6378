"""How many items a frame should hold. Knows what items cost at each stage. Does not know queues or workers."""

from __future__ import annotations

from collections.abc import Iterable

from olympipe_like._model.identity import StageId

TARGET_SECONDS = 0.001
"""Work in one frame at its slowest stage. Crossing the hub costs about 0.1 ms a stage; 1 ms keeps that small and a
lone item's latency low. Prototypes with 0.25 to 4 ms ran 2.9, 3.7, 4.1, 4.4, 4.3 M tiny items/s."""

MAX_ITEMS = 4096
"""Frames of tiny items gain nothing beyond this (4.1 M items/s with 4096, 3.2 M with 1024)."""

TARGET_BYTES = 1 << 20
"""Payloads beyond about 1 MiB leave the processor's cache between stages."""

DECAY = 0.8
"""A costly item is believed at once and forgotten slowly: 10 cheap frames bring its cost down tenfold. With 0.9 one
hiccup of a busy machine kept frames small for 30 frames, and small frames cost more than the hiccup."""


SHORT_SECONDS = 0.005
"""A second frame is sent ahead to a worker only while frames are shorter than this: slow items are dealt greedily."""


class FrameSizer:
    """The frame size of one stream of frames, from what its stages report.

    Starts at one item and grows only after every stage of the stream has answered a frame, so that the first slow
    item never has company. Follows the largest recent cost per item, so that skewed streams fall back at once.
    """

    def __init__(self) -> None:
        self._seconds: dict[StageId, float | None] = {}
        self._bytes = 0.0

    def expect(self, stage: StageId) -> None:
        """Wait for this stage's first answer before growing."""
        self._seconds.setdefault(stage, None)

    def observe(self, stage: StageId, seconds: float, items: int) -> None:
        """Learn what ``items`` of this stream cost at a stage."""
        cost = seconds / max(items, 1)
        known = self._seconds.get(stage)
        self._seconds[stage] = cost if known is None else max(cost, known * DECAY)

    def observe_bytes(self, nbytes: int, items: int) -> None:
        """Learn how many payload bytes stand for ``items`` of this stream."""
        self._bytes = max(nbytes / max(items, 1), self._bytes * DECAY)

    def frame_seconds(self, stage: StageId) -> float | None:
        """Return how long a frame of the present size takes at a stage, or None before its first answer."""
        cost = self._seconds.get(stage)
        return None if cost is None else cost * self.size

    @property
    def size(self) -> int:
        """Items the next frame should hold, 1 to `MAX_ITEMS`."""
        slowest = 0.0
        for cost in self._seconds.values():
            if cost is None:
                return 1
            slowest = max(slowest, cost)
        by_time = TARGET_SECONDS / slowest if slowest > 0 else MAX_ITEMS
        by_bytes = TARGET_BYTES / self._bytes if self._bytes > 0 else MAX_ITEMS
        return int(max(1, min(by_time, by_bytes, MAX_ITEMS)))


def frames_ahead(sizers: Iterable[FrameSizer], stage: StageId) -> int:
    """Return how many frames a worker may have in hand: a second one while they are short, so that it never waits."""
    for sizer in sizers:
        seconds = sizer.frame_seconds(stage)
        if seconds is None or seconds > SHORT_SECONDS:
            return 1
    return 2
