"""No stage runs ahead of the next by more than the window between them; the oldest frame always has room."""

from __future__ import annotations

import pytest

from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import PayloadId
from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler.edge import NO_LIMIT, WINDOW_BYTES, WINDOW_FRAMES, WINDOW_ITEMS, Edge
from olympipe_like._scheduler.sizing import START_FRAMES, START_ITEMS
from tests.scheduler import nodes as n
from tests.scheduler.simulator import Simulation

ENDLESS = range(10**9)
NUMBERS = 0  # the source's stage


def play(*leaves, queue_size=None, **options):
    return Simulation(lay_out(leaves, queue_size=queue_size), **options)


def test_a_source_is_asked_for_no_more_than_the_window_holds():
    run = play(n.task(n.source(ENDLESS), queue_size=3), item_seconds=0.01)

    assert run.sources[NUMBERS].allowed == 3 + 1  # and one item for the worker

    run.pull(NUMBERS, 1)
    assert run.sources[NUMBERS].allowed == 4


def test_a_frame_that_is_done_makes_room_for_as_many_items():
    run = play(n.task(n.source(ENDLESS), queue_size=3), item_seconds=0.01)
    for _ in range(4):
        run.pull(NUMBERS, 1)

    run.answer(*run.workers_of(run.stage("task")))

    assert run.sources[NUMBERS].allowed == 5


@pytest.mark.parametrize("queue_size", [1, 2, 5])
def test_a_consumer_that_stops_consuming_stops_everything(queue_size):
    run = play(n.task(n.task(n.source(ENDLESS), name="first", workers=2), name="second"), queue_size=queue_size)

    run.run_without("consume")

    delivered = len(run.delivered[3])
    assert 1 <= delivered <= queue_size + 1
    assert run.sources[NUMBERS].pulled <= (queue_size + 2) + (queue_size + 1) + (queue_size + 1)


def test_a_consumer_that_goes_on_sets_everything_going_again():
    run = play(n.task(n.source(ENDLESS)), queue_size=1)
    run.run_without("consume")
    before = run.sources[NUMBERS].pulled

    run.consume(2)
    run.run_without("consume")

    assert run.sources[NUMBERS].pulled == before + 1


def test_a_window_of_the_default_size_keeps_workers_busy_behind_one_slow_item():
    run = play(n.task(n.source(ENDLESS), workers=2), item_seconds=0.01)
    slow = run.workers_of(run.stage("task"))[0]
    run.pull(NUMBERS, 1)

    run.run_without(("answer", slow), "consume")

    assert run.sources[NUMBERS].pulled - 1 >= WINDOW_ITEMS
    assert run.delivered[2] == []


def test_the_frame_that_everybody_waits_for_is_admitted_to_a_full_window():
    run = play(n.task(n.source(range(20)), workers=2), queue_size=1, item_seconds=0.01)
    slow = run.workers_of(run.stage("task"))[0]
    run.pull(NUMBERS, 1)
    run.run_without(("answer", slow))
    assert run.delivered[2] == []

    run.answer(slow)

    assert run.values(2)[:2] == [0, 1]
    assert run.run().values(2) == list(range(20))


def test_large_frames_fill_a_window_by_their_bytes():
    run = play(n.task(n.source(ENDLESS)), item_seconds=1e-7, item_bytes=WINDOW_BYTES // 4)

    run.run_without("answer")

    assert run.sources[NUMBERS].pulled == 4


@pytest.mark.parametrize("memory", [None, 1 << 20])
def test_a_window_holds_several_frames_however_few_bytes_it_may_hold(memory):
    run = play(n.task(n.source(ENDLESS)), item_seconds=1e-5, item_bytes=1000, memory=memory)
    for _ in range(300):
        run.happen(run.possible())

    run.run_without("answer")

    edge = run.scheduler.stages[run.stage("task")].inputs[0]
    assert edge.frames >= WINDOW_FRAMES


def test_a_source_waits_for_the_first_answers_before_it_fills_a_window():
    run = play(n.task(n.source(ENDLESS), workers=3), item_seconds=0.03)

    run.run_without("answer")
    assert run.sources[NUMBERS].pulled == 3 * START_ITEMS

    for _ in range(100):
        run.happen([each for each in run.possible() if each[0] == "answer"] or run.possible())
    run.run_without("answer")
    assert run.sources[NUMBERS].pulled > 3 * START_ITEMS


def test_few_frames_wait_before_the_cost_of_items_is_known():
    run = play(n.task(n.source(ENDLESS)), item_seconds=1e-7)
    run.pull(NUMBERS, 1)
    run.answer(*run.workers_of(run.stage("task")))
    size = run.sources[NUMBERS].size
    assert size > WINDOW_ITEMS

    run.run_without("answer")

    assert run.sources[NUMBERS].pulled <= 1 + START_ITEMS + START_FRAMES * size


@pytest.mark.parametrize(("mib", "held"), [(6, 4), (14, 3), (16, 3), (20, 2), (100, 1)])
@pytest.mark.parametrize("given", [{}, {"memory": 2 * WINDOW_BYTES}])
def test_a_source_may_send_three_large_frames_unless_memory_is_given(mib, held, given):
    run = play(n.task(n.source(ENDLESS)), item_seconds=1e-7, item_bytes=mib << 20, **given)
    strictly = 24 // mib

    run.run_without("answer")

    edge = run.scheduler.stages[run.stage("task")].inputs[0]
    assert edge.frames == (max(strictly, 1) if given else held)


def test_items_that_grow_take_back_what_a_source_was_allowed():
    run = play(n.task(n.source(ENDLESS)), item_seconds=1e-7, item_bytes=10)
    run.pull(NUMBERS, 1)
    assert run.sources[NUMBERS].allowed == START_ITEMS

    run.nbytes[NUMBERS] = WINDOW_BYTES // 4
    run.run_without("answer")

    assert run.sources[NUMBERS].pulled == 1 + 3


def test_a_frame_larger_than_the_window_passes_alone():
    run = play(n.task(n.source(range(5))), item_seconds=1e-7, item_bytes=2 * WINDOW_BYTES)

    run.run_without("answer")
    assert run.sources[NUMBERS].pulled == 1

    assert run.run().values(2) == [0, 1, 2, 3, 4]


def test_a_broadcast_goes_at_the_pace_of_its_slowest_reader():
    numbers = n.source(ENDLESS)
    run = play(n.task(numbers, name="quick"), n.task(numbers, name="slow"), queue_size=2)
    (slow,) = run.workers_of(run.stage("slow"))

    run.run_without(("answer", slow))

    assert run.sources[NUMBERS].pulled == 2 + 1


def test_the_smallest_window_bounds_the_size_of_frames_everywhere():
    run = play(n.task(n.task(n.source(range(500))), name="narrow", queue_size=3), item_seconds=1e-7)

    run.run()

    assert run.sources[NUMBERS].size == 3


@pytest.mark.parametrize(("limit", "most"), [(4000, 4), (NO_LIMIT, 10)])
def test_a_limit_in_bytes_holds_beside_a_number_of_items(limit, most):
    edge = Edge(
        0, 1, 0, queue_size=10, unbounded=False, in_order=True, in_order_numbers=True, sizers=(), window_bytes=limit
    )
    frame = Frame(count=1, span=1, upto=(), payload=PayloadId(0), nbytes=1000)

    numbers = range(100)
    put = 0
    while edge.admits(numbers[put]):
        edge.grant(put, 1)
        edge.put(put, frame)
        put += 1

    assert put == most
    assert edge.room(1) == 10 - most if limit == NO_LIMIT else edge.room(1) == 0
