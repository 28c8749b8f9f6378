"""What is shared by the stages of one run: commands so far, payloads in use, stages to look at again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from olympipe_like._model.commands import Command, FailRun, FreePayload, StartWorker
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

    def discard(self, frame: Frame) -> None:
        """Be done with a new frame: if nobody has come to need its payload, it is free."""
        payload = frame.payload
        if payload != NO_PAYLOAD and payload not in self._holders:
            self._commands.append(FreePayload(payload))

    @property
    def in_use(self) -> int:
        """How many payloads are needed by someone."""
        return len(self._holders)


class Ledger:
    """The book the stages of a run write to."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.command: Callable[[Command], None] = self.commands.append  # ask for something to be done
        self.started: list[StartWorker] = []  # of them, those that ask for a worker
        self.failed = False  # whether one of them ends the run
        self.payloads = Payloads(self.commands)
        self.at = 0.0  # time of the event at hand
        self.failed_at: Counter[StageId] = Counter()  # items dropped as failed
        self.stopping = False  # no source is asked for more
        self.marked = 0  # stages to look at again: a bit for each
        self._next_worker = 0

    def start(self, command: StartWorker) -> None:
        """Ask for a worker."""
        self.started.append(command)
        self.command(command)

    def fail(self, command: FailRun) -> None:
        """End the run."""
        self.failed = True
        self.command(command)

    def mark(self, stage: StageId) -> None:
        """Look at a stage again before the event is done with."""
        self.marked |= 1 << stage

    def next_marked(self) -> StageId | None:
        """Return the marked stage nearest to the sinks: consumers first, so that room is known early."""
        if not self.marked:
            return None
        stage = self.marked.bit_length() - 1
        self.marked ^= 1 << stage
        return StageId(stage)

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

    def add(self, counts: Iterable[OpCounts]) -> int:
        """Add what each operator did with one frame; return how many items failed."""
        failed = 0
        for row, made in zip(self.ops, counts, strict=False):
            row[0] += made[0]
            row[1] += made[1]
            if any(made[2:]):
                for at, number in enumerate(made[2:], 2):
                    row[at] += number
                failed += made.failed
        return failed

    def pass_on(self, items: int, failed: int = 0) -> None:
        """Add a frame that went on as it came."""
        row = self.ops[0]
        row[0] += items
        row[1] += items
        row[3] += failed

    def take_back(self, counts: Iterable[OpCounts]) -> None:
        """Forget what was done with a frame that is run again, except how often items were tried."""
        for row, made in zip(self.ops, counts, strict=False):
            for at, number in enumerate(made._replace(retried=0)):
                row[at] -= number
