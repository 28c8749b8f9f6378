"""Stages with `workers="auto"`: as many workers as they are allotted. Does not know why, or of other stages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from olympipe_like._model.events import WorkerLost, WorkerReady, WorkerRefused
from olympipe_like._model.identity import WorkerId
from olympipe_like._model.topology import StageSpec
from olympipe_like._scheduler.changing_stage import ChangingStage
from olympipe_like._scheduler.crew import Task
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.sizing import FrameSizer


class AutoStage(ChangingStage):
    """A stage whose number of workers changes while it runs.

    A worker that is to go gets nothing more and ends when its hands are empty. One that comes gets nothing before it
    has loaded its function: meanwhile others can do it.
    """

    def __init__(self, spec: StageSpec, ledger: Ledger, part_sizer: FrameSizer | None, max_frame: int) -> None:
        super().__init__(spec, ledger, part_sizer, max_frame)
        self.wanted = spec.workers
        self.staff = spec.workers  # at present, or when it ended
        self._on_duty = 0.0  # seconds that are booked, summed over the workers that had come
        self.slowest_start = 0.0  # seconds from asking for a worker until it had come
        self.leaving: set[WorkerId] = set()  # are given nothing more, and end when their hands are empty
        self._asked: dict[WorkerId, float] = {}  # for a worker that has not come yet -> when

    # -- how many -----------------------------------------------------------------------------------------------------

    def want(self, workers: int) -> None:
        """Have so many workers: those that are too many leave; for those that lack, call `hire`."""
        self.book()
        self.wanted = workers
        self._choose_who_leaves()
        self.ledger.mark(self.id)

    def _choose_who_leaves(self) -> None:
        surplus = len(self.crew) - self.wanted
        # Those that leave already, then those with least to do; the latest come first, they have built up least.
        order = sorted(self.crew.hands(), key=lambda hand: (hand[0] not in self.leaving, len(hand[2]), -hand[1]))
        self.leaving = {worker for worker, _, _ in order[: max(surplus, 0)]}
        self.crew.withheld = self.leaving | (self._asked.keys() & self.crew.withheld)

    @property
    def vacancies(self) -> int:
        """How many workers it lacks."""
        return 0 if self.ended else self.wanted - len(self.crew)

    def hire(self) -> None:
        """Ask for one more worker."""
        self.book()
        taken = self.crew.slots
        worker = self.crew.start(next(slot for slot in count() if slot not in taken), spare=True)
        self.crew.withheld.add(worker)
        self._asked[worker] = self.ledger.at
        self._widen()

    def _widen(self) -> None:
        """Let frames, and a window that the user gave, follow the number of workers.

        Such a window is not made smaller again: its room may be given away.
        """
        self.staff = len(self.crew)
        self._tell_staff()
        for edge in self.inputs:
            if edge.queue_size is not None and self.spec.queue_size is not None:
                edge.queue_size = max(edge.queue_size, self.spec.queue_size + self.staff)

    # -- events -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Ask for the workers to begin with."""
        super().start()
        self._asked = {worker: self.ledger.at for worker, _, _ in self.crew.hands()}

    def ready(self, event: WorkerReady) -> None:
        """Let a worker that has come take part."""
        self.book()
        super().ready(event)
        self.slowest_start = max(self.slowest_start, self.ledger.at - self._asked.pop(event.worker, self.ledger.at))
        if event.worker not in self.leaving:
            self.crew.withheld.discard(event.worker)
        self.ledger.mark(self.id)

    def lost(self, event: WorkerLost) -> None:
        """As everywhere; one that was to leave has no successor."""
        self.book()
        self._asked.pop(event.worker, None)
        self.leaving.discard(event.worker)
        super().lost(event)

    def refused(self, event: WorkerRefused) -> None:
        """Go on without a worker for which there is no room."""
        if event.worker not in self.crew:
            return  # it was let go before anybody knew
        self.book()
        self._asked.pop(event.worker, None)
        self.leaving.discard(event.worker)
        slot, _ = self.crew.remove(event.worker)
        self.wanted = max(min(self.wanted, len(self.crew)), 1)
        if not len(self.crew):
            self._succeed(slot, ())  # the others have gone meanwhile: now it is needed
        self._choose_who_leaves()
        self._widen()
        self.ledger.mark(self.id)

    def _succeed(self, slot: int, tasks: Iterable[Task]) -> None:
        if len(self.crew) < self.wanted:
            super()._succeed(slot, tasks)
        else:
            self._choose_who_leaves()  # one of them less: whoever is left must not wait for another that never comes
        for worker, _, _ in self.crew.hands():
            if worker not in self.crew.ready:
                self._asked.setdefault(worker, self.ledger.at)

    def advance(self) -> None:
        """As everywhere, and let go who is to leave."""
        super().advance()
        while self._let_go():
            super().advance()  # nobody need wait any longer for those who had not come yet

    def _let_go(self) -> bool:
        """End those that are to leave and have nothing in hand; say whether there were any."""
        if self.ended or not self.leaving:
            return False
        self.book()
        before = len(self.crew)
        self.crew.dismiss(worker for worker in self.leaving if worker in self.crew)
        self.leaving = {worker for worker in self.leaving if worker in self.crew}
        self._asked = {worker: at for worker, at in self._asked.items() if worker in self.crew}
        self._widen()
        return len(self.crew) < before

    # -- for those who decide ----------------------------------------------------------------------------------------

    def book(self) -> None:
        """Bring the counts of time up to this moment."""
        passed = self.ledger.at - self._since
        super().book()
        if passed > 0 and not self.ended:
            self._on_duty += passed * (len(self.crew) - len(self._asked.keys() & self.crew.withheld))

    @property
    def on_duty(self) -> float:
        """Seconds until now, summed over workers; those it had at its end count on, as elsewhere."""
        return self._on_duty + (self.ledger.at - self._since) * self.staff

    @property
    def has_nobody_free(self) -> bool:
        """Whether items wait for a worker."""
        return not self.ended and not self._blocked and not self.crew.idle and any(e.has_waiting for e in self.inputs)
