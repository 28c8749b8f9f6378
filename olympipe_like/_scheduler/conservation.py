"""The proof that no item was lost: what every stage was given is what it gave, filtered, failed and merged.

The counts of the workers are held against those of the frames' headers, which nobody but the scheduler keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from olympipe_like._model.frame import OpCounts
from olympipe_like._scheduler.ends import SinkStage
from olympipe_like._scheduler.route import RouteStage
from olympipe_like._scheduler.stage import Stage


def discrepancies(stages: Sequence[Stage]) -> tuple[str, ...]:
    """Return what does not add up, in words; nothing where all does.

    A stage whose items were not all wanted (before a limit, or a leg of zip that was longer) is not judged, nor is
    one that a failed item ended.
    """
    return tuple(text for stage in stages if _is_whole(stage) for text in _of_stage(stage))


def _is_whole(stage: Stage) -> bool:
    if isinstance(stage, RouteStage) and any(edge.cut is not None for edge in stage.inputs):
        return False
    edges = [*stage.inputs, *stage.outputs]
    return all(edge.cut is None and edge.total is not None for edge in edges)


def _of_stage(stage: Stage) -> list[str]:
    found: list[str] = []
    rows = [OpCounts(*row) for row in stage.tally.ops]

    def compare(what: str, one: int, other: int) -> None:
        if one != other:
            found.append(f"stage {stage.spec.name!r}: {what}: {one} and {other}")

    for edge in stage.outputs:
        compare(f"items given and items that stage {edge.child} was sent", stage.emitted, edge.items_put)
        compare(f"items sent to stage {edge.child} and items it took", edge.items_put, edge.items_taken)
    if stage.inputs:
        taken = sum(edge.items_taken for edge in stage.inputs)
        compare("items it took and items its workers had", taken, rows[0].items_in)
    if not isinstance(stage, SinkStage):
        compare("items its workers gave and items that went on", rows[-1].items_out, stage.emitted)
    for before, after in pairwise(rows):
        compare("items one step gave and items the next had", before.items_out, after.items_in)
    for row, conserves in zip(rows, stage.spec.conserves or (True,) * len(rows), strict=True):
        if conserves:
            accounted = row.items_out + row.filtered + row.failed + row.merged
            compare("items in, and out, filtered, failed or merged", row.items_in, accounted)
    return found
