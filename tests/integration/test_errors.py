"""A failure ends the run: after the results before it, with the user's own type, and a text that says where."""

from __future__ import annotations

import asyncio
import pickle
import queue
import re
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from olympipe_like import SKIP, Pipeline
from olympipe_like.errors import PipelineError, PipelineExecutionError, StageFailed
from tests import functions as f

N = 7
places = pytest.mark.parametrize("place", [0, 3, N - 1], ids=["first", "middle", "last"])
executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


def failing(make_error, place, *, workers=1, executor="process", n=N):
    """Double the numbers from 100 on, but for one."""

    def decode(value):
        if value == 100 + place:
            raise make_error()
        return value * 2

    return Pipeline(range(100, 100 + n)).task(decode, workers=workers, executor=executor)


def assert_tells_everything(error, *, stage, item, value, what):
    """Look for all that a reader of the error needs."""
    text = str(error)
    first_line = text.splitlines()[0]
    assert f"'{stage}'" in first_line
    assert f"item {item}: {value}" in first_line
    assert what in text
    assert re.search(r"worker \d", first_line)
    assert error.errors == [text]


# -- whatever a function raises ------------------------------------------------------------------------------

ORDINARY = [
    lambda: ValueError("user-boom"),
    lambda: FileNotFoundError(2, "user-boom", "/data/7.jpg"),
    lambda: TimeoutError("user-boom"),
    lambda: ConnectionResetError(104, "user-boom"),
    lambda: EOFError("user-boom"),
    lambda: KeyError("user-boom"),
    lambda: AssertionError("user-boom"),
    lambda: MemoryError("user-boom"),
    lambda: queue.Empty("user-boom"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "user-boom"),
]
OF_A_LANGUAGE = [
    lambda: StopIteration("user-boom"),
    lambda: StopAsyncIteration("user-boom"),
    lambda: KeyboardInterrupt("user-boom"),
    lambda: GeneratorExit("user-boom"),
    lambda: SystemExit("user-boom"),
    lambda: SystemExit(0),
    lambda: asyncio.CancelledError("user-boom"),
]
UNFRIENDLY = [
    lambda: f.TwoArguments(7, "user-boom"),
    lambda: f.HoldsALock("user-boom"),
    lambda: f.CannotBePrinted("user-boom"),
]


def name_of(make_error):
    return type(make_error()).__name__


@places
@pytest.mark.parametrize("make_error", ORDINARY + OF_A_LANGUAGE + UNFRIENDLY, ids=name_of)
def test_whatever_a_function_raises_ends_the_run_after_the_results_before_it(make_error, place):
    arrived = []

    with pytest.raises(StageFailed) as caught:
        f.take_all(failing(make_error, place), into=arrived)

    assert arrived == [2 * value for value in range(100, 100 + place)]
    assert_tells_everything(caught.value, stage="decode", item=place, value=100 + place, what=name_of(make_error))


@pytest.mark.parametrize("make_error", ORDINARY + OF_A_LANGUAGE + UNFRIENDLY, ids=name_of)
def test_whatever_a_function_raises_in_a_thread_ends_the_run(make_error):
    arrived = []

    with pytest.raises(StageFailed) as caught:
        f.take_all(failing(make_error, 3, executor="thread"), into=arrived)

    assert arrived == [200, 202, 204]
    assert_tells_everything(caught.value, stage="decode", item=3, value=103, what=name_of(make_error))


@pytest.mark.parametrize("make_error", ORDINARY + UNFRIENDLY, ids=name_of)
@executors
def test_the_error_is_an_instance_of_the_users_type(make_error, executor):
    with pytest.raises(type(make_error())) as caught:
        failing(make_error, 3, executor=executor).wait_for_result()

    assert isinstance(caught.value, StageFailed)
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize("make_error", OF_A_LANGUAGE, ids=name_of)
def test_the_error_is_not_taken_for_a_sign_of_the_language(make_error):
    # A StopIteration would end the caller's loop, a SystemExit its program, without a word.
    with pytest.raises(StageFailed) as caught:
        failing(make_error, 3).wait_for_result()

    assert not isinstance(caught.value, type(make_error()))


def test_an_exception_that_holds_a_socket_is_reported_and_leaves_no_socket():
    with pytest.raises(f.HoldsASocket, match="user-boom") as caught:
        failing(lambda: f.HoldsASocket("user-boom"), 3).wait_for_result()

    assert_tells_everything(caught.value, stage="decode", item=3, value=103, what="HoldsASocket: user-boom")


@executors
def test_the_cause_is_the_users_exception(executor):
    with pytest.raises(StageFailed) as caught:
        failing(lambda: FileNotFoundError(2, "user-boom", "/data/7.jpg"), 3, executor=executor).wait_for_result()

    cause = caught.value.__cause__
    assert type(cause) is FileNotFoundError
    assert (cause.errno, cause.strerror, cause.filename) == (2, "user-boom", "/data/7.jpg")


@executors
def test_the_text_shows_the_traceback_of_the_worker(executor):
    with pytest.raises(StageFailed) as caught:
        failing(lambda: ValueError("user-boom"), 3, executor=executor).wait_for_result()

    assert Path(__file__).name in str(caught.value)
    assert "in decode" in str(caught.value)
    assert "raise make_error()" in str(caught.value)


def test_the_text_shows_what_caused_the_users_exception():
    def decode(value):
        try:
            {}[value]
        except KeyError as error:
            raise ValueError("user-boom") from error

    with pytest.raises(ValueError, match="user-boom") as caught:
        Pipeline([41]).task(decode).wait_for_result()

    assert "KeyError: 41" in str(caught.value)


def test_an_exception_class_that_exists_only_in_a_function_is_reported_too():
    class OnlyHere(Exception):
        pass

    with pytest.raises(StageFailed) as caught:
        failing(lambda: OnlyHere("user-boom"), 3).wait_for_result()

    assert_tells_everything(caught.value, stage="decode", item=3, value=103, what="OnlyHere: user-boom")


def test_endless_recursion_is_reported():
    def decode(value):
        return decode(value)

    with pytest.raises(RecursionError) as caught:
        Pipeline([1]).task(decode).wait_for_result()

    assert_tells_everything(caught.value, stage="decode", item=0, value=1, what="RecursionError")


if sys.version_info >= (3, 11):

    def test_an_exception_group_is_reported_with_its_parts():
        def decode(value):
            raise ExceptionGroup("user-boom", [ValueError("part one"), OSError("part two")])  # noqa: F821

        with pytest.raises(StageFailed) as caught:
            Pipeline([1]).task(decode).wait_for_result()

        assert "part one" in str(caught.value)
        assert "part two" in str(caught.value)


def test_an_error_pickles_with_its_type_and_text():
    with pytest.raises(FileNotFoundError) as caught:
        failing(lambda: FileNotFoundError(2, "user-boom", "/data/7.jpg"), 3).wait_for_result()

    copy = pickle.loads(pickle.dumps(caught.value))

    assert isinstance(copy, StageFailed)
    assert isinstance(copy, FileNotFoundError)
    assert str(copy) == str(caught.value)


# -- where it failed -----------------------------------------------------------------------------------------


def test_the_error_names_the_stage_as_the_user_did():
    def boom(value):
        raise ValueError("user-boom")

    pipe = Pipeline("ab").task(str, name="read").task(boom, name="make smaller").task(str, name="write")

    with pytest.raises(ValueError, match="user-boom") as caught:
        pipe.wait_for_result()

    assert_tells_everything(caught.value, stage="make smaller", item=0, value="'a'", what="ValueError: user-boom")
    assert "2/3" in str(caught.value).splitlines()[0]
    assert caught.value.stage == "make smaller"


def test_the_number_is_that_of_the_source_item_though_others_were_dropped():
    pipe = Pipeline(range(100, 120)).filter(lambda x: x % 5 == 0).task(lambda x: 1 // (x - 115), name="divide")

    with pytest.raises(ZeroDivisionError) as caught:
        pipe.wait_for_result()

    assert_tells_everything(caught.value, stage="divide", item=15, value=115, what="ZeroDivisionError")


def test_the_number_of_a_part_is_that_of_its_whole_and_its_own():
    pipe = Pipeline(["ab", "cde", "f"]).explode().task(lambda letter: {"e": None}[letter] or 1, name="look up")
    pipe_with_all = Pipeline(["ee", "eez", "e"]).explode().task(lambda letter: {"e": 1}[letter], name="look up")

    with pytest.raises(KeyError) as first:
        pipe.wait_for_result()
    with pytest.raises(KeyError) as later:
        pipe_with_all.wait_for_result()

    assert_tells_everything(first.value, stage="look up", item="0.0", value="'a'", what="KeyError: 'a'")
    assert_tells_everything(later.value, stage="look up", item="1.2", value="'z'", what="KeyError: 'z'")


OPERATORS = {
    "task": lambda pipe, fn: pipe.task(fn, name="bad"),
    "filter": lambda pipe, fn: pipe.filter(fn, name="bad"),
    "explode": lambda pipe, fn: pipe.explode(fn, name="bad"),
    "tap": lambda pipe, fn: pipe.tap(fn),
    "reduce": lambda pipe, fn: pipe.reduce(0, lambda item, acc: fn(item)),
    "split": lambda pipe, fn: pipe.split(fn, n=2)[0],
    "partition": lambda pipe, fn: pipe.partition(fn)[0],
    "collate": lambda pipe, fn: pipe.batch(1, collate=lambda items: fn(items[0])),
}


@pytest.mark.parametrize("operator", OPERATORS)
@executors
def test_every_operator_reports_what_its_function_raised(operator, executor):
    def bad(value):
        if value == 103:
            raise LookupError("user-boom")
        return (value, value)

    with pytest.raises(LookupError, match="user-boom") as caught:
        OPERATORS[operator](Pipeline(range(100, 107)), bad).wait_for_result(executor=executor)

    assert isinstance(caught.value, StageFailed)
    assert "item 3" in str(caught.value).splitlines()[0]
    assert "103" in str(caught.value).splitlines()[0]


def test_an_exploding_generator_that_fails_half_way_delivers_the_parts_before():
    def parts(value):
        yield value
        yield 12 // (value - 2)
        yield -value

    arrived = []

    with pytest.raises(ZeroDivisionError) as caught:
        f.take_all(Pipeline(range(5)).explode(parts), into=arrived)

    assert arrived == [0, -6, 0, 1, -12, -1, 2]
    assert_tells_everything(caught.value, stage="parts", item=2, value=2, what="ZeroDivisionError")


def test_a_comparison_that_fails_inside_a_filter_is_the_users_error():
    class NeitherTrueNorFalse:
        def __bool__(self):
            raise ValueError("user-boom")

    with pytest.raises(ValueError, match="user-boom") as caught:
        Pipeline([1, 2]).filter(lambda x: NeitherTrueNorFalse(), name="keep").wait_for_result()

    assert_tells_everything(caught.value, stage="keep", item=0, value=1, what="user-boom")


@pytest.mark.parametrize("made", [(1, 2, 3), (1,), (), 5, None], ids=repr)
def test_a_split_that_gives_the_wrong_number_of_parts_is_reported(made):
    first, second = Pipeline([7]).split(lambda x: made, n=2)

    with pytest.raises(PipelineExecutionError, match="2") as caught:
        first.gather(second).wait_for_result()

    assert "item 0: 7" in str(caught.value)


@pytest.mark.parametrize("made", [5, None, {"a": 1, "b": 2}, {1, 2}, iter("ab")], ids=lambda made: type(made).__name__)
def test_a_split_that_gives_no_sequence_is_told_what_is_wanted_and_what_came(made):
    first, _ = Pipeline([7, 8]).split(lambda x: made if x == 8 else (x, x), n=2)
    kind = type(made).__name__

    with pytest.raises(
        TypeError, match=rf"split into 2 legs, but the function returned .*, a {kind}; it must"
    ) as caught:
        first.wait_for_result(executor="inline")

    assert "list or tuple of 2 values, one for each leg — item 1: 8" in str(caught.value)


def test_a_split_that_gives_no_sequence_is_its_items_failure():
    first, _ = Pipeline([7, 8, 9]).split(lambda x: 5 if x == 8 else (x, x), n=2, on_error="skip")

    assert first.wait_for_result() == [7, 9]


@pytest.mark.parametrize(
    ("filling", "came"), [([0, 0], "2"), ([], "0"), (7, "7"), (None, "None")], ids=["more", "none", "number", "None"]
)
def test_a_padding_of_another_length_is_told_how_many_are_missing(filling, came):
    pipe = Pipeline([1, 2, 3]).batch(2, pad=lambda missing: filling)

    with pytest.raises((TypeError, ValueError), match=rf"pad must return a list of the 1 missing, and returned {came}"):
        pipe.wait_for_result(executor="inline")

    assert Pipeline([1, 2, 3]).batch(2, pad=lambda missing: filling, on_error="skip").wait_for_result() == [[1, 2]]


def test_explode_of_what_cannot_be_iterated_is_reported():
    with pytest.raises(TypeError) as caught:
        Pipeline([[1], 5, [2]]).unbatch().wait_for_result()

    assert "item 1: 5" in str(caught.value)


# -- which failure, and what comes before it -----------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_with_many_workers_the_results_before_the_failure_still_come_first(executor):
    def work(value):
        if value == 9:
            raise ValueError("user-boom")
        time.sleep((9 - value) % 4 * 0.01)
        return value

    arrived = []

    with pytest.raises(ValueError, match="user-boom"):
        f.take_all(Pipeline(range(20)).task(work, workers=4, executor=executor), into=arrived)

    assert arrived == list(range(9))


def test_the_earliest_item_that_failed_is_reported_though_a_later_one_failed_first():
    def work(value):
        if value == 1:
            time.sleep(0.1)
            raise ValueError("the earlier item")
        if value == 2:
            raise ValueError("the later item")
        return value

    with pytest.raises(ValueError, match="the earlier item"):
        Pipeline(range(3)).task(work, workers=3).wait_for_result()


@pytest.mark.parametrize("stages", [1, 3])
def test_among_many_tiny_items_each_one_before_the_failure_arrives(stages):
    def work(value):
        if value == 7777:
            raise ValueError("user-boom")
        return value

    pipe = Pipeline(range(20_000))
    for _ in range(stages - 1):
        pipe = pipe.task(lambda x: x)
    arrived = []

    with pytest.raises(ValueError, match="user-boom") as caught:
        f.take_all(pipe.task(work).task(lambda x: x), into=arrived)

    assert arrived == list(range(7777))
    assert_tells_everything(caught.value, stage="work", item=7777, value=7777, what="user-boom")


def test_a_full_batch_before_the_failure_arrives():
    arrived = []

    with pytest.raises(ZeroDivisionError):
        f.take_all(Pipeline(range(10)).task(lambda x: x // (x - 7)).batch(3), into=arrived)

    assert arrived == [[0, -1, -1], [-1, -2, -3]]


def test_every_terminal_raises():
    async def iterate(pipe):
        async for _ in pipe:
            pass

    def run(pipe):
        with pipe.run() as going:
            list(going)

    terminals = [
        lambda pipe: pipe.wait_for_result(),
        lambda pipe: pipe.wait_for_results([pipe.task(str)]),
        lambda pipe: Pipeline.wait_for_all_results([pipe, pipe.task(str)]),
        lambda pipe: pipe.wait_for_completion(),
        lambda pipe: pipe.wait_and_reduce(0, lambda item, acc: acc),
        list,
        lambda pipe: asyncio.run(iterate(pipe)),
        run,
    ]
    for terminal in terminals:
        with pytest.raises(ValueError, match="user-boom"):
            terminal(failing(lambda: ValueError("user-boom"), 3))


@pytest.mark.parametrize("make_error", OF_A_LANGUAGE, ids=name_of)
def test_an_async_loop_ends_with_the_error_too(make_error):
    arrived = []

    async def iterate():
        async for value in failing(make_error, 3):
            arrived.append(value)  # noqa: PERF401 - to keep them when the error follows

    with pytest.raises(StageFailed):
        asyncio.run(iterate())

    assert arrived == [200, 202, 204]


def test_a_pipeline_can_run_again_after_a_failure(tmp_path):
    flag = tmp_path / "repaired"

    def work(value):
        if not flag.exists():
            raise ValueError("user-boom")
        return value

    pipe = Pipeline(range(3)).task(work)

    with pytest.raises(ValueError, match="user-boom"):
        pipe.wait_for_result()
    flag.touch()

    assert pipe.wait_for_result() == [0, 1, 2]


# -- coroutines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_error", [ORDINARY[0], OF_A_LANGUAGE[-1]], ids=name_of)
def test_a_coroutine_that_fails_is_reported_after_the_results_before_it(make_error):
    async def fetch(value):
        await asyncio.sleep((5 - value) * 0.005)
        if value == 3:
            raise make_error()
        return value

    arrived = []

    with pytest.raises(StageFailed) as caught:
        f.take_all(Pipeline(range(6)).task(fetch, workers=4), into=arrived)

    assert arrived == [0, 1, 2]
    assert_tells_everything(caught.value, stage="fetch", item=3, value=3, what=name_of(make_error))


# -- results that cannot travel ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make_result",
    [
        threading.Lock,
        lambda: (x for x in "abc"),
        lambda: open("/dev/null"),  # noqa: PTH123, SIM115
        socket.socket,
        lambda: {"deep": [1, {"inside": threading.Lock()}]},
    ],
    ids=["lock", "generator", "open file", "socket", "lock deep inside"],
)
@places
def test_a_result_that_cannot_be_pickled_is_reported(make_result, place):
    def decode(value):
        return make_result() if value == 100 + place else value * 2

    arrived = []

    with pytest.raises(PipelineExecutionError, match=r"(?i)pickl") as caught:
        f.take_all(Pipeline(range(100, 100 + N)).task(decode), into=arrived)

    assert arrived == [2 * value for value in range(100, 100 + place)]
    # Which of the two is shown, the item or what was made of it, matters less than its number.
    first_line = str(caught.value).splitlines()[0]
    assert "'decode'" in first_line
    assert f"item {place}: " in first_line
    assert re.search(r"worker \d", first_line)


def test_a_result_that_cannot_be_pickled_is_reported_by_the_stage_that_made_it():
    pipe = Pipeline(range(3)).task(lambda x: (y for y in [x]), name="make").task(list, name="use")

    with pytest.raises(PipelineExecutionError, match=r"(?i)pickl") as caught:
        pipe.wait_for_result()

    assert "'make'" in str(caught.value).splitlines()[0]


@pytest.mark.parametrize("executor", ["thread", "inline"])
def test_between_threads_results_need_not_be_pickled(executor):
    pipe = Pipeline(range(3)).task(lambda x: (y for y in [x]), executor=executor).task(list, executor=executor)

    assert pipe.wait_for_result() == [[0], [1], [2]]


@places
def test_a_result_that_explodes_when_unpickled_is_reported(place):
    def decode(value):
        return f.ExplodesOnLoad() if value == 100 + place else value * 2

    arrived = []

    with pytest.raises(PipelineExecutionError, match="boom while loading") as caught:
        f.take_all(Pipeline(range(100, 100 + N)).task(decode), into=arrived)

    assert arrived == [2 * value for value in range(100, 100 + place)]
    assert "'decode'" in str(caught.value)
    assert f"item {place}" in str(caught.value)


def test_a_result_that_explodes_in_the_next_stage_is_reported():
    def decode(value):
        return f.ExplodesOnLoad() if value == 3 else value

    pipe = Pipeline(range(7)).task(decode).task(str, name="write")

    with pytest.raises(PipelineExecutionError, match="boom while loading") as caught:
        pipe.wait_for_result()

    assert "'decode'" in str(caught.value)
    assert "item 3" in str(caught.value)


def test_a_result_nested_too_deep_to_be_pickled_is_reported():
    def decode(value):
        result = []
        for _ in range(100_000):
            result = [result]
        return result

    with pytest.raises(PipelineExecutionError) as caught:
        Pipeline([5]).task(decode).wait_for_result()

    assert "'decode'" in str(caught.value)
    assert "item 0" in str(caught.value)


# -- texts of difficult items --------------------------------------------------------------------------------


def test_a_huge_item_is_cut_in_the_text():
    def boom(value):
        raise ValueError("user-boom")

    with pytest.raises(ValueError, match="user-boom") as caught:
        Pipeline(["x" * 1_000_000]).task(boom).wait_for_result()

    assert "item 0: 'xxxx" in str(caught.value)
    assert len(str(caught.value)) < 5000


def test_an_item_with_lines_in_its_repr_stays_on_one_line():
    class Table:
        def __repr__(self):
            return "a b\n1 2\n3 4"

    def boom(value):
        raise ValueError("user-boom")

    with pytest.raises(ValueError, match="user-boom") as caught:
        Pipeline([Table()]).task(boom).wait_for_result()

    assert re.search(r"item 0: a b.*worker \d", str(caught.value).splitlines()[0])


def test_an_item_that_cannot_be_printed_is_reported_by_its_type():
    def boom(value):
        raise ValueError("user-boom")

    with pytest.raises(ValueError, match="user-boom") as caught:
        Pipeline([f.Touchy(1)]).task(boom).wait_for_result()

    assert "item 0" in str(caught.value)
    assert "Touchy" in str(caught.value)


# -- functions that cannot travel ----------------------------------------------------------------------------


def test_a_function_that_cannot_be_shipped_is_refused_by_name():
    generator = (x for x in "abc")
    pipe = Pipeline([1]).task(lambda x: next(generator), name="draw")

    with pytest.raises(PipelineError, match=r"(?i)pickle|ship|travel|process") as caught:
        pipe.wait_for_result()

    assert "'draw'" in str(caught.value)
    assert "generator" in str(caught.value)


def test_skip_returned_where_an_error_would_be_is_not_an_error():
    assert Pipeline(range(4)).task(lambda x: SKIP if x == 2 else x).wait_for_result() == [0, 1, 3]
