"""What happened: all that the scheduler is ever told. Times (``at``) are seconds on the run's clock."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.frame import Frame, OpCounts
from olympipe_like._model.identity import StageId, WorkerId


class SourcePulled(NamedTuple):
    """A source gave its next frame."""

    at: float
    source: StageId
    frame: Frame


class SourceEnded(NamedTuple):
    """A source has no more frames (end, failure inside its last frame, or told to stop)."""

    at: float
    source: StageId


class FrameReturned(NamedTuple):
    """A worker answered a frame, or the next part of the answer."""

    at: float
    worker: WorkerId
    frame: Frame
    counts: tuple[OpCounts, ...]
    seconds: float  # spent by the worker on this part, decoding and encoding included
    more: bool = False  # another part follows when the worker is told to continue
    done: bool = False  # the stage wants no further input
    records: tuple[object, ...] = ()  # of items that were dropped; opaque here
    snapshot: object | None = None  # what the stage remembers now; None: no new one; empty: it cannot be kept
    rss: int = 0  # bytes of memory the worker holds, where asked for
    same: bool = False  # the items are those of the frame it was given: its payload stands for both


class WorkerReady(NamedTuple):
    """A worker has loaded its function and built its instances."""

    at: float
    worker: WorkerId
    holds: int = 0  # frames it wants in hand, where it says so; 0: as many as its stage's workers have


class WorkerLost(NamedTuple):
    """A worker ended without being asked to."""

    at: float
    worker: WorkerId
    exit_code: int | None  # below 0: killed by that signal; None: never known
    pid: int | None = None
    ordinal: int | None = None  # which of the frame's items it was at, where that is known
    excused: bool = False  # it was ended by mistake: no item is to blame
    timed_out: bool = False  # it was ended because that item took too long


class WorkerCame(NamedTuple):
    """A worker of another machine is free for a stage."""

    at: float
    stage: StageId


class WorkerLeft(NamedTuple):
    """A worker of another machine is not there any more; no item is to blame."""

    at: float
    worker: WorkerId
    lost: bool  # it did not say good-bye
    failure: object = None  # what the run is told where what it held must not be done twice


class WorkerRefused(NamedTuple):
    """The system has no room for a worker that others can do without."""

    at: float
    worker: WorkerId


class WorkerFailed(NamedTuple):
    """A worker could not start (its function did not load, its class could not be built), or not close."""

    at: float
    worker: WorkerId
    failure: object


class FrameConsumed(NamedTuple):
    """The caller is done with the oldest frame it was given on this sink."""

    at: float
    sink: StageId


class StopRequested(NamedTuple):
    """The caller wants no more from the sources, but all that is in flight."""

    at: float


class TimePassed(NamedTuple):
    """The time has come that the scheduler wanted to be told of, and nothing else happened."""

    at: float


Event = (
    SourcePulled
    | SourceEnded
    | FrameReturned
    | WorkerReady
    | WorkerLost
    | WorkerCame
    | WorkerLeft
    | WorkerFailed
    | WorkerRefused
    | FrameConsumed
    | StopRequested
    | TimePassed
)
