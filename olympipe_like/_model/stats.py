"""Counts and times of a run as people are shown them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageStats:
    """Counts and times of one stage (one user-visible step), as they stand now."""

    name: str
    kind: str  # 'source', 'task', 'filter', 'batch', 'sink', ...
    workers: int  # 0: rides along with a neighbour (no worker of its own)
    items_in: int
    items_out: int
    filtered: int  # dropped on purpose: filter, SKIP, not routed to this leg, skip, limit
    failed: int
    merged: int  # items that became part of another (batch, reduce, zip)
    busy: float  # seconds its workers spent in user code and (un)pickling, summed over workers
    starved: float  # seconds its workers were idle for want of input
    blocked: float  # seconds its workers were idle because what follows was full
    waiting: int  # items waiting in front of it now
    capacity: int  # how many may wait there
    retried: int = 0  # further tries of items that raised
    lost_workers: int = 0
    expected: int | None = None  # how many items will come in, if known (len of the source through 1:1 steps)
    on_duty: float | None = None  # seconds, summed over workers, where their number changes by itself; None: elsewhere


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """What one worker did, of a stage that workers of other machines may join."""

    stage: str
    name: str  # as errors and logs call it: '1.0'
    host: str  # the machine; empty: this one
    pid: int | None
    items: int
    busy: float  # seconds in user code and (un)pickling
    last_seen: float | None  # seconds since its machine gave a sign of life; None: it is this one, or has left
    left: bool  # it is lost, or has left
    seconds: float  # from its start to its last answer


@dataclass(frozen=True, slots=True)
class WorkerMove:
    """Workers that went to where the time goes."""

    at: float  # seconds since the run began
    workers: int
    to: str  # the stage's name
    giver: str | None  # None: no other stage had them
    busy: float  # share of their time that the taker's workers were at work just before, 0 to 1
    giver_busy: float | None


@dataclass(frozen=True, slots=True)
class RunStats:
    """A run's stages in topological order; fused steps share busy, starved and blocked only on the first."""

    elapsed: float  # seconds since the run started
    finished: bool
    stages: tuple[StageStats, ...]
    balanced: bool = False  # it has ended, and at every stage in = out + filtered + failed + merged
    cores: int | None = None  # processors the run may use; None: not known
    workers: tuple[WorkerStats, ...] = ()  # of stages that workers of other machines may join
    failed: tuple[str, ...] = ()  # the first of the failed items that the caller keeps, a sentence each
    kept: int = 0  # failed items that the caller keeps
    moves: tuple[WorkerMove, ...] = ()  # the latest, of stages with workers="auto"
    earlier_moves: int = 0  # before those
