"""Order is that of the source, whatever the workers do. Early items take longest, so order never comes by luck."""

from __future__ import annotations

import time

import pytest

from olympipe_like import Pipeline
from tests import functions as f

N = 24
with_any_workers = pytest.mark.parametrize("executor", ["process", "thread"])


def slow_items(executor: str = "process") -> Pipeline:
    return Pipeline(range(N)).task(f.hurry_later, workers=4, executor=executor)


@with_any_workers
def test_results_come_in_source_order(executor):
    assert slow_items(executor).wait_for_result() == list(range(N))


@with_any_workers
def test_iteration_gives_source_order(executor):
    assert list(slow_items(executor)) == list(range(N))


def test_coroutines_that_overtake_each_other_give_source_order():
    result = Pipeline(range(N)).task(f.hurry_later_async, workers=4).wait_for_result()

    assert result == list(range(N))


def test_unordered_results_come_as_they_are_ready():
    result = Pipeline(range(N)).task(f.hurry_later, workers=4, ordered=False).wait_for_result()

    assert sorted(result) == list(range(N))
    assert result != list(range(N))


def test_a_merge_by_source_order_restores_the_order_that_a_task_gave_up():
    shared = Pipeline(range(N))
    unordered = shared.task(f.hurry_later, workers=4, ordered=False)

    assert unordered.gather(shared).wait_for_result() == [x for x in range(N) for _ in range(2)]


@with_any_workers
def test_a_filter_with_many_workers_keeps_order(executor):
    kept = Pipeline(range(N)).filter(f.hurry_later_and_keep_even, workers=4, executor=executor)

    assert kept.wait_for_result() == list(range(0, N, 2))


@with_any_workers
def test_a_filter_after_slow_items_keeps_order(executor):
    assert slow_items(executor).filter(lambda x: x % 5 == 0).wait_for_result() == list(range(0, N, 5))


@with_any_workers
def test_the_parts_of_an_exploded_item_stay_together_and_in_order(executor):
    parts = Pipeline(range(N)).explode(f.hurry_later_and_repeat, workers=4, executor=executor)

    assert parts.wait_for_result() == [(x, part) for x in range(N) for part in range(x % 3)]


@with_any_workers
def test_batches_are_runs_of_neighbours(executor):
    batches = slow_items(executor).batch(5).wait_for_result()

    assert batches == [list(range(start, min(start + 5, N))) for start in range(0, N, 5)]


@with_any_workers
def test_slow_work_on_batches_keeps_the_order_of_batches(executor):
    batches = Pipeline(range(N)).batch(4).task(lambda b: [f.hurry_later(x) for x in b], workers=3, executor=executor)

    assert batches.unbatch().wait_for_result() == list(range(N))


@with_any_workers
def test_split_and_gather_give_back_source_order(executor):
    even, odd = slow_items(executor).split(lambda x: (x, None) if x % 2 == 0 else (None, x), n=2)

    slow_even = even.task(f.hurry_later, workers=4, executor=executor)

    assert slow_even.gather(odd).wait_for_result() == list(range(N))


@with_any_workers
def test_partition_and_gather_give_back_source_order(executor):
    rare, common = slow_items(executor).partition(lambda x: x % 7 == 0)

    slow_rare = rare.task(f.hurry_later, workers=2, executor=executor)

    assert slow_rare.gather(common).wait_for_result() == list(range(N))


@with_any_workers
def test_zip_pairs_what_belongs_together(executor):
    items = Pipeline(range(N))
    left = items.task(f.hurry_later, workers=4, executor=executor)
    right = items.task(lambda x: -x, workers=2, executor=executor)

    assert left.zip(right).wait_for_result() == [(x, -x) for x in range(N)]


def test_legs_of_different_sources_interleave_by_position():
    slow = slow_items()
    fast = Pipeline("abcdef")

    expected = [item for x in range(6) for item in (x, "abcdef"[x])] + list(range(6, N))

    assert slow.gather(fast).wait_for_result() == expected


def test_gather_puts_the_parts_of_an_item_where_the_item_was():
    items = slow_items()
    parts = items.explode(lambda x: [f"{x}a", f"{x}b"])

    expected = [entry for x in range(N) for entry in (x, f"{x}a", f"{x}b")]

    assert parts.gather(items).wait_for_result() == expected


def numbered(item):
    return [(*item, number) for number in range(5)]


def slowly_numbered(item):
    for part in numbered(item):
        time.sleep(0.0011)  # longer than what a part waits for
        yield part


# What explode makes of items of one place steps back: the first part of the second comes behind the last of the first.
STEPPING_BACK = {
    "explode": lambda parts: parts.explode(lambda item: [(*item, 0), (*item, 1)]),
    "unbatch": lambda parts: parts.task(lambda item: [(*item, 0), (*item, 1)]).unbatch(),
    "shard": lambda parts: parts.shard(0, 2, even="drop"),
}


@pytest.mark.parametrize("step", STEPPING_BACK)
@pytest.mark.parametrize("executor", ["inline", "process"])
def test_gather_merges_the_parts_of_items_of_one_place_alike_however_slowly_they_come(step, executor):
    def merged(function):
        letters = [Pipeline(range(4)).task(lambda x, letter=letter: (x, letter)) for letter in "ab"]
        parts = STEPPING_BACK[step](letters[0].gather(letters[1]).explode(function, name="parts"))
        leg = parts.filter(lambda item: item[1:3] in [("a", 2), ("b", 1), ("b", 3)])  # what was furthest is not there
        return leg.gather(leg).wait_for_result(executor=executor)

    assert merged(slowly_numbered) == merged(numbered)


def test_gather_puts_a_batch_where_its_last_member_was_and_an_incomplete_one_at_the_end():
    items = Pipeline(range(8))
    batches = items.batch(3)

    assert batches.gather(items).wait_for_result() == [0, 1, [0, 1, 2], 2, 3, 4, [3, 4, 5], 5, 6, 7, [6, 7]]


def test_concat_puts_one_leg_after_the_other():
    slow = slow_items()
    fast = Pipeline("abc")

    assert slow.concat(fast, fast).wait_for_result() == [*range(N), *"abc", *"abc"]


def test_order_holds_through_a_long_mixed_chain():
    rare, common = slow_items().filter(lambda x: x != 3).partition(lambda x: x % 6 == 0)
    joined = rare.explode(lambda x: [x, x], workers=2).gather(common.task(f.hurry_later, workers=3))

    result = joined.batch(4).task(tuple, workers=2).unbatch().wait_for_result()

    assert result == [x for x in range(N) if x != 3 for _ in range(2 if x % 6 == 0 else 1)]


def slowly(value):
    """Give so slowly that every item goes on alone."""
    for part in range(3):
        yield value, part
        time.sleep(0.003)


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
@pytest.mark.parametrize(
    "last",
    [
        lambda parts: parts.batch(50),
        lambda parts: parts.reduce([], lambda part, seen: [*seen, part]),
        lambda parts: parts.window(50, 50, partial=True),
        lambda parts: parts.bucket(lambda part: 1, [5], 50),
    ],
    ids=["batch", "reduce", "window", "bucket"],
)
def test_what_comes_at_the_end_of_several_legs_comes_in_their_order_however_slow_they_are(last, executor):
    rest = Pipeline(range(2)).batch(3)
    parts = [(number, part) for number in range(2) for part in range(3)]

    merged = last(rest.unbatch().explode(slowly)).gather(rest)

    assert merged.wait_for_result(executor=executor) == [parts, [0, 1]]


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_sources_that_meet_in_two_merges_do_not_wait_for_each_other(executor):
    left, right = Pipeline(range(30)), Pipeline(range(30, 60))

    found = Pipeline.wait_for_all_results(
        [
            left.concat(right),
            right.concat(left).task(str),
            right.gather(left),
            left.batch(9).zip(right, strict=False),
        ],
        queue_size=1,
        executor=executor,
        stall_timeout=20,
    )

    one, other = list(range(30)), list(range(30, 60))
    assert found[:2] == [one + other, [*map(str, other + one)]]
    assert found[2] == [item for both in zip(other, one, strict=True) for item in both]
    assert found[3] == list(zip([one[at : at + 9] for at in range(0, 30, 9)], other, strict=False))


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
@pytest.mark.parametrize("queue_size", [1, 4])
def test_a_leg_that_explodes_again_what_the_other_leg_has_does_not_hold_it_back(executor, queue_size):
    parts = Pipeline(range(6)).explode(lambda value: [value] * 9).task(abs)

    merged = parts.explode(lambda value: [value, value]).gather(parts)

    found = merged.wait_for_result(executor=executor, queue_size=queue_size, stall_timeout=20)
    assert found == [value for value in range(6) for _ in range(27)]
