"""Where a run's frames come from and where they go: sources with their allowance, sinks with their deliveries."""

from __future__ import annotations

from collections import deque

from olympipe_like._model.commands import AllowSource, Deliver, EndSink, StopSource
from olympipe_like._model.frame import Frame
from olympipe_like._model.topology import StageSpec
from olympipe_like._scheduler.edge import NO_LIMIT
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.sizing import FrameSizer
from olympipe_like._scheduler.stage import Stage


class SourceStage(Stage):
    """Lets a source run ahead of the consumer as far as the windows allow, and no item further.

    The allowance is a running total, so a repeated or late one can do no harm. It falls only when items turn out
    to be larger, or slower, than they were.
    """

    def __init__(self, spec: StageSpec, ledger: Ledger, sizer: FrameSizer, max_frame: int) -> None:
        super().__init__(spec, ledger)
        self.held = False  # a concat has not come to this source yet
        self._sizer = sizer
        self._max_frame = max_frame
        self.pulled_items = 0
        self._demand = spec.demand  # items that the limits downstream can use, as far as is known
        self.frames = 0
        self.allowed_items = 0
        self._told_size = 0  # of its frames, with the last allowance
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether it has ended, or has been asked to."""
        return self._stopped

    @property
    def awaits(self) -> bool:
        """Whether it may give, or has been asked to end."""
        return not self.ended and (self._stopped or self.allowed_items > self.pulled_items)

    def pulled(self, frame: Frame) -> None:
        """Take the source's next frame."""
        number = self.frames
        self.frames += 1
        self.pulled_items += frame.count
        self.tally.pass_on(frame.count, 1 if frame.failure else 0)
        self.emit(number, frame)
        self.ledger.mark(self.id)

    def source_ended(self) -> None:
        """Note that no further frame will come."""
        self._stopped = True
        self.end(self.frames)

    def stop(self) -> None:
        """Ask for no more."""
        if not self._stopped:
            self._stopped = True
            self.ledger.command(StopSource(self.id))

    def advance(self) -> None:
        """Raise the allowance if there is room."""
        if self._stopped:
            return
        if self.ledger.stopping or not self.is_wanted(self.frames):
            self.stop()
            return
        if self.held:
            return
        size = min(self._sizer.size, self._max_frame)
        room = window = NO_LIMIT
        frames = 0
        for edge in self.outputs:
            if edge.cut is None or self.frames < edge.cut:
                room = min(room, edge.room(size))
                window = min(window, edge.window(size))
                frames += edge.frames
        allowed = self.pulled_items + room
        if self._demand is not None:
            allowed = min(allowed, self._demand)
        # Raise by whole frames: room that comes back item by item would be used up by frames of one item, and each
        # of them would in its turn make room for no larger one.
        step = max(1, min(size, window // 2))
        if self._demand is not None:
            step = max(1, min(step, self._demand - self.allowed_items))
        if not frames:
            step = 1  # nothing is on its way that would make more room
        left, more = self.allowed_items - self.pulled_items, allowed - self.allowed_items
        falls = left > 2 * (left + more)
        # While it may give more than that without being told, and in frames as large as they should be, it can wait:
        # else it would be told of every item that leaves the window.
        can_wait = left > more and size == self._told_size
        if falls or (more >= step and not can_wait):
            self.allowed_items, self._told_size = allowed, size
            self.ledger.command(AllowSource(self.id, allowed, size))

    def ask_for(self, items: int) -> bool:
        """Give ``items`` more if all that was thought to be enough has been given; say whether that is so."""
        if self._demand is None or self.pulled_items < self._demand:
            return False
        self._demand = self.pulled_items + items
        self.ledger.mark(self.id)
        return True


class SinkStage(Stage):
    """Hands frames to the caller as they come in turn; they count against the window until consumed."""

    def __init__(self, spec: StageSpec, ledger: Ledger) -> None:
        super().__init__(spec, ledger)
        self._delivered: deque[tuple[int, Frame]] = deque()

    @property
    def awaits(self) -> bool:
        """Whether the consumer has anything."""
        return bool(self._delivered)

    @property
    def undone(self) -> int:
        """Frames delivered and not yet consumed."""
        return len(self._delivered)

    def advance(self) -> None:
        """Deliver what is in turn; end when all has been delivered."""
        edge = self.inputs[0]
        while not self.ended and (number := edge.next()) is not None:
            frame = edge.take(number)
            self.tally.pass_on(frame.count)
            if frame.count == 0 and frame.failure is None:
                self.finish(edge, number, frame)
                continue
            self._delivered.append((number, frame))
            self.ledger.command(Deliver(self.id, frame))
            if frame.failure is not None:
                self.close_inputs()
                self._finished()
        if edge.exhausted:
            self._finished()

    def consumed(self) -> None:
        """The caller is done with the oldest delivery."""
        number, frame = self._delivered.popleft()
        self.finish(self.inputs[0], number, frame)

    def _finished(self) -> None:
        if not self.ended:
            self.ended = True
            self.ledger.command(EndSink(self.id))
