"""From the tallies of a run's stages to what users are shown of it."""

from __future__ import annotations

from collections.abc import Sequence

from olympipe_like._model.frame import OpCounts
from olympipe_like._model.stats import RunStats, StageStats, WorkerStats
from olympipe_like._model.tallies import StageTally
from olympipe_like._plan.layout import Layout
from olympipe_like._runtime.cores import usable_cores
from olympipe_like._runtime.moves import moves_of
from olympipe_like._runtime.remote_stages import worker_stats


def stats_of(
    layout: Layout, tallies: Sequence[StageTally], elapsed: float, *, finished: bool, balanced: bool
) -> RunStats:
    """Return the counts and times of every step; ``elapsed``: seconds."""
    by_stage = {tally.stage: tally for tally in tallies}
    stages: list[StageStats] = []
    workers: list[WorkerStats] = []
    for stage in layout.stages:
        nothing = StageTally(stage.spec.id, (OpCounts(),) * len(stage.labels), 0.0, 0.0, 0.0, 0, 0)
        tally = by_stage.get(stage.spec.id, nothing)
        workers += worker_stats(stage, tally)
        present = sum(not worker.left for worker in tally.workers) if tally.workers else stage.spec.workers
        present = present if tally.staff is None else tally.staff
        for index, (label, counts) in enumerate(zip(stage.labels, tally.ops, strict=True)):
            main = index == stage.main
            stages.append(
                StageStats(
                    name=label.name,
                    kind=label.kind,
                    workers=present if main else 0,
                    items_in=counts.items_in,
                    items_out=counts.items_out,
                    filtered=counts.filtered,
                    failed=counts.failed,
                    merged=counts.merged,
                    retried=counts.retried + (tally.retried if main else 0),
                    lost_workers=tally.lost_workers if main else 0,
                    busy=tally.busy if main else 0.0,
                    starved=tally.starved if main else 0.0,
                    blocked=tally.blocked if main else 0.0,
                    waiting=tally.waiting if index == 0 else 0,
                    capacity=tally.capacity if index == 0 else 0,
                    expected=stage.expected if index == 0 else None,
                    on_duty=tally.on_duty if main and tally.staff is not None else None,
                )
            )
    return RunStats(
        elapsed=elapsed,
        finished=finished,
        stages=tuple(stages),
        cores=usable_cores(),
        balanced=balanced,
        workers=tuple(workers),
        moves=moves_of(layout, tallies),
        earlier_moves=sum(tally.earlier_moves for tally in tallies),
    )
