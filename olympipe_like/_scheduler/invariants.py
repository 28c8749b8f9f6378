"""What must hold in a scheduler between two events. For tests; raises AssertionError with what is wrong and where."""

from __future__ import annotations

from olympipe_like._model.topology import Role
from olympipe_like._scheduler.auto_stage import AutoStage
from olympipe_like._scheduler.edge import WINDOW_FRAMES, WINDOW_ITEMS, Edge
from olympipe_like._scheduler.ends import SourceStage
from olympipe_like._scheduler.scheduler import Scheduler
from olympipe_like._scheduler.stage import Stage
from olympipe_like._scheduler.work import WorkStage


def check(scheduler: Scheduler) -> None:
    """Raise AssertionError if the scheduler contradicts itself or a window is exceeded."""
    for stage in scheduler.stages:
        for edge in stage.inputs:
            _check_books(edge, stage)
        for edge in stage.outputs:
            _check_window(edge, stage)
        if isinstance(stage, SourceStage):
            _check_allowance(stage)
        elif isinstance(stage, WorkStage):
            _check_hands(stage)
            if isinstance(stage, AutoStage) and not stage.ended:
                _check_crew(stage)


def _check_books(edge: Edge, child: Stage) -> None:
    """What an edge counts is what is there."""
    loads, waiting = edge.loads, edge.waiting
    assert edge.frames == len(loads), f"{_name(edge)}: counts {edge.frames} frames, has {loads}"
    assert edge.items == sum([items for items, _ in loads.values()]), f"{_name(edge)}: {edge.items} items, has {loads}"
    assert edge.nbytes == sum([size for _, size in loads.values()]), f"{_name(edge)}: {edge.nbytes} bytes, has {loads}"
    if not loads and not waiting:
        return
    assert waiting.keys() <= loads.keys(), f"{_name(edge)}: waiting but not counted: {waiting.keys() - loads.keys()}"
    assert min(loads) >= edge.low, f"{_name(edge)}: counts frame {min(loads)}, all below {edge.low} are done with"
    last = max(loads)
    assert edge.total is None or last < edge.total, f"{_name(edge)}: frame {last} of {edge.total}"
    assert not waiting or edge.wants(max(waiting)), f"{_name(edge)}: waiting but not wanted: {max(waiting)}"
    assert not waiting or not child.ended, f"{_name(edge)}: frames wait for a stage that has ended: {sorted(waiting)}"


def _check_window(edge: Edge, parent: Stage) -> None:
    """No edge holds more than its window and what was begun when it was not yet full.

    Each of the parent's workers may have two frames (or `prefetch`) in hand, and an answer may be larger than it was
    thought to be; the frame the child waits for is always admitted.
    """
    if edge.unbounded or not edge.loads:
        return
    largest = max([items for items, _ in edge.loads.values()])
    workers = len(parent.crew) if isinstance(parent, WorkStage) else 0
    slack = (2 + max(2, parent.spec.prefetch) * max(workers, parent.spec.workers)) * largest
    if parent.spec.role is not Role.SOURCE:
        most = edge.capacity if edge.queue_size is not None else max(WINDOW_ITEMS, WINDOW_FRAMES * largest)
        assert edge.items <= most + slack, f"{_name(edge)}: holds {edge.items} items, {most} + {slack} at most"
    elif edge.queue_size is not None:
        assert edge.items <= edge.capacity, f"{_name(edge)}: holds {edge.items} items, {edge.capacity} at most"


def _check_allowance(source: SourceStage) -> None:
    """A source may pull no further than its children have room."""
    assert source.pulled_items <= source.allowed_items, (
        f"source {source.id} gave {source.pulled_items} items, was allowed {source.allowed_items}"
    )
    ahead = source.allowed_items - source.pulled_items
    rooms = [
        max(edge.capacity, 1) - edge.items
        for edge in source.outputs
        if edge.queue_size is not None and not edge.unbounded and edge.wants(source.frames)
    ]
    # A failure that comes without items takes the room of one.
    assert all(ahead <= max(room, 0) + 1 for room in rooms), (
        f"source {source.id} may pull {ahead} items more, its children have room for {rooms}"
    )


def _check_hands(stage: WorkStage) -> None:
    """A frame is in one worker's hands, or waits, or is done with."""
    held = [(task.edge.leg, task.number) for task in stage.crew.tasks if task.frame is not None and not task.replay]
    if not held:
        return
    assert len(held) == len(set(held)), f"stage {stage.id}: a frame is in two workers' hands: {held}"
    for edge in stage.inputs:
        numbers = {number for leg, number in held if leg == edge.leg}
        twice = numbers & edge.waiting.keys()
        assert not twice, f"{_name(edge)}: frames {sorted(twice)} wait and are in a worker's hands"
        done = numbers and min(numbers) < edge.low
        assert not done, f"{_name(edge)}: frame {min(numbers)} is done with and in a worker's hands"


def _check_crew(stage: AutoStage) -> None:
    """A stage has a worker that may take items, or is about to."""
    assert stage.wanted >= 1, f"stage {stage.id} shall have {stage.wanted} workers"
    for_good = [worker for worker, _, _ in stage.crew.hands() if worker not in stage.leaving]
    assert for_good, f"stage {stage.id} has nobody but workers that leave: {stage.leaving}"


def _name(edge: Edge) -> str:
    return f"edge {edge.parent} -> {edge.child} (leg {edge.leg})"
