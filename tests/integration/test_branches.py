"""Reuse of a pipeline is a branch: every consumer gets every item, shared stages run once, nothing deadlocks."""

from __future__ import annotations

import itertools
import time

import pytest

from olympipe_like import SKIP, Pipeline
from tests import functions as f

with_any_workers = pytest.mark.parametrize("executor", ["process", "thread", "inline"])

RECORDS = [
    {"name": "Ann", "email": "ann@example.org", "phone": "0151 1"},
    {"name": "Bob", "email": None, "phone": "0151 2"},
    {"name": "Cid", "email": "cid@example.org", "phone": None},
    {"name": "Dee", "email": None, "phone": None},
    {"name": "Eve", "email": "eve@example.org", "phone": "0151 5"},
]


def names(records):
    return [record["name"] for record in records]


# -- the article's example -----------------------------------------------------------------------------------


@with_any_workers
def test_the_articles_example_sorts_every_record_into_the_right_list(executor):
    pipe = Pipeline(RECORDS)
    email_missing = pipe.filter(lambda r: not r["email"])
    email_valid = pipe.filter(lambda r: r["email"])
    phone_missing = email_valid.filter(lambda r: not r["phone"])
    all_info_ok = email_valid.filter(lambda r: r["phone"])

    lists = Pipeline.wait_for_all_results([email_missing, phone_missing, all_info_ok], executor=executor)

    assert [names(records) for records in lists] == [["Bob", "Dee"], ["Cid"], ["Ann", "Eve"]]


@with_any_workers
def test_each_filter_of_the_articles_example_looks_at_each_item_once(executor, tally):
    def has(field, record, tally):
        tally.hit(f"has {field}")
        return record[field] is not None

    def lacks(field, record, tally):
        tally.hit(f"lacks {field}")
        return record[field] is None

    pipe = Pipeline(RECORDS)
    no_email = pipe.filter(lambda r: lacks("email", r, tally))
    email = pipe.filter(lambda r: has("email", r, tally))
    no_phone = email.filter(lambda r: lacks("phone", r, tally))
    ok = email.filter(lambda r: has("phone", r, tally))

    Pipeline.wait_for_all_results([no_email, no_phone, ok], executor=executor)

    calls = {name: tally.count(name) for name in ("lacks email", "has email", "lacks phone", "has phone")}
    assert calls == {"lacks email": 5, "has email": 5, "lacks phone": 3, "has phone": 3}


# -- broadcast -----------------------------------------------------------------------------------------------


@with_any_workers
def test_every_consumer_gets_every_item_in_order(executor):
    shared = Pipeline(range(100)).task(lambda x: x + 1)
    legs = [shared.task(lambda x, factor=factor: x * factor) for factor in range(4)]

    results = Pipeline.wait_for_all_results(legs, executor=executor)

    assert results == [[(x + 1) * factor for x in range(100)] for factor in range(4)]


def test_the_shared_part_runs_once_in_one_run_and_again_in_the_next(tally):
    def work(x):
        tally.hit("work")
        return x

    shared = Pipeline(range(10)).task(work)
    left, right = shared.task(str), shared.task(repr)

    left.wait_for_results([right])
    once = tally.count("work")
    left.wait_for_result()

    assert (once, tally.count("work")) == (10, 20)


@pytest.mark.parametrize("join", ["gather", "zip", "concat"])
def test_the_shared_part_runs_once_for_legs_that_meet_again(join, tally):
    def work(x):
        tally.hit("work")
        return x

    shared = Pipeline(range(10)).task(work)

    getattr(shared.task(str), join)(shared.task(repr)).wait_for_completion()

    assert tally.count("work") == 10


def test_a_pipeline_and_what_was_built_on_it_can_be_waited_for_together():
    shared = Pipeline(range(5)).task(lambda x: x * 10)
    later = shared.task(lambda x: x + 1)

    assert Pipeline.wait_for_all_results([shared, later, shared]) == [
        [0, 10, 20, 30, 40],
        [1, 11, 21, 31, 41],
        [0, 10, 20, 30, 40],
    ]


def test_what_one_leg_does_to_an_item_is_not_seen_by_the_other():
    shared = Pipeline([[1], [2], [3]]).task(list)
    spoiling = shared.task(lambda item: item.append("spoiled") or item)
    looking = shared.task(lambda item: item)

    results = Pipeline.wait_for_all_results([spoiling, looking])

    assert results == [[[1, "spoiled"], [2, "spoiled"], [3, "spoiled"]], [[1], [2], [3]]]


def test_unrelated_pipelines_can_be_waited_for_in_one_run():
    results = Pipeline.wait_for_all_results([Pipeline("ab").task(str.upper), Pipeline(range(3)).task(str)])

    assert results == [["A", "B"], ["0", "1", "2"]]


# -- diamonds ------------------------------------------------------------------------------------------------


@with_any_workers
@pytest.mark.parametrize("queue_size", [None, 1])
def test_a_diamond_with_a_rare_filter_ends_and_keeps_order(executor, queue_size):
    shared = Pipeline(range(900)).task(lambda x: x, queue_size=queue_size)
    rare = shared.filter(lambda x: x % 300 == 299, queue_size=queue_size)

    joined = rare.task(lambda x: -x, queue_size=queue_size).gather(shared)

    result = joined.wait_for_result(executor=executor, queue_size=queue_size)
    assert result == [y for x in range(900) for y in ([-x, x] if x % 300 == 299 else [x])]


@pytest.mark.parametrize("queue_size", [None, 1])
@pytest.mark.parametrize("rare_first", [True, False])
def test_a_diamond_where_one_leg_lets_nothing_through_ends(queue_size, rare_first):
    shared = Pipeline(range(500))
    nothing = shared.filter(lambda x: False)
    everything = shared.task(lambda x: x)

    legs = (nothing, everything) if rare_first else (everything, nothing)

    assert legs[0].gather(legs[1]).wait_for_result(queue_size=queue_size) == list(range(500))


@pytest.mark.parametrize("queue_size", [None, 1])
def test_a_diamond_where_one_leg_speaks_only_at_the_end_ends(queue_size):
    shared = Pipeline(range(800))
    total = shared.reduce(0, lambda item, acc: item + acc)

    result = total.gather(shared.task(lambda x: x)).wait_for_result(queue_size=queue_size)

    assert result == [*range(800), sum(range(800))]


@pytest.mark.parametrize("queue_size", [None, 1])
def test_zipping_legs_of_different_length_from_one_source_ends(queue_size):
    shared = Pipeline(range(800))
    rare = shared.filter(lambda x: x % 200 == 0)

    result = rare.zip(shared, strict=False).wait_for_result(queue_size=queue_size)

    assert result == [(0, 0), (200, 1), (400, 2), (600, 3)]


@pytest.mark.parametrize("queue_size", [None, 1])
def test_concat_of_legs_of_one_source_ends(queue_size):
    evens, odds = Pipeline(range(800)).partition(lambda x: x % 2 == 0)

    result = evens.concat(odds).wait_for_result(queue_size=queue_size)

    assert result == [*range(0, 800, 2), *range(1, 800, 2)]


@with_any_workers
def test_what_a_merge_gives_last_is_still_where_it_belongs(executor):
    shared = Pipeline(range(4))
    first = shared.limit(1)
    early = first.gather(first).explode(lambda x: [f"part of {x}"] * 2)

    result = early.gather(early).gather(shared).wait_for_result(executor=executor)

    assert result == [0, *["part of 0"] * 8, 1, 2, 3]


def test_batches_of_different_size_meet_in_order():
    shared = Pipeline(range(12))

    joined = shared.batch(5).gather(shared.batch(4))

    assert joined.wait_for_result(queue_size=1) == [
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [4, 5, 6, 7],
        [5, 6, 7, 8, 9],
        [8, 9, 10, 11],
        [10, 11],  # incomplete, so at the very end
    ]


def test_three_nested_diamonds_end_with_the_smallest_queues():
    pipe = Pipeline(range(80))
    for divisor in (2, 3, 5):
        left, right = pipe.partition(lambda x, divisor=divisor: x % divisor == 0)
        pipe = left.task(lambda x: x, workers=2, queue_size=1).gather(right.task(lambda x: x, queue_size=1))

    assert pipe.wait_for_result(queue_size=1) == list(range(80))


def test_an_exploding_leg_and_a_batching_leg_meet():
    shared = Pipeline(range(9))

    joined = shared.explode(lambda x: [f"{x}.{part}" for part in range(x % 3)]).gather(shared.batch(3))

    assert joined.wait_for_result(queue_size=1) == [
        *["1.0", [0, 1, 2], "2.0", "2.1"],
        *["4.0", [3, 4, 5], "5.0", "5.1"],
        *["7.0", [6, 7, 8], "8.0", "8.1"],
    ]


# -- legs of different speed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_legs_of_different_speed_with_the_smallest_queues_lose_nothing(executor):
    shared = Pipeline(range(40)).task(lambda x: x, queue_size=1, executor=executor)
    slow = shared.task(lambda x: time.sleep(0.005) or x, queue_size=1, executor=executor)
    fast = shared.task(lambda x: -x, queue_size=1, executor=executor)

    results = Pipeline.wait_for_all_results([slow, fast, slow.gather(fast)], queue_size=1)

    assert results[0] == list(range(40))
    assert results[1] == [-x for x in range(40)]
    assert results[2] == [y for x in range(40) for y in (x, -x)]


def test_an_unordered_gather_does_not_wait_for_the_slow_leg():
    slow = Pipeline([1, 2]).task(lambda x: time.sleep(0.2) or "slow")
    fast = Pipeline(range(5)).task(lambda x: "fast")

    result = slow.gather(fast, ordered=False).wait_for_result()

    assert sorted(result) == ["fast"] * 5 + ["slow"] * 2
    assert result[0] == "fast"
    assert result[-1] == "slow"


# -- split and partition -------------------------------------------------------------------------------------


@with_any_workers
def test_split_sends_to_each_leg_what_the_function_says(executor):
    evens, all_of_them, odds = Pipeline(range(6)).split(
        lambda x: (x if x % 2 == 0 else None, -x, SKIP if x % 2 == 0 else x), n=3
    )

    results = Pipeline.wait_for_all_results([evens, all_of_them, odds], executor=executor)

    assert results == [[0, 2, 4], [0, -1, -2, -3, -4, -5], [1, 3, 5]]


def test_split_reads_the_number_of_legs_from_the_return_annotation():
    def both(x) -> tuple[int, str]:
        return x, str(x)

    assert len(Pipeline(range(3)).split(both)) == 2


def test_partition_keeps_none_as_an_ordinary_value():
    nones, others = Pipeline([None, 1, None, 2]).partition(lambda x: x is None)

    assert Pipeline.wait_for_all_results([nones, others]) == [[None, None], [1, 2]]


@with_any_workers
@pytest.mark.parametrize("leg", [0, 1])
def test_one_leg_of_a_split_can_be_waited_for_alone(executor, leg):
    legs = Pipeline(range(800)).split(lambda x: (x, None) if x % 2 == 0 else (None, x), n=2)

    assert legs[leg].wait_for_result(executor=executor, queue_size=1) == list(range(leg, 800, 2))


def test_a_leg_nobody_waits_for_costs_nothing(tally):
    evens, odds = Pipeline(range(10)).partition(lambda x: x % 2 == 0)
    odds.task(lambda x: tally.hit("work"))

    assert evens.wait_for_result() == [0, 2, 4, 6, 8]
    assert tally.count("work") == 0


# -- an end in one leg ---------------------------------------------------------------------------------------


@with_any_workers
def test_a_limit_on_one_leg_stops_only_that_leg(executor):
    shared = Pipeline(range(1000)).task(lambda x: x)

    few, all_of_them = Pipeline.wait_for_all_results(
        [shared.limit(3), shared.task(lambda x: -x)], executor=executor, queue_size=4
    )

    assert few == [0, 1, 2]
    assert all_of_them == [-x for x in range(1000)]


@with_any_workers
def test_an_endless_source_ends_when_all_legs_have_what_they_need(executor):
    shared = Pipeline(itertools.count()).task(lambda x: x)
    odd = shared.filter(lambda x: x % 2)

    results = Pipeline.wait_for_all_results([shared.limit(3), odd.limit(5), odd.batch(2).limit(1)], executor=executor)

    assert results == [[0, 1, 2], [1, 3, 5, 7, 9], [[1, 3]]]


def test_a_limited_leg_that_meets_an_unlimited_one_ends():
    shared = Pipeline(range(300))

    joined = shared.limit(2).gather(shared.task(lambda x: -x))

    assert joined.wait_for_result(queue_size=1) == [0, 0, 1, *(-x for x in range(1, 300))]


def test_a_limit_after_a_merge_of_endless_legs_ends():
    evens, odds = Pipeline(itertools.count()).partition(lambda x: x % 2 == 0)

    assert evens.task(lambda x: x).gather(odds.task(lambda x: -x)).limit(5).wait_for_result() == [0, -1, 2, -3, 4]


@pytest.mark.parametrize("executor", ["process", "thread"])
@pytest.mark.parametrize("endless", [True, False])
def test_an_error_in_one_leg_ends_the_run(executor, endless):
    shared = Pipeline(itertools.count() if endless else range(100)).task(lambda x: x)
    bad = shared.task(lambda x: 1 // (x - 20), executor=executor)
    good = shared.task(lambda x: x, executor=executor)

    with pytest.raises(ZeroDivisionError):
        Pipeline.wait_for_all_results([good, bad], queue_size=4)


def test_an_error_in_a_leg_nobody_waits_for_does_not_happen():
    shared = Pipeline(range(5))
    shared.task(lambda x: 1 // 0)

    assert shared.task(str).wait_for_result() == ["0", "1", "2", "3", "4"]


# -- zip -----------------------------------------------------------------------------------------------------


def test_zip_pairs_any_number_of_legs():
    items = Pipeline(range(3))

    assert items.zip(Pipeline("abc"), items.task(lambda x: -x)).wait_for_result() == [
        (0, "a", 0),
        (1, "b", -1),
        (2, "c", -2),
    ]


@pytest.mark.parametrize("lengths", [(3, 5), (5, 3), (0, 1), (1, 0)])
def test_a_strict_zip_of_legs_of_different_length_is_an_error(lengths):
    first, second = (Pipeline(range(n)) for n in lengths)
    arrived = []

    with pytest.raises(Exception, match=r"(?i)zip") as caught:
        f.take_all(first.zip(second), into=arrived)

    assert isinstance(caught.value, ValueError)  # as with the zip of the language
    assert arrived == [(x, x) for x in range(min(lengths))]


def test_zip_with_an_endless_leg_ends_with_the_shorter_one():
    endless = Pipeline(itertools.count).task(lambda x: x)

    assert endless.zip(Pipeline("abc"), strict=False).wait_for_result() == [(0, "a"), (1, "b"), (2, "c")]
    assert Pipeline("abc").zip(endless, strict=False).wait_for_result() == [("a", 0), ("b", 1), ("c", 2)]


@with_any_workers
@pytest.mark.parametrize("longer", [0, 1])
def test_what_follows_a_zip_of_unequal_legs_ends_once(longer, executor):
    legs = [Pipeline(range(40 if leg == longer else 20)).task(lambda x: x) for leg in range(2)]
    pairs = legs[0].zip(legs[1], strict=False)

    total, batches, last = Pipeline.wait_for_all_results(
        [pairs.reduce(0, f.count_one), pairs.batch(15).task(len), pairs.limit(50).reduce(0, f.count_one).task(str)],
        executor=executor,
    )

    assert (total, batches, last) == ([20], [15, 5], ["20"])


# -- concat --------------------------------------------------------------------------------------------------


def test_concat_does_not_touch_a_later_source_before_its_turn():
    seen = []

    def source(name, n):
        for number in range(n):
            seen.append(name)
            yield name, number

    first, second = Pipeline(source("first", 300)), Pipeline(source("second", 3))

    first.task(lambda x: x).concat(second).wait_for_completion()

    assert seen == ["first"] * 300 + ["second"] * 3


@with_any_workers
def test_concat_of_merged_legs_can_be_limited(executor):
    one = Pipeline([7])
    twice = one.gather(one)

    result = twice.concat(twice, Pipeline(range(8))).limit(5).wait_for_result(executor=executor)

    assert result == [7, 7, 7, 7, 0]


def test_concat_of_an_endless_leg_gives_the_first_items():
    endless = Pipeline(itertools.count(10))

    assert Pipeline(range(2)).concat(endless).limit(5).wait_for_result() == [0, 1, 10, 11, 12]
