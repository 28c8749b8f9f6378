"""A hub whose run stands still: asks the worker processes for their stacks, then says what is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from olympipe_like._executors.port import WorkerStack
from olympipe_like._executors.processes import WorkerProcess
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._plan.segment import Label
from olympipe_like._runtime.driver import Driver
from olympipe_like._runtime.stall import Verdict
from olympipe_like._scheduler.standing import Hand, standing, waits_for
from olympipe_like._transport.messages import Stalled

STACKS_SECONDS = 0.5  # how long processes may take to write their stacks: much, on a machine that swaps


class StageProcess(NamedTuple):
    """One process of a run."""

    stage: StageId
    worker: WorkerId | None  # None: it iterates a source
    slot: int
    process: WorkerProcess


class _Asked(NamedTuple):
    verdict: Verdict
    at: float
    moved_at: float
    processes: tuple[StageProcess, ...]


class HubStall:
    """Looks when it is time to, and never waits itself."""

    def __init__(
        self,
        driver: Driver,
        labels: Mapping[StageId, Label],
        processes: Callable[[], Sequence[StageProcess]],
        elsewhere: Callable[[WorkerId], str],
    ) -> None:
        self._driver = driver
        self._labels = labels
        self._processes = processes
        self._elsewhere = elsewhere  # where a worker of another machine is
        self._asked: _Asked | None = None

    @property
    def due(self) -> float | None:
        """When to look next; None: not before something moves."""
        return self._driver.watch.due if self._asked is None else self._asked.at + STACKS_SECONDS

    @property
    def can_wait(self) -> bool:
        """Whether nothing that happens can bring the next look forward."""
        return self._driver.watch.can_wait

    def look(self, at: float) -> Stalled | None:
        """Return what to tell the caller, once the run stands still and its processes have said what they do.

        Before it is due that costs next to nothing.
        """
        due = self.due
        if due is None or at < due:
            return None
        asked = self._asked
        if asked is None:
            self._ask(at)
            return None
        if asked.moved_at != self._driver.watch.moved_at:
            self._asked = None  # it went on after all
            return None
        self._asked = None
        return Stalled(self._text(asked, at), asked.verdict.fatal)

    def _ask(self, at: float) -> None:
        verdict = self._driver.watch.look(at, waits_for(standing(self._driver.scheduler)))
        if verdict is None:
            return
        from olympipe_like._runtime.stall_text import MOST_STACKS  # no ordinary run needs it

        holding = {hand.worker for stage in standing(self._driver.scheduler) for hand in stage.hands}
        # Those that hold something first: the others wait for them.
        processes = sorted(self._processes(), key=lambda each: each.worker not in holding)
        for each in processes[:MOST_STACKS]:
            each.process.stacks.ask(each.process.pid)
        self._asked = _Asked(verdict, at, self._driver.watch.moved_at, tuple(processes))

    def _text(self, asked: _Asked, at: float) -> str:
        from olympipe_like._runtime.stall_text import MOST_STACKS, Account, readable, silence_of, with_stacks

        pids = {each.worker: each.process.pid for each in asked.processes if each.worker is not None}

        def name_of(stage: StageId, hand: Hand) -> str:
            here = f", pid {pids[hand.worker]}" if hand.worker in pids else ", in the caller's process"
            return f"worker {self._labels[stage].number}.{hand.slot}{self._elsewhere(hand.worker) or here}"

        stacks = []
        for number, each in enumerate(asked.processes):
            label = self._labels[each.stage]
            pid = each.process.pid
            name = f"source {label.name!r}" if each.worker is None else f"worker {label.number}.{each.slot}"
            # Nothing moved, so all these processes are still there: a death would have been an event.
            text = (readable(each.process.stacks.read()) or silence_of(pid)) if number < MOST_STACKS else ""
            stacks.append(WorkerStack(f"{name}, pid {pid}", text))
        return with_stacks(Account(self._driver, self._labels, name_of).tell(asked.verdict, at), stacks)
