"""The scheduler: one method in, commands out.

Theory of operation. A run is a graph of stages joined by edges. A source's items travel in frames, numbered in each
stream from 0. A stage answers every frame it takes with exactly one frame (or, for `explode`, with one or more parts
that are numbered anew in order), so order, merging, de-duplication and the end of a stream all follow from numbers.

Every edge has a window. A frame may be made only if each child has room for it, or if it is the very frame that child
waits for. So nothing runs ahead by more than the windows, and the oldest frame of the run can always move: no graph,
diamonds included, can deadlock. Sources get the same room as an allowance.

Knows frames, windows, workers, attempts. Does not know time (it comes in events), processes, bytes or user code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from olympipe_like._model.closed import assert_never
from olympipe_like._model.commands import Command, FinishRun, GiveUp
from olympipe_like._model.events import (
    Event,
    FrameConsumed,
    FrameReturned,
    SourceEnded,
    SourcePulled,
    StopRequested,
    TimePassed,
    WorkerCame,
    WorkerFailed,
    WorkerLeft,
    WorkerLost,
    WorkerReady,
    WorkerRefused,
)
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._model.options import NO_LIMITS, Limits
from olympipe_like._model.tallies import StageTally
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._scheduler.auto_stage import AutoStage
from olympipe_like._scheduler.conservation import discrepancies
from olympipe_like._scheduler.edge import NO_LIMIT, WINDOW_BYTES, WINDOW_FRAMES, Edge
from olympipe_like._scheduler.ends import SinkStage, SourceStage
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.merge_stage import MergeStage
from olympipe_like._scheduler.open_stage import OpenStage
from olympipe_like._scheduler.route import RouteStage
from olympipe_like._scheduler.sizing import MAX_ITEMS, FrameSizer
from olympipe_like._scheduler.staffing import Staffing
from olympipe_like._scheduler.stage import Stage
from olympipe_like._scheduler.standstill import Standstill
from olympipe_like._scheduler.work import WorkStage

SHARE_SAMPLE = 100
"""Source items after which a share of failures is judged before the end."""


class Scheduler:
    """Decides everything about one run; does nothing itself.

    Attributes
    ----------
    at_once : callable or None
        Takes the commands as soon as they are known, instead of waiting for all that an event leads to: a worker then
        begins while the books are still being written. What it has taken is not returned any more.
    """

    def __init__(self, specs: Sequence[StageSpec], limits: Limits = NO_LIMITS) -> None:
        self._ledger = Ledger()
        self._max_failures = limits.max_failures
        self._window_bytes = WINDOW_BYTES
        self._counts_only = limits.memory is None  # where the user says how many items may wait
        if limits.memory is not None:
            edges = sum(len(spec.inputs) for spec in specs)
            self._window_bytes = min(WINDOW_BYTES, max(limits.memory // max(edges, 1), 1))
        self.stages: list[Stage] = []
        self._owner: dict[WorkerId, WorkStage] = {}
        self.at_once: Callable[[list[Command]], None] | None = None
        self._finished = False
        self._failed = False
        bounds = [bound for spec in specs for bound in (spec.queue_size, spec.max_items) if bound is not None]
        max_frame = min([MAX_ITEMS, *(max(bound, 1) for bound in bounds)])
        in_order: dict[StageId, bool] = {}
        sizers: dict[StageId, tuple[FrameSizer, ...]] = {}
        for spec in specs:
            own = FrameSizer(self._window_bytes / WINDOW_FRAMES)  # an edge with few bytes holds several all the same
            stage = self._make(spec, own, max_frame)
            for leg, parent in enumerate(spec.inputs):
                self._link(self.stages[parent], stage, leg, in_order[parent], sizers[parent])
            inherited = tuple(dict.fromkeys(each for parent in spec.inputs for each in sizers[parent]))
            frames_itself = spec.role is Role.SOURCE or spec.parts
            sizers[spec.id] = (own,) if frames_itself else inherited
            in_order[spec.id] = spec.role is not Role.MAP or spec.parts or (spec.ordered and in_order[spec.inputs[0]])
            self.stages.append(stage)
        self._sinks = [stage for stage in self.stages if isinstance(stage, SinkStage)]
        self._sources = [stage for stage in self.stages if isinstance(stage, SourceStage)]
        self._limits = [
            stage
            for stage in self.stages
            if isinstance(stage, RouteStage)
            and stage.spec.role is Role.LIMIT
            and any(source.spec.demand is not None for source in self._sources)
        ]
        self._staffing = Staffing(self.stages, limits.auto_workers)
        self._standstill = Standstill(self.stages)
        self._concats = [stage for stage in self.stages if stage.spec.role is Role.CONCAT]

    def _make(self, spec: StageSpec, sizer: FrameSizer, max_frame: int) -> Stage:  # noqa: RET503 - the match is closed
        match spec.role:
            case Role.SOURCE:
                return SourceStage(spec, self._ledger, sizer, max_frame)
            case Role.MAP if spec.is_open:
                return OpenStage(spec, self._ledger, sizer if spec.parts else None, max_frame)
            case Role.MAP if spec.auto:
                return AutoStage(spec, self._ledger, sizer if spec.parts else None, max_frame)
            case Role.SCAN if len(spec.inputs) > 1:
                return MergeStage(spec, self._ledger, sizer if spec.parts else None, max_frame)
            case Role.MAP | Role.SCAN:
                return WorkStage(spec, self._ledger, sizer if spec.parts else None, max_frame)
            case Role.LIMIT | Role.SKIP | Role.CONCAT | Role.ARRIVAL:
                return RouteStage(spec, self._ledger)
            case Role.SINK:
                return SinkStage(spec, self._ledger)
            case _:
                assert_never(spec.role)

    def _link(self, parent: Stage, child: Stage, leg: int, in_order: bool, sizers: tuple[FrameSizer, ...]) -> None:
        spec = child.spec
        # Whoever merges by source position needs the numbers' order even where the frames come as completed.
        # So does a stage that answers in parts: a worker holding a later frame must not keep it from the next one.
        takes_in_order = (spec.role is not Role.MAP or spec.parts) and (in_order or len(spec.inputs) > 1)
        edge = Edge(
            parent.id,
            child.id,
            leg,
            queue_size=None if spec.queue_size is None else spec.queue_size + max(spec.workers, 1),
            queue_frames=None if spec.queue_frames is None else spec.queue_frames + max(spec.workers, 1),
            unbounded=leg in spec.unbounded_legs,
            in_order=takes_in_order,
            in_order_numbers=in_order,
            sizers=sizers,
            window_bytes=NO_LIMIT if spec.queue_size is not None and self._counts_only else self._window_bytes,
            widens=spec.queue_size is None and self._counts_only,
        )
        parent.outputs.append(edge)
        child.inputs.append(edge)
        if isinstance(child, WorkStage):
            for sizer in sizers:
                sizer.expect(child.id, spec.workers)

    def start(self, at: float) -> list[Command]:
        """Ask for the workers and let the sources begin."""
        self._ledger.at = at
        self._staffing.start(at)
        for stage in self.stages:
            if isinstance(stage, WorkStage):
                stage.start()
            self._ledger.mark(stage.id)
        return self._settle()

    def handle(self, event: Event) -> list[Command]:
        """Take note of what happened; return what to do, in this order. After a `FailRun` nothing is."""
        if self._failed:
            return []
        self._ledger.at = event.at
        match event:
            case FrameReturned():
                self._worker_event(event)
            case SourcePulled():
                self._source(event.source).pulled(event.frame)
            case FrameConsumed():
                sink = self.stages[event.sink]
                assert isinstance(sink, SinkStage)
                sink.consumed()
            case SourceEnded():
                self._source(event.source).source_ended()
            case WorkerReady() | WorkerLost() | WorkerLeft() | WorkerFailed():
                self._worker_event(event)
            case WorkerCame():
                stage = self.stages[event.stage]
                assert isinstance(stage, OpenStage)
                stage.came()
            case StopRequested():
                self._ledger.stopping = True
                for source in self._sources:
                    self._ledger.mark(source.id)
            case WorkerRefused():
                refusing = self._owner[event.worker]
                assert isinstance(refusing, AutoStage)
                refusing.refused(event)
                self._staffing.refused()
            case TimePassed():
                pass  # that it is so late is all there is to know
            case _:
                assert_never(event)
        return self._settle()

    @property
    def due(self) -> float | None:
        """When a `TimePassed` should come if nothing else does (seconds on the run's clock); None: never."""
        return None if self._finished or self._failed else self._staffing.due

    def _worker_event(self, event: FrameReturned | WorkerReady | WorkerLost | WorkerLeft | WorkerFailed) -> None:
        owner = self._owner[event.worker]
        if isinstance(event, WorkerFailed):
            owner.failed(event)
        elif event.worker not in owner.crew:
            return  # it was asked to stop; whatever it did then is its own affair
        elif isinstance(event, FrameReturned):
            owner.returned(event)
        elif isinstance(event, WorkerReady):
            owner.ready(event)
        elif isinstance(event, WorkerLeft):
            assert isinstance(owner, OpenStage)
            owner.left(event)
        else:
            owner.lost(event)

    def _source(self, source: StageId) -> SourceStage:
        stage = self.stages[source]
        assert isinstance(stage, SourceStage)
        return stage

    def _settle(self) -> list[Command]:
        # Each of these is asked for every event: most runs have nothing of the kind.
        if self._staffing.autos:
            self._staffing.look(self._ledger.at)
        if self._concats:
            self._hold_sources()
        self._advance_marked()
        while self._limits and self._feed_limits():
            self._advance_marked()
        while self._standstill.parts and self._standstill.end_one():
            self._advance_marked()
        are_ended = all(sink.ended for sink in self._sinks)
        if not are_ended and self._staffing.autos:
            self._staffing.fill()
        # First: a run that has finished cannot fail any more.
        if self._max_failures is not None and self._has_too_many_failures(self._max_failures):
            self._failed = True
        if are_ended:
            self._finish()
        return self._taken() if self._ledger.commands else []

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._ledger.command(FinishRun(discrepancies(self.stages)))

    def _taken(self) -> list[Command]:
        """Return the commands so far."""
        ledger = self._ledger
        commands = ledger.commands[:]
        ledger.commands.clear()
        for command in ledger.started:
            owner = self.stages[command.stage]
            assert isinstance(owner, WorkStage)
            self._owner[command.worker] = owner
        ledger.started.clear()
        self._failed = self._failed or ledger.failed
        return commands

    def _has_too_many_failures(self, allowed: float) -> bool:
        """Whether more items failed than allowed; says so once."""
        if self._failed:
            return False
        failed = self._ledger.failed_at.total()
        if failed <= (allowed if allowed >= 1 else 0):
            return False
        seen = sum(source.pulled_items for source in self._sources)
        if 0 < allowed < 1:
            # A share says nothing about a handful of items: it is judged once they are enough, and at the end.
            enough = seen >= SHARE_SAMPLE or all(source.ended for source in self._sources)
            if not enough or failed <= allowed * seen:
                return False
        where = tuple((stage, count) for stage, count in sorted(self._ledger.failed_at.items()) if count)
        self._ledger.command(GiveUp(failed, seen, allowed, where))
        return True

    def _advance_marked(self) -> None:
        ledger, at_once = self._ledger, self.at_once
        commands = ledger.commands
        while ledger.marked and (marked := ledger.next_marked()) is not None:
            self.stages[marked].advance()
            if commands and at_once is not None:
                at_once(self._taken())
            if self._concats:
                self._hold_sources()

    def _feed_limits(self) -> bool:
        """Ask for more items where a limit goes short because some were dropped on the way; say whether any were."""
        asked = False
        for limit in self._limits:
            if limit.left and not limit.ended:
                source = self._starving(limit)
                asked = (source is not None and source.ask_for(limit.left)) or asked
        return asked

    def _starving(self, limit: RouteStage) -> SourceStage | None:
        """Return the source a limit waits for, None while anything is on its way."""
        edge: Edge | None = limit.inputs[0]
        while edge is not None and not edge.frames:
            parent = self.stages[edge.parent]
            if isinstance(parent, SourceStage):
                return parent
            if isinstance(parent, RouteStage) and parent.spec.role is Role.CONCAT:
                edge = parent.current_leg
            else:
                edge = parent.inputs[0] if len(parent.inputs) == 1 else None
        return None

    def _hold_sources(self) -> None:
        """Leave a source alone while only later legs of a concat could use it: it may never be needed."""
        hungry: dict[StageId, bool] = {}
        for stage in reversed(self.stages):
            hungry[stage.id] = stage.spec.role is Role.SINK or any(
                hungry[edge.child] and self._is_current(edge) for edge in stage.outputs
            )
            if isinstance(stage, SourceStage) and stage.held == hungry[stage.id]:
                stage.held = not hungry[stage.id]
                self._ledger.mark(stage.id)

    def _is_current(self, edge: Edge) -> bool:
        """Whether what comes this way may be needed now."""
        child = self.stages[edge.child]
        if not (isinstance(child, RouteStage) and child.spec.role is Role.CONCAT):
            return True
        # A later leg without a window, because its source is an earlier one's or had to go on, takes what comes as it
        # comes; a merge in it would hold that source back if its other sources were left alone.
        return child.current_leg is edge or edge.unbounded

    def tallies(self) -> tuple[StageTally, ...]:
        """Return every stage's counts as they stand."""
        for stage in self.stages:
            if isinstance(stage, WorkStage):
                stage.book()
        return tuple(self._tally(stage) for stage in self.stages)

    def _tally(self, stage: Stage) -> StageTally:
        found = StageTally(
            stage.id,
            tuple(OpCounts(*row) for row in stage.tally.ops),
            stage.tally.busy,
            stage.tally.starved,
            stage.tally.blocked,
            sum(edge.waiting_items for edge in stage.inputs),
            sum(edge.capacity for edge in stage.inputs),
            stage.tally.lost_workers,
            stage.tally.retried,
        )
        if not isinstance(stage, AutoStage):
            return found
        moved, earlier = self._staffing.moves_to(stage.id)
        return found._replace(staff=stage.staff, on_duty=stage.on_duty, moved=moved, earlier_moves=earlier)
