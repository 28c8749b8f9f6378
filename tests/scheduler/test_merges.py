"""Merges take from the leg whose turn it is; whatever the legs do, a diamond never waits for itself."""

from __future__ import annotations

import pytest

from olympipe_like._model.topology import Take
from olympipe_like._plan.layout import lay_out
from tests.scheduler import nodes as n
from tests.scheduler.plans import is_even, twice
from tests.scheduler.simulator import Simulation, Source

ENDLESS = range(10**9)
SEEDS = range(25)


def play(*leaves, queue_size=None, **options):
    return Simulation(lay_out(leaves, queue_size=queue_size), **options)


DIAMONDS = {
    "a filter beside everything": lambda s: (n.keep(s, is_even), s),
    "a filter that keeps nothing": lambda s: (n.keep(s, lambda v: False), n.task(s)),
    "an explode beside everything": lambda s: (n.explode(s, twice, workers=2), n.task(s, workers=2)),
    "two explodes": lambda s: (n.explode(s, twice), n.explode(s, lambda v: [v] * (v % 3), workers=3)),
    "batches beside items": lambda s: (n.batch(s, 3), s),
    "a sum beside items": lambda s: (n.fold(s, 0, lambda v, total: total + v), s),
    "the same leg twice": lambda s: (s, s),
    "one long leg": lambda s: (n.task(n.task(n.task(s, workers=2), workers=3)), s),
    "both legs of a partition": lambda s: n.partition(s, is_even, workers=2),
    "a diamond in a diamond": lambda s: (n.gather(n.keep(s, is_even), s), n.task(s)),
    "a skip beside everything": lambda s: (n.skip(s, 4), s),
    "a concat beside everything": lambda s: (n.concat(s, n.task(s)), s),
}


@pytest.mark.parametrize("queue_size", [1, None])
@pytest.mark.parametrize("merge", [n.gather, n.pair])
@pytest.mark.parametrize("diamond", DIAMONDS)
def test_a_diamond_does_not_wait_for_itself(diamond, merge, queue_size):
    leaf = merge(*DIAMONDS[diamond](n.source(range(14))))
    layout = lay_out([leaf], queue_size=queue_size)

    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert [(run.values(layout.sinks[0]), False)] == n.outcomes([leaf])


CROSSINGS = {
    "a concat and a gather": lambda a, b: (n.concat(a, b), n.gather(b, a)),
    "a gather and a concat of a task": lambda a, b: (
        n.gather(b, a),
        n.concat(n.task(a), n.keep(b, is_even)),
    ),
    "two concats": lambda a, b: (n.concat(a, b), n.concat(b, a)),
    "a concat and a zip": lambda a, b: (n.concat(a, b), n.pair(a, b)),
    "a zip far ahead and a gather": lambda a, b: (n.pair(n.explode(a, lambda v: [v] * 9), b), n.gather(a, b)),
    "a zip far behind and a gather": lambda a, b: (n.gather(a, b), n.pair(n.batch(a, 9), b)),
    "two zips far apart": lambda a, b: (n.pair(n.batch(a, 7), b), n.pair(a, n.batch(b, 7))),
    "two merges that are merged": lambda a, b: (n.gather(n.concat(a, b), n.concat(b, a)), n.pair(b, a)),
}


@pytest.mark.parametrize("queue_size", [1, None])
@pytest.mark.parametrize("crossing", CROSSINGS)
def test_merges_that_meet_again_do_not_wait_for_each_other(crossing, queue_size):
    many = 600 if queue_size is None else 30  # more than the windows take, where frames have one item
    leaves = CROSSINGS[crossing](n.source(range(many), "left"), n.source(range(many), "right"))
    layout = lay_out(leaves, queue_size=queue_size)

    for seed in SEEDS if queue_size == 1 else SEEDS[:2]:
        run = Simulation(layout, seed=seed, item_seconds=0.03).run()

        assert [(run.values(sink), False) for sink in layout.sinks] == n.outcomes(leaves)


def test_three_sources_whose_merges_make_a_ring_do_not_wait_for_each_other():
    a, b, c = (n.source(range(30), name) for name in "abc")
    leaves = [n.pair(n.batch(one, 5), other) for one, other in ((a, b), (b, c), (c, a))]
    layout = lay_out(leaves, queue_size=1)

    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert [(run.values(sink), False) for sink in layout.sinks] == n.outcomes(leaves)


def test_a_zip_of_legs_whose_positions_step_back_does_not_wait_for_itself():
    numbers = n.source(range(14))
    stepping = n.explode(n.gather(numbers, n.task(numbers)), twice, workers=2)
    leaf = n.pair(stepping, n.task(stepping), n.keep(stepping, is_even))

    for seed in SEEDS:
        run = play(leaf, queue_size=1, seed=seed).run()

        assert [(run.values(run.stage("results")), False)] == n.outcomes([leaf])


def test_parts_of_what_came_at_the_end_do_not_hold_back_a_diamond():
    pieces = n.unbatch(n.batch(n.source(range(11)), 12))
    leaf = n.pair(n.gather(n.task(pieces), n.task(pieces)), pieces)

    for seed in SEEDS:
        run = play(leaf, queue_size=1, seed=seed).run()

        assert [(run.values(run.stage("results")), False)] == n.outcomes([leaf])


def test_a_gather_takes_from_the_leg_that_has_come_least_far():
    left, right = n.source(range(6), "left"), n.source(range(6), "right")
    run = play(n.gather(left, right), item_seconds=0.03)
    (worker,) = run.workers_of(run.stage("gather"))
    run.pull(run.stage("left"), 1)
    run.answer(worker)
    run.pull(run.stage("left"), 1)
    assert not run.workers[worker].queue  # the right leg has given nothing yet

    run.pull(run.stage("right"), 1)

    assert [held.key[1] for held in run.workers[worker].queue] == [1]


def test_a_zip_of_other_sources_does_not_hoard_one_leg():
    quick, slow = n.source(ENDLESS, "quick"), n.source(range(3), "slow")
    run = play(n.pair(quick, slow), queue_size=4)
    assert run.specs[run.stage("zip")].take is Take.COUNT

    run.run_without(("pull", run.stage("slow")))

    (worker,) = run.workers_of(run.stage("zip"))
    assert run.sources[run.stage("quick")].pulled <= 5 + 5
    assert len(run.workers[worker].model.steps[0].legs[0].items) <= 5


def test_a_zip_ends_with_its_shortest_leg_and_stops_the_others():
    run = play(n.pair(n.task(n.source(ENDLESS, "endless")), n.source(range(3), "short")), queue_size=2)

    run.run()

    assert run.values(run.stage("results")) == [(0, 0), (1, 1), (2, 2)]
    assert run.sources[run.stage("endless")].told_to_stop


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (lambda pairs: n.batch(pairs, 2), [[(0, 0), (1, 1)], [(2, 2)]]),
        (lambda pairs: n.fold(pairs, 0, lambda pair, total: total + sum(pair)), [6]),
    ],
    ids=["a batch", "a sum"],
)
def test_what_a_step_after_a_zip_holds_is_not_lost_when_the_zip_ends(after, expected):
    leaf = after(n.pair(n.source(range(3), "short"), n.source(ENDLESS, "endless")))

    for seed in SEEDS:
        run = play(leaf, seed=seed).run()

        assert run.values(run.stage("results")) == expected


def test_a_leg_that_ends_does_not_hold_back_the_others():
    run = play(n.gather(n.source([], "empty"), n.source(range(5), "numbers")), queue_size=1)

    assert run.run().values(run.stage("results")) == [0, 1, 2, 3, 4]


def test_a_failed_leg_lets_the_others_go_as_far_as_it_came():
    broken, whole = n.source(range(3), "broken"), n.source(ENDLESS, "whole")
    layout = lay_out([n.gather(broken, whole)], queue_size=2)
    for seed in SEEDS:
        run = Simulation(layout, sources={layout.stages[0].spec.id: Source(range(3), breaks=True)}, seed=seed)

        run.run()

        sink = run.stage("results")
        assert run.values(sink) == [0, 0, 1, 1, 2, 2]
        assert run.failures[sink].path == (3,)
        assert run.sources[run.stage("whole")].told_to_stop


def test_a_merge_of_a_stream_with_itself_gives_every_item_twice():
    doubled = n.task(n.source(range(6)), workers=2)
    run = play(n.gather(doubled, doubled, doubled), queue_size=1)

    assert run.run().values(run.stage("results")) == [v for v in range(6) for _ in range(3)]


@pytest.mark.parametrize("workers", [1, 3])
def test_stages_that_gave_up_order_can_still_be_gathered_in_order(workers):
    numbers = n.source(range(12))
    leaf = n.gather(n.task(numbers, workers=workers, ordered=False), n.keep(numbers, is_even, ordered=False))

    for seed in SEEDS:
        run = play(leaf, queue_size=2, seed=seed).run()

        assert [(run.values(run.stage("results")), False)] == n.outcomes([leaf])


@pytest.mark.parametrize("merge", [n.gather, n.pair])
def test_a_merge_beside_another_one_that_has_ended_does_not_hoard_a_quick_source(merge):
    quick, slow = n.source(ENDLESS, "quick"), n.source(range(50), "slow")
    first, rest = n.limit(merge(quick, slow), 3, "first"), merge(n.skip(quick, 5), n.skip(slow, 5, "other skip"))
    layout = lay_out([first, rest], queue_size=4)
    run = Simulation(layout, seed=3)
    run.run_without(("pull", run.stage("slow")))
    for _ in range(20):
        run.pull(run.stage("slow"), 1)
        run.run_without(("pull", run.stage("slow")))

    assert run.sources[run.stage("quick")].pulled <= 20 + 6 * 5


def test_a_run_that_waits_for_its_consumer_or_a_slow_source_does_not_stand_still():
    left, right = n.source(range(30), "left"), n.source(range(30), "right")
    leaves = [n.concat(left, right), n.gather(right, left)]
    layout = lay_out(leaves, queue_size=2)
    run = Simulation(layout, seed=1)

    run.run_without("consume")
    waiting = [len(edge.waiting) for stage in run.scheduler.stages for edge in stage.inputs]

    assert not any(edge.unbounded for stage in run.scheduler.stages for edge in stage.inputs)
    assert max(waiting) <= 3
    run.run()
    assert [(run.values(sink), False) for sink in layout.sinks] == n.outcomes(leaves)
