"""Anything can be an item. What goes in comes out equal, and the receiver may write to it."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import math
import threading
from pathlib import Path

import numpy as np
import pytest

from olympipe_like import Pipeline
from olympipe_like.errors import PipelineError
from tests import functions as f
from tests.arrays import ARRAYS, read_only

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


class Colour(enum.Enum):
    RED = 1


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - the oldest kind of all

FALSY = [None, False, 0, 0.0, -0.0, 0j, "", b"", (), [], {}, set(), frozenset(), range(0), bytearray(), None]


@executors
def test_none_and_all_that_is_falsy_are_ordinary_items(executor):
    result = Pipeline(FALSY).task(lambda x: x).task(lambda x: x).wait_for_result(executor=executor)

    assert [(type(x), repr(x)) for x in result] == [(type(x), repr(x)) for x in FALSY]


@executors
def test_a_source_of_nothing_but_none_gives_as_many(executor):
    pipe = Pipeline([None] * 1000).task(lambda x: x)

    assert pipe.wait_for_result(executor=executor) == [None] * 1000
    assert pipe.batch(400).task(len).wait_for_result(executor=executor) == [400, 400, 200]


EXCEPTIONS = [
    ValueError("a"),
    StopIteration("b"),
    StopAsyncIteration(),
    GeneratorExit(),
    KeyboardInterrupt(),
    SystemExit(3),
    PipelineError("c"),
    FileNotFoundError(2, "d", "e"),
    StopIteration,
    ValueError,
]


@executors
def test_exceptions_are_ordinary_items(executor):
    result = Pipeline(EXCEPTIONS).task(lambda x: x).task(lambda x: x).wait_for_result(executor=executor)

    assert list(map(repr, result)) == list(map(repr, EXCEPTIONS))
    assert list(map(type, result)) == list(map(type, EXCEPTIONS))


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_exceptions_are_ordinary_items_of_a_loop_and_of_a_source_in_its_own_process(executor):
    def source():
        yield 1
        yield StopIteration("not the end")
        yield 2

    result = list(Pipeline(source).task(lambda x: x, executor=executor))

    assert [result[0], result[2]] == [1, 2]
    assert type(result[1]) is StopIteration


@executors
def test_results_may_be_exceptions(executor):
    pipe = Pipeline(range(4)).task(lambda x: StopIteration(x) if x == 1 else x)

    result = pipe.wait_for_result(executor=executor)

    assert list(map(repr, result)) == ["0", "StopIteration(1)", "2", "3"]


ORDINARY = [
    *[1 << 200, -1, math.pi, math.inf, 1 + 2j, True, "häß\0lich\n\udc80", b"\0\xff", bytearray(b"x"), ...],
    *[(1, (2, [3, {4: {5}}])), Point(1, 2), Colour.RED, collections.OrderedDict(a=1), collections.deque([1])],
    *[dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc), decimal.Decimal("1.10"), Path("/a/b")],
    *[slice(1, 2), range(1, 9, 3), int, len, f.increment, NotImplemented, collections.Counter("abba")],
]


@executors
def test_ordinary_values_arrive_equal_and_of_their_type(executor):
    result = Pipeline(ORDINARY).task(lambda x: x).wait_for_result(executor=executor)

    assert result == ORDINARY
    assert list(map(type, result)) == list(map(type, ORDINARY))


def test_nan_arrives_as_nan():
    (result,) = Pipeline([math.nan]).task(lambda x: x).wait_for_result()

    assert math.isnan(result)


def test_functions_made_on_the_spot_are_items():
    result = Pipeline(range(3)).task(lambda x: lambda y: x + y).task(lambda add: add(10)).wait_for_result()

    assert result == [10, 11, 12]


@executors
def test_items_that_refuse_every_question_pass_through_every_operator(executor):
    items = [f.Touchy(number) for number in range(6)]
    low, high = Pipeline(items).task(lambda x: x).partition(lambda x: x.number < 3)
    pipe = low.gather(high).tap(lambda x: None).filter().skip(1).limit(4).batch(3).unbatch()
    pipe = pipe.zip(pipe).explode(lambda pair: [pair[0]]).concat(Pipeline([f.Touchy(7)]))

    result = pipe.wait_for_result(executor=executor)

    assert [item.number for item in result] == [1, 2, 3, 4, 7]


@executors
def test_items_that_refuse_every_question_go_through_a_loop(executor):
    with Pipeline([f.Touchy(1), f.Touchy(2)]).task(lambda x: x).run(executor=executor) as run:
        assert [item.number for item in run] == [1, 2]


def test_an_object_given_many_times_is_a_new_copy_each_time():
    # Items travel many at a time; what a stage does to one must not depend on which were its neighbours.
    def grow(item):
        item.append(1)
        return item

    pipe = Pipeline([[0]] * 500).task(lambda item: item).task(grow).task(lambda item: item)

    result = pipe.wait_for_result()
    result[0].append(2)

    assert result == [[0, 1, 2]] + [[0, 1]] * 499


def test_a_filter_without_a_function_drops_only_none():
    result = Pipeline(FALSY).filter().wait_for_result()

    assert list(map(repr, result)) == [repr(x) for x in FALSY if x is not None]


def test_a_filter_without_a_function_does_not_ask_arrays_for_their_truth():
    result = Pipeline([np.zeros(3), None, np.ones(2)]).filter().wait_for_result()

    assert [array.tolist() for array in result] == [[0, 0, 0], [1, 1]]


@pytest.mark.parametrize("size", [1, 10, 10_000, 1_000_000, 30_000_000])
def test_bytes_of_every_size_arrive_whole(size):
    items = [bytes([number]) * size for number in range(3)]

    assert Pipeline(items).task(lambda x: x).task(lambda x: x).wait_for_result() == items


def test_many_items_of_mixed_size_arrive_whole():
    items = [bytes([number % 256]) * (number * 977 % 60_011) for number in range(600)]

    assert Pipeline(items).task(lambda x: x, workers=2).task(lambda x: x).wait_for_result() == items


def test_a_hundred_thousand_tiny_items_arrive_in_order():
    assert Pipeline(range(100_000)).task(lambda x: x + 1).wait_for_result() == list(range(1, 100_001))


def test_objects_that_cannot_be_pickled_pass_through_a_run_in_the_callers_process():
    locks = [threading.Lock(), threading.Lock()]

    assert Pipeline(locks).task(lambda x: x).wait_for_result(executor="inline") == locks


# -- numpy ---------------------------------------------------------------------------------------------------


def assert_same_and_writable(result, array, layout):
    assert type(result) is np.ndarray, layout
    assert result.dtype == array.dtype, layout
    assert result.dtype.byteorder == array.dtype.byteorder, layout
    assert result.shape == array.shape, layout
    np.testing.assert_array_equal(result, array, layout)
    assert result.flags.writeable, layout
    result[...] = result.copy()


def test_arrays_of_every_layout_arrive_equal_and_writable():
    items = [(array, {"in a dict": [array]}) for array in ARRAYS.values()]

    results = Pipeline(items).task(lambda x: x).task(lambda x: x).wait_for_result()

    for layout, (direct, inside) in zip(ARRAYS, results, strict=True):
        assert_same_and_writable(direct, ARRAYS[layout], layout)
        assert_same_and_writable(inside["in a dict"][0], ARRAYS[layout], layout)


def test_arrays_of_every_layout_that_are_items_themselves_arrive_equal_and_writable():
    results = Pipeline(list(ARRAYS.values())).task(lambda x: x).wait_for_result()

    for layout, result in zip(ARRAYS, results, strict=True):
        assert_same_and_writable(result, ARRAYS[layout], layout)


def test_arrays_of_every_layout_made_by_a_worker_arrive_equal_and_writable():
    results = Pipeline(list(ARRAYS)).task(f.array_of).wait_for_result()

    for layout, result in zip(ARRAYS, results, strict=True):
        assert_same_and_writable(result, ARRAYS[layout], layout)


def test_arrays_of_every_layout_pass_through_threads():
    results = Pipeline(list(ARRAYS.values())).task(lambda x: x, executor="thread").wait_for_result()

    for layout, result in zip(ARRAYS, results, strict=True):
        assert result.dtype == ARRAYS[layout].dtype, layout
        np.testing.assert_array_equal(result, ARRAYS[layout], layout)


def test_a_stage_may_write_to_the_array_it_gets():
    def blacken(array):
        array[...] = 0
        return array

    source = [np.full((2, 3), 7), np.full((300, 300), 7.0), read_only(np.full(4, 7))]

    result = Pipeline(source).task(lambda x: x).task(blacken).wait_for_result()

    assert [array.any() for array in result] == [False, False, False]
    assert all((array == 7).all() for array in source)  # the caller's arrays are the caller's


def test_arrays_that_share_memory_before_do_not_share_it_between_items_after():
    base = np.zeros(100_000)

    first, second = Pipeline([base[:50_000], base[25_000:75_000]]).task(lambda x: x).wait_for_result()
    first[...] = 1

    assert not second.any()


def test_results_stay_what_they_were_while_the_run_goes_on():
    kept = []

    for number, array in enumerate(Pipeline(range(60)).task(lambda n: np.full(70_000, n)).task(lambda a: a + 0)):
        kept.append(array)
        assert array[0] == number

    assert [int(array.min()) for array in kept] == list(range(60))
    assert [int(array.max()) for array in kept] == list(range(60))


def test_scalars_and_masked_and_record_arrays_keep_their_type():
    items = [np.float32(1.5), np.int64(3), np.bool_(True), np.ma.masked_array([1, 2], mask=[0, 1])]

    result = Pipeline(items).task(lambda x: x).wait_for_result()

    assert list(map(type, result)) == list(map(type, items))
    assert result[:3] == items[:3]
    assert result[3].mask.tolist() == [False, True]
