"""Where items come from: every form of source, how far it runs ahead, when it ends, when it fails."""

from __future__ import annotations

import asyncio
import collections
import io
import itertools
import os
import re
import threading
from functools import partial
from pathlib import Path

import pytest

from olympipe_like import Pipeline
from olympipe_like.errors import PipelineExecutionError, SourceExhausted, SourceFailed
from tests import functions as f

with_any_workers = pytest.mark.parametrize("executor", ["process", "thread"])


def doubled(*source, **options):
    return Pipeline(*source, **options).task(lambda x: x * 2)


# -- forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        [0, 1, 2, 3],
        (0, 1, 2, 3),
        range(4),
        {0: "a", 1: "b", 2: "c", 3: "d"},
        collections.deque([0, 1, 2, 3]),
        {0: "a", 1: "b", 2: "c", 3: "d"}.keys(),
        f.AsyncValues(range(4)),
        partial(f.replay, range(4)),
        lambda: range(4),
        lambda: (x for x in range(4)),
        lambda: f.AsyncValues(range(4)),
    ],
    ids=lambda source: type(source).__name__,
)
def test_an_iterable_or_a_function_that_makes_one_can_run_again_and_again(source):
    pipe = doubled(source)

    assert pipe.wait_for_result() == [0, 2, 4, 6]
    assert pipe.wait_for_result() == [0, 2, 4, 6]


def test_a_string_is_a_source_of_its_characters():
    assert doubled("abc").wait_for_result() == ["aa", "bb", "cc"]


def test_a_function_gets_its_arguments():
    assert doubled(f.numbers, 2, 12, step=3).wait_for_result() == [4, 10, 16, 22]


def test_a_class_is_a_function_that_makes_an_iterable():
    assert doubled(range, 1, 4).wait_for_result() == [2, 4, 6]


def test_an_object_that_can_be_iterated_is_iterated_even_if_it_can_be_called():
    class Both:
        def __iter__(self):
            return iter("ab")

        def __call__(self):
            raise AssertionError("must not be called")

    assert doubled(Both()).wait_for_result() == ["aa", "bb"]


def test_an_async_generator_function_is_a_source():
    async def items(n):
        for number in range(n):
            yield number

    assert doubled(items, 3).wait_for_result() == [0, 2, 4]


def test_an_async_generator_is_a_source():
    async def items():
        for number in range(3):
            yield number

    assert doubled(items()).wait_for_result() == [0, 2, 4]


def test_a_sequence_that_has_only_getitem_is_a_source():
    class Old:
        def __getitem__(self, index):
            if index == 3:
                raise IndexError(index)
            return index

    assert doubled(Old()).wait_for_result() == [0, 2, 4]


def test_an_object_is_iterated_in_the_callers_process():
    homes = doubled(os.getpid() for _ in range(3)).wait_for_result()

    assert homes == [2 * os.getpid()] * 3


def test_a_function_runs_in_a_process_of_its_own():
    (home,) = set(Pipeline(f.process_ids, 3).task(lambda pid: pid).wait_for_result())

    assert home != os.getpid()


@pytest.mark.parametrize(
    "source",
    [[], (), range(0), iter(()), f.AsyncValues([]), lambda: ()],
    ids=["list", "tuple", "range", "iterator", "async iterable", "function"],
)
def test_an_empty_source_gives_nothing(source):
    assert doubled(source).wait_for_result() == []


def test_a_list_changed_between_two_runs_is_read_anew():
    items = [1, 2]
    pipe = doubled(items)

    before = pipe.wait_for_result()
    items.append(3)
    after = pipe.wait_for_result()

    assert (before, after) == ([2, 4], [2, 4, 6])


# -- one-shot iterators --------------------------------------------------------------------------------------


def one_shot_async():
    async def items():
        yield 1

    return items()


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([1, 2]),
        lambda: (x for x in [1, 2]),
        lambda: map(abs, [1, 2]),
        itertools.count,
        lambda: io.StringIO("a\nb\n"),
        one_shot_async,
    ],
    ids=["iterator", "generator", "map", "count", "file", "async generator"],
)
def test_a_one_shot_iterator_run_twice_is_an_error(make):
    pipe = Pipeline(make()).task(lambda x: None).limit(2)
    first = pipe.wait_for_result()

    with pytest.raises(SourceExhausted, match=r"once|consumed|exhausted"):
        pipe.wait_for_result()

    assert set(first) == {None}


def test_a_one_shot_iterator_iterated_twice_is_an_error():
    pipe = doubled(iter([1, 2]))

    assert list(pipe) == [2, 4]
    with pytest.raises(SourceExhausted):
        list(pipe)


def test_two_pipelines_on_one_iterator_in_two_runs_are_an_error():
    source = doubled(iter([1, 2]))
    one, other = source.task(str), source.task(repr)

    assert one.wait_for_result() == ["2", "4"]
    with pytest.raises(SourceExhausted):
        other.wait_for_result()


def test_a_one_shot_iterator_serves_many_branches_of_one_run():
    source = Pipeline(iter(range(6)))
    evens, odds = source.partition(lambda x: x % 2 == 0)

    assert Pipeline.wait_for_all_results([evens, odds, source]) == [[0, 2, 4], [1, 3, 5], [0, 1, 2, 3, 4, 5]]


def test_building_on_a_one_shot_iterator_takes_nothing_from_it():
    source = iter(range(5))

    doubled(source).filter(None).batch(2).limit(3)

    assert next(source) == 0


# -- failing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 5, 9], ids=["first", "middle", "last"])
@pytest.mark.parametrize("where", ["the caller", "a process of its own"])
def test_a_source_that_fails_delivers_what_it_gave_and_then_its_error(n, where):
    error = FileNotFoundError(2, "no more disks", "/data/disk9")
    caller = where == "the caller"
    source = [f.numbers_until_it_breaks(n, error)] if caller else [f.numbers_until_it_breaks, n, error]
    arrived = []

    with pytest.raises(FileNotFoundError, match="no more disks") as caught:
        f.take_all(doubled(*source, name="disks"), into=arrived)

    assert arrived == [2 * x for x in range(n)]
    assert isinstance(caught.value, SourceFailed)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    first_line = str(caught.value).splitlines()[0]
    assert "'disks'" in first_line
    assert "FileNotFoundError" in first_line
    assert n == 0 or re.search(rf"\b{n}\b", first_line)
    assert "numbers_until_it_breaks" in str(caught.value)  # the traceback of the source


@pytest.mark.parametrize("where", ["the caller", "a process of its own"])
@pytest.mark.parametrize(
    "error",
    [StopAsyncIteration(), KeyboardInterrupt(), SystemExit(0), GeneratorExit(), asyncio.CancelledError()],
    ids=repr,
)
def test_an_async_source_that_raises_something_odd_does_not_look_like_its_end(error, where):
    async def items():
        yield 1
        raise error

    source = items() if where == "the caller" else items
    arrived = []

    with pytest.raises(SourceFailed, match="after 1 items"):
        f.take_all(doubled(source), into=arrived)

    assert arrived == [2]


@pytest.mark.parametrize("where", ["the caller", "a process of its own"])
@pytest.mark.parametrize("error", [StopIteration("odd"), KeyboardInterrupt(), SystemExit(0), GeneratorExit()], ids=repr)
def test_a_source_that_raises_something_odd_does_not_look_like_its_end(error, where):
    class Source:
        def __init__(self):
            self.left = 3

        def __iter__(self):
            return self

        def __next__(self):
            if self.left == 0:
                return self.fail()
            self.left -= 1
            return self.left

        def fail(self):
            def broken():
                raise error
                yield

            return next(broken())  # StopIteration becomes RuntimeError here, as in any generator

    with pytest.raises(PipelineExecutionError):
        doubled(Source() if where == "the caller" else Source).wait_for_result()


def test_a_function_that_fails_to_make_its_source_is_reported():
    def make(path):
        raise PermissionError(13, "not for you", path)

    with pytest.raises(PermissionError, match="not for you") as caught:
        doubled(make, "/secret", name="files").wait_for_result()

    assert isinstance(caught.value, SourceFailed)
    assert "'files'" in str(caught.value)


def test_a_function_that_makes_nothing_that_can_be_iterated_is_reported():
    with pytest.raises(PipelineExecutionError, match=r"(?i)int|iterable"):
        doubled(lambda: 5).wait_for_result()


def test_an_async_source_that_fails_is_reported():
    async def items():
        yield 1
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        doubled(items).wait_for_result()


def test_items_of_the_callers_source_that_cannot_be_pickled_are_reported():
    with pytest.raises(PipelineExecutionError, match=r"(?i)pickle") as caught:
        doubled([1, 2, (x for x in "abc"), 4]).wait_for_result()

    assert "2" in str(caught.value).splitlines()[0]
    assert "generator" in str(caught.value)


# -- how far a source runs ahead -----------------------------------------------------------------------------


@with_any_workers
def test_an_endless_source_stays_within_the_queues_of_a_slow_consumer(executor):
    pulled = 0

    def endless():
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled

    pipe = Pipeline(endless()).task(lambda x: x, queue_size=4, executor=executor)
    pipe = pipe.task(lambda x: x, queue_size=4, executor=executor)
    with pipe.run(queue_size=4) as run:
        for consumed, _ in enumerate(run, 1):
            # Three edges of four, two items in hand, one about to be sent, one just taken.
            assert pulled <= consumed + 3 * 4 + 2 + 2
            if consumed == 200:
                break

    assert pulled < 250


def test_an_endless_source_waits_for_a_consumer_that_takes_nothing(eventually):
    pulled = 0

    def endless():
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled

    with Pipeline(endless()).task(lambda x: x).run() as run:
        next(iter(run))
        seen = [-1]
        # Still for two looks in a row, a fifth of a second apart: it waits.
        pause = threading.Event()
        eventually(lambda: seen.append(pulled) or pause.wait(0.2) or seen[-1] == seen[-2])

    assert pulled < 100_000


def test_a_fast_endless_source_in_a_process_of_its_own_waits_too(tally):
    def endless(tally):
        for number in itertools.count():
            tally.hit("pulled")
            yield number

    with Pipeline(endless, tally).task(lambda x: x, queue_size=4).run(queue_size=4) as run:
        for number in run:
            assert tally.count("pulled") <= number + 1 + 2 * 4 + 1 + 2
            if number == 50:
                break


# -- a slow source is not held back --------------------------------------------------------------------------


@with_any_workers
@pytest.mark.parametrize("workers", [1, 3])
def test_each_item_of_a_slow_source_arrives_before_the_next_is_made(executor, workers):
    arrived = [threading.Event() for _ in range(8)]

    def slow():
        for number in range(8):
            yield number
            assert arrived[number].wait(5), f"item {number} is held back"

    for number in doubled(slow()).task(lambda x: x // 2, workers=workers, executor=executor):
        arrived[number].set()

    assert all(event.is_set() for event in arrived)


def test_a_burst_followed_by_silence_arrives_whole():
    everything = threading.Event()
    silence_was_broken = []

    def bursts():
        yield from range(500)
        yield from range(500)
        silence_was_broken.append(not everything.wait(5))
        yield 0

    got = 0
    for _ in doubled(bursts()).filter(lambda x: x >= 0):
        got += 1
        if got == 1000:
            everything.set()

    assert silence_was_broken == [False]
    assert got == 1001


def test_a_burst_of_a_source_in_a_process_of_its_own_arrives_whole(tmp_path):
    def bursts(flag: Path):
        yield from range(300)
        for _ in range(1000):
            if flag.exists():
                break
            threading.Event().wait(0.005)
        else:
            raise AssertionError("the burst is held back")
        yield 300

    arrived = []
    for item in doubled(bursts, tmp_path / "flag"):
        arrived.append(item)
        if len(arrived) == 300:
            (tmp_path / "flag").touch()

    assert arrived == [2 * x for x in range(301)]


def test_items_that_are_kept_arrive_though_the_filter_drops_the_next_ones():
    arrived = threading.Event()

    def slow():
        yield 1
        for _ in range(50):
            yield 0
        assert arrived.wait(5), "the item waits behind dropped ones"

    for _ in Pipeline(slow()).filter(lambda x: x == 1).task(lambda x: x):
        arrived.set()

    assert arrived.is_set()


def test_a_full_batch_arrives_before_the_next_item_is_made():
    arrived = threading.Event()

    def slow():
        yield from range(4)
        assert arrived.wait(5), "the full batch is held back"
        yield 4

    batches = []
    for batch in doubled(slow()).batch(4).task(lambda b: b):
        batches.append(batch)
        arrived.set()

    assert batches == [[0, 2, 4, 6], [8]]


def test_an_ordered_gather_of_a_slow_source_gives_each_item_before_the_next_is_made():
    arrived = [threading.Event() for _ in range(6)]

    def slow():
        for number in range(6):
            yield number
            assert arrived[number].wait(5), f"item {number} waits in the merge"

    rare, common = Pipeline(slow()).partition(lambda x: x == 4)

    for number in rare.task(lambda x: x).gather(common.task(lambda x: x)):
        arrived[number].set()

    assert all(event.is_set() for event in arrived)
