"""Frames hold some milliseconds of work: many items where they are quick, one where they are slow."""

from __future__ import annotations

from itertools import pairwise

import pytest

from olympipe_like._model.commands import RunFrame
from olympipe_like._model.identity import StageId
from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler.sizing import (
    EARLY_SECONDS,
    MAX_ITEMS,
    MAX_SECONDS,
    SHARE,
    START_FRAMES,
    TARGET_BYTES,
    TARGET_SECONDS,
    FrameSizer,
)
from tests.scheduler import nodes as n
from tests.scheduler.simulator import Simulation

FIRST, SECOND = StageId(1), StageId(2)


@pytest.fixture
def sizer():
    sizer = FrameSizer()
    sizer.expect(FIRST)
    sizer.expect(SECOND)
    return sizer


def test_frames_start_with_one_item_and_wait_for_every_stages_first_answer(sizer):
    assert sizer.size == 1

    sizer.observe(FIRST, seconds=1e-5, items=1)
    assert sizer.size == 1

    sizer.observe(SECOND, seconds=1e-5, items=1)
    assert sizer.size == round(TARGET_SECONDS / 1e-5)


def test_the_slowest_stage_sets_the_size(sizer):
    sizer.observe(FIRST, seconds=1e-6, items=1)
    sizer.observe(SECOND, seconds=2e-4, items=2)

    assert sizer.size == 10
    assert sizer.frame_seconds(SECOND) == pytest.approx(TARGET_SECONDS)
    assert sizer.frame_seconds(FIRST) == pytest.approx(TARGET_SECONDS / 100)


def test_items_that_become_slow_soon_travel_alone(sizer):
    sizer.observe(FIRST, seconds=0.0, items=1)
    sizer.observe(SECOND, seconds=1e-4 * 100, items=100)
    assert sizer.size >= 10

    sizes = []
    for _ in range(2):
        sizer.observe(SECOND, seconds=0.02 * sizer.size, items=sizer.size)
        sizes.append(sizer.size)

    assert sizes == [2, 1]


def test_items_that_become_quick_have_more_and_more_company(sizer):
    sizer.observe(FIRST, seconds=0.0, items=1)
    sizer.observe(SECOND, seconds=0.02, items=1)
    sizes = []
    for _ in range(150):
        sizer.observe(SECOND, seconds=1e-7 * sizer.size, items=sizer.size)
        sizes.append(sizer.size)

    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[-1] == MAX_ITEMS


def test_a_slow_item_among_quick_ones_keeps_few_of_them_waiting():
    sizer = FrameSizer()
    sizer.expect(FIRST)
    sizes = []
    for number in range(400):
        slow = number % 5 == 4  # a frame in five holds one item of 20 ms beside those of 0.75 ms
        seconds = 0.75e-3 * (sizer.size - slow) + 0.02 * slow
        sizer.observe(FIRST, seconds=seconds, items=sizer.size)
        sizes.append(sizer.size)

    assert min(sizes[100:]) >= 2
    assert max(sizes[100:]) * 0.75e-3 <= MAX_SECONDS


def test_a_frame_of_many_cheap_items_outweighs_the_one_before():
    one, many = FrameSizer(), FrameSizer()
    for sizer in (one, many):
        sizer.expect(FIRST)
        sizer.observe(FIRST, seconds=EARLY_SECONDS, items=1)
    assert one.size == 1

    one.observe(FIRST, seconds=1e-6, items=1)
    many.observe(FIRST, seconds=1e-4, items=100)

    assert one.size == 1
    assert many.size == int(TARGET_SECONDS / ((EARLY_SECONDS + 1e-4) / 101))


def test_a_few_frames_are_enough_to_find_the_size_for_tiny_items(sizer):
    """A frame costs 60 µs whatever is in it; the first of each worker finds its caches cold."""
    enough = 16384  # for it to cost each a tenth; the rest comes with the first milliseconds' work
    sizer.observe(FIRST, seconds=1e-3, items=1)
    sizer.observe(SECOND, seconds=2e-3, items=1)
    sizes = [sizer.size]
    while sizer.size < enough and len(sizes) < 20:
        for stage in (FIRST, SECOND):
            sizer.observe(stage, seconds=6e-5 + 4e-8 * sizes[-1], items=sizes[-1])
        sizes.append(sizer.size)

    assert sizes[0] == 1
    assert len(sizes) <= 6


def test_small_frames_that_come_late_do_not_make_the_next_ones_small(sizer):
    for stage in (FIRST, SECOND):
        sizer.observe(stage, seconds=1e-4, items=100)
    size = sizer.size
    assert size == 1000

    sizer.observe(FIRST, seconds=6e-5, items=1)

    assert sizer.size == size


def test_items_that_are_filtered_out_say_little_of_what_the_others_cost(sizer):
    sizes = []
    for _ in range(6):
        sizer.observe(FIRST, seconds=6e-5, items=sizer.size)
        sizer.pass_by(SECOND, items=sizer.size)
        sizes.append(sizer.size)
    assert sizes == [1, 2, 4, 8, 16, 32]

    sizer.observe(SECOND, seconds=0.005, items=32)
    assert sizer.size == 6

    sizer.pass_by(SECOND, items=6)
    assert sizer.size == 6


def test_filters_that_drop_nearly_all_do_not_keep_frames_small(sizer):
    sizer.observe(SECOND, seconds=EARLY_SECONDS, items=1)
    for _ in range(100):
        sizer.observe(FIRST, seconds=6e-5, items=sizer.size)
        sizer.pass_by(SECOND, items=sizer.size)

    assert sizer.size > 1000


def test_fewer_frames_may_wait_while_they_grow():
    sizer = FrameSizer()
    sizer.expect(FIRST, workers=3)
    sizer.expect(SECOND)
    assert not sizer.is_settled
    assert sizer.start_frames == 3 * START_FRAMES

    sizer.staffed(FIRST, 5)
    assert sizer.start_frames == 5 * START_FRAMES

    sizer.observe(SECOND, seconds=EARLY_SECONDS, items=1)
    assert sizer.is_settled


def test_parts_without_items_say_nothing_of_what_an_item_costs(sizer):
    sizer.observe(FIRST, seconds=0.0, items=1)
    sizer.observe(SECOND, seconds=0.0, items=0)
    assert sizer.size == 1
    sizer.observe(SECOND, seconds=1e-4, items=1)
    sizer.observe(SECOND, seconds=0.0, items=0)

    assert sizer.size == 10


def test_frames_grow_with_the_work_that_was_done_up_to_some_milliseconds():
    sizer = FrameSizer()
    sizer.expect(FIRST, workers=2)
    sizes = []
    for _ in range(200):
        sizer.observe(FIRST, seconds=1e-4 * sizer.size, items=sizer.size)
        sizes.append(sizer.size)

    assert sizes == sorted(sizes)
    assert sizes[0] == round(TARGET_SECONDS / 1e-4)
    assert sizes[-1] == round(MAX_SECONDS / 1e-4)
    # No frame is more than an eighth of what each of the two had done before.
    done = 0
    for before, size in pairwise(sizes):
        done += before
        assert size <= max(TARGET_SECONDS / 1e-4, (done + 1) / 2 / SHARE)


def test_items_that_cost_nothing_come_in_frames_of_the_largest_size(sizer):
    sizer.observe(FIRST, seconds=0.0, items=1)
    sizer.observe(SECOND, seconds=0.0, items=1)

    assert sizer.size == MAX_ITEMS


def test_large_items_come_in_small_frames_however_quick_they_are(sizer):
    sizer.observe(FIRST, seconds=0.0, items=1)
    sizer.observe(SECOND, seconds=0.0, items=1)
    sizer.observe_bytes(TARGET_BYTES // 2, items=4)

    assert sizer.size == 8


def test_frames_are_smaller_where_less_may_wait():
    sizer = FrameSizer(TARGET_BYTES / 4)
    sizer.expect(FIRST)
    sizer.observe(FIRST, seconds=0.0, items=1)
    sizer.observe_bytes(TARGET_BYTES, items=64)

    assert sizer.size == 16


def test_an_item_larger_than_a_frame_should_be_still_gets_one(sizer):
    sizer.observe(FIRST, seconds=0.0, items=1)
    sizer.observe(SECOND, seconds=0.0, items=1)
    sizer.observe_bytes(100 * TARGET_BYTES, items=1)

    assert sizer.size == 1


# -- in a run ---------------------------------------------------------------------------------------------------------


def play(leaf, **options):
    return Simulation(lay_out([leaf]), **options)


@pytest.mark.parametrize(("item_seconds", "size"), [(1e-9, MAX_ITEMS), (1e-5, 100), (0.03, 1)])
def test_a_source_is_told_how_large_its_frames_should_be(item_seconds, size):
    run = play(n.task(n.source(range(600)), workers=2), item_seconds=item_seconds)

    run.run()

    assert run.sources[0].size == pytest.approx(size, abs=1)


def test_parts_of_an_explode_are_sized_by_what_comes_after_it():
    run = play(n.task(n.explode(n.source(range(50)), lambda v: [v] * 30), name="after"), item_seconds=1e-4)
    sizes = []
    while not run.finished:
        run.happen(run.possible())
        sizes += [(each.stage, each.part_items) for each in run.commands if isinstance(each, RunFrame)]

    assert (run.stage("explode"), 10) in sizes


@pytest.mark.parametrize(("item_seconds", "ahead"), [(1e-5, 2), (0.03, 1)])
def test_a_second_frame_is_sent_ahead_only_while_frames_are_short(item_seconds, ahead):
    run = play(n.task(n.source(range(100)), workers=2), item_seconds=item_seconds)
    run.pull(0, 1)
    run.answer(run.workers_of(run.stage("task"))[0])

    for _ in range(6):
        run.pull(0, 1)

    assert {len(run.workers[each].queue) for each in run.workers_of(run.stage("task"))} == {ahead}


def test_the_only_worker_of_a_stage_never_waits_for_its_next_item_however_slow_they_are():
    run = play(n.task(n.source(range(20)), workers=1), item_seconds=3.0)
    (worker,) = run.workers_of(run.stage("task"))

    run.run_without(("answer", worker))

    assert len(run.workers[worker].queue) == 2


def test_slow_items_are_dealt_out_to_whoever_is_free():
    run = play(n.task(n.source(range(12)), workers=3), item_seconds=0.03)
    slow = run.workers_of(run.stage("task"))[0]
    run.pull(0, 1)

    run.run_without(("answer", slow))

    assert len(run.workers[slow].queue) == 1
    assert all(not worker.queue for number, worker in run.workers.items() if number != slow)
    assert run.run().values(2) == list(range(12))
