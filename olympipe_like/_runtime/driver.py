"""Hands each event to the scheduler and carries out its commands. The same in the hub and in a run without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from olympipe_like._model.closed import assert_never
from olympipe_like._model.commands import (
    AllowSource,
    Command,
    ContinueFrame,
    Deliver,
    DropFrame,
    EndSink,
    FailRun,
    FinishRun,
    FreePayload,
    GiveUp,
    ReportDropped,
    RestoreWorker,
    RunFrame,
    StartWorker,
    StopSource,
    StopWorker,
)
from olympipe_like._model.events import Event, FrameReturned, TimePassed, WorkerLost, WorkerRefused
from olympipe_like._model.identity import WorkerId
from olympipe_like._runtime.stall import Holding, StallWatch
from olympipe_like._scheduler.scheduler import Scheduler


class Hands(Protocol):
    """What a driver's side can do. No method waits, and none calls the driver back."""

    def start_worker(self, command: StartWorker) -> None: ...
    def run_frame(self, command: RunFrame) -> None: ...
    def go_on(self, command: ContinueFrame) -> None: ...
    def drop_frame(self, command: DropFrame) -> None: ...
    def stop_worker(self, command: StopWorker) -> None: ...
    def allow(self, command: AllowSource) -> None: ...
    def stop_source(self, command: StopSource) -> None: ...
    def deliver(self, command: Deliver) -> None: ...
    def end_sink(self, command: EndSink) -> None: ...
    def free(self, command: FreePayload) -> None: ...
    def finish(self, command: FinishRun) -> None: ...
    def fail(self, command: FailRun) -> None: ...
    def give_up(self, command: GiveUp) -> None: ...
    def restore(self, command: RestoreWorker) -> None: ...
    def report_dropped(self, command: ReportDropped) -> None: ...


class Driver:
    """Couples a scheduler with a pair of hands."""

    def __init__(self, scheduler: Scheduler, hands: Hands, watch: StallWatch) -> None:
        self.scheduler = scheduler
        self.watch = watch
        self.holding = Holding()
        self._hands = hands
        self._at = 0.0
        scheduler.at_once = self._carry_out

    def start(self, at: float) -> None:
        """Begin the run."""
        self.watch.moved(at)
        self._at = at
        self._carry_out(self.scheduler.start(at))

    def handle(self, event: Event) -> None:
        """Deal with one event."""
        self._at = at = event.at
        if commands := self.scheduler.handle(event):
            self._carry_out(commands)
        # Only now: whoever is to work next has been told.
        self.watch.moved(at)
        if isinstance(event, FrameReturned):
            self.holding.answered(event.worker, at, more=event.more)
        elif isinstance(event, WorkerLost):
            self.holding.lost(event.worker)

    @property
    def due(self) -> float | None:
        """When `pass_time` should be called if nothing happens until then; None: never."""
        return self.scheduler.due

    def pass_time(self, at: float, refused: Sequence[WorkerId] = ()) -> None:
        """Let the scheduler know how late it is, if it wants to, and which workers there was no room for.

        None of that is a sign of progress.
        """
        self._at = at
        for worker in refused:
            self._carry_out(self.scheduler.handle(WorkerRefused(at, worker)))
        due = self.scheduler.due
        if due is not None and at >= due:
            self._carry_out(self.scheduler.handle(TimePassed(at)))

    def _carry_out(self, commands: list[Command]) -> None:
        hands, at = self._hands, self._at
        for command in commands:
            match command:
                case RunFrame():
                    hands.run_frame(command)
                    self.holding.gave(command.worker, at)
                case FreePayload():
                    hands.free(command)
                case Deliver():
                    hands.deliver(command)
                case AllowSource():
                    hands.allow(command)
                case ContinueFrame():
                    hands.go_on(command)
                case DropFrame():
                    self.holding.answered(command.worker, at, more=False)
                    hands.drop_frame(command)
                case StartWorker():
                    hands.start_worker(command)
                case StopWorker():
                    hands.stop_worker(command)
                case StopSource():
                    hands.stop_source(command)
                case EndSink():
                    hands.end_sink(command)
                case FinishRun():
                    hands.finish(command)
                case FailRun():
                    hands.fail(command)
                case ReportDropped():
                    hands.report_dropped(command)
                case RestoreWorker():
                    hands.restore(command)
                case GiveUp():
                    hands.give_up(command)
                case _:
                    assert_never(command)
