"""Which workers a run moved, with the names of the stages."""

from __future__ import annotations

from collections.abc import Sequence

from olympipe_like._model.stats import WorkerMove
from olympipe_like._model.tallies import StageTally
from olympipe_like._plan.layout import Layout


def moves_of(layout: Layout, tallies: Sequence[StageTally]) -> tuple[WorkerMove, ...]:
    """Return the latest moves of all stages, in the order of time."""
    names = {stage.spec.id: stage.label.name for stage in layout.stages}
    moves = sorted((move for tally in tallies for move in tally.moved), key=lambda move: move.at)
    return tuple(
        WorkerMove(
            at=move.at,
            workers=move.workers,
            to=names[move.to],
            giver=None if move.giver is None else names[move.giver],
            busy=move.busy,
            giver_busy=None if move.giver is None else move.giver_busy,
        )
        for move in moves
    )
