"""The workers of one stage and what they have in hand. Knows neither order nor windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from olympipe_like._model.commands import DropFrame, StartWorker, StopWorker
from olympipe_like._model.failure import GivenUp
from olympipe_like._model.frame import Frame, OpCounts
from olympipe_like._model.identity import WorkerId
from olympipe_like._model.topology import StageSpec
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ledger import Ledger


@dataclass(slots=True)
class Task:
    """One frame (or the end of a leg) in a worker's hands."""

    key: int  # place in the stage's output order
    edge: Edge
    number: int
    frame: Frame | None
    given: int = 0  # items of the answer taken over so far
    seconds: float = 0.0
    poison: tuple[GivenUp, ...] = ()
    counts: list[tuple[OpCounts, ...]] = field(default_factory=list)  # of the parts answered so far
    reported: int = 0  # records of dropped items passed on so far
    repeated: int = 0  # of them, those that come again because the frame is run again
    replay: bool = False  # answered before: a successor hears it again
    began: float = 0.0  # when its worker came to it, or went on with it (seconds on the run's clock)

    def new_records(self, records: tuple[object, ...]) -> tuple[object, ...]:
        """Return those not passed on before; a frame that is run again gives the same ones first."""
        known = min(self.repeated, len(records))
        self.repeated -= known
        self.reported += len(records) - known
        return records[known:]


class Crew:
    """Starts workers, ends them, and knows who is free."""

    def __init__(self, spec: StageSpec, ledger: Ledger) -> None:
        self._spec = spec
        self._ledger = ledger
        self._tasks: dict[WorkerId, deque[Task]] = {}
        self._slots: dict[WorkerId, int] = {}
        self._items: dict[WorkerId, int] = {}  # given to each
        self._holds: dict[WorkerId, int] = {}  # frames that those want in hand who said so
        self.wears_out = spec.max_items is not None or spec.max_rss is not None  # whether workers are to be replaced
        self._worn_out: set[WorkerId] = set()
        self.ready: set[WorkerId] = set()  # have loaded their function
        self.paused: set[WorkerId] = set()  # hold a generator that may go on when there is room
        self.withheld: set[WorkerId] = set()  # are given nothing more: they are to end, or have not come yet

    def __contains__(self, worker: WorkerId) -> bool:
        return worker in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def slots(self) -> set[int]:
        """The places that are taken."""
        return set(self._slots.values())

    def start(self, slot: int, *, spare: bool = False) -> WorkerId:
        """Ask for a worker; ``spare``: others can do without it."""
        worker = self._ledger.new_worker()
        self._tasks[worker] = deque()
        self._slots[worker] = slot
        self._items[worker] = 0
        self._ledger.start(StartWorker(worker, self._spec.id, slot, spare))
        return worker

    @property
    def capacity(self) -> int:
        """Frames that all of them may have in hand, at least."""
        return sum(self._holds.get(worker, self._spec.prefetch) for worker in self._tasks)

    def note_ready(self, worker: WorkerId, holds: int = 0) -> int:
        """Note that a worker has loaded its function, and how many frames it wants in hand; return its slot."""
        self.ready.add(worker)
        if holds:
            self._holds[worker] = holds
        self._begin_next(worker)
        return self._slots[worker]

    def give(self, worker: WorkerId, task: Task) -> None:
        """Put a task into a worker's hands."""
        tasks = self._tasks[worker]
        tasks.append(task)
        if len(tasks) == 1:
            task.began = self._ledger.at
        if task.frame is not None and not task.replay:
            self._items[worker] += task.frame.count

    def first(self, worker: WorkerId) -> Task:
        """Return what a worker is at."""
        return self._tasks[worker][0]

    def finish_first(self, worker: WorkerId, rss: int) -> None:
        """Take a task that is done out of a worker's hands; ``rss``: bytes the worker holds, 0: not known."""
        tasks = self._tasks[worker]
        tasks.popleft()
        if tasks:
            tasks[0].began = self._ledger.at
        if self._spec.max_rss is not None and rss > self._spec.max_rss:
            self._worn_out.add(worker)

    def drop_first(self, worker: WorkerId) -> Task:
        """Take what a worker is at out of its hands, undone."""
        task = self._tasks[worker].popleft()
        self.paused.discard(worker)
        assert task.frame is not None
        self._items[worker] -= task.frame.count
        self._begin_next(worker)
        self._ledger.command(DropFrame(worker))
        return task

    def pause(self, worker: WorkerId) -> None:
        """Let a worker's generator rest until there is room."""
        self.paused.add(worker)

    def go_on(self, worker: WorkerId) -> None:
        """Let a worker's generator make its next part."""
        self.paused.discard(worker)
        self._begin_next(worker)

    def _begin_next(self, worker: WorkerId) -> None:
        if tasks := self._tasks[worker]:
            tasks[0].began = self._ledger.at

    @property
    def under_way(self) -> float:
        """Seconds that the workers have spent on what they are at, and that no answer has told of yet."""
        at_work = self.ready - self.paused
        return sum(self._ledger.at - self._tasks[worker][0].began for worker in at_work if self._tasks[worker])

    def remove(self, worker: WorkerId) -> tuple[int, deque[Task]]:
        """Forget a worker; return its slot and what it had in hand."""
        self.ready.discard(worker)
        self.paused.discard(worker)
        self._worn_out.discard(worker)
        self._holds.pop(worker, None)
        self.withheld.discard(worker)
        del self._items[worker]
        return self._slots.pop(worker), self._tasks.pop(worker)

    def free(self, ahead: int) -> WorkerId | None:
        """Return the worker with least in hand, if that is less than ``ahead`` frames, or than it wants itself."""
        usual = max(ahead, self._spec.prefetch)
        least = max(usual, *self._holds.values()) if self._holds else usual
        found: WorkerId | None = None
        for worker, tasks in self._tasks.items():  # in the order of their numbers
            holds = len(tasks)
            if holds >= least or worker in self._worn_out or worker in self.withheld:
                continue
            if not self._holds or holds < self._holds.get(worker, usual):
                found, least = worker, holds
        return found

    def retire(self, items: int, *, keep: bool = False) -> list[int]:
        """End the workers with nothing in hand that are worn out, or would be by so many items; return their slots.

        ``keep``: nobody can take their place, so that none is.
        """
        if keep:
            self._worn_out.clear()
            return []
        most = self._spec.max_items
        if most is not None:
            self._worn_out.update(worker for worker, done in self._items.items() if done and done + items > most)
        idle = [worker for worker in sorted(self._worn_out) if not self._tasks[worker]]
        return [self._stop(worker) for worker in idle]

    def dismiss(self, workers: Iterable[WorkerId]) -> None:
        """End those of the workers that have nothing in hand; the others get nothing more."""
        for worker in sorted(workers):
            self.withheld.add(worker)
            if not self._tasks[worker]:
                self._stop(worker)

    def stop_idle(self) -> None:
        """End the workers that have nothing in hand."""
        for worker in [each for each, tasks in self._tasks.items() if not tasks]:
            self._stop(worker)

    def _stop(self, worker: WorkerId) -> int:
        slot, _ = self.remove(worker)
        self._ledger.command(StopWorker(worker))
        return slot

    def hands(self) -> list[tuple[WorkerId, int, Sequence[Task]]]:
        """Return for each worker its slot and what it has in hand."""
        return [(worker, self._slots[worker], tuple(tasks)) for worker, tasks in self._tasks.items()]

    @property
    def tasks(self) -> list[Task]:
        """What all of them have in hand."""
        return [task for tasks in self._tasks.values() for task in tasks]

    @property
    def is_busy(self) -> bool:
        """Whether any has something in hand."""
        return any(self._tasks.values())

    @property
    def awaits(self) -> bool:
        """Whether one is about to come who was given nothing yet, or is at something."""
        if not self.withheld <= self.ready:
            return True
        return any(tasks and worker not in self.paused for worker, tasks in self._tasks.items())

    @property
    def idle(self) -> int:
        """How many wait for something to do, or to go on."""
        count = 0
        for worker, tasks in self._tasks.items():  # not `sum`: this is asked for every frame
            if worker in self.paused or (not tasks and worker not in self.withheld):
                count += 1
        return count
