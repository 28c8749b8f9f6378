"""What a lost worker costs: which item is to blame, what is given up, what a successor must hear again.

Knows neither windows nor merging.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from olympipe_like._model.events import WorkerLost
from olympipe_like._model.failure import READING, SOME_READING, GivenUp
from olympipe_like._plan.losses import PATIENCE
from olympipe_like._scheduler.crew import Task
from olympipe_like._scheduler.ledger import Payloads

IDLE_LOSSES = 100
"""Workers that may be lost with nothing in hand between two answers: somebody ends them, or they end by themselves."""

BAD_LUCK = 10
"""Workers that may die while they unpickle the same item, at a stage without a function of the user's: with so many it
is the item, and not somebody who ends workers by chance."""


@dataclass(slots=True)
class _Case:
    """One frame that has cost workers."""

    unknown: int = 0  # those lost while nobody knew which item was at work
    deaths: dict[int, int] = field(default_factory=dict)  # item's ordinal -> workers it cost
    timeouts: dict[int, int] = field(default_factory=dict)
    given_up: list[GivenUp] = field(default_factory=list)


class Suspects:
    """Finds the item that costs worker after worker.

    A frame that lost its worker is run again with a note for each item; so the second loss tells whose it was. Losses
    that nobody can place count for the first item that is found.
    """

    def __init__(self, worker_retries: int, timeout_retries: int) -> None:
        self._worker_retries = worker_retries
        self._timeout_retries = timeout_retries
        self.cases: dict[int, _Case] = {}  # for each frame that has cost a worker
        self._early: Counter[int] = Counter()  # slot -> workers lost there before they were ready, in a row
        self._idle = 0  # workers lost with nothing in hand since the stage's last answer

    def came_along(self, slot: int) -> None:
        """Note that a worker has loaded its function."""
        del self._early[slot]

    def lost_early(self, slot: int) -> int | None:
        """Note the loss of a worker that was not ready; return the number of attempts if there should be no more."""
        self._early[slot] += 1
        return self._early[slot] if self._early[slot] > self._worker_retries else None

    def lost_idle(self) -> int | None:
        """Note the loss of a worker with nothing in hand; return the number of attempts if there should be no more."""
        self._idle += 1
        return self._idle if self._idle > max(IDLE_LOSSES, self._worker_retries) else None

    def poison(self, key: int) -> tuple[GivenUp, ...]:
        """Return the items of a frame that are not to be run again."""
        case = self.cases.get(key)
        return tuple(case.given_up) if case is not None else ()

    def lost(self, task: Task, event: WorkerLost, slot: int, *, one_item: bool) -> int | None:
        """Note what a frame cost; return the number of attempts if all of it must be given up."""
        case = self.cases.setdefault(task.key, _Case())
        ordinal = event.ordinal
        if ordinal == SOME_READING:
            ordinal = READING if one_item else None
        elif ordinal is None and one_item:
            ordinal = 0
        if ordinal is None or any(each.ordinal == ordinal for each in case.given_up):
            case.unknown += 1
            return case.unknown if case.unknown > self._worker_retries else None
        counts, allowed = case.deaths, self._worker_retries
        if ordinal >= READING and allowed >= PATIENCE:
            allowed = BAD_LUCK
        if event.timed_out:
            counts, allowed = case.timeouts, self._timeout_retries
        else:
            counts[ordinal] = counts.get(ordinal, 0) + case.unknown
            case.unknown = 0
        counts[ordinal] = attempts = counts.get(ordinal, 0) + 1
        if attempts > allowed:
            case.given_up.append(GivenUp(ordinal, attempts, slot, event.pid, event.exit_code, event.timed_out))
        return None

    def cleared(self, key: int) -> None:
        """Forget a frame that was answered."""
        self.cases.pop(key, None)
        self._idle = 0


class Memory:
    """What the worker of a stage with memory knows, so that a successor can know it too.

    The last snapshot, and the frames answered since.
    """

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self.snapshot: object | None = None
        self._log: list[Task] = []
        self.is_lost = False  # the user's objects in it cannot be written down

    def __iter__(self) -> Iterator[Task]:
        return iter(self._log)

    def answered(self, task: Task, snapshot: object | None) -> None:
        """Take note of an answer, before the frame's payload is dropped; ``snapshot`` includes it."""
        if snapshot is not None:
            self.snapshot = snapshot
            self.is_lost = not snapshot
            self.forget()
        elif not self.is_lost:
            if task.frame is not None:
                self._payloads.hold(task.frame)
            self._log.append(task)

    def forget(self) -> None:
        """Keep no frame any longer."""
        for task in self._log:
            if task.frame is not None:
                self._payloads.drop(task.frame)
        self._log.clear()
