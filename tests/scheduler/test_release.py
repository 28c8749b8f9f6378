"""Answers go out in order; those in parts are numbered anew, and their workers wait when there is no room."""

from __future__ import annotations

from olympipe_like._model.frame import Frame
from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler.release import Release
from tests.scheduler import nodes as n
from tests.scheduler.simulator import Simulation


def part(name):
    return Frame(count=1, span=1, upto=(), failure=name)


def pop_all(release):
    out = []
    while (popped := release.pop()) is not None:
        out.append((popped[0], popped[1].failure))
    return out


def test_parts_of_a_later_frame_wait_until_the_earlier_one_is_complete():
    release = Release(in_order=True)
    release.add(1, part("1a"), complete=False)
    release.add(1, part("1b"), complete=True)
    assert pop_all(release) == []

    release.add(0, part("0a"), complete=False)
    assert pop_all(release) == [(0, "0a")]
    assert release.may_go_on(0)
    assert not release.may_go_on(1)

    release.add(0, part("0b"), complete=True)
    assert pop_all(release) == [(1, "0b"), (2, "1a"), (3, "1b")]
    assert release.is_empty
    assert release.may_go_on(2)


def test_without_order_parts_go_out_as_they_come():
    release = Release(in_order=False)
    release.add(1, part("1a"), complete=False)

    assert pop_all(release) == [(0, "1a")]
    assert release.may_go_on(1)
    assert not release.is_empty

    release.add(1, part("1b"), complete=True)
    assert pop_all(release) == [(1, "1b")]
    assert release.is_empty


def test_parts_after_a_failed_one_are_forgotten():
    release = Release(in_order=True)
    release.add(2, part("2a"), complete=True)
    release.add(1, part("1a"), complete=False)
    release.add(0, part("0a"), complete=True)

    assert [frame.failure for frame in release.drop_after(0)] == ["2a", "1a"]

    assert pop_all(release) == [(0, "0a")]
    assert release.is_empty


# -- in a run ---------------------------------------------------------------------------------------------------------


def play(leaf, queue_size=None, **options):
    return Simulation(lay_out([leaf], queue_size=queue_size), **options)


def test_answers_in_any_order_are_delivered_in_order():
    run = play(n.task(n.source(range(3)), workers=3), item_seconds=0.03)
    for _ in range(3):
        run.pull(0, 1)
    first, second, third = run.workers_of(run.stage("task"))

    run.answer(third)
    run.answer(second)
    assert run.values(2) == []

    run.answer(first)
    assert run.values(2) == [0, 1, 2]


def test_with_ordered_false_answers_are_delivered_as_they_come():
    run = play(n.task(n.source(range(3)), workers=3, ordered=False), item_seconds=0.03)
    for _ in range(3):
        run.pull(0, 1)
    first, second, third = run.workers_of(run.stage("task"))

    run.answer(third)
    run.answer(first)
    run.answer(second)

    assert run.values(2) == [2, 0, 1]


def hundred(value):
    return [(value, part) for part in range(100)]


def explode_in_two_workers(**options):
    run = play(n.explode(n.source(range(8)), hundred, workers=2), queue_size=2, item_seconds=0.03, **options)
    run.pull(0, 1)
    run.pull(0, 1)
    return run, *run.workers_of(run.stage("explode"))


def test_a_generator_waits_while_the_consumer_is_slow():
    run, first, _ = explode_in_two_workers()

    run.run_without("consume")

    assert run.workers[first].waits
    assert len(run.delivered[2]) <= 3 + 1  # the last part may be larger than the room there was


def test_a_generator_whose_turn_has_not_come_gives_one_part_and_waits():
    run, first, second = explode_in_two_workers()

    run.run_without(("answer", first), "pull")

    assert run.workers[second].waits
    assert len(run.workers[second].queue) == 1
    assert run.delivered[2] == []


def test_a_generator_goes_on_when_its_turn_comes():
    run, first, second = explode_in_two_workers()
    run.run_without(("answer", first))

    assert run.run().values(2) == [pair for value in range(8) for pair in hundred(value)]
    assert run.workers[second].state == "stopped"


def test_the_successor_of_a_lost_generator_skips_what_was_taken_over():
    run, first, _ = explode_in_two_workers()
    while len(run.delivered[2]) < 7:
        run.answer(first)
        while run.undelivered.get(2):
            run.consume(2)
    given = len(run.delivered[2])

    run.lose(first)

    successor = run.workers_of(run.stage("explode"))[-1]
    assert run.workers[successor].queue[0].order.skip_items == given
    assert run.run().values(2) == [pair for value in range(8) for pair in hundred(value)]


def test_parts_that_nobody_wants_any_more_are_given_back():
    for seed in range(20):
        run = play(n.limit(n.explode(n.source(range(9)), hundred, workers=3), 5), seed=seed).run()

        assert run.values(run.stage("results")) == hundred(0)[:5]
        held = [worker.queue[0].order.frame.payload for worker in run.workers.values() if worker.queue]
        assert set(run.payloads) <= set(held)


def test_frames_without_items_still_take_their_turn():
    run = play(n.task(n.keep(n.source(range(9)), lambda v: v == 8, workers=2), name="after"), item_seconds=0.03)

    assert run.run().values(3) == [8]


def test_an_explode_into_nothing_ends():
    run = play(n.explode(n.source(range(9)), lambda v: [], workers=2), queue_size=1)

    assert run.run().values(2) == []
