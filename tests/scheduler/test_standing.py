"""Who is waited for: the consumer, the run itself, its sources, and never nobody."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler.standing import WaitsFor, standing, waits_for
from tests.scheduler import nodes as n
from tests.scheduler.plans import plans
from tests.scheduler.simulator import Simulation

ENDLESS = range(10**9)


def play(*leaves, queue_size=None):
    return Simulation(lay_out(leaves, queue_size=queue_size), item_seconds=0.03)


def awaited(run):
    return waits_for(standing(run.scheduler))


def stage(run, name):
    return standing(run.scheduler)[run.stage(name)]


def started(run):
    run.run_without("pull", "answer", "consume")
    return run


def test_a_run_that_was_given_nothing_yet_waits_for_its_source():
    run = started(play(n.task(n.source(ENDLESS))))

    assert awaited(run) is WaitsFor.SOURCE
    assert stage(run, "numbers").wanted >= 1


def test_a_frame_in_a_workers_hands_keeps_the_run_waiting_for_itself():
    run = started(play(n.task(n.source(ENDLESS), name="decode")))

    run.pull(run.stage("numbers"), 1)

    assert awaited(run) is WaitsFor.RUN
    (hand,) = stage(run, "decode").hands
    assert (hand.slot, hand.frames, hand.items, hand.waits_for_room) == (0, 1, 1, False)


def test_frames_that_wait_are_counted_where_they_wait():
    run = started(play(n.task(n.source(ENDLESS), name="decode"), queue_size=6))

    run.run_without("answer")

    (edge,) = stage(run, "decode").in_front
    (hand,) = stage(run, "decode").hands
    assert edge.parent == run.stage("numbers")
    assert edge.waiting + hand.items == edge.counted == edge.capacity == 7  # the worker's own, and those in the queue
    assert stage(run, "numbers").wanted == 0


def test_a_consumer_that_has_results_is_the_one_waited_for_whatever_else_is_under_way():
    run = started(play(n.task(n.source(ENDLESS), workers=2)))
    run.pull(run.stage("numbers"), 1)
    run.answer(run.workers_of(run.stage("task"))[0])

    assert awaited(run) is WaitsFor.CONSUMER

    run.run_without("consume")
    assert awaited(run) is WaitsFor.CONSUMER
    assert stage(run, "results").undone


def test_an_empty_run_waits_for_its_quiet_source_though_a_batch_remembers_items():
    run = started(play(n.batch(n.task(n.source(ENDLESS)), 5)))

    for _ in range(3):
        run.pull(run.stage("numbers"), 1)
        run.run_without("pull")

    assert awaited(run) is WaitsFor.SOURCE


def test_items_that_wait_for_another_source_keep_the_run_waiting_for_itself():
    quiet = n.source(ENDLESS, name="quiet")
    run = started(play(n.pair(n.source(ENDLESS, name="lively"), quiet)))

    run.run_without(("pull", run.stage("quiet")))

    assert awaited(run) is WaitsFor.RUN


def test_a_frame_that_nobody_wants_any_more_keeps_nobody_waiting():
    numbers = n.source(ENDLESS)
    stuck = n.limit(n.task(numbers, name="stuck", workers=2, ordered=False), 1)
    run = started(play(stuck, n.task(numbers, name="lively")))
    run.run_without("consume", ("answer", run.workers_of(run.stage("stuck"))[0]))
    worker = run.workers_of(run.stage("stuck"))[0]
    run.run_without("pull", ("answer", worker))

    assert stage(run, "stuck").ended
    assert awaited(run) is WaitsFor.SOURCE


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(drawn=plans(), seed=st.integers(0, 2**32 - 1))
def test_there_is_always_somebody_to_wait_for_until_the_run_ends(drawn, seed):
    run = Simulation(lay_out(drawn.leaves, queue_size=drawn.queue_size), seed=seed)
    run.run_without("pull", "answer", "consume")
    while not run.finished and (possible := run.possible()):
        kinds = {kind for kind, _ in possible}
        found = awaited(run)

        assert found is not WaitsFor.NOBODY
        assert (found is WaitsFor.CONSUMER) == ("consume" in kinds)
        assert found is WaitsFor.RUN or "answer" not in kinds or "consume" in kinds or run.ended
        assert found is not WaitsFor.SOURCE or "pull" in kinds
        run.happen(possible)


def test_the_time_for_which_workers_had_nothing_is_counted_up_to_the_last_event():
    run = Simulation(lay_out([n.task(n.source(range(3)), workers=3)]), item_seconds=0.001)
    stage = run.stage("task")
    for worker in run.workers_of(stage):
        run.make_ready(worker)
    run.now = 50.0
    run.pull(0, 1)

    tally = run.scheduler.tallies()[stage]

    assert tally.starved == pytest.approx(150.0, rel=0.01)
