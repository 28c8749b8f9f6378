"""The way of one item: the stages above the one that failed on it, and what its path was at each of them.

Decides how far back an item is one item, and from which source it came. Knows paths and operators. Does not know files,
nor how a step is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from olympipe_like._model.identity import Path, StageId
from olympipe_like._model.topology import Role
from olympipe_like._plan import operators as ops
from olympipe_like._plan import reshaping
from olympipe_like._plan.layout import Layout
from olympipe_like._plan.operators import Operator

_OF_SEVERAL = (
    ops.Align,
    ops.Batch,
    ops.Reduce,
    ops.Zip,
    reshaping.Bucket,
    reshaping.Scan,
    reshaping.Window,
)
"""What these give depends on more than one of the items they were given."""


class WayStage(NamedTuple):
    """One stage of a way, as far as it matters to the items that pass it."""

    inputs: tuple[int, ...]  # the stages of the way that feed it
    role: Role
    ops: tuple[Operator, ...] = ()  # none: frames pass unopened, or it is a source
    depth: int = 1  # of a source: numbers in the paths of its items


class Stretch(NamedTuple):
    """What an item did in one stage."""

    place: int  # which stage of the way
    paths: tuple[Path, ...]  # of the item as it came in, and behind each operator


Route = tuple[Stretch, ...]
"""From a source to the stage that failed, which is the last; its own operators only up to the one that failed."""


def stages_above(layout: Layout, stage: StageId) -> list[StageId]:
    """Return the stages whose items may come to this one, in topological order, itself last."""
    found = {stage}
    todo = [stage]
    while todo:
        inputs = set(layout.stages[todo.pop()].spec.inputs) - found
        found |= inputs
        todo += inputs
    return sorted(found)


def way_to(layout: Layout, stage: StageId) -> list[WayStage]:
    """Return the way to a stage."""
    above = stages_above(layout, stage)
    place = {each: index for index, each in enumerate(above)}
    return [
        WayStage(
            inputs=tuple(place[each] for each in laid.spec.inputs),
            role=laid.spec.role,
            ops=laid.segment.ops if laid.segment is not None else (),
            depth=1 + len(laid.source.epochs) if laid.source is not None else 1,
        )
        for laid in (layout.stages[each] for each in above)
    ]


def routes(way: Sequence[WayStage], index: int, path: Path) -> tuple[list[Route], str]:
    """Return how an item can have come to operator ``index`` of the last stage, and why there may be no route.

    Several: behind a gather the path alone does not tell by which leg it came.
    """
    op = way[-1].ops[index] if way[-1].ops else None
    if isinstance(op, ops.Batch):
        return [], f"what {op.name!r} was given is a batch of several items"
    found, why = _routes(way, index, path)
    if not found and op is not None and op.multiplies:  # the failure may be of one of the parts it gave
        found, _ = _routes(way, index, path[:-1])
    return found, why


def _routes(way: Sequence[WayStage], index: int, path: Path) -> tuple[list[Route], str]:
    found: list[Route] = []
    why = "its position does not tell which item of a source it was"
    todo: list[tuple[int, Path, Route]] = [(len(way) - 1, path, ())]
    while todo:
        place, given, behind = todo.pop()
        stage = way[place]
        if stage.role is Role.SOURCE:
            if len(given) == stage.depth:
                found.append((Stretch(place, (given,)), *behind))
            continue
        passed = stage.ops if behind else stage.ops[:index]
        several = next((op for op in passed if isinstance(op, _OF_SEVERAL)), None)
        if several is not None:
            why = f"the {several.kind} {several.name!r} made it of several items"
            continue
        paths = _paths(passed, given)
        first, route = paths[0], (Stretch(place, paths), *behind)
        if stage.role is not Role.CONCAT:
            todo += [(above, first, route) for above in reversed(stage.inputs)]
        elif first and 0 <= first[0] < len(stage.inputs):
            todo.append((stage.inputs[first[0]], first[1:], route))
    return found, why


def _paths(passed: Sequence[Operator], path: Path) -> tuple[Path, ...]:
    """Return the paths of an item in front of these operators and behind each, from the one behind them all."""
    paths = [path]
    for op in reversed(passed):
        if isinstance(op, reshaping.Shuffle):
            epoch = len(op.epochs)
            path = (*path[:epoch], *path[epoch + 1 :])
        elif op.multiplies:
            path = path[:-1]
        paths.append(path)
    return tuple(reversed(paths))
