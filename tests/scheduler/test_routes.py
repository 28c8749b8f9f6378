"""Limit, skip, concat and gather(ordered=False) pass frames on unopened, and ask sources for no more than is needed."""

from __future__ import annotations

from collections import Counter

import pytest

from olympipe_like._model.options import SKIP
from olympipe_like._plan.layout import lay_out
from tests.scheduler import nodes as n
from tests.scheduler.simulator import Simulation

ENDLESS = range(10**9)
SEEDS = range(30)


def play(*leaves, queue_size=None, **options):
    return Simulation(lay_out(leaves, queue_size=queue_size), **options)


def results(run):
    return run.values(run.stage("results"))


# -- limit ------------------------------------------------------------------------------------------------------------

ONE_TO_ONE = {
    "nothing": (lambda s: s, 5),
    "workers": (lambda s: n.task(s, workers=3), 5),
    "batches": (lambda s: n.batch(s, 3), 15),
    "a skip": (lambda s: n.skip(s, 4), 9),
    "a larger limit": (lambda s: n.limit(s, 50, "larger"), 5),
    "a concat": (lambda s: n.concat(s, n.source(range(3), "later")), 5),
}


@pytest.mark.parametrize("before", ONE_TO_ONE)
def test_a_limit_pulls_exactly_what_it_needs(before):
    make, needed = ONE_TO_ONE[before]
    layout = lay_out([n.limit(make(n.source(ENDLESS)), 5)])
    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert len(results(run)) == 5
        assert run.sources[run.stage("numbers")].pulled == needed


def test_a_limit_of_nothing_pulls_nothing():
    run = play(n.limit(n.task(n.source(ENDLESS)), 0)).run()

    assert results(run) == []
    assert run.sources[run.stage("numbers")].pulled == 0


def test_a_limit_asks_for_as_many_items_more_as_were_dropped_on_the_way():
    leaf = n.limit(n.task(n.source(ENDLESS), lambda v: SKIP if v % 3 else v, workers=2), 4)
    for seed in SEEDS:
        run = play(leaf, seed=seed).run()

        assert results(run) == [0, 3, 6, 9]
        assert run.sources[run.stage("numbers")].pulled == 10


def test_a_limit_behind_a_batch_asks_until_the_batch_is_full():
    leaf = n.limit(n.batch(n.task(n.source(ENDLESS), lambda v: SKIP if v % 2 else v), 3), 1)
    for seed in SEEDS:
        run = play(leaf, seed=seed).run()

        assert results(run) == [[0, 2, 4]]
        assert run.sources[run.stage("numbers")].pulled == 5


def test_a_limit_is_fed_by_later_legs_of_a_concat():
    first, second = n.limit(n.source(range(2), "two"), 2, "inner"), n.source(ENDLESS, "endless")
    for seed in SEEDS:
        run = play(n.limit(n.concat(first, second), 5), seed=seed).run()

        assert results(run) == [0, 1, 0, 1, 2]
        assert run.sources[run.stage("endless")].pulled == 3


def test_a_limit_is_fed_when_two_ways_lead_to_its_source():
    numbers = n.source(ENDLESS)
    leaf = n.limit(n.concat(n.limit(numbers, 2, "inner"), n.task(numbers)), 5)
    for seed in SEEDS:
        assert results(play(leaf, seed=seed).run()) == [0, 1, 0, 1, 2]


def test_limits_of_one_source_do_not_wait_for_each_other():
    numbers = n.source(ENDLESS)
    dropping = n.limit(n.task(numbers, lambda v: SKIP if v < 7 else v), 2, "late")
    layout = lay_out([n.limit(numbers, 3, "early"), dropping])
    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert [run.values(sink) for sink in layout.sinks] == [[0, 1, 2], [7, 8]]


def test_a_source_is_stopped_by_a_limit_although_a_worker_on_the_way_is_still_busy():
    numbers = n.task(n.source(ENDLESS))
    run = play(n.limit(n.gather(numbers, numbers), 1), queue_size=1)

    while not run.finished:
        run.happen(run.possible())

    assert run.sources[run.stage("numbers")].told_to_stop


def test_a_failure_after_the_last_item_wanted_never_happens():
    def breaks(value):
        if value == 3:
            raise ValueError
        return value

    for seed in SEEDS:
        run = play(n.limit(n.keep(n.task(n.source(ENDLESS), breaks), lambda v: True), 3), seed=seed).run()

        assert results(run) == [0, 1, 2]
        assert not any(run.failures.values())


# -- skip -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "expected"), [(0, [0, 1, 2, 3]), (3, [3]), (4, []), (9, [])])
def test_a_skip_drops_the_first_items_wherever_the_frames_are_cut(amount, expected):
    for seed in SEEDS:
        assert results(play(n.skip(n.source(range(4)), amount), seed=seed).run()) == expected


def test_a_limit_cuts_what_a_skip_has_cut_before():
    for seed in SEEDS:
        assert results(play(n.limit(n.skip(n.source(range(40)), 7), 6), seed=seed).run()) == [7, 8, 9, 10, 11, 12]


# -- concat -----------------------------------------------------------------------------------------------------------


def test_a_concat_leaves_a_later_source_alone_until_its_turn():
    first, second = n.source(range(5), "first"), n.source(range(5), "second")
    run = play(n.concat(n.task(first), n.task(second)))
    assert run.sources[run.stage("second")].allowed == 0

    run.run_without(("pull", run.stage("first")), "consume")

    assert run.sources[run.stage("second")].allowed == 0
    assert results(run.run()) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_a_later_source_that_somebody_else_reads_is_not_left_alone():
    first, second = n.source(range(5), "first"), n.source(range(5), "second")
    layout = lay_out([n.concat(first, second), second])
    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert [run.values(sink) for sink in layout.sinks] == [[0, 1, 2, 3, 4] * 2, [0, 1, 2, 3, 4]]


def test_a_concat_of_one_stream_with_itself_holds_the_later_leg():
    numbers = n.source(range(50))
    for seed in SEEDS:
        run = play(n.concat(numbers, n.task(numbers), numbers), queue_size=2, seed=seed).run()

        assert results(run) == list(range(50)) * 3


def test_a_later_leg_of_a_concat_may_merge_an_earlier_one_with_another_source():
    first, second = n.source(range(9), "first"), n.source(range(4), "second")
    leaf = n.concat(first, n.gather(first, second))
    for seed in SEEDS:
        assert [(results(play(leaf, queue_size=1, seed=seed).run()), False)] == n.outcomes([leaf])


# -- gather(ordered=False) --------------------------------------------------------------------------------------------


def test_arrivals_pass_a_quiet_legs_items_although_another_is_busy():
    run = play(n.arrivals(n.source(ENDLESS, "busy"), n.source(range(3), "quiet")), queue_size=3)
    quiet, busy = run.stage("quiet"), run.stage("busy")
    run.run_without("consume", ("pull", quiet))
    run.pull(quiet, 1)
    run.pull(busy, 1) if run.sources[busy].allowed > run.sources[busy].pulled else None

    for _ in range(4):
        run.consume(run.stage("results"))

    assert Counter(results(run))[0] == 2


def test_arrivals_deliver_every_item_of_every_leg_once():
    numbers = n.source(range(9))
    leaf = n.arrivals(numbers, n.task(numbers, workers=2), n.source(range(4), "others"))
    for seed in SEEDS:
        run = play(leaf, queue_size=1, seed=seed).run()

        assert Counter(results(run)) == Counter([*range(9), *range(9), *range(4)])
