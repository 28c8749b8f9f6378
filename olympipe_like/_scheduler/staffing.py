"""Workers go to where the time goes: looks at the stages with `workers="auto"` now and then, and has them follow.

Knows when to look and what was moved before. What would be best is `allotment`'s affair, and workers are the stages'.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from olympipe_like._model.identity import StageId
from olympipe_like._model.tallies import Moved
from olympipe_like._scheduler.allotment import Load, Transfer, allot
from olympipe_like._scheduler.auto_stage import AutoStage
from olympipe_like._scheduler.stage import Stage
from olympipe_like._scheduler.work import WorkStage

PERIOD = 0.25
"""Seconds that are looked back on, at least. To start and end a worker takes 6 ms of a processor (small function, warm
hub): a fortieth of this. A run that is shorter is left alone."""

STARTS = 4
"""And at least so many times what it took to start a worker of these stages: those who load a model for a minute are
not moved every other minute."""

LONGEST = 32 * PERIOD
"""Seconds that are looked back on, at most, where the load goes to and fro faster than workers can follow."""

CALM = 8
"""Looks for which a stage that was given workers keeps them before one that takes them back counts as following
the load, and not as wavering."""

KEPT = 10
"""Moves that are told of, for each stage: the latest."""


class _Mark(NamedTuple):
    """What a stage's counts of time were when the time that is looked at began."""

    busy: float
    idle: float
    on_duty: float


class Staffing:
    """Shares out the workers of the stages with ``auto``; without any it does nothing."""

    def __init__(self, stages: Sequence[Stage], total: int | None) -> None:
        self._works = [stage for stage in stages if isinstance(stage, WorkStage)]
        self.autos = [stage for stage in self._works if isinstance(stage, AutoStage)]
        self._total = max(total or 0, len(self.autos))
        self._streams = _streams(stages)
        self._began = 0.0
        self._since: float | None = None  # the time that is looked at; None: nobody has begun
        self._marks: dict[StageId, _Mark] = {}
        self._proposed: Transfer | None = None  # by the look before, of stages' places in `_working`
        self._pace = PERIOD
        self._direction: dict[StageId, int] = {}  # 1: was given workers last, -1: gave some
        self._moved_at = 0.0
        self._moves: dict[StageId, deque[Moved]] = {stage.id: deque(maxlen=KEPT) for stage in self.autos}
        self._counts: dict[StageId, int] = dict.fromkeys(self._moves, 0)

    def start(self, at: float) -> None:
        """Note when the run began."""
        self._began = at

    @property
    def due(self) -> float | None:
        """When a look is worth while even if nothing happens until then; None: only when something does."""
        if self._since is None or not any(stage.has_nobody_free for stage in self.autos):
            return None
        at_work = [stage for stage in self.autos if not stage.ended]
        is_spare = sum(stage.wanted for stage in at_work) < self._total
        if not is_spare and not any(stage.wanted > 1 and stage.crew.idle for stage in at_work):
            return None  # nobody could give them one
        return self._since + self._patience

    @property
    def _patience(self) -> float:
        return max(self._pace, STARTS * max(stage.slowest_start for stage in self.autos))

    def look(self, at: float) -> None:
        """Judge the time since the last look, if it is long enough, and say how many workers each stage shall have."""
        if self._since is None:
            if any(stage.crew.ready for stage in self.autos):
                self._begin(at)
        elif at >= self._since + self._patience:  # as `due` reckons it, to the last bit
            self._judge(at)
            self._begin(at)

    def fill(self) -> None:
        """Ask for the workers that are wanted, as far as others have ended in their place."""
        if not any(stage.vacancies > 0 for stage in self.autos):
            return
        free = self._total - sum(len(stage.crew) for stage in self.autos)
        for stage in self.autos:
            for _ in range(min(stage.vacancies, free)):
                stage.hire()
                free -= 1

    def refused(self) -> None:
        """Share out no more workers than there are: the system has no room for another one."""
        self._total = max(sum(len(stage.crew) for stage in self.autos), len(self.autos))

    def moves_to(self, stage: StageId) -> tuple[tuple[Moved, ...], int]:
        """Return the latest workers that a stage was given, and how often it was given some before."""
        moves = tuple(self._moves.get(stage, ()))
        return moves, self._counts.get(stage, 0) - len(moves)

    def _begin(self, at: float) -> None:
        self._since = at
        self._marks = {stage.id: _mark(stage) for stage in self._works}

    def _judge(self, at: float) -> None:
        assert self._since is not None
        working = [stage for stage in self._works if not stage.ended]
        loads = [self._load(stage, at - self._since) for stage in working]
        transfers = allot(loads, self._total)
        taken = next((each for each in transfers if each.giver is not None), None)
        # What is taken from a stage must be said twice: uneven items make two stages change places for once.
        named = None if taken is None else Transfer(_name(working, taken.giver), working[taken.taker].id)
        agreed = named is None or named == self._proposed
        self._proposed = named
        if not transfers or not agreed:
            return
        self._proposed = None
        sizes = [load.workers for load in loads]
        for giver, taker in transfers:
            sizes[taker] += 1
            if giver is not None:
                sizes[giver] -= 1
        for stage, load, size in zip(working, loads, sizes, strict=True):
            if size != load.workers:
                assert isinstance(stage, AutoStage)
                stage.want(size)
        self._note(at, working, loads, transfers)

    def _load(self, stage: WorkStage, seconds: float) -> Load:
        before, now = self._marks[stage.id], _mark(stage)
        busy = max(now.busy - before.busy, 0.0)
        stream = self._streams[stage.id]
        if not isinstance(stage, AutoStage):
            return Load(max(len(stage.crew), 1), busy / seconds, auto=False, stream=stream)
        on_duty = now.on_duty - before.on_duty
        if on_duty <= 0:
            return Load(stage.wanted, busy / seconds, idle_share=1.0, busy_share=0.0, stream=stream)
        return Load(
            stage.wanted,
            busy / seconds,
            idle_share=(now.idle - before.idle) / on_duty,
            busy_share=busy / on_duty,
            stream=stream,
        )

    def _note(self, at: float, working: list[WorkStage], loads: list[Load], transfers: list[Transfer]) -> None:
        """Write down what was moved, and look for longer where it takes back what was moved not long ago."""
        wavers = False
        for giver, taker in dict.fromkeys(transfers):
            to, load = working[taker].id, loads[taker]
            count = transfers.count(Transfer(giver, taker))
            wavers |= self._direction.get(to) == -1
            self._direction[to] = 1
            if giver is not None:
                from_ = working[giver].id
                wavers |= self._direction.get(from_) == 1
                self._direction[from_] = -1
            giver_busy = loads[giver].busy_share if giver is not None else 0.0
            move = Moved(at - self._began, to, _name(working, giver), count, min(load.busy_share, 1.0), giver_busy)
            self._moves[to].append(move)
            self._counts[to] += 1
        if wavers:
            is_calm = at - self._moved_at >= CALM * self._pace
            self._pace = PERIOD if is_calm else min(2 * self._pace, LONGEST)
        self._moved_at = at


def _mark(stage: WorkStage) -> _Mark:
    if isinstance(stage, AutoStage):
        stage.book()
    tally = stage.tally
    on_duty = stage.on_duty if isinstance(stage, AutoStage) else 0.0
    return _Mark(tally.busy + stage.crew.under_way, tally.starved + tally.blocked, on_duty)


def _name(working: Sequence[WorkStage], place: int | None) -> StageId | None:
    return None if place is None else working[place].id


def _streams(stages: Sequence[Stage]) -> dict[StageId, int]:
    """Return a number for each stage; those that are joined in any way have the same."""
    streams: dict[StageId, int] = {}
    for stage in stages:
        joined = {streams[parent] for parent in stage.spec.inputs}
        number = min(joined, default=int(stage.id))
        streams = {each: number if old in joined else old for each, old in streams.items()}
        streams[stage.id] = number
    return streams
