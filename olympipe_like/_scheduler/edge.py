"""The window between two stages: which frames wait, which may still come. Knows no worker and no time."""

from __future__ import annotations

import heapq

from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import StageId
from olympipe_like._scheduler.sizing import FrameSizer

WINDOW_ITEMS = 256
"""Items an edge holds by default. Enough that other workers stay busy while one slow item holds back the order: with
16, a skewed stream took 1371 ms instead of 634 (ideal 597)."""

WINDOW_FRAMES = 8
"""Frames an edge holds by default even if they are more items than that: frames of many items take about 1 ms each.
In the beginning, while frames grow, fewer: see `sizing.START_FRAMES`."""

WINDOW_BYTES = 24 << 20
"""Payload bytes an edge holds by default, whatever the number of items."""

LARGE_FRAMES, LARGE_BYTES = 3, 48 << 20
"""So many frames an edge holds by default even if they are more bytes than that, up to so many. With two of 14 MiB on
each of four edges, which `WINDOW_BYTES` would be, the benchmark W7 took 4 to 5 % more time."""

NO_LIMIT = 1 << 62
"""Payload bytes of an edge whose items the user counts, with `queue_size`, in a run without a limit in bytes."""


class Edge:
    """Frames on their way from one stage to the next.

    A frame counts against the window from the moment its making is granted until the child is done with it. The
    child's lowest unfinished frame is always admitted: whatever the graph, that frame can move, so the run can.
    """

    def __init__(
        self,
        parent: StageId,
        child: StageId,
        leg: int,
        *,
        queue_size: int | None,
        queue_frames: int | None = None,
        unbounded: bool,
        in_order: bool,
        in_order_numbers: bool,
        sizers: tuple[FrameSizer, ...],
        window_bytes: int = WINDOW_BYTES,
        widens: bool = False,
    ) -> None:
        self.parent = parent
        self.child = child
        self.leg = leg
        self.in_order = in_order  # the child takes frames by number
        self.in_order_numbers = in_order_numbers  # numbers say the order (no ordered=False stage made them)
        self.sizers = sizers
        self._window_bytes = window_bytes
        self._widens = widens  # for `LARGE_FRAMES`
        self.total: int | None = None  # frames of the stream, once known
        self.cut: int | None = None  # frames from this number on are not wanted; 0: nothing is, wherever it is now
        self.low = 0  # the child's lowest unfinished frame
        self.items = 0  # granted or waiting or in the child's hands
        self.frames = 0
        self.nbytes = 0
        self.taken = 0  # frames given to the child
        self.items_put = 0  # in all
        self.items_taken = 0
        self._upcoming = 0  # the first number never taken; earlier ones wait again only if their worker was lost
        self.queue_size = queue_size
        self.queue_frames = queue_frames
        self.unbounded = unbounded
        self.waiting: dict[int, Frame] = {}
        self._numbers: list[int] = []  # heap of the numbers waiting
        self.loads: dict[int, tuple[int, int]] = {}  # number -> (items, bytes) counted for it
        self._finished: set[int] = set()  # finished ahead of ``low``
        self._frame_bytes = 0.0  # recent size of a frame, for grants made before the size is known
        self._is_proven = False  # whether so many items have been answered everywhere that the window is a full one
        self._is_settled = False  # whether frames have grown, so that as many may wait as ever
        self.is_awaited = False  # whether the parent would have sent more, and has to hear of room
        self._is_measured = False  # whether any frame has come: until then the size of frames is unknown

    # -- the producer's side ----------------------------------------------------------------------------------------

    def wants(self, number: int) -> bool:
        """Whether the child has any use for this frame."""
        return self.cut is None or number < self.cut

    def admits(self, number: int, items: int = 1) -> bool:
        """Whether a frame of so many items may be made now."""
        if self.unbounded or number == self.low or not self.wants(number):
            return True
        if self.nbytes >= self._most_bytes:
            has_room = False
        elif self.queue_size is not None:
            has_room = self.items + max(items, 1) <= self.queue_size
        elif self.queue_frames is not None:
            has_room = self.frames < self.queue_frames
        else:
            most = WINDOW_ITEMS if self._is_proven else self._window_items
            has_room = self.items < most or self.frames < self._window_frames
        self.is_awaited = self.is_awaited or not has_room
        return has_room

    def room(self, size: int) -> int:
        """Return how many more items a source may send in frames of ``size``."""
        self.is_awaited = True  # it would always send more
        if self.unbounded:
            return max(WINDOW_ITEMS, WINDOW_FRAMES * size)
        if self.queue_size is not None:
            free = self.queue_size - self.items
        elif self.queue_frames is not None:
            free = (self.queue_frames - self.frames) * size
        else:
            items = WINDOW_ITEMS if self._is_proven else self._window_items
            frames = WINDOW_FRAMES if self._is_settled else self._window_frames
            free = max(items - self.items, (frames - self.frames) * size)
        if self._window_bytes == NO_LIMIT:
            pass
        elif not self._is_measured:
            free = min(free, 1 - self.items)  # were it 1 GiB, a window full of them would be too many
        elif self.nbytes + self._frame_bytes > self._most_bytes:
            free = 0
        elif self._frame_bytes:
            free = min(free, int((self._most_bytes - self.nbytes) / self._frame_bytes) * size)
        return max(free, 1 if self.frames == 0 else 0)

    def window(self, size: int) -> int:
        """Return how many items may be here in frames of ``size``."""
        if self.queue_size is not None:
            return self.queue_size
        return max(WINDOW_ITEMS, (WINDOW_FRAMES if self._is_settled else self._window_frames) * size)

    @property
    def _most_bytes(self) -> float:
        if not self._widens:
            return self._window_bytes
        return max(self._window_bytes, min(LARGE_FRAMES * self._frame_bytes, LARGE_BYTES))

    @property
    def capacity(self) -> int:
        """Items that may wait here, as shown to people."""
        return self.queue_size if self.queue_size is not None else WINDOW_ITEMS

    @property
    def _window_items(self) -> int:
        proven = min([WINDOW_ITEMS, *(sizer.proven for sizer in self.sizers)])
        self._is_proven = proven == WINDOW_ITEMS
        return proven

    @property
    def _window_frames(self) -> int:
        self._is_settled = self._is_settled or all(sizer.is_settled for sizer in self.sizers)
        if self._is_settled:
            return WINDOW_FRAMES
        return min([WINDOW_FRAMES, *(sizer.start_frames for sizer in self.sizers)])

    def grant(self, number: int, items: int) -> None:
        """Count a frame that is about to be made."""
        assert number not in self.loads  # who makes it again has given the room back before
        if self.cut is None or number < self.cut:
            load = items or 1, int(self._frame_bytes)
            self.loads[number] = load
            self.items += load[0]
            self.nbytes += load[1]
            self.frames += 1

    def put(self, number: int, frame: Frame) -> None:
        """Add a frame; its number is wanted."""
        load = frame.count or 1, frame.nbytes
        granted = self.loads.get(number)
        if granted is None:
            self.frames += 1
        else:
            self.items -= granted[0]
            self.nbytes -= granted[1]
        self.loads[number] = load
        self.items += load[0]
        self.nbytes += load[1]
        self._frame_bytes = max(frame.nbytes, self._frame_bytes * 0.9)
        self._is_measured = True
        self.items_put += frame.count
        self.waiting[number] = frame
        heapq.heappush(self._numbers, number)

    def withdraw(self, number: int) -> None:
        """Take back a grant whose frame will not come."""
        self._uncount(number)

    # -- the child's side -------------------------------------------------------------------------------------------

    def next(self) -> int | None:
        """Return the number of the frame the child may take now."""
        if not self._numbers:
            return None
        number = self._numbers[0]
        return None if self.in_order and number > self._upcoming else number

    def take(self, number: int) -> Frame:
        """Hand the frame `next` named to the child."""
        popped = heapq.heappop(self._numbers)
        assert popped == number
        self.taken += 1
        if number >= self._upcoming:
            self._upcoming = number + 1
        frame = self.waiting.pop(number)
        self.items_taken += frame.count
        return frame

    def give_back(self, number: int, frame: Frame) -> None:
        """Let a taken frame wait again: its worker was lost."""
        self.taken -= 1
        self.items_taken -= frame.count
        self.waiting[number] = frame
        heapq.heappush(self._numbers, number)

    def finish(self, number: int) -> None:
        """The child is done with this frame."""
        self._uncount(number)
        if number != self.low:
            self._finished.add(number)
            return
        self.low += 1
        while self.low in self._finished:
            self._finished.remove(self.low)
            self.low += 1

    def close(self, cut: int) -> list[Frame]:
        """Want no frame from ``cut`` on; return those that waited in vain."""
        assert self.wants(cut)
        self.cut = cut
        dropped = [self.waiting.pop(number) for number in sorted(self.waiting) if number >= cut]
        self._numbers = [number for number in self._numbers if number < cut]
        heapq.heapify(self._numbers)
        for number in [number for number in self.loads if number >= cut]:
            self._uncount(number)
        return dropped

    @property
    def exhausted(self) -> bool:
        """Whether every frame of the stream has been taken."""
        if self.cut is not None and self.taken >= self.cut:
            return True
        return self.total is not None and self.taken >= self.total

    @property
    def is_finished(self) -> bool:
        """Whether the child is done with every frame of the stream."""
        if self.cut is not None and self.low >= self.cut:
            return True
        return self.total is not None and self.low >= self.total

    @property
    def waiting_items(self) -> int:
        """Items that wait to be taken."""
        return sum(frame.count for frame in self.waiting.values())

    @property
    def has_waiting(self) -> bool:
        """Whether any frame waits, in turn or not."""
        return bool(self._numbers)

    def _uncount(self, number: int) -> None:
        counted = self.loads.pop(number, None)
        if counted is not None:
            self.items -= counted[0]
            self.nbytes -= counted[1]
            self.frames -= 1
