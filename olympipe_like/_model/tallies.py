"""Counts and times of a run as the scheduler keeps them."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import StageId


class WorkerTally(NamedTuple):
    """One worker's counts, of a stage that workers of other machines may join."""

    slot: int
    host: str  # the machine; empty: the hub's own
    pid: int | None
    items: int
    busy: float  # seconds
    seen_at: float | None  # the last sign of life of its machine (`monotonic`, seconds); None: not known, or here
    left: bool  # it is lost, or has left
    seconds: float  # from its start to its last answer


class Moved(NamedTuple):
    """Workers that a stage with ``workers="auto"`` was given, and why."""

    at: float  # seconds since the run began
    to: StageId
    giver: StageId | None  # None: no other stage had them
    workers: int
    busy: float  # share of their time that the taker's workers were at work, 0 to 1
    giver_busy: float


class StageTally(NamedTuple):
    """One segment's counts, an entry for each operator fused into it."""

    stage: StageId
    ops: tuple[OpCounts, ...]
    busy: float  # seconds, summed over workers, as are the next two
    starved: float
    blocked: float
    waiting: int
    capacity: int
    lost_workers: int = 0
    retried: int = 0  # after a timeout; other tries are counted by the workers
    workers: tuple[WorkerTally, ...] = ()  # where those of other machines may join
    staff: int | None = None  # workers at present, or at its end, where their number changes by itself
    on_duty: float = 0.0  # there: seconds, summed over workers
    moved: tuple[Moved, ...] = ()  # there: the latest workers it was given
    earlier_moves: int = 0  # there: how often it was given some before those
