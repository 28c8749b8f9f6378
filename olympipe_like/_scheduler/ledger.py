"""What is shared by the stages of one run: commands so far, payloads in use, stages to look at again."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

from olympipe_like._model.commands import Command, FreePayload
from olympipe_like._model.frame import Frame, OpCounts
from olympipe_like._model.identity import NO_PAYLOAD, PayloadId, StageId, WorkerId


class Payloads:
    """Counts who still needs a payload, so that it is freed exactly once."""

    def __init__(self, commands: list[Command]) -> None:
        self._commands = commands
        self._holders: dict[PayloadId, int] = {}

    def hold(self, frame: Frame) -> None:
        """Note one more frame that needs its payload."""
        if frame.payload != NO_PAYLOAD:
            self._holders[frame.payload] = self._holders.get(frame.payload, 0) + 1

    def drop(self, frame: Frame) -> None:
        """Note that a frame no longer needs its payload."""
        payload = frame.payload
        if payload == NO_PAYLOAD:
            return
        holders = self._holders[payload] - 1
        if holders:
            self._holders[payload] = holders
        else:
            del self._holders[payload]
            self._commands.append(FreePayload(payload))

    @property
    def in_use(self) -> int:
        """How many payloads are needed by someone."""
        return len(self._holders)


class Ledger:
    """The book the stages of a run write to."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.payloads = Payloads(self.commands)
        self.at = 0.0  # time of the event at hand
        self.failed_at: Counter[StageId] = Counter()  # items dropped as failed
        self.stopping = False  # no source is asked for more
        self._dirty: list[int] = []  # heap of negative stage ids: consumers first, so that room is known early
        self._marked: set[int] = set()
        self._next_worker = 0

    def command(self, command: Command) -> None:
        """Ask for something to be done."""
        self.commands.append(command)

    def mark(self, stage: StageId) -> None:
        """Look at a stage again before the event is done with."""
        if stage not in self._marked:
            self._marked.add(stage)
            heapq.heappush(self._dirty, -stage)

    def next_marked(self) -> StageId | None:
        """Return the marked stage nearest to the sinks."""
        if not self._dirty:
            return None
        stage = StageId(-heapq.heappop(self._dirty))
        self._marked.discard(stage)
        return stage

    def new_worker(self) -> WorkerId:
        """Return a number no worker had before."""
        self._next_worker += 1
        return WorkerId(self._next_worker - 1)


class Tally:
    """Running totals of one stage, for the report."""

    def __init__(self, ops: int) -> None:
        self.ops = [[0] * len(OpCounts._fields) for _ in range(ops)]
        self.busy = 0.0
        self.starved = 0.0
        self.blocked = 0.0
        self.lost_workers = 0
        self.retried = 0  # items that ran into their timeout and were tried again

    def add(self, counts: Iterable[OpCounts]) -> None:
        """Add what each operator did with one frame."""
        for row, made in zip(self.ops, counts, strict=False):
            row[0] += made[0]
            row[1] += made[1]
            if any(made[2:]):
                for at, number in enumerate(made[2:], 2):
                    row[at] += number

    def wait(self, seconds: float, *, blocked: bool) -> None:
        """Book time for which workers had nothing to do, because there was no room or nothing came."""
        if blocked:
            self.blocked += seconds
        else:
            self.starved += seconds

    def take_back(self, counts: Iterable[OpCounts]) -> None:
        """Forget what was done with a frame that is run again, except how often items were tried."""
        for row, made in zip(self.ops, counts, strict=False):
            for at, number in enumerate(made._replace(retried=0)):
                row[at] -= number
