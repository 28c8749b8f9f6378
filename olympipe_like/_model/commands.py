"""What to do: all that the scheduler ever asks for."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.failure import GivenUp
from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import PayloadId, StageId, WorkerId


class StartWorker(NamedTuple):
    """Start one more worker of a stage."""

    worker: WorkerId
    stage: StageId
    slot: int  # which of the stage's workers it is, from 0; a successor gets the slot of the lost one
    spare: bool = False  # others can do without it: a `WorkerRefused` is no failure


class RunFrame(NamedTuple):
    """Give a worker one frame, or tell it that a leg has ended so that it gives what it held for it."""

    worker: WorkerId
    stage: StageId
    leg: int
    frame: Frame | None  # None: this leg has ended
    part_items: int  # how many items an answering part should have at most
    skip_items: int = 0  # items of the answer that an earlier, lost worker already gave
    careful: bool = False  # note for each item that it has begun: a loss must tell whose it was
    rehearsed: bool = False  # and pickle each result at once: that may be what ends the worker
    poison: tuple[GivenUp, ...] = ()  # items not to be run
    replay: bool = False  # answered before: a successor hears it for its memory only


class RestoreWorker(NamedTuple):
    """Let a worker remember what its predecessor knew."""

    worker: WorkerId
    snapshot: object


class ContinueFrame(NamedTuple):
    """Let a worker make the next part of its answer."""

    worker: WorkerId


class DropFrame(NamedTuple):
    """Let a worker that waits to go on with its answer forget that frame: it is needed for an earlier one."""

    worker: WorkerId


class StopWorker(NamedTuple):
    """Let a worker close and end; it has nothing in hand."""

    worker: WorkerId


class AllowSource(NamedTuple):
    """Let a source pull until it has given ``items`` in all, in frames of at most ``size``; the last one counts."""

    source: StageId
    items: int
    size: int


class StopSource(NamedTuple):
    """Nothing more is wanted from this source."""

    source: StageId


class Deliver(NamedTuple):
    """Hand a frame to the caller."""

    sink: StageId
    frame: Frame


class ReportDropped(NamedTuple):
    """Hand the records of items that failed and were dropped to the caller."""

    stage: StageId
    records: tuple[object, ...]


class EndSink(NamedTuple):
    """The caller has been given all there is on this sink."""

    sink: StageId


class FreePayload(NamedTuple):
    """Nobody needs this payload any more."""

    payload: PayloadId


class FinishRun(NamedTuple):
    """Every sink has ended; ``discrepancies``: what the books say was lost on the way, or came twice."""

    discrepancies: tuple[str, ...] = ()


class FailRun(NamedTuple):
    """The run cannot go on; the failure belongs to no item's place."""

    failure: object | None
    stage: StageId
    worker: WorkerId
    slot: int = 0
    exit_code: int | None = None
    pid: int | None = None
    attempts: int = 0
    frame: Frame | None = None


class GiveUp(NamedTuple):
    """More items failed than the run allows."""

    failed: int
    seen: int  # items that came from the sources
    allowed: int | float
    stages: tuple[tuple[StageId, int], ...]  # where, and how many there


Command = (
    StartWorker
    | RunFrame
    | ContinueFrame
    | DropFrame
    | StopWorker
    | AllowSource
    | StopSource
    | Deliver
    | EndSink
    | FreePayload
    | FinishRun
    | FailRun
    | RestoreWorker
    | ReportDropped
    | GiveUp
)
