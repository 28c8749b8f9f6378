"""Says which part of a run limits it: a stage, the source, the consumer, the transport, or none.

Knows shares of time. Does not know clocks, or how to say it to a user (`report` does).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from olympipe_like._model.stats import RunStats, StageStats

# The shares below are judgement, not measurement. The part that limits a run is the one that never waits; but
# starting (60 to 100 ms), ending and uneven items cost it some of its time, so less than all of it must do.
_BUSY = 0.75  # of its workers' time: a stage this busy limits the run, whatever its neighbours do
_FAIRLY_BUSY = 0.4  # enough if it is idle less than that and its neighbours wait for it
_WAITING = 0.3  # of a neighbour's time: what counts as waiting for it
_MOSTLY = 0.5  # a run whose stages idle for half of their time is limited from outside them
_LEVEL = 0.1  # stages whose busy shares differ by less limit the run together
# Beyond four times as many workers, the stage compared with is so idle that the figure says nothing.
_LARGEST_FACTOR = 4.0
_ALL_CORES = (
    0.7  # of the processors' time: with this much work in all stages together there is no processor to wait for
)

ENDS = frozenset({"source", "sink"})  # not stages of the plan's making: what gives items, who takes results

# These run in one worker because they remember what came before; more workers= is no advice for them.
_ONE_WORKER_KINDS = ENDS | {"batch", "unbatch", "reduce", "limit", "skip", "gather", "zip", "concat"}


class Limit(Enum):
    """What keeps a run from going faster."""

    STAGE = "stage"
    SOURCE = "source"  # what gives the items
    CONSUMER = "consumer"  # who takes the results
    TRANSPORT = "transport"  # moving items costs more than working on them
    MACHINE = "machine"  # all processors are busy; the stages share them
    NONE = "none"  # nothing stands out, or there is nothing to judge yet


@dataclass(frozen=True, slots=True)
class Shares:
    """How a stage's workers spent the run; each from 0 to 1."""

    busy: float
    starved: float
    blocked: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which part limits the run, and the figures that say so."""

    limit: Limit
    # From 0 to 1, the one that decided: busy of the part named (NONE: of the busiest); if only its neighbours
    # tell, starved of the least starved stage (SOURCE, TRANSPORT) or blocked of the last one (CONSUMER).
    share: float = 0.0
    index: int | None = None  # in RunStats.stages: the row this is about, if there is one
    level_with: tuple[int, ...] = ()  # STAGE: others that are as busy
    starved: int | None = None  # STAGE: the stage behind it that waits for it most
    blocked: int | None = None  # STAGE: the stage before it that waits for it most
    workers: int | None = None  # STAGE: about how many would bring it level with the next busiest
    next_busiest: int | None = None  # STAGE: the stage `workers` is reckoned from


def shares(stage: StageStats, elapsed: float) -> Shares | None:
    """Return how a stage's workers spent the run, or None if it has no times of its own.

    Parameters
    ----------
    stage : StageStats
        A stage without workers has times if it ran in the caller (executor "inline"), none if it rode along.
    elapsed : float
        Seconds since the run started; at 0 or below nothing can be said.

    Returns
    -------
    Shares or None
        Each from 0 to 1: clocks of different processes may add up to a little more than there was.
    """
    idle = stage.starved + stage.blocked
    if elapsed <= 0 or (stage.workers == 0 and stage.busy + idle <= 0):
        return None
    time = elapsed * max(stage.workers, 1) if stage.on_duty is None else stage.on_duty
    if time <= 0:
        return None
    return Shares(
        busy=min(stage.busy / time, 1.0),
        starved=min(stage.starved / time, 1.0),
        blocked=min(stage.blocked / time, 1.0),
    )


def time_shares(run: RunStats) -> dict[int, Shares]:
    """Return the shares of every stage that has times of its own, by its index in ``run.stages``."""
    found = ((index, shares(stage, run.elapsed)) for index, stage in enumerate(run.stages))
    return {index: share for index, share in found if share is not None}


def find_bottleneck(run: RunStats) -> Verdict:
    """Return what limits a run.

    The part that limits is the one that does not wait: what comes before it is blocked, what follows is
    starved. If every stage is starved it is the source, if the last one is blocked it is the consumer.

    Parameters
    ----------
    run : RunStats
        Of a run that goes on or has ended; the judgement is over the whole time until then.

    Returns
    -------
    Verdict
        ``Limit.NONE`` where the figures name nobody, as in a run too short to have filled its stages.
    """
    timed = time_shares(run)
    if not timed or not any(stage.items_in or stage.items_out for stage in run.stages):
        return Verdict(Limit.NONE)
    inner = [index for index in timed if run.stages[index].kind not in ENDS]
    peak = max(timed, key=lambda index: timed[index].busy)
    if _never_waits(peak, inner, timed):
        return _name(peak, inner, run, timed)
    return _look_outside(peak, inner, run, timed)


def _never_waits(peak: int, inner: list[int], timed: dict[int, Shares]) -> bool:
    """Whether the busiest part is what the others wait for."""
    busiest = timed[peak]
    if busiest.busy >= _BUSY:
        return True
    if busiest.busy < _FAIRLY_BUSY or busiest.busy <= busiest.starved + busiest.blocked:
        return False
    # Without any idle time on record the parts took turns (executor "inline"): the longest turn is the limit.
    took_turns = not any(share.starved or share.blocked for share in timed.values())
    return took_turns or any(
        timed[index].blocked >= _WAITING if index < peak else timed[index].starved >= _WAITING
        for index in inner
        if index != peak
    )


def _name(peak: int, inner: list[int], run: RunStats, timed: dict[int, Shares]) -> Verdict:
    """Return the verdict against the part that never waits."""
    kind = run.stages[peak].kind
    busy = timed[peak].busy
    if kind in ENDS:
        return Verdict(Limit.SOURCE if kind == "source" else Limit.CONSUMER, share=busy, index=peak)
    others = [index for index in inner if index != peak]
    level_with = tuple(index for index in others if timed[index].busy >= busy - _LEVEL)
    before = [index for index in others if index < peak and timed[index].blocked >= _LEVEL]
    behind = [index for index in others if index > peak and timed[index].starved >= _LEVEL]
    workers, next_busiest = (None, None) if level_with else _balance(peak, run, timed)
    return Verdict(
        Limit.STAGE,
        share=busy,
        index=peak,
        level_with=level_with,
        starved=max(behind, key=lambda index: timed[index].starved, default=None),
        blocked=max(before, key=lambda index: timed[index].blocked, default=None),
        workers=workers,
        next_busiest=next_busiest,
    )


def _balance(peak: int, run: RunStats, timed: dict[int, Shares]) -> tuple[int | None, int | None]:
    """Return about how many workers would bring a stage level with the next busiest part, and that part."""
    stage = run.stages[peak]
    others = [index for index in timed if index != peak and timed[index].busy > 0]
    if not others or stage.workers == 0 or not may_have_workers(stage):
        return None, None
    following = max(others, key=lambda index: timed[index].busy)
    factor = timed[peak].busy / timed[following].busy
    if factor > _LARGEST_FACTOR:
        return None, None
    workers = math.ceil(stage.workers * factor)
    if workers <= stage.workers:
        return None, None
    return workers, following


def _look_outside(peak: int, inner: list[int], run: RunStats, timed: dict[int, Shares]) -> Verdict:
    """Return the verdict where no part is busy enough to be the limit itself."""
    nobody = Verdict(Limit.NONE, share=timed[peak].busy, index=peak)
    total = sum(run.stages[index].busy for index in inner)
    if inner and run.cores is not None and total >= _ALL_CORES * run.cores * run.elapsed:
        heaviest = max(inner, key=lambda index: run.stages[index].busy)
        return Verdict(Limit.MACHINE, share=run.stages[heaviest].busy / total, index=heaviest)
    if not inner:
        return nobody
    starved = min(timed[index].starved for index in inner)
    blocked = timed[inner[-1]].blocked
    if blocked >= _MOSTLY and blocked >= starved:
        return Verdict(Limit.CONSUMER, share=blocked, index=_only(run, "sink"))
    if starved < _MOSTLY:
        return nobody
    # A source that waits for room while every stage waits for items: what is slow lies between them.
    sources = [timed[i] for i, stage in enumerate(run.stages) if stage.kind == "source" and i in timed]
    if sources and all(share.blocked >= _MOSTLY for share in sources):
        return Verdict(Limit.TRANSPORT, share=starved)
    return Verdict(Limit.SOURCE, share=starved, index=_only(run, "source"))


def _only(run: RunStats, kind: str) -> int | None:
    """Return the index of the one stage of this kind; None if there are several, which leave it open."""
    found = [index for index, stage in enumerate(run.stages) if stage.kind == kind]
    return found[0] if len(found) == 1 else None


def may_have_workers(stage: StageStats) -> bool:
    """Whether more workers are an advice for this kind of stage."""
    return stage.kind not in _ONE_WORKER_KINDS
