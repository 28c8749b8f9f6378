"""`limit` takes exactly what it needs from the source; `skip` drops the first items."""

from __future__ import annotations

import itertools

import pytest

from olympipe_like import SKIP, Pipeline
from tests import functions as f

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


class Counted:
    """A source of 0, 1, 2, ... that knows how many were taken from it."""

    def __init__(self, last=None):
        self.last = last
        self.pulled = 0

    def __iter__(self):
        for number in itertools.count():
            assert self.last is None or number <= self.last, "one item more was asked for"
            self.pulled += 1
            yield number


# What stands before the limit, and how many source items make one item for it.
BEFORE = {
    "nothing": (lambda pipe: pipe, 1),
    "a task": (lambda pipe: pipe.task(lambda x: x), 1),
    "tasks of many workers": (lambda pipe: pipe.task(lambda x: x, workers=2).task(lambda x: x, workers=3), 1),
    "a task of coroutines": (lambda pipe: pipe.task(f.increment_later, workers=3), 1),
    "a tap": (lambda pipe: pipe.tap(lambda x: None), 1),
    "an instance in the worker": (lambda pipe: pipe.class_task(f.Scaler, "scale"), 1),
    "a batch": (lambda pipe: pipe.batch(3), 3),
    "batches of batches": (lambda pipe: pipe.task(lambda x: x).batch(2).task(list).batch(3), 6),
    "a larger limit": (lambda pipe: pipe.limit(100), 1),
}


@executors
@pytest.mark.parametrize("before", BEFORE)
def test_a_limit_pulls_exactly_what_it_needs(before, executor):
    build, items_each = BEFORE[before]
    for n in (0, 1, 4):
        source = Counted()

        result = build(Pipeline(source)).limit(n).wait_for_result(executor=executor)

        assert (len(result), source.pulled) == (n, n * items_each)


@pytest.mark.parametrize("before", BEFORE)
def test_a_loop_over_a_limit_pulls_exactly_what_it_needs(before):
    build, items_each = BEFORE[before]
    source = Counted()

    result = list(build(Pipeline(source)).limit(5))

    assert (len(result), source.pulled) == (5, 5 * items_each)


def test_a_limit_pulls_exactly_what_it_needs_from_a_source_in_a_process_of_its_own(tally):
    def numbers():
        for number in itertools.count():
            tally.hit("pulled")
            yield number

    assert Pipeline(numbers).task(lambda x: -x).limit(3).wait_for_result() == [0, -1, -2]
    assert tally.count("pulled") == 3


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_limit_does_not_wait_for_one_item_more(executor):
    # The source fails if it is asked again, as a camera would block that was asked for one picture too many.
    pipe = Pipeline(Counted(last=2)).task(lambda x: x, executor=executor).limit(3)

    assert pipe.wait_for_result() == [0, 1, 2]


def test_a_limit_behind_a_filter_pulls_no_more_than_the_queues_hold():
    source = Counted()
    rare = Pipeline(source).filter(lambda x: x % 10 == 9, queue_size=2)

    assert rare.limit(3).wait_for_result(queue_size=2) == [9, 19, 29]
    assert 30 <= source.pulled <= 40


@executors
def test_a_limit_behind_a_task_that_drops_items_still_gives_its_number(executor):
    pipe = Pipeline(Counted()).task(lambda x: SKIP if x % 3 else x)

    assert pipe.limit(4).wait_for_result(executor=executor) == [0, 3, 6, 9]


@executors
def test_a_limit_behind_explode_cuts_inside_an_item(executor):
    pipe = Pipeline(Counted()).explode(lambda x: [x] * 3)

    assert pipe.limit(4).wait_for_result(executor=executor) == [0, 0, 0, 1]


@executors
def test_a_limit_above_the_number_of_items_gives_them_all(executor):
    assert Pipeline(range(3)).task(str).limit(10).wait_for_result(executor=executor) == ["0", "1", "2"]


def test_a_limit_of_an_empty_source_gives_nothing():
    assert Pipeline([]).limit(3).wait_for_result() == []


def test_what_follows_a_limit_sees_only_its_items(tally):
    pipe = Pipeline(Counted()).limit(3).task(lambda x: tally.hit("work") or x)

    assert pipe.wait_for_result() == [0, 1, 2]
    assert tally.count("work") == 3


def test_a_limit_of_many_tiny_items_is_exact():
    source = Counted()

    assert Pipeline(source).task(lambda x: x).limit(12_345).wait_for_result() == list(range(12_345))
    assert source.pulled == 12_345


@executors
def test_a_failure_after_the_last_item_wanted_does_not_happen(executor):
    pipe = Pipeline(range(20)).task(lambda x: 12 // (4 - x)).limit(4)

    assert pipe.wait_for_result(executor=executor) == [3, 4, 6, 12]


def test_a_limited_pipeline_runs_again_from_the_start():
    pipe = Pipeline(Counted()).task(lambda x: x).limit(3)

    assert [pipe.wait_for_result(), pipe.wait_for_result()] == [[0, 1, 2], [0, 1, 2]]


# -- skip ----------------------------------------------------------------------------------------------------


@executors
@pytest.mark.parametrize(("n", "left"), [(0, 5), (1, 4), (4, 1), (5, 0), (9, 0)])
def test_skip_drops_the_first_items(n, left, executor):
    assert Pipeline(range(5)).task(lambda x: x).skip(n).wait_for_result(executor=executor) == list(range(5 - left, 5))


@executors
@pytest.mark.parametrize(
    ("build", "expected", "pulled"),
    [
        (lambda pipe: pipe.skip(2).limit(3), [2, 3, 4], 5),
        (lambda pipe: pipe.limit(5).skip(2), [2, 3, 4], 5),
        (lambda pipe: pipe.skip(1).batch(2).limit(2), [[1, 2], [3, 4]], 5),
        (lambda pipe: pipe.batch(2).skip(1).limit(1), [[2, 3]], 4),
        (lambda pipe: pipe.limit(7).limit(3), [0, 1, 2], 3),
        (lambda pipe: pipe.skip(2).skip(2).limit(1), [4], 5),
    ],
    ids=["skip limit", "limit skip", "skip batch limit", "batch skip limit", "limit limit", "skip skip limit"],
)
def test_limits_and_skips_in_a_row_pull_exactly_what_they_need(build, expected, pulled, executor):
    source = Counted()

    result = build(Pipeline(source).task(lambda x: x)).wait_for_result(executor=executor)

    assert result == expected
    assert source.pulled == pulled


def test_skip_counts_items_that_passed_the_filter_before_it():
    assert Pipeline(range(12)).filter(lambda x: x % 3 == 0).skip(2).wait_for_result() == [6, 9]


def test_skip_of_many_tiny_items_is_exact():
    assert Pipeline(range(20_000)).task(lambda x: x).skip(12_345).wait_for_result() == list(range(12_345, 20_000))
