"""The shape of a run as the scheduler needs it: stages, their inputs, how they take and number frames."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from olympipe_like._model.identity import StageId


class Role(Enum):
    """How a stage turns frames into frames."""

    SOURCE = "source"  # makes frames
    MAP = "map"  # frame n becomes frame n; any worker, any order
    SCAN = "scan"  # frames in order through one worker that remembers (batch, reduce, merges)
    LIMIT = "limit"  # routed unopened, as are the next three
    SKIP = "skip"
    CONCAT = "concat"
    ARRIVAL = "arrival"  # gather(ordered=False)
    SINK = "sink"  # hands frames to the caller


class Take(Enum):
    """Which of its legs a merge takes the next frame from."""

    WATERMARK = "watermark"  # the leg that has come least far, by source position
    STEP = "step"  # the same of legs that keep step: each is given the same frames
    COUNT = "count"  # the leg that has given the fewest items
    ANY = "any"  # whichever has a frame: legs that share a source but do not run in step


class StageSpec(NamedTuple):
    """One stage of a run: a segment of the plan's operators that runs in one worker."""

    id: StageId
    name: str
    role: Role
    inputs: tuple[StageId, ...] = ()
    workers: int = 0  # 0: the hub routes, or a source or sink elsewhere
    auto: bool = False  # MAP: that many to begin with, at least 1 all the time
    ordered: bool = True  # output in input order
    queue_size: int | None = None  # items waiting in front of it; None: the default window
    amount: int = 0  # LIMIT, SKIP: items
    parts: bool = False  # one frame may be answered by several (explode)
    flushes: bool = False  # wants to be told when a leg has ended: it may hold items, or be done
    sees_all: bool = False  # frames without items, too: what they say of the stream's progress is not what it answers
    take: Take = Take.WATERMARK
    unbounded_legs: tuple[int, ...] = ()  # CONCAT: legs that share a source with an earlier one must not make it wait
    demand: int | None = None  # SOURCE: items its limits need if no item is dropped on the way; None: no limit
    ops: int = 1  # operators whose counts it reports
    conserves: tuple[bool, ...] = ()  # for each: an item in is an item out, filtered, failed or merged; empty: all do
    may_die: bool = False  # its workers are processes
    is_open: bool = False  # workers of other machines come and go, beside `workers` of this one
    prefetch: int = 1  # where it is open: frames a worker may have in hand at least
    queue_frames: int | None = None  # where it is open: frames waiting in front of it, instead of the default window
    careful: bool = False  # every loss must tell which item it was at
    worker_retries: int = 2  # workers an item may cost after the first
    timeout_retries: int = 0
    max_items: int | None = None  # of one worker
    max_rss: int | None = None  # bytes, of one worker
