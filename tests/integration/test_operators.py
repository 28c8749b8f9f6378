"""What each operator does, through each terminal, for no item, for one, and for many."""

from __future__ import annotations

import asyncio
import functools
import math
import operator
import os
import signal
import threading

import pytest

from olympipe_like import SKIP, Pipeline
from tests import functions as f

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


# -- every operator through every terminal -------------------------------------------------------------------

# What becomes of no item, and of the items 4 and 7.
OPERATORS = {
    "source": (lambda pipe: pipe, [], [4, 7]),
    "task": (lambda pipe: pipe.task(lambda x: -x), [], [-4, -7]),
    "tasks": (lambda pipe: pipe.task(str, workers=3).task(repr, workers=2), [], ["'4'", "'7'"]),
    "async task": (lambda pipe: pipe.task(f.increment_later, workers=2), [], [5, 8]),
    "class_task": (lambda pipe: pipe.class_task(f.Scaler, "scale", [2], f.Scaler.close), [], [8, 14]),
    "filter": (lambda pipe: pipe.filter(lambda x: x > 5), [], [7]),
    "filter all": (lambda pipe: pipe.filter(lambda x: False), [], []),
    "filter none": (lambda pipe: pipe.filter(), [], [4, 7]),
    "explode": (lambda pipe: pipe.explode(f.twice), [], [4, 4, 7, 7]),
    "batch": (lambda pipe: pipe.batch(3), [], [[4, 7]]),
    "full batch": (lambda pipe: pipe.batch(2), [], [[4, 7]]),
    "batch drop": (lambda pipe: pipe.batch(3, False), [], []),
    "batch pad": (lambda pipe: pipe.batch(3, pad=None), [], [[4, 7, None]]),
    "unbatch": (lambda pipe: pipe.batch(3).unbatch(), [], [4, 7]),
    "reduce": (lambda pipe: pipe.reduce(1, lambda x, acc: acc + x), [1], [12]),
    "reduce and on": (lambda pipe: pipe.reduce(1, lambda x, acc: acc + x).task(str), ["1"], ["12"]),
    "scan": (lambda pipe: pipe.scan(1, lambda x, acc: (acc + x, acc)), [], [1, 5]),
    "window": (lambda pipe: pipe.window(2), [], [[4, 7]]),
    "partial window": (lambda pipe: pipe.window(3, partial=True), [], [[4, 7], [7]]),
    "bucket": (lambda pipe: pipe.bucket(abs, [5], 2), [], [[4], [7]]),
    "shuffle": (lambda pipe: pipe.shuffle(1, seed=0), [], [4, 7]),
    "sample": (lambda pipe: pipe.sample(1.0), [], [4, 7]),
    "unique": (lambda pipe: pipe.unique(lambda x: x > 1), [], [4]),
    "shard": (lambda pipe: pipe.shard(1, 2), [], [7]),
    "repeat": (lambda pipe: pipe.task(str).repeat(2), [], ["4", "7", "4", "7"]),
    "repeated reduce": (lambda pipe: pipe.reduce(1, lambda x, acc: acc + x).repeat(2), [1, 1], [12, 12]),
    "repeated batch drop": (lambda pipe: pipe.batch(3, False).repeat(2), [], []),
    "repeated bucket drop": (lambda pipe: pipe.bucket(abs, [], 3, drop_last=True).repeat(2), [], []),
    "repeated shard drop": (lambda pipe: pipe.shard(0, 3, even="drop").repeat(2), [], []),
    "align": (lambda pipe: pipe.align(pipe.filter(lambda x: x > 5).task(str)), [], [(7, "7")]),
    "limit": (lambda pipe: pipe.limit(1), [], [4]),
    "skip": (lambda pipe: pipe.skip(1), [], [7]),
    "tap": (lambda pipe: pipe.tap(str), [], [4, 7]),
    "split": (lambda pipe: pipe.split(f.both_or_one, n=2)[1], [], [4]),
    "partition": (lambda pipe: pipe.partition(lambda x: x > 5)[1], [], [4]),
    "gather": (lambda pipe: pipe.task(str).gather(pipe), [], ["4", 4, "7", 7]),
    "gather as they come": (lambda pipe: pipe.gather(Pipeline([]), ordered=False), [], [4, 7]),
    "gather of one": (lambda pipe: pipe.gather(), [], [4, 7]),
    "zip": (lambda pipe: pipe.zip(pipe.task(str)), [], [(4, "4"), (7, "7")]),
    "zip of one": (lambda pipe: pipe.zip(), [], [(4,), (7,)]),
    "concat": (lambda pipe: pipe.concat(pipe.task(str)), [], [4, 7, "4", "7"]),
    "concat with nothing": (lambda pipe: Pipeline([]).concat(pipe, Pipeline([])), [], [4, 7]),
}


async def collect(pipe):
    return [item async for item in pipe]


def run(pipe):
    with pipe.run(executor="thread") as going:
        return list(going)


def append(item, items):
    return [*items, item]


# Processes where it may matter; threads and the caller's own are quicker.
TERMINALS = {
    "wait_for_result": lambda pipe: pipe.wait_for_result(),
    "wait_for_result inline": lambda pipe: pipe.wait_for_result(executor="inline"),
    "wait_for_result thread": lambda pipe: pipe.wait_for_result(executor="thread"),
    "wait_for_results": lambda pipe: pipe.wait_for_results(executor="thread")[0],
    "wait_for_results of others": lambda pipe: pipe.wait_for_results([Pipeline("a"), pipe], executor="thread")[2],
    "wait_for_all_results": lambda pipe: Pipeline.wait_for_all_results([Pipeline("a"), pipe], executor="thread")[1],
    "wait_and_reduce": lambda pipe: pipe.wait_and_reduce([], append, executor="inline"),
    "for": list,
    "async for": lambda pipe: asyncio.run(collect(pipe)),
    "run": run,
}


@pytest.mark.parametrize("terminal", TERMINALS)
def test_every_operator_of_an_empty_source_through(terminal):
    results = {name: TERMINALS[terminal](build(Pipeline([]))) for name, (build, _, _) in OPERATORS.items()}

    assert results == {name: expected for name, (_, expected, _) in OPERATORS.items()}


@pytest.mark.parametrize("terminal", TERMINALS)
def test_every_operator_of_two_items_through(terminal):
    results = {name: TERMINALS[terminal](build(Pipeline([4, 7]))) for name, (build, _, _) in OPERATORS.items()}

    assert results == {name: expected for name, (_, _, expected) in OPERATORS.items()}


def test_wait_for_completion_runs_everything_and_returns_nothing(tally):
    pipe = Pipeline(range(5)).task(lambda x: tally.hit("first"))
    other = Pipeline(range(3)).task(lambda x: tally.hit("other"))

    assert pipe.wait_for_completion() is None
    assert pipe.wait_for_completion([other], executor="inline") is None
    assert (tally.count("first"), tally.count("other")) == (10, 3)


def test_waiting_for_nothing_gives_nothing():
    assert Pipeline.wait_for_all_results([]) == []


# -- plans ---------------------------------------------------------------------------------------------------


@executors
def test_a_plan_run_twice_gives_the_same(executor):
    pipe = Pipeline(range(20)).task(lambda x: x * 3, workers=2).filter(lambda x: x % 2).batch(4)
    pipe = pipe.reduce([], lambda batch, acc: acc + batch)

    first, second = (pipe.wait_for_result(executor=executor) for _ in range(2))

    assert first == second == [[x * 3 for x in range(20) if x % 2]]


def test_a_reduction_does_not_see_what_an_earlier_run_left_in_its_initial_value():
    def append(item, acc):
        acc.append(item)
        return acc

    pipe = Pipeline(range(3)).reduce([], append)

    results = [pipe.wait_for_result(executor=executor) for executor in ("inline", "process", "thread", "inline")]

    assert results == [[[0, 1, 2]]] * 4


def test_building_on_a_pipeline_leaves_it_as_it_was():
    pipe = Pipeline(range(4)).task(lambda x: x + 1)

    pipe.task(str).filter(None).batch(2).limit(1)
    pipe.split(lambda x: (x, x), n=2)

    assert pipe.wait_for_result() == [1, 2, 3, 4]


def test_repr_and_explain_name_the_stages_and_run_nothing(tally):
    pipe = Pipeline(range(4), name="numbers").task(lambda x: tally.hit("work"), workers=3, name="shrink")
    left, right = pipe.partition(lambda x: x)
    joined = left.gather(right.batch(2)).limit(1)

    for text in (repr(joined), str(joined), joined.explain()):
        assert "numbers" in text
        assert "shrink" in text
    assert "3" in joined.explain()
    assert tally.count("work") == 0


def test_count_is_another_name_for_workers(tmp_path):
    pipe = Pipeline(range(4)).task(lambda x: meet_three(tmp_path, x), count=4)

    assert pipe.wait_for_result() == [True] * 4


def test_workers_may_be_given_by_position(tmp_path):
    pipe = Pipeline(range(4)).task(lambda x: meet_three(tmp_path, x), 4)

    assert pipe.wait_for_result() == [True] * 4


def meet_three(folder, x):
    """Wait until all four are there: only workers that work at the same time can meet."""
    return f.meet(folder, str(x), [str(y) for y in range(4)])


# -- where stages run ----------------------------------------------------------------------------------------


def home(value):
    return [*value, os.getpid()]


def test_each_stage_that_runs_a_function_has_a_process_of_its_own():
    pipe = Pipeline([[]]).task(lambda v: [*v, os.getpid()]).task(lambda v: [*v, os.getpid()])

    (homes,) = pipe.task(lambda v: [*v, os.getpid()]).wait_for_result()

    assert len({*homes, os.getpid()}) == 4


def test_threads_and_coroutines_run_in_the_callers_process():
    async def where(value):
        return [*value, os.getpid()]

    (homes,) = Pipeline([[]]).task(home, executor="thread").task(where).wait_for_result()

    assert set(homes) == {os.getpid()}


@pytest.mark.parametrize("executor", ["thread", "inline"])
def test_a_stage_in_the_callers_process_stays_there_beside_processes(executor):
    pipe = Pipeline([[]]).task(lambda v: [*v, os.getpid()]).task(home, executor=executor)

    (homes,) = pipe.task(lambda v: [*v, os.getpid()]).wait_for_result()

    assert homes[1] == os.getpid()
    assert len(set(homes)) == 3


def test_inline_runs_everything_in_the_callers_process_and_thread():
    seen = []

    def note(value):
        seen.append((os.getpid(), threading.get_ident()))
        return value

    pipe = Pipeline(range(3)).task(note, workers=3).filter(note).explode(lambda x: [note(x)])

    assert pipe.wait_for_result(executor="inline") == [1, 2]
    assert set(seen) == {(os.getpid(), threading.get_ident())}


@pytest.mark.parametrize("fuse", [False, True])
def test_inline_runs_coroutines_where_an_event_loop_runs_already(fuse):
    async def add_one(x):
        await asyncio.sleep(0)
        return x + 1

    async def in_a_notebook():
        pipe = Pipeline(f.AsyncValues(range(20))).task(add_one).task(f.drop_thirds_later)
        return [pipe.wait_for_result(executor=executor, fuse=fuse) for executor in ("inline", "thread")]

    inline, others = asyncio.run(in_a_notebook())

    assert inline == others
    assert len(inline) > 10


def test_ctrl_c_ends_an_inline_coroutine_where_an_event_loop_runs_already():
    ended = []

    async def wait(x):
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(x)

    async def in_a_notebook():
        with pytest.raises(KeyboardInterrupt):
            Pipeline([7]).task(wait).wait_for_result(executor="inline")

    loop = asyncio.new_event_loop()  # asyncio.run has a mind of its own about Ctrl-C
    loop.run_until_complete(in_a_notebook())
    loop.close()

    assert ended == [7]


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_workers_work_at_the_same_time(executor, tmp_path):
    pipe = Pipeline(range(4)).task(lambda x: meet_three(tmp_path, x), workers=4, executor=executor)

    assert pipe.wait_for_result() == [True] * 4


def test_coroutines_wait_at_the_same_time():
    arrived = asyncio.Semaphore(0)
    waiting = 0

    async def meet(x):
        nonlocal waiting
        waiting += 1
        if waiting == 40:
            for _ in range(40):
                arrived.release()
        await asyncio.wait_for(arrived.acquire(), 5)
        return x

    assert Pipeline(range(40)).task(meet, workers=40).wait_for_result() == list(range(40))


def test_no_more_coroutines_run_at_once_than_asked_for():
    running, most = 0, 0

    async def fetch(x):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return x

    Pipeline(range(30)).task(fetch, workers=4).wait_for_completion()

    assert 2 <= most <= 4


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_stages_work_at_the_same_time(executor, tmp_path):
    # The second stage keeps the first item until the first stage works on the second one.
    pipe = Pipeline(range(2)).task(lambda x: x if x == 0 else f.meet(tmp_path, "one", ["two"]), executor=executor)
    pipe = pipe.task(lambda x: f.meet(tmp_path, "two", ["one"]) if x == 0 else x, executor=executor)

    assert pipe.wait_for_result() == [True, True]


def test_every_operator_may_follow_coroutines():
    async def pass_on(x):
        await asyncio.sleep(0)
        return x

    start = Pipeline([4, 7]).task(pass_on, workers=2)
    results = {name: build(start).wait_for_result() for name, (build, _, _) in OPERATORS.items()}

    assert results == {name: expected for name, (_, _, expected) in OPERATORS.items()}


@executors
def test_every_operator_may_follow_batches_and_be_followed_by_them(executor):
    start = Pipeline([4, 7]).batch(3).unbatch()
    pipes = {name: build(start).batch(100) for name, (build, _, _) in OPERATORS.items()}
    results = {name: pipe.wait_for_result(executor=executor) for name, pipe in pipes.items()}

    assert results == {name: [expected] if expected else [] for name, (_, _, expected) in OPERATORS.items()}


def test_results_of_coroutines_can_be_taken_apart():
    async def fetch(x):
        await asyncio.sleep(0)
        return [x] * x

    pipe = Pipeline(range(4)).task(fetch, workers=2)

    assert pipe.unbatch().wait_for_result() == [1, 2, 2, 3, 3, 3]
    assert pipe.unbatch().batch(4).wait_for_result() == [[1, 2, 2, 3], [3, 3]]


# -- task ----------------------------------------------------------------------------------------------------


@executors
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (str, ["1", "2"]),
        (math.sqrt, [1.0, math.sqrt(2)]),
        (f.Doubler(), [2, 4]),
        (f.Doubler().transform, [2, 4]),
        (functools.partial(operator.mul, 5), [5, 10]),
        (f.increment_later, [2, 3]),
        (functools.partial(f.increment_later), [2, 3]),
        (lambda x: None, [None, None]),
        (range, [range(1), range(2)]),
    ],
    ids=["class", "builtin", "transform", "method", "partial", "async", "partial of async", "None", "type"],
)
def test_anything_that_can_be_called_is_a_task(function, expected, executor):
    assert Pipeline([1, 2]).task(function).wait_for_result(executor=executor) == expected


def test_a_callable_object_with_transform_is_transformed():
    class Scikit:
        def transform(self, x):
            return ("transformed", x)

    assert Pipeline([1]).task(Scikit()).wait_for_result() == [("transformed", 1)]


@executors
def test_skip_drops_the_item(executor):
    result = Pipeline(range(6)).task(lambda x: SKIP if x % 2 else x).task(str).wait_for_result(executor=executor)

    assert result == ["0", "2", "4"]


@executors
@pytest.mark.parametrize("filler", ["", "x" * 200], ids=["small", "large"])
def test_skip_drops_items_of_a_stage_whose_results_leave_the_process_and_they_are_counted(executor, filler):
    def drop_sevenths(x):
        return SKIP if x % 7 == 0 else (x, filler)

    with (
        Pipeline(range(3000)).task(drop_sevenths, name="drop").task(lambda made: made[0]).run(executor=executor) as run
    ):
        results = list(run)

    assert results == [x for x in range(3000) if x % 7]
    counted = run.report.stages[1]
    assert (counted.items_in, counted.items_out, counted.filtered, counted.failed) == (3000, 2571, 429, 0)
    assert run.report.balanced


@executors
def test_skip_inside_an_item_and_its_name_are_ordinary_values(executor):
    name = type(SKIP).__module__

    made = Pipeline(range(3)).task(lambda x: (x, SKIP, name)).wait_for_result(executor=executor)

    assert made == [(x, SKIP, name) for x in range(3)]


@executors
def test_all_items_of_a_frame_may_be_dropped(executor):
    assert Pipeline(range(3000)).task(lambda x: SKIP).wait_for_result(executor=executor) == []


def test_skip_is_dropped_among_results_that_travel_by_value_or_not_at_all():
    def make(x):
        return (SKIP, lambda: x, threading.Lock(), x)[x % 4]

    pipe = Pipeline(range(400)).task(make, on_error="skip", name="make")
    with pipe.task(lambda made: made() if callable(made) else made).run() as run:
        results = list(run)

    assert results == [x for x in range(400) if x % 4 in (1, 3)]
    counted = run.report.stages[1]
    assert (counted.items_in, counted.items_out, counted.filtered, counted.failed) == (400, 200, 100, 100)
    assert run.report.balanced


def test_an_async_function_may_drop_items():
    assert Pipeline(range(9)).task(f.drop_thirds_later, workers=3).wait_for_result() == [1, 2, 4, 5, 7, 8]


def test_an_async_function_filters():
    async def is_even(x):
        await asyncio.sleep(0)
        return x % 2 == 0

    assert Pipeline(range(5)).filter(is_even).wait_for_result() == [0, 2, 4]


# -- filter --------------------------------------------------------------------------------------------------


@executors
def test_a_filter_keeps_what_its_function_calls_true(executor):
    values = ["", "a", [], [0], 0, 1, None]

    assert Pipeline(values).filter(lambda x: x).wait_for_result(executor=executor) == ["a", [0], 1]


@executors
def test_a_filter_passes_the_item_itself_on(executor):
    assert Pipeline([3, 4]).filter(lambda x: x * 100).wait_for_result(executor=executor) == [3, 4]


# -- explode and unbatch -------------------------------------------------------------------------------------


@executors
def test_explode_takes_any_iterable(executor):
    def make(i):
        return [[1, 2], (3,), "ab", {5: 6}, range(2), iter([7]), [], (x for x in [8]), {9}][i]

    result = Pipeline(range(9)).explode(make)

    assert result.wait_for_result(executor=executor) == [1, 2, 3, "a", "b", 5, 0, 1, 7, 8, 9]


@executors
def test_unbatch_takes_nested_batches_apart_one_level_at_a_time(executor):
    pipe = Pipeline(range(7)).batch(2).batch(2)

    assert pipe.wait_for_result(executor=executor) == [[[0, 1], [2, 3]], [[4, 5], [6]]]
    assert pipe.unbatch().wait_for_result(executor=executor) == [[0, 1], [2, 3], [4, 5], [6]]
    assert pipe.unbatch().unbatch().wait_for_result(executor=executor) == list(range(7))


@executors
def test_explode_without_a_function_takes_items_apart(executor):
    assert Pipeline([[1, 2], "ab"]).explode().wait_for_result(executor=executor) == [1, 2, "a", "b"]


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_a_generator_without_end_streams(executor):
    def forever(x):
        while True:
            yield x

    assert Pipeline([1, 2]).explode(forever).task(str).limit(3).wait_for_result(executor=executor) == ["1"] * 3


def test_the_parts_of_a_large_item_come_before_it_is_through(tally):
    def pages(book):
        for page in range(100_000):
            tally.hit("page")
            yield page

    for page in Pipeline(["book"]).explode(pages, queue_size=4):
        if page == 10:
            break

    assert tally.count("page") < 50_000


# -- batch ---------------------------------------------------------------------------------------------------


@executors
@pytest.mark.parametrize(
    ("options", "rest"),
    [
        ({}, [[6]]),
        ({"keep_incomplete_batch": True}, [[6]]),
        ({"keep_incomplete_batch": False}, []),
        ({"drop_last": True}, []),
        ({"drop_last": False}, [[6]]),
        ({"pad": 0}, [[6, 0, 0]]),
        ({"pad": None}, [[6, None, None]]),
        ({"pad": lambda missing: list(range(missing))}, [[6, 0, 1]]),
    ],
    ids=["default", "keep", "not keep", "drop", "not drop", "pad 0", "pad None", "pad by a function"],
)
def test_the_last_batch_is_kept_dropped_or_padded(options, rest, executor):
    result = Pipeline(range(7)).batch(3, **options).wait_for_result(executor=executor)

    assert result == [[0, 1, 2], [3, 4, 5], *rest]


@executors
@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"pad": 0}], ids=["keep", "drop", "pad"])
def test_items_that_fill_their_batches_leave_no_rest(options, executor):
    result = Pipeline(range(6)).batch(3, **options).wait_for_result(executor=executor)

    assert result == [[0, 1, 2], [3, 4, 5]]


def test_batches_hold_two_items_if_nothing_is_said():
    assert Pipeline(range(3)).batch().wait_for_result() == [[0, 1], [2]]


@executors
def test_a_batch_may_be_larger_than_everything_that_waits(executor):
    (batch,) = Pipeline(range(5000)).task(lambda x: x, queue_size=2).batch(10_000).wait_for_result(executor=executor)

    assert batch == list(range(5000))


@executors
def test_batches_of_one_are_lists(executor):
    assert Pipeline("ab").batch(1).wait_for_result(executor=executor) == [["a"], ["b"]]


@executors
def test_collate_makes_the_batch_of_its_items(executor):
    pipe = Pipeline(range(5)).batch(2, collate=lambda items: (len(items), sum(items)))

    assert pipe.wait_for_result(executor=executor) == [(2, 1), (2, 5), (1, 4)]


@executors
def test_collate_stack_makes_one_array_of_arrays(executor):
    import numpy as np

    pictures = [np.full((2, 3), number, np.uint8) for number in range(5)]

    batches = Pipeline(pictures).batch(2, collate="stack").wait_for_result(executor=executor)

    assert [batch.shape for batch in batches] == [(2, 2, 3), (2, 2, 3), (1, 2, 3)]
    assert [batch.dtype for batch in batches] == [np.uint8] * 3
    assert [batch[:, 0, 0].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]


@executors
def test_collate_stack_goes_field_by_field_through_tuples_and_dicts(executor):
    import numpy as np

    pairs = [(np.array([number, number]), number) for number in range(4)]
    records = [{"picture": np.array([number]), "label": number} for number in range(4)]

    (arrays, labels), _ = Pipeline(pairs).batch(2, collate="stack").wait_for_result(executor=executor)
    record, _ = Pipeline(records).batch(2, collate="stack").wait_for_result(executor=executor)

    assert arrays.tolist() == [[0, 0], [1, 1]]
    assert list(labels) == [0, 1]
    assert record["picture"].tolist() == [[0], [1]]
    assert list(record["label"]) == [0, 1]


def test_collate_stack_of_unequal_shapes_is_reported():
    import numpy as np

    with pytest.raises(ValueError, match="shape") as caught:
        Pipeline([np.zeros(2), np.zeros(3)]).batch(2, collate="stack").wait_for_result()

    assert "'batch'" in str(caught.value)


# -- reduce --------------------------------------------------------------------------------------------------


@executors
def test_reduce_folds_in_order_with_the_item_first(executor):
    pipe = Pipeline("abc").reduce(">", lambda item, acc: acc + item)

    assert pipe.wait_for_result(executor=executor) == [">abc"]


@executors
def test_wait_and_reduce_folds_in_order_with_the_item_first(executor):
    pipe = Pipeline("abc").task(str.upper)

    assert pipe.wait_and_reduce(">", lambda item, acc: acc + item, executor=executor) == ">ABC"


@executors
def test_an_empty_reduction_is_its_initial_value_even_if_that_is_none(executor):
    pipe = Pipeline(range(3)).filter(lambda x: False).reduce(None, lambda item, acc: item)

    assert pipe.wait_for_result(executor=executor) == [None]


# -- tap and debug -------------------------------------------------------------------------------------------


@executors
def test_tap_calls_its_function_once_an_item_and_passes_the_item_on(executor, tally):
    pipe = Pipeline([1, None, 0]).tap(lambda x: tally.hit(repr(x))).task(lambda x: x)

    assert pipe.wait_for_result(executor=executor) == [1, None, 0]
    assert [tally.count(name) for name in ("1", "None", "0")] == [1, 1, 1]


def test_tap_ignores_what_its_function_returns():
    assert Pipeline([1, 2]).tap(lambda x: SKIP).wait_for_result() == [1, 2]


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
@pytest.mark.parametrize(("every", "shown"), [(1, ["'a'", "None", "[1]", "'d'"]), (3, ["'a'", "'d'"])])
def test_debug_prints_each_nth_item_once_on_standard_output(script, executor, every, shown):
    process = script.start(
        f"""
        from olympipe_like import Pipeline

        pipe = Pipeline(["a", None, [1], "d"]).task(lambda x: x, executor={executor!r}).debug("seen", every={every})
        assert pipe.wait_for_result() == ["a", None, [1], "d"]
        """
    )

    done = script.finish(process)

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == len(shown)
    for line, text in zip(lines, shown, strict=True):
        assert line.startswith("seen")
        assert line.endswith(text)
