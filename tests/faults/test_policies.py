"""What a stage may be told to do about failures: T02, T03, T15 to T18 without retries, T19, T20, T25, T26."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import numpy as np
import psutil
import pytest

import olympipe_like
from olympipe_like import SKIP, Pipeline, PlanError, PlanTypeError, Retry, StageFailed, WorkerLost
from tests.faults.cases import (
    AT,
    BAD,
    BEFORE,
    DEATHS,
    ITEMS,
    STAGE,
    WORKER,
    Once,
    assert_first_line,
    be_killed,
    dying,
    first_line,
    outcome,
    raising,
    stage_one_ok,
    two_stages,
)

pytestmark = [
    pytest.mark.timeout(40),
]

OTHERS = [value for value in ITEMS if value != BAD]
FAILING = raising(lambda: ValueError("user-boom"))
executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


def finished(pipe, **options):
    """Run to the end; return the results and the run."""
    with pipe.run(**options) as run:
        results = list(run)
    return results, run


def stage_of(run, name="stage_two_bad"):
    (found,) = [stage for stage in run.report.stages if stage.name == name]
    return found


# -- on_error ------------------------------------------------------------------------------------------------

OPERATORS = {
    "task": lambda pipe, bad, **options: pipe.task(bad, name="stage_two_bad", **options),
    "filter": lambda pipe, bad, **options: pipe.filter(bad, name="stage_two_bad", **options),
    "explode": lambda pipe, bad, **options: pipe.explode(lambda x: [bad(x)], name="stage_two_bad", **options),
    "tap": lambda pipe, bad, **options: pipe.tap(bad, **options),
    "split": lambda pipe, bad, **options: pipe.split(lambda x: (bad(x), x), n=2, **options)[0],
    "partition": lambda pipe, bad, **options: pipe.partition(bad, **options)[0],
}


@pytest.mark.fault("T02")
@executors
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_failed_item_is_skipped_and_its_neighbours_are_not(operator, executor):
    pipe = OPERATORS[operator](Pipeline(ITEMS), FAILING, on_error="skip")

    results, run = finished(pipe, executor=executor)

    assert results == OTHERS
    assert sum(stage.failed for stage in run.report.stages) == 1
    assert run.failures == []


@pytest.mark.fault("T02")
@executors
def test_a_failed_item_of_a_class_task_is_skipped(executor):
    class Model:
        def use(self, value):
            return FAILING(value)

    results, run = finished(Pipeline(ITEMS).class_task(Model, "use", on_error="skip", workers=2), executor=executor)

    assert results == OTHERS
    assert sum(stage.failed for stage in run.report.stages) == 1


@pytest.mark.fault("T02")
def test_what_was_asked_for_by_name_is_the_default():
    arrived, error = outcome(two_stages(FAILING, on_error="raise"))

    assert arrived == BEFORE
    assert_first_line(error, "ValueError: user-boom")


@pytest.mark.fault("T02")
@executors
def test_a_collected_item_is_kept_with_all_that_is_known_of_it(executor):
    results, run = finished(two_stages(FAILING, on_error="collect"), executor=executor)

    (failure,) = run.failures
    assert results == OTHERS
    assert failure.item == BAD
    assert failure.position == (100,)
    assert failure.stage == "stage_two_bad"
    assert type(failure.error) is ValueError
    assert failure.error_type == "ValueError"
    assert failure.text == "user-boom"
    assert "in stage_two_bad" in failure.traceback
    assert failure.attempts == 1
    assert re.match(r"worker 2\.[01]", failure.worker)
    assert stage_of(run).failed == 1


@pytest.mark.fault("T02")
def test_collected_items_are_in_the_order_of_the_source_and_there_during_the_run():
    def bad(value):
        if value % 20 == 0:
            raise ValueError(value)
        return value

    with two_stages(bad, on_error="collect").run() as run:
        for value in run:
            if value > ITEMS[60]:
                assert len(run.failures) >= 1

    assert [failure.item for failure in run.failures] == list(ITEMS[::20])


@pytest.mark.fault("T02")
def test_a_collected_item_may_be_large_and_its_exception_may_refuse_to_travel():
    class Stubborn(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one}{two}")
            self.held = open(os.devnull)  # noqa: PTH123, SIM115

        def __del__(self):
            self.held.close()

    def bad(array):
        if array[0] == 2:
            raise Stubborn("user-", "boom")
        return int(array[0])

    arrays = [np.full(100_000, number) for number in range(5)]

    results, run = finished(Pipeline(arrays).task(bad, on_error="collect", workers=2))

    (failure,) = run.failures
    assert results == [0, 1, 3, 4]
    assert failure.error_type.endswith("Stubborn")
    assert "user-boom" in failure.text
    np.testing.assert_array_equal(failure.item, arrays[2])


@pytest.mark.fault("T02")
@executors
def test_a_function_may_give_a_replacement(executor):
    def replace(item, error):
        return item, type(error).__name__, str(error)

    results, run = finished(two_stages(FAILING, on_error=replace), executor=executor)

    assert results == [*BEFORE, (BAD, "ValueError", "user-boom"), *ITEMS[AT + 1 :]]
    assert stage_of(run).failed == 0


@pytest.mark.fault("T02")
@executors
@pytest.mark.parametrize("answer", [None, SKIP], ids=repr)
def test_a_replacement_of_nothing_drops_the_item(answer, executor):
    results, run = finished(two_stages(FAILING, on_error=lambda item, error: answer), executor=executor)

    assert results == OTHERS
    assert stage_of(run).failed == 1


@pytest.mark.fault("T02")
@executors
@pytest.mark.parametrize("answer", [None, "seen", False], ids=repr)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_tap_whose_function_failed_passes_its_item_on_whatever_the_handler_returns(kind, answer, executor):
    async def later(value):
        return FAILING(value)

    pipe = Pipeline(ITEMS).tap(
        FAILING if kind == "function" else later, on_error=lambda item, error: answer, name="tap"
    )

    results, run = finished(pipe, executor=executor)

    assert results == list(ITEMS)
    assert (stage_of(run, "tap").items_out, stage_of(run, "tap").failed) == (len(ITEMS), 0)


@pytest.mark.fault("T02")
@executors
def test_a_tap_whose_handler_returns_skip_drops_the_item(executor):
    results, run = finished(
        Pipeline(ITEMS).tap(FAILING, on_error=lambda item, error: SKIP, name="tap"), executor=executor
    )

    assert results == OTHERS
    assert stage_of(run, "tap").failed == 1


@pytest.mark.fault("T02")
def test_a_replacement_function_that_fails_is_the_items_failure():
    def replace(item, error):
        raise LookupError("no replacement")

    arrived, error = outcome(two_stages(FAILING, on_error=replace))

    assert arrived == BEFORE
    assert isinstance(error, LookupError)
    assert "no replacement" in first_line(error)


@pytest.mark.fault("T02")
@pytest.mark.parametrize("place", [0, len(ITEMS) - 1], ids=["first", "last"])
def test_the_first_and_the_last_item_can_be_skipped(place):
    def bad(value):
        if value == ITEMS[place]:
            raise ValueError("user-boom")
        return value

    results, _ = finished(two_stages(bad, on_error="skip"))

    assert results == [value for value in ITEMS if value != ITEMS[place]]


@pytest.mark.fault("T02")
def test_when_every_item_is_skipped_the_result_is_empty():
    def bad(value):
        raise ValueError("user-boom")

    results, run = finished(two_stages(bad, on_error="skip"))

    assert results == []
    assert stage_of(run).failed == len(ITEMS)


@pytest.mark.fault("T02")
def test_a_result_that_cannot_be_sent_is_skipped_like_a_failure():
    def bad(value):
        return (x for x in "ab") if value == BAD else value

    results, run = finished(two_stages(bad, on_error="skip"))

    assert results == OTHERS
    assert stage_of(run).failed == 1


@pytest.mark.fault("T02")
@pytest.mark.parametrize("make_error", [lambda: SystemExit(3), KeyboardInterrupt, StopIteration])
def test_what_is_no_ordinary_exception_is_skipped_too(make_error):
    results, _ = finished(two_stages(raising(make_error), on_error="skip"))

    assert results == OTHERS


@pytest.mark.fault("T02")
def test_coroutines_can_be_skipped_collected_and_retried(tmp_path):
    once = Once(tmp_path)

    async def fetch(value):
        if value == 2 or (value == 4 and once()):
            raise ValueError("user-boom")
        return value

    results, run = finished(Pipeline(range(6)).task(fetch, workers=3, retries=1, on_error="collect"))

    assert results == [0, 1, 3, 4, 5]
    assert [(failure.item, failure.attempts) for failure in run.failures] == [(2, 2)]


# -- retries -------------------------------------------------------------------------------------------------


def failing_times(tally, times, make_error=lambda: ValueError("user-boom")):
    def stage_two_bad(value):
        if value == BAD:
            tally.hit("tried")
            if tally.count("tried") <= times:
                raise make_error()
        return value

    return stage_two_bad


@pytest.mark.fault("T03")
@executors
def test_an_item_that_works_the_third_time_is_a_result_like_any(executor, tally):
    results, run = finished(two_stages(failing_times(tally, 2), retries=2), executor=executor)

    assert results == list(ITEMS)
    assert tally.count("tried") == 3
    assert stage_of(run).retried == 2
    assert stage_of(run).failed == 0


@pytest.mark.fault("T03")
@executors
def test_an_item_that_never_works_fails_after_its_last_retry(executor, tally):
    with two_stages(failing_times(tally, 99), retries=2).run(executor=executor) as run:
        arrived, error = outcome(run)

    assert arrived == BEFORE
    assert tally.count("tried") == 3
    assert isinstance(error, ValueError)
    assert isinstance(error, StageFailed)


@pytest.mark.fault("T03")
def test_only_the_named_exceptions_are_retried(tally):
    retry = olympipe_like.Retry(times=2, wait=0.01, on=(OSError,))

    arrived, error = outcome(two_stages(failing_times(tally, 1), retries=retry))

    assert arrived == BEFORE
    assert isinstance(error, ValueError)
    assert tally.count("tried") == 1


@pytest.mark.fault("T03")
def test_a_retry_waits_and_each_wait_is_longer(tmp_path):
    retry = olympipe_like.Retry(times=2, wait=0.1, factor=2.0, on=(OSError,))

    def stage_two_bad(value):
        if value == BAD:
            with (tmp_path / "times").open("a") as file:
                print(time.monotonic(), file=file)
            raise OSError("user-boom")
        return value

    _, error = outcome(two_stages(stage_two_bad, retries=retry))

    first, second, third = map(float, (tmp_path / "times").read_text().split())
    assert isinstance(error, OSError)
    assert second - first >= 0.1  # at least what was asked for; how much more is the machine's affair
    assert third - second >= 0.2


@pytest.mark.fault("T03")
@pytest.mark.parametrize("retries", [-1, "2", 1.5, [OSError]], ids=repr)
def test_retries_that_make_no_sense_are_refused(retries):
    with pytest.raises(PlanError, match="retries"):
        Pipeline(ITEMS).task(stage_one_ok, retries=retries)


@pytest.mark.fault("T54")
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("on_error", "ignore"),
        ("on_error", 5),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "2"),
        ("worker_retries", -1),
        ("worker_retries", "2"),
        ("max_items_per_worker", 0),
        ("max_items_per_worker", "50"),
        ("max_rss", "2 elephants"),
        ("max_rss", -1),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(option, value):
    with pytest.raises((PlanError, PlanTypeError), match=option) as caught:
        Pipeline(ITEMS).task(stage_one_ok, **{option: value})

    assert str(value) in str(caught.value)


# -- timeout -------------------------------------------------------------------------------------------------


def sleeping(seconds, when):
    def stage_two_bad(value):
        if value == BAD and when():
            time.sleep(seconds)
        return value

    return stage_two_bad


@pytest.mark.fault("T26")
def test_an_item_that_takes_too_long_is_a_timeout_error_that_names_it():
    arrived, error = outcome(two_stages(sleeping(60, lambda: True), timeout=2.0))

    assert arrived == BEFORE
    assert isinstance(error, StageFailed)
    assert isinstance(error, TimeoutError)
    assert_first_line(error, "took longer than timeout=2 s")


@pytest.mark.fault("T26")
def test_an_item_that_computes_in_c_and_never_lets_go_is_ended_too():
    def stage_two_bad(value):
        if value == BAD:
            sum(range(10**12))  # one call of C that holds the interpreter's lock
        return value

    arrived, error = outcome(two_stages(stage_two_bad, timeout=1.0))

    assert arrived == BEFORE
    assert isinstance(error, TimeoutError)
    assert_first_line(error, "took longer than timeout=1 s")


@pytest.mark.fault("T26")
@pytest.mark.parametrize("policy", ["skip", "collect"])
def test_an_item_that_takes_too_long_can_be_left_out_and_its_neighbours_run_again(policy):
    results, run = finished(two_stages(sleeping(60, lambda: True), timeout=1.0, on_error=policy))

    assert results == OTHERS
    assert stage_of(run).failed == 1
    assert [failure.item for failure in run.failures] == ([BAD] if policy == "collect" else [])


@pytest.mark.fault("T26")
def test_an_item_that_takes_too_long_once_works_when_it_is_retried(tmp_path):
    once = Once(tmp_path)

    results, run = finished(two_stages(sleeping(60, once), timeout=1.0, retries=1))

    assert results == list(ITEMS)
    assert stage_of(run).retried == 1


@pytest.mark.fault("T26")
def test_the_time_is_that_of_an_item_and_not_of_those_it_travels_with():
    def slow(value):
        time.sleep(0.02)
        return value

    assert two_stages(slow, timeout=1.0).wait_for_result() == list(ITEMS)  # 2 s of work a worker


@pytest.mark.fault("T25")
def test_a_worker_that_is_stopped_is_found_by_its_timeout():
    def stage_two_bad(value):
        if value == BAD:
            os.kill(os.getpid(), signal.SIGSTOP)
        return value

    arrived, error = outcome(two_stages(stage_two_bad, timeout=1.0))

    assert arrived == BEFORE
    assert isinstance(error, TimeoutError)
    assert_first_line(error, "took longer than timeout=1 s")


# -- workers -------------------------------------------------------------------------------------------------

IDS = {"exit code 1": "T15", "exit code 0": "T16", "SIGKILL": "T17", "SIGSEGV": "T18", "SIGABRT": "T18"}
deaths = pytest.mark.parametrize(
    ("die", "what"), [pytest.param(*DEATHS[name], id=name, marks=pytest.mark.fault(IDS[name])) for name in DEATHS]
)


@deaths
def test_without_worker_retries_the_first_death_is_told_with_its_item(die, what):
    arrived, error = outcome(two_stages(dying(die), worker_retries=0))

    assert arrived == BEFORE
    assert isinstance(error, WorkerLost)
    assert isinstance(error, StageFailed)
    assert_first_line(error, what)


@deaths
@pytest.mark.fault("T20")
def test_after_the_last_attempt_the_item_is_named(die, what):
    arrived, error = outcome(two_stages(dying(die)))

    assert arrived == BEFORE
    assert isinstance(error, WorkerLost)
    assert isinstance(error, StageFailed)
    assert_first_line(error, f"{what}; gave up after 3 attempts")


@pytest.mark.fault("T20")
@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_worker_retries_say_how_many_workers_an_item_may_cost(attempts, tally):
    def stage_two_bad(value):
        if value == BAD:
            tally.hit("died")
            be_killed()
        return value

    arrived, error = outcome(two_stages(stage_two_bad, worker_retries=attempts - 1))

    assert arrived == BEFORE
    assert isinstance(error, WorkerLost)
    assert tally.count("died") == attempts


@pytest.mark.fault("T20")
@pytest.mark.parametrize("policy", ["skip", "collect"])
def test_an_item_that_ends_every_worker_can_be_left_out_and_harms_no_other(policy):
    results, run = finished(two_stages(dying(be_killed), on_error=policy))

    assert results == OTHERS
    assert stage_of(run).failed == 1
    assert stage_of(run).lost_workers == 3
    if policy == "collect":
        (failure,) = run.failures
        assert (failure.item, failure.stage, failure.attempts) == (BAD, "stage_two_bad", 3)
        assert failure.error_type.endswith("WorkerLost")
        assert "SIGKILL" in failure.text


@pytest.mark.fault("T20")
def test_among_tiny_items_only_the_one_that_kills_is_blamed():
    def stage_two_bad(value):
        if value == 7777:
            be_killed()
        return value

    results, run = finished(two_stages(stage_two_bad, range(10_000), on_error="collect"))

    assert results == [value for value in range(10_000) if value != 7777]
    assert [failure.item for failure in run.failures] == [7777]


@pytest.mark.fault("T19")
def test_a_lost_worker_is_counted(tmp_path):
    once = Once(tmp_path)

    results, run = finished(two_stages(dying(be_killed, once)))

    assert results == list(ITEMS)
    assert stage_of(run).lost_workers == 1
    assert stage_of(run).failed == 0


@pytest.mark.fault("T19")
def test_a_worker_is_replaced_after_so_many_items():
    results, run = finished(two_stages(lambda value: (value, os.getpid()), max_items_per_worker=50))

    assert [value for value, _ in results] == list(ITEMS)
    by_worker = [pid for _, pid in results]
    assert len(set(by_worker)) >= 4
    assert max(map(by_worker.count, set(by_worker))) <= 50
    assert stage_of(run).lost_workers == 0  # nobody was lost


@pytest.mark.fault("T19")
def test_a_worker_that_has_grown_too_large_is_replaced():
    kept = []

    def leaking(value):
        kept.append(b"x" * (10 << 20))
        return value, os.getpid()

    pipe = Pipeline(ITEMS[:60]).task(stage_one_ok).task(leaking, name="stage_two_bad", max_rss="200MB")

    results, run = finished(pipe)

    assert [value for value, _ in results] == list(ITEMS[:60])
    assert len({pid for _, pid in results}) >= 2
    assert stage_of(run).lost_workers == 0


# -- options of a run ----------------------------------------------------------------------------------------


def every_tenth_fails(value):
    if value % 10 == 0:
        raise ValueError("user-boom")
    return value


@pytest.mark.fault("T02")
@pytest.mark.parametrize("limit", [10, 0.05])
def test_too_many_failures_end_the_run(limit):
    pipe = two_stages(every_tenth_fails, on_error="skip")  # 20 of 200

    with pytest.raises(olympipe_like.TooManyFailures) as caught, pipe.run(max_failures=limit) as run:
        list(run)

    assert isinstance(caught.value, olympipe_like.PipelineExecutionError)
    assert "stage_two_bad" in str(caught.value)


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
@pytest.mark.parametrize("limit", [0, 0.05])
@pytest.mark.parametrize("items", [range(10), [9]], ids=["the last", "the only one"])
def test_the_end_of_a_run_does_not_hide_that_its_last_item_was_one_failure_too_many(items, limit, executor):
    def nine_fails(item):
        if item == 9:
            raise ValueError(item)
        return item

    pipe = Pipeline(items).task(nine_fails, on_error="skip", executor=executor)

    with pytest.raises(olympipe_like.TooManyFailures):
        pipe.wait_for_result(max_failures=limit)


@pytest.mark.fault("T02")
@pytest.mark.parametrize("limit", [20, 0.5])
def test_as_many_failures_as_are_allowed_do_not_end_the_run(limit):
    results, run = finished(two_stages(every_tenth_fails, on_error="skip"), max_failures=limit)

    assert results == [value for value in ITEMS if value % 10]
    assert stage_of(run).failed == 20


@pytest.mark.fault("T38")
def test_a_run_with_a_memory_limit_gives_the_same():
    pipe = two_stages(lambda value: np.full(40_000, value))

    results, _ = finished(pipe, memory="2GB")

    assert [int(array[0]) for array in results] == list(ITEMS)


def tree_bytes():
    """Return what this program and all its processes hold, pages they share counted once."""
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # it has just ended
    return total


@pytest.mark.fault("T38")
@pytest.mark.parametrize(("memory", "most_ahead"), [("8MiB", 60), (None, 420)])
def test_a_fast_source_of_large_items_fills_no_more_than_the_bound(memory, most_ahead):
    size = 256 << 10
    pulled = []

    def numbers():
        for number in range(2000):
            pulled.append(number)
            yield bytes([number % 251]) * size

    options = {} if memory is None else {"memory": memory}
    with Pipeline(numbers()).task(bytes, workers=2).task(bytearray, workers=2).run(**options) as run:
        results = iter(run)
        first = [next(results) for _ in range(3)]
        before = tree_bytes()
        time.sleep(1.0)  # all the time that a source which nobody holds back would need
        ahead, grown = len(pulled) - len(first), tree_bytes() - before

    # Three edges share the memory; a frame in each worker's hands, and those of the source and the caller, come on top.
    assert ahead <= most_ahead
    assert grown <= (most_ahead + 20) * size


@pytest.mark.fault("T38")
@pytest.mark.parametrize("memory", ["2 elephants", -1, 0, [1]], ids=repr)
def test_a_memory_limit_that_makes_no_sense_is_refused(memory):
    with pytest.raises(PlanError, match="memory"):
        Pipeline(ITEMS).task(stage_one_ok).run(memory=memory)


@pytest.mark.fault("T17")
def test_the_text_of_a_killed_worker_is_the_documented_one():
    _, error = outcome(two_stages(dying(be_killed)))

    expected = (
        f"{STAGE}: worker was killed by SIGKILL (often the kernel's out-of-memory killer); gave up after 3 attempts"
        " — item 100: 770100"
    )
    assert re.fullmatch(re.escape(expected) + WORKER, first_line(error)), first_line(error)


@pytest.mark.fault("T26")
@pytest.mark.parametrize("explodes", [False, True])
def test_the_wait_before_another_try_is_no_time_of_the_item(explodes, tmp_path):
    once = Once(tmp_path)

    def fails_once(value):
        if value == BAD and once():
            raise OSError("flaky")
        return [value] if explodes else value

    options = {"timeout": 0.4, "retries": Retry(times=1, wait=0.9)}
    pipe = Pipeline(ITEMS)
    pipe = pipe.explode(fails_once, **options) if explodes else pipe.task(fails_once, **options)

    results, run = finished(pipe)

    assert results == list(ITEMS)
    assert run.report.stages[1].lost_workers == 0


@pytest.mark.fault("T54")
@pytest.mark.parametrize("option", [{"worker_retries": 1}, {"max_items_per_worker": 5}, {"max_rss": "1GB"}], ids=repr)
def test_what_is_about_worker_processes_is_refused_elsewhere(option):
    with pytest.raises(PlanError, match=f"{next(iter(option))}= is about worker processes"):
        Pipeline(ITEMS).task(str, executor="thread", **option)


@pytest.mark.fault("T54")
def test_a_run_in_threads_cannot_keep_a_timeout_and_says_so():
    with pytest.raises(PlanError, match="timeout= needs a worker that can be ended"):
        Pipeline(ITEMS).task(str, timeout=1.0).wait_for_result(executor="thread")


@pytest.mark.fault("T20")
def test_the_books_of_a_run_with_failures_and_losses_agree():
    results, run = finished(two_stages(FAILING, on_error="skip"))

    assert results == OTHERS
    assert run.report.balanced
    assert "Every item is accounted for." in str(run.report)


class EndsWhoPicklesIt:
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.fault("T13")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("executor", ["task", "explode"])
def test_an_item_whose_result_ends_whoever_pickles_it_is_found_and_can_be_left_out(workers, executor):
    def make(value):
        result = EndsWhoPicklesIt() if value == BAD else value
        return [result] if executor == "explode" else result

    operator = getattr(Pipeline(ITEMS).task(stage_one_ok), executor)

    error = outcome(operator(make, workers=workers))[1]
    results, _ = finished(operator(make, workers=workers, on_error="skip"))

    assert isinstance(error, WorkerLost)
    assert (error.position, error.item) == (f"item {AT}", repr(BAD))
    assert results == OTHERS


# -- positions -----------------------------------------------------------------------------------------------


def no_six(item):
    """Refuse whatever holds a six, and the sum of 0 to 6."""
    if "6" in repr(item) or item == 21:
        raise ValueError("user-boom")
    return item


COLLECT = {"on_error": "collect", "name": "no_six"}
AT_THE_END = {
    "batch": (lambda pipe: pipe.batch(4).task(no_six, **COLLECT), (6,), [[0, 1, 2, 3]]),
    "padded batch": (lambda pipe: pipe.batch(4, pad=-1).task(no_six, workers=2, **COLLECT), (6,), [[0, 1, 2, 3]]),
    "batch of batches": (lambda pipe: pipe.batch(2).batch(3).task(no_six, **COLLECT), (6,), [[[0, 1], [2, 3], [4, 5]]]),
    "part of a batch": (
        lambda pipe: pipe.batch(4).task(list, workers=2).unbatch().task(no_six, workers=2, **COLLECT),
        (6, 2),
        [0, 1, 2, 3, 4, 5],
    ),
    "batch of a leg": (
        lambda pipe: pipe.batch(4).gather(pipe.limit(6).batch(5)).task(no_six, **COLLECT),
        (6,),
        [[0, 1, 2, 3], [0, 1, 2, 3, 4], [5]],
    ),
    "reduce": (lambda pipe: pipe.reduce(0, lambda x, total: total + x).task(no_six, **COLLECT), (6,), []),
    "reduce of nothing": (lambda pipe: pipe.limit(0).reduce(6, no_six).task(no_six, **COLLECT), (), []),
    "batch of pairs": (
        lambda pipe: pipe.batch(4).zip(pipe.batch(4)).task(no_six, **COLLECT),
        (6,),
        [([0, 1, 2, 3], [0, 1, 2, 3])],
    ),
}


@pytest.mark.fault("T02")
@pytest.mark.parametrize("executor", [None, "thread", "inline"])
@pytest.mark.parametrize("case", AT_THE_END)
def test_what_fails_at_the_end_of_the_input_has_the_position_of_its_last_item(case, executor, tmp_path):
    build, position, expected = AT_THE_END[case]

    results, run = finished(build(Pipeline(range(7))), executor=executor, quarantine=tmp_path)

    assert results == expected
    assert [failed.position for failed in run.failures] == [position]
    (letter,) = [json.loads(path.read_text()) for path in tmp_path.glob("*-no_six-*.json")]
    assert tuple(letter["position"]) == position
    words = ".".join(map(str, position))
    assert letter["position_text"] == (f"item {words}" if words else "what came at the end of the input")


@pytest.mark.fault("T01")
def test_the_error_of_an_incomplete_batch_names_its_last_item():
    arrived, error = outcome(Pipeline(range(7)).batch(4).task(no_six))

    assert arrived == [[0, 1, 2, 3]]
    assert error.position == "item 6"


@pytest.mark.fault("T01")
def test_the_error_of_a_collate_function_names_the_last_item_of_its_batch():
    for size, last in ((4, "item 6"), (7, "item 6"), (3, "item 6")):
        error = outcome(Pipeline(range(7)).batch(size, collate=no_six))[1]

        assert error.position == last


# -- collate -------------------------------------------------------------------------------------------------

BAD_BATCH = [*range(6, 9)]  # the third of batches of three
BATCHES = [list(range(start, min(start + 3, 11))) for start in range(0, 11, 3)]


def collate_badly(fault):
    def collate(items):
        if 7 in items:
            fault()
        return items

    return collate


def boom():
    raise ValueError("user-boom")


# Where a batch may live: in a worker of its own, with the task before it, with the explode before it.
HOMES = {
    "alone": lambda **options: Pipeline(range(11)).task(stage_one_ok, workers=2).batch(3, **options),
    "with a task": lambda **options: Pipeline(range(11)).task(stage_one_ok).batch(3, **options),
    "with an explode": lambda **options: Pipeline([range(5), range(5, 11)]).explode(list).batch(3, **options),
}
homes = pytest.mark.parametrize("home", HOMES)


@pytest.mark.fault("T20")
@homes
@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_a_collate_function_that_ends_every_worker_is_told_with_its_batch(home, attempts, tally):
    def die():
        tally.hit("died")
        be_killed()

    arrived, error = outcome(HOMES[home](collate=collate_badly(die), worker_retries=attempts - 1))

    assert arrived == BATCHES[:2]
    assert isinstance(error, WorkerLost)
    assert error.stage == "batch"
    assert error.item == "[6, 7, 8]"
    assert error.position == ("item 1.3" if home == "with an explode" else "item 8")
    assert f"gave up after {attempts} attempts" in error.what or attempts == 1
    assert tally.count("died") == attempts


@pytest.mark.fault("T20")
def test_a_collate_function_that_ends_every_worker_at_the_last_batch_is_told_with_that(tally):
    def die():
        tally.hit("died")
        be_killed()

    arrived, error = outcome(Pipeline(range(8)).task(stage_one_ok, workers=2).batch(3, collate=collate_badly(die)))

    assert arrived == BATCHES[:2]
    assert isinstance(error, WorkerLost)
    assert (error.stage, error.position, error.item) == ("batch", "item 7", "[6, 7]")
    assert tally.count("died") == 3


@pytest.mark.fault("T02")
@homes
@pytest.mark.parametrize("fault", [boom, be_killed])
@pytest.mark.parametrize("policy", ["skip", "collect", "replace"])
def test_a_batch_that_cannot_be_collated_can_be_left_out_or_replaced(policy, fault, home):
    def replace(items, error):
        return "instead", items

    on_error = replace if policy == "replace" else policy
    results, run = finished(HOMES[home](collate=collate_badly(fault), on_error=on_error))

    assert results == [*BATCHES[:2], *([("instead", BAD_BATCH)] if policy == "replace" else []), BATCHES[3]]
    assert stage_of(run, "batch").failed == (0 if policy == "replace" else 3)
    assert run.report.balanced
    if policy == "collect":
        (failed,) = run.failures
        assert (failed.item, failed.stage) == (BAD_BATCH, "batch")
        assert failed.position == ((1, 3) if home == "with an explode" else (8,))


@pytest.mark.fault("T02")
@executors
def test_an_incomplete_batch_that_cannot_be_collated_can_be_left_out(executor):
    results, run = finished(
        Pipeline(range(8)).batch(3, collate=collate_badly(boom), on_error="skip"), executor=executor
    )

    assert results == BATCHES[:2]
    assert stage_of(run, "batch").failed == 2
    assert run.report.balanced


@pytest.mark.fault("T03")
@executors
def test_a_collate_function_is_tried_again_with_all_items(executor, tally):
    def collate(items):
        if 7 in items:
            tally.hit("tried")
            items.clear()
            if tally.count("tried") < 3:
                raise ValueError("user-boom")
            return "at last"
        return items

    results, run = finished(Pipeline(range(11)).batch(3, collate=collate, retries=2), executor=executor)

    assert results == [*BATCHES[:2], "at last", BATCHES[3]]
    assert stage_of(run, "batch").retried == 2


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"worker_retries": -1}, "worker_retries must be >= 0, got -1"),
        ({"on_error": "ignore"}, "on_error must be "),
        ({"retries": "3"}, "retries must be a whole number"),
    ],
)
def test_policies_of_a_batch_that_make_no_sense_are_refused(options, what):
    with pytest.raises(PlanError, match=f"stage 'batch'.*{what}"):
        Pipeline(range(4)).batch(2, **options)
