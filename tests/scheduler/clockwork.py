"""A run whose time passes as it would on a machine: workers take as long as their items cost, cores are shared.

Sources and consumers take no time. `Clockwork.run` goes from one thing that happens to the next.
"""

from __future__ import annotations

from collections.abc import Callable

from olympipe_like._model.identity import StageId, WorkerId
from tests.scheduler.simulator import Simulation

EVER = float("inf")
TOO_MANY = 200_000  # steps

Cost = Callable[[object], float]  # seconds that an item takes; it is given the item as it comes in


class Clockwork(Simulation):
    """A simulation in which only costs decide what happens when."""

    def __init__(self, layout, costs: dict[str, Cost], *, cores: float = EVER, start: float = 0.01, **options) -> None:
        self.cores = cores
        self.start = start  # seconds that a worker needs to load its function
        self.left: dict[WorkerId, float] = {}  # seconds of work at what each is at
        self.began: dict[WorkerId, float] = {}
        self.crews: list[tuple[float, dict[str, int]]] = []  # how many each auto stage had, whenever that changed
        self.ticks = 0  # times that the scheduler was told how late it is
        self.costs_of: dict[StageId, Cost] = {}
        super().__init__(layout, **options)
        self.costs_of = {spec.id: costs[spec.name] for spec in self.specs if spec.name in costs}

    def run(self) -> Clockwork:
        """Let time pass until the run is over."""
        for _ in range(TOO_MANY):
            while self._happens_at_once():
                pass
            if self.finished:
                self.check_end()
                return self
            self._let_time_pass()
        raise AssertionError(f"the run does not end\n{self}")

    def spent(self, number: WorkerId, items: int) -> float:
        return self.now - self.began[number]

    def _event(self, event) -> None:
        now = self.now
        super()._event(event._replace(at=now))
        self.now = now  # things that happen take no time; what takes time is waited for
        self.events = 0
        self._note_crews()

    def _happens_at_once(self) -> bool:
        """Let one thing happen that takes no time; say whether there was any."""
        for kind, who in self.possible():
            if kind in {"pull", "consume"}:
                getattr(self, kind)(who)
                return True
        for number, worker in list(self.workers.items()):
            if worker.state != "alive":
                self.left.pop(number, None)
            elif number not in self.left:
                if not worker.ready:
                    self.left[number], self.began[number] = self.start, self.now
                elif worker.queue and not worker.waits:
                    self.left[number], self.began[number] = self._cost(worker), self.now
            elif self.left[number] <= 1e-12:
                del self.left[number]
                (self.answer if worker.ready else self.make_ready)(number)
                return True
        return False

    def _cost(self, worker) -> float:
        order, cost = worker.queue[0].order, self.costs_of.get(worker.stage)
        if order.frame is None or cost is None or worker.parts is not None:
            return 0.0
        return sum(cost(value) for _, value in self._chunk(order.frame).items)

    def _let_time_pass(self) -> None:
        due = self.scheduler.due
        busy = len(self.left)
        assert busy or due is not None, f"DEADLOCK: nobody does anything\n{self}"
        rate = min(1.0, self.cores / busy) if busy else 1.0
        passes = min(self.left.values(), default=EVER) / rate
        if due is not None and due - self.now <= passes:
            passes = max(due - self.now, 0.0)
            self._work_for(passes * rate)
            self.now = max(self.now + passes, due)
            self.ticks += 1
            self.pass_time()
        else:
            self._work_for(passes * rate)
            self.now += passes

    def _work_for(self, seconds: float) -> None:
        for number in self.left:
            self.left[number] -= seconds

    def _note_crews(self) -> None:
        crews = {spec.name: len(self.workers_of(spec.id)) for spec in self.specs if spec.auto}
        if not self.crews or self.crews[-1][1] != crews:
            self.crews.append((self.now, crews))

    def crew_at(self, at: float) -> dict[str, int]:
        """Return how many workers each auto stage had at a time."""
        return [crews for since, crews in self.crews if since <= at][-1]

    @property
    def moves(self) -> int:
        """How often a stage was given workers that another had."""
        return sum(move.giver is not None for tally in self.scheduler.tallies() for move in tally.moved)
