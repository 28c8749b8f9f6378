"""Random plans x random schedules x random losses: every item once, in order, and every run ends."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from olympipe_like._plan.graph import topological
from olympipe_like._plan.layout import Layout, lay_out
from olympipe_like._scheduler.edge import WINDOW_FRAMES, WINDOW_ITEMS, Edge
from tests.scheduler.nodes import outcomes
from tests.scheduler.plans import Drawn, plans
from tests.scheduler.simulator import Simulation

SEEDS = 8  # schedules for each plan
MANY = settings(
    max_examples=100,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
seeds = st.integers(0, 2**32 - 1)


def simulate(drawn: Drawn, seed: int, **faults) -> tuple[Layout, Simulation]:
    layout = lay_out(drawn.leaves, queue_size=drawn.queue_size)
    note(f"seed {seed}")  # the last one is to blame
    run = Simulation(layout, seed=seed, **faults)
    try:
        run.run()
    except AssertionError:
        note(f"{faults}\n{run}")
        raise
    return layout, run


class Watched(Simulation):
    """Sees to it after every event that no stage was forgotten which could have gone on."""

    def _obey(self, decide) -> None:
        super()._obey(decide)
        if self.finished or self.failed:
            return
        for stage in reversed([each for each in self.scheduler.stages if each.inputs]):
            emitted = stage.emitted
            stage.advance()
            left = self.scheduler._ledger.commands
            assert (left, stage.emitted) == ([], emitted), f"stage {stage.id} could go on\n{self}"
        while self.scheduler._ledger.next_marked() is not None:
            pass


def delivered(layout: Layout, run: Simulation) -> list[tuple[list[object], bool]]:
    return [(run.values(sink), run.failures[sink] is not None) for sink in layout.sinks]


def given_by(drawn: Drawn, layout: Layout, run: Simulation) -> dict:
    """Return how many items each source of the plan gave."""
    pulled = {stage.source.name: run.sources[stage.spec.id].pulled for stage in layout.stages if stage.source}
    return {node: (pulled[node.op.name], False) for node in topological(drawn.leaves) if not node.inputs}


@MANY
@given(drawn=plans(), seed=seeds)
def test_whatever_happens_first_every_leaf_gets_all_its_items_in_order(drawn, seed):
    expected = outcomes(drawn.leaves)
    for each in range(seed, seed + SEEDS):
        layout, run = simulate(drawn, each)

        assert delivered(layout, run) == expected


@MANY
@given(drawn=plans(breaks=True), seed=seeds)
def test_a_stage_goes_on_as_soon_as_it_can(drawn, seed):
    """A stage is looked at only when something has changed for it: room that it lacked, a frame, a worker."""
    with pytest.MonkeyPatch.context() as patch:
        # Windows that open because items were answered elsewhere are seen by the way; here they are open.
        patch.setattr(Edge, "_window_items", WINDOW_ITEMS)
        patch.setattr(Edge, "_window_frames", WINDOW_FRAMES)
        for each in range(seed, seed + 2):
            Watched(lay_out(drawn.leaves, queue_size=drawn.queue_size), seed=each, losses=2, worker_retries=8).run()


@MANY
@given(drawn=plans(), seed=seeds)
def test_lost_workers_cost_no_item_and_no_order(drawn, seed):
    expected = outcomes(drawn.leaves)
    for each in range(seed, seed + SEEDS):
        layout, run = simulate(drawn, each, losses=8, worker_retries=8)

        assert run.failed is None
        assert delivered(layout, run) == expected


@MANY
@given(drawn=plans(breaks=True), seed=seeds)
def test_what_is_before_a_failed_item_is_delivered_and_nothing_after_it(drawn, seed):
    expected = outcomes(drawn.leaves)
    for each in range(seed, seed + SEEDS):
        layout, run = simulate(drawn, each)

        assert delivered(layout, run) == expected


@MANY
@given(drawn=plans(), seed=seeds)
def test_a_stopped_run_delivers_all_that_was_pulled(drawn, seed):
    for each in range(seed, seed + SEEDS):
        layout, run = simulate(drawn, each, stops=True)

        assert delivered(layout, run) == outcomes(drawn.leaves, given_by(drawn, layout, run))


@MANY
@given(drawn=plans(unordered=True), seed=seeds)
def test_without_order_every_item_is_still_delivered_once(drawn, seed):
    expected = [Counter(map(repr, values)) for values, _ in outcomes(drawn.leaves)]
    for each in range(seed, seed + SEEDS):
        layout, run = simulate(drawn, each, losses=2, worker_retries=2)

        if run.failed is None:
            assert [Counter(map(repr, run.values(sink))) for sink in layout.sinks] == expected
