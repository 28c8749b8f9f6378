"""Where everything of a run is at this moment, and so who is waited for. Reads a scheduler, changes nothing."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ends import SinkStage, SourceStage
from olympipe_like._scheduler.scheduler import Scheduler
from olympipe_like._scheduler.stage import Stage
from olympipe_like._scheduler.work import WorkStage


class WaitsFor(Enum):
    """Who has to move next."""

    CONSUMER = "consumer"  # has results that it has not done with
    RUN = "run"  # frames are in workers' hands, or wait inside the run
    SOURCE = "source"  # the run is empty and may be given items
    NOBODY = "nobody"  # the run is empty, and nobody is asked for anything


class Hand(NamedTuple):
    """What one worker has been given and has not answered."""

    worker: WorkerId
    slot: int  # which of its stage's workers, from 0
    frames: int
    items: int
    waits_for_room: bool  # holds the rest of an answer that has no room yet


class InFront(NamedTuple):
    """What one edge holds."""

    parent: StageId
    waiting: int  # items that wait to be taken
    counted: int  # items that count against the window: these, those in hands, and those being made
    capacity: int  # items; 0: unbounded


class StageStanding(NamedTuple):
    """Where one stage stands."""

    stage: StageId
    ended: bool
    hands: tuple[Hand, ...] = ()  # of workers that have something
    in_front: tuple[InFront, ...] = ()
    undone: int = 0  # SINK: frames the consumer has, or has on their way to it
    given: int = 0  # SOURCE: items so far
    wanted: int = 0  # SOURCE: items it may still give
    is_awaited: bool = False  # SOURCE: it may give items, or has been asked to end


def standing(scheduler: Scheduler) -> tuple[StageStanding, ...]:
    """Return where each stage stands."""
    return tuple(_of_stage(stage) for stage in scheduler.stages)


def waits_for(stages: tuple[StageStanding, ...]) -> WaitsFor:
    """Return who has to move next.

    The consumer comes first: while it has results nobody is kept waiting, whatever the workers do.
    """
    if any(stage.undone for stage in stages):
        return WaitsFor.CONSUMER
    wanted = [stage for stage in stages if not stage.ended]
    if any(stage.hands or any(edge.waiting for edge in stage.in_front) for stage in wanted):
        return WaitsFor.RUN
    return WaitsFor.SOURCE if any(stage.is_awaited for stage in stages) else WaitsFor.NOBODY


def _of_stage(stage: Stage) -> StageStanding:
    in_front = tuple(_of_edge(edge) for edge in stage.inputs)
    if isinstance(stage, SourceStage):
        wanted = stage.allowed_items - stage.pulled_items
        return StageStanding(
            stage=stage.id,
            ended=stage.ended,
            given=stage.pulled_items,
            wanted=max(wanted, 0),
            is_awaited=stage.awaits,
        )
    if isinstance(stage, SinkStage):
        return StageStanding(stage=stage.id, ended=stage.ended, in_front=in_front, undone=stage.undone)
    hands = _hands(stage) if isinstance(stage, WorkStage) else ()
    return StageStanding(stage=stage.id, ended=stage.ended, hands=hands, in_front=in_front)


def _of_edge(edge: Edge) -> InFront:
    capacity = 0 if edge.unbounded else edge.capacity
    return InFront(parent=edge.parent, waiting=edge.waiting_items, counted=edge.items, capacity=capacity)


def _hands(stage: WorkStage) -> tuple[Hand, ...]:
    crew = stage.crew
    return tuple(
        Hand(
            worker=worker,
            slot=slot,
            frames=len(tasks),
            items=sum(task.frame.count for task in tasks if task.frame is not None),
            waits_for_room=worker in crew.paused,
        )
        for worker, slot, tasks in crew.hands()
        if tasks
    )
