"""shuffle, sample, unique, shard, window, bucket, scan, repeat and cycle: what the random plans do not say of them."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

from olympipe_like import SKIP, Pipeline, PlanError, SourceFailed, StageFailed
from olympipe_like._worker.epochs import Epochs
from tests import functions as f

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


class Counted:
    """A source of 0, 1, 2, ... that knows how many were taken from it, and how often it was begun and closed."""

    def __init__(self, length=None):
        self.length = length
        self.pulled = self.begun = self.closed = 0

    def __iter__(self):
        self.begun += 1
        try:
            for number in itertools.count() if self.length is None else range(self.length):
                self.pulled += 1
                yield number
        finally:
            self.closed += 1


# -- shuffle -------------------------------------------------------------------------------------------------


@executors
def test_the_same_seed_gives_the_same_order_and_another_seed_another(executor):
    pipe = Pipeline(range(500)).task(abs, workers=2, executor="process" if executor == "process" else "thread")

    orders = [pipe.shuffle(50, seed=seed).wait_for_result(executor=executor) for seed in (7, 7, 8)]

    assert orders[0] == orders[1] == Pipeline(range(500)).shuffle(50, seed=7).wait_for_result(executor="inline")
    assert orders[0] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(500))


def test_without_a_seed_each_run_and_each_shuffle_has_its_own_order():
    pipe = Pipeline(range(200))

    first, second = Pipeline.wait_for_all_results([pipe.shuffle(50), pipe.shuffle(50)], executor="inline")
    again = pipe.shuffle(50).wait_for_result(executor="inline")

    assert len({tuple(first), tuple(second), tuple(again)}) == 3


def test_no_item_comes_earlier_than_its_buffer_allows():
    order = Pipeline(range(2000)).shuffle(64, seed=3).wait_for_result(executor="inline")

    assert all(item <= place + 64 for place, item in enumerate(order))
    assert any(item < place - 64 for place, item in enumerate(order))


def test_every_place_of_a_whole_shuffle_is_as_likely_as_any_other():
    runs, items = 600, 6
    places = Counter()
    for seed in range(runs):
        order = Pipeline(range(items)).shuffle(None, seed=seed).wait_for_result(executor="inline")
        places.update(enumerate(order))

    # Chi-squared over 36 cells with 25 degrees of freedom: 59.7 is exceeded once in ten thousand times.
    expected = runs / items
    assert sum((places[cell] - expected) ** 2 / expected for cell in itertools.product(range(items), repeat=2)) < 59.7


def test_a_limit_behind_a_shuffle_asks_the_source_for_no_more_than_the_buffer_beside_it():
    source = Counted()

    items = Pipeline(source).shuffle(20, seed=1).limit(10).wait_for_result(executor="thread")

    assert len(items) == 10
    assert max(items) < 30
    assert source.pulled == 30


@pytest.mark.parametrize("legs", ["behind", "beside"])
def test_legs_of_one_source_of_which_one_is_shuffled_with_a_large_buffer_come_together(legs):
    whole = Pipeline(range(3000)).task(abs, queue_size=16)
    shuffled = whole.shuffle(1000, seed=1)
    pipe = whole.gather(shuffled) if legs == "beside" else shuffled.gather(whole)

    items = pipe.wait_for_result(queue_size=16)

    assert Counter(items) == Counter([*range(3000), *range(3000)])


def test_an_item_that_fails_behind_a_shuffle_is_named_by_its_place_in_the_new_order_and_by_its_source():
    def fail_at_5(item):
        if item == 5:
            raise ValueError(item)
        return item

    order = Pipeline(range(20)).shuffle(4, seed=1).wait_for_result(executor="inline")
    with pytest.raises(StageFailed, match=rf"item {order.index(5)}\.5: 5"):
        Pipeline(range(20)).shuffle(4, seed=1).task(fail_at_5).wait_for_result(executor="inline")


# -- sample and unique ---------------------------------------------------------------------------------------


def test_a_sample_is_the_same_for_any_number_of_workers_and_has_the_share_asked_for():
    numbers = Pipeline(range(20_000))
    samples = [
        numbers.sample(0.3, seed=11).wait_for_result(executor="inline"),
        numbers.task(abs, workers=3).sample(0.3, seed=11).wait_for_result(),
        numbers.task(abs, workers=2, executor="thread").sample(0.3, seed=11).wait_for_result(),
    ]
    other = numbers.sample(0.3, seed=12).wait_for_result(executor="inline")

    assert samples[0] == samples[1] == samples[2]
    assert samples[0] != other
    assert abs(len(samples[0]) - 6000) < 3 * math.sqrt(20_000 * 0.3 * 0.7)
    both = len(set(samples[0]) & set(other))  # two seeds have nothing to do with each other
    assert abs(both - 1800) < 3 * math.sqrt(20_000 * 0.09 * 0.91)


def test_a_sample_without_a_seed_differs_from_run_to_run():
    pipe = Pipeline(range(500)).sample(0.5)

    assert pipe.wait_for_result(executor="inline") != pipe.wait_for_result(executor="inline")


@executors
def test_an_item_without_a_hash_is_named_and_what_was_before_it_is_given(executor):
    arrived = []

    with pytest.raises(TypeError, match="unhashable") as caught:
        f.take_all(Pipeline([1, 1, [2], 3]).unique().run(executor=executor), into=arrived)

    assert "item 2: [2]" in str(caught.value)
    assert arrived == [1]


# -- shard, window, bucket, scan -----------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(9))
def test_shards_are_the_whole_and_have_one_length_if_asked_to(length):
    items = list(range(length))
    shards = {
        even: [Pipeline(items).shard(rank, 4, even).wait_for_result(executor="inline") for rank in range(4)]
        for even in ("uneven", "drop", "pad")
    }

    assert sorted(itertools.chain(*shards["uneven"])) == items
    assert {len(shard) for shard in shards["drop"]} == {length // 4}
    assert {len(shard) for shard in shards["pad"]} == {math.ceil(length / 4)}
    assert set(itertools.chain(*shards["pad"])) == set(items)


def test_a_limit_behind_a_window_asks_the_source_for_exactly_what_it_needs():
    source = Counted()

    assert Pipeline(source).window(4, step=2).limit(3).wait_for_result() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert source.pulled == 8


def test_a_bucket_by_cost_never_exceeds_it_but_for_a_single_item():
    lengths = [(number * 7919) % 50 + 1 for number in range(300)] + [130]

    lists = Pipeline(lengths).bucket(lambda x: x, [20, 40], max_cost=100).wait_for_result(executor="inline")

    assert Counter(itertools.chain(*lists)) == Counter(lengths)
    assert all(sum(each) <= 100 or len(each) == 1 for each in lists)
    assert all(len({(x >= 20) + (x >= 40) for x in each}) == 1 for each in lists)


def test_incomplete_buckets_may_be_dropped_and_are_counted():
    with Pipeline(range(10)).bucket(lambda x: x % 3, [1, 2], 2, drop_last=True).run(executor="inline") as run:
        lists = list(run)

    assert lists == [[0, 3], [1, 4], [2, 5], [6, 9]]
    assert [(row.filtered, row.merged) for row in run.report.stages if row.name == "bucket"] == [(2, 4)]


@executors
def test_a_key_that_raises_fails_the_run_at_its_item(executor):
    arrived = []

    with pytest.raises(ZeroDivisionError) as caught:
        f.take_all(Pipeline([1, 2, 0]).bucket(lambda x: 1 / x, [], 1).run(executor=executor), into=arrived)

    assert str(caught.value).startswith("stage 1/1 'bucket': ZeroDivisionError")
    assert "item 2: 0" in str(caught.value)
    assert arrived == [[1], [2]]


def test_a_scan_begins_anew_with_each_run_and_may_drop_items():
    def collect(item, seen):
        seen.append(item)
        return seen, list(seen) if item % 2 else SKIP

    pipe = Pipeline(range(4)).scan([], collect)

    results = [pipe.wait_for_result(executor=executor) for executor in ("inline", "thread", "process", "inline")]

    assert results == [[[0, 1], [0, 1, 2, 3]]] * 4


def test_a_scan_that_gives_no_pair_fails_at_its_item():
    with pytest.raises(TypeError, match="cannot unpack") as caught:
        Pipeline([5]).scan(0, lambda item, state: state).wait_for_result()

    assert "item 0: 5" in str(caught.value)


# -- repeat and cycle ----------------------------------------------------------------------------------------


@executors
def test_each_epoch_iterates_the_source_and_calls_the_functions_again(executor, tally):
    def note(item):
        tally.hit("task")
        return item

    source = Counted(5)
    pipe = Pipeline(source).task(note, workers=2 if executor != "inline" else 1).repeat(3)

    assert pipe.wait_for_result(executor=executor) == [0, 1, 2, 3, 4] * 3
    assert (source.begun, source.closed, source.pulled, tally.count("task")) == (3, 3, 15, 15)


def test_a_function_as_source_is_called_for_each_epoch():
    pids = Pipeline(f.process_ids, 2).repeat(3).wait_for_result()

    assert len(pids) == 6
    assert len(set(pids)) == 1
    assert Pipeline(f.numbers, 1, 3).cycle(5).wait_for_result() == [1, 2, 1, 2, 1]


def test_an_async_source_is_repeated():
    assert Pipeline(f.AsyncValues([1, 2])).repeat(2).wait_for_result() == [1, 2, 1, 2]


@executors
def test_each_epoch_of_a_shuffle_has_an_order_of_its_own_and_a_seed_repeats_them_all(executor):
    pipe = Pipeline(range(50)).shuffle(None, seed=9).repeat(3).batch(50)

    epochs = pipe.wait_for_result(executor=executor)

    assert [sorted(epoch) for epoch in epochs] == [list(range(50))] * 3
    assert len(set(map(tuple, epochs))) == 3
    assert epochs == pipe.wait_for_result(executor="inline")


def test_each_epoch_of_a_sample_draws_anew():
    pipe = Pipeline(range(200)).sample(0.5, seed=9).task(lambda x: x, executor="thread")
    items = pipe.repeat(2).wait_for_result(executor="inline")

    border = next(place for place in range(1, len(items)) if items[place] < items[place - 1])
    assert items[:border] != items[border:]


def test_repeats_of_repeats_are_epochs_of_epochs():
    pipe = Pipeline([1, 2, 3]).batch(2).repeat(2).batch(3).repeat(2)

    epoch = [[[1, 2], [3], [1, 2]], [[3]]]
    assert pipe.wait_for_result(executor="inline") == epoch + epoch


def test_an_epoch_without_items_is_an_epoch():
    epochs = [0]  # not an `itertools.count`, whose pickle Python 3.14 no longer has

    def nothing_at_first():
        epochs[0] += 1
        yield from range(0 if epochs[0] % 2 else 2)

    pipe = Pipeline(nothing_at_first).reduce(0, lambda item, total: total + 1)

    assert pipe.repeat(5).wait_for_result(executor="thread") == [0, 2, 0, 2, 0]
    assert Pipeline(range(3)).filter(lambda x: False).reduce(7, max).repeat(2).wait_for_result() == [7, 7]


def test_a_failing_item_is_named_with_its_epoch():
    calls = itertools.count()

    def fail_late(item):
        if next(calls) == 7:
            raise ValueError(item)
        return item

    with pytest.raises(StageFailed, match=r"item 1\.2: 2"):
        Pipeline(range(5)).task(fail_late).repeat(2).wait_for_result(executor="inline")

    with pytest.raises(ZeroDivisionError, match=r"item 0\.1: 0"):
        Pipeline([1, 0]).scan(0, lambda item, state: (state, 1 // item)).repeat(2).wait_for_result(executor="inline")


def test_a_limit_right_behind_the_source_limits_each_epoch_and_one_behind_the_repeat_all_of_them():
    source = Counted()

    assert Pipeline(source).limit(2).task(str).repeat(2).wait_for_result() == ["0", "1", "0", "1"]
    assert (source.begun, source.closed, source.pulled) == (2, 2, 4)
    assert Pipeline(Counted(3)).repeat().limit(7).wait_for_result() == [0, 1, 2, 0, 1, 2, 0]


@executors
def test_a_limit_of_a_repeated_source_limits_each_epoch_of_the_next_repeat(executor):
    numbers = Pipeline(range(3))
    expected = {
        numbers.repeat(2).limit(4).repeat(2): [0, 1, 2, 0] * 2,
        numbers.repeat().limit(3).repeat(2): [0, 1, 2] * 2,
        numbers.repeat(2).limit(9).repeat(2): [0, 1, 2] * 4,
        numbers.cycle(5).task(str).repeat(2): ["0", "1", "2", "0", "1"] * 2,
        numbers.cycle(5).batch(3).repeat(2): [[0, 1, 2], [0, 1]] * 2,
        numbers.cycle(5).cycle(8): [0, 1, 2, 0, 1, 0, 1, 2],
        numbers.limit(2).cycle(5).repeat(2).limit(7).repeat(2): [0, 1, 0, 1, 0, 0, 1] * 2,
        numbers.repeat(3).limit(5).repeat(2).batch(4).repeat(2): [[0, 1, 2, 0], [1, 0, 1, 2], [0, 1]] * 2,
        numbers.limit(2).limit(1).repeat(2): [0, 0],
        numbers.cycle(0).repeat(2): [],
        Pipeline([1]).cycle(7).repeat(2): [1] * 14,
        Pipeline(f.numbers, 0, 4).repeat(2).limit(5).repeat(2): [0, 1, 2, 3, 0] * 2,
    }

    for pipe, items in expected.items():
        assert list(itertools.islice(pipe.run(executor=executor), 30)) == items


def test_a_source_is_asked_for_no_more_than_a_limit_of_its_epochs_gives():
    source = Counted(3)

    assert list(itertools.islice(Pipeline(source).cycle(4).repeat(2), 30)) == [0, 1, 2, 0] * 2
    assert (source.begun, source.closed, source.pulled) == (4, 4, 8)


def test_a_source_does_not_say_where_it_is_if_a_limit_of_its_epochs_could_not_be_told_from_that():
    told, untold = (Epochs(lambda _: iter("abc"), (2, 2), limits) for limits in [((0, 2),), ((0, 2), (1, 3))])

    assert list(itertools.islice(told, 3)) == list(itertools.islice(untold, 3)) == ["a", "b", "a"]
    assert (told.position, untold.position) == ((0, 1, 1), None)


def test_a_cycle_of_a_limit_of_nothing_is_an_error_and_no_endless_wait():
    with pytest.raises(SourceFailed, match="the source gave no items"):
        Pipeline([1]).cycle(0).repeat().wait_for_result(executor="inline")
    with pytest.raises(SourceFailed, match="the source gave no items"):
        Pipeline([]).cycle(5).repeat(2).wait_for_result(executor="inline")


def test_an_endless_cycle_pulls_no_more_than_it_gives_and_stops_when_left():
    source = Counted(3)

    assert Pipeline(source).cycle(8).wait_for_result(executor="inline") == [0, 1, 2, 0, 1, 2, 0, 1]
    assert source.pulled == 8
    taken = list(itertools.islice(Pipeline(Counted(3)).task(str).cycle(), 100))
    assert taken == ["0", "1", "2"] * 33 + ["0"]


def test_a_cycle_can_be_stopped_and_what_it_remembers_comes_out():
    with Pipeline(range(3)).batch(2).cycle().run() as run:
        batches = []
        for batch in run:
            batches.append(batch)
            if len(batches) == 5:
                run.stop()

    assert batches[:5] == [[0, 1], [2], [0, 1], [2], [0, 1]]
    assert all(batch in ([0, 1], [2], [0]) for batch in batches)


@executors
def test_a_cycle_of_nothing_is_an_error_and_no_endless_wait(executor):
    with pytest.raises(SourceFailed, match="the source gave no items"):
        Pipeline([]).cycle().wait_for_result(executor=executor)


def test_what_cannot_be_repeated_is_refused_where_it_is_written():
    numbers = Pipeline(range(3))
    loose = numbers.task(abs, workers=2, ordered=False, name="loose").batch(2)
    refused = {
        "an iterator": Pipeline(iter([1])).task(str),
        "limit": numbers.task(abs).limit(2),
        "skip": numbers.skip(1),
        "zip": numbers.zip(numbers),
        "concat": numbers.concat(numbers),
        "gather": numbers.gather(numbers, ordered=False),
        "loose": loose,
    }

    for words, pipe in refused.items():
        with pytest.raises(PlanError, match=words) as caught:
            pipe.repeat(2)
        assert "test_reshaping.py:" in str(caught.value)
    assert loose.batch(2).wait_for_result(executor="inline") == [[[0, 1], [2]]]


def test_a_repeated_pipeline_shares_nothing_with_the_one_it_is_made_of():
    source = Counted(2)
    once = Pipeline(source).task(str)

    assert Pipeline.wait_for_all_results([once, once.repeat(2)]) == [["0", "1"], ["0", "1", "0", "1"]]
    assert source.pulled == 6


def test_what_a_batch_drops_at_the_end_of_each_epoch_is_accounted_for():
    with Pipeline(range(8)).batch(3, drop_last=True).repeat(2).run(executor="inline") as run:
        assert list(run) == [[0, 1, 2], [3, 4, 5]] * 2

    assert run.report.balanced


def test_explain_says_how_often_a_source_is_iterated():
    letters = Pipeline("abc")

    assert "iterated in the caller, 6 epochs\n" in letters.task(str).repeat(2).repeat(3).explain()
    assert "own process, again and again of 2 items at most" in Pipeline(f.numbers, 0, 3).limit(2).cycle().explain()
    assert "iterated in the caller, 6 epochs of 7 items at most\n" in letters.cycle(7).repeat(2).repeat(3).explain()


def test_what_a_shuffle_and_an_endless_cycle_hold_stays_the_same_however_long_they_run():
    epochs = Epochs(lambda _: iter("ab"), (None,))
    given = 0
    for _ in range(1000):
        items = list(itertools.islice(epochs, 3))
        chunk = epochs.place(items, given)
        assert chunk.paths() == [divmod(number, 2) for number in range(given, given + 3)]
        given += 3

    assert len(epochs._starts) <= 3

    source = Counted()
    results = iter(Pipeline(source).shuffle(100, seed=1).run(executor="inline"))
    for taken in range(1, 1000):
        next(results)
        assert source.pulled <= taken + 101
    results.close()
