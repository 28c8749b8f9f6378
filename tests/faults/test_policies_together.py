"""Policies that meet: a timeout and the wait before a retry, a handler and the worker it runs in, parts and a loss."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time

import numpy as np
import pytest

from olympipe_like import Pipeline, Retry, StageFailed
from tests.faults.cases import Once, be_killed

pytestmark = [pytest.mark.timeout(40)]


def finished(pipe, **options):
    """Run to the end; return the results and the run."""
    with pipe.run(**options) as run:
        results = list(run)
    return results, run


def one_frame(items):
    """Return a pipeline whose items travel together."""
    return Pipeline([list(items)]).unbatch()


def stage_of(run, name="bad"):
    (found,) = [stage for stage in run.report.stages if stage.name == name]
    return found


# -- time that is nobody's -----------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["task", "explode"])
def test_the_wait_before_a_retry_is_not_time_the_item_took(operator):
    def bad(value):
        if value == 3:
            raise ValueError("user-boom")
        return [value]

    pipe = getattr(Pipeline(range(6)), operator)(
        bad, name="bad", timeout=0.4, retries=Retry(1, wait=1.2), on_error="collect"
    )

    results, run = finished(pipe)

    assert len(results) == 5
    (failure,) = run.failures
    assert (failure.text, failure.attempts) == ("user-boom", 2)
    assert stage_of(run).lost_workers == 0


def test_a_slow_handler_of_a_timeout_costs_no_other_item():
    def bad(value):
        if value == 5:
            time.sleep(60)
        return value

    def replace(item, error):
        time.sleep(1.2)
        return "replaced", item, type(error).__name__

    results, run = finished(one_frame(range(8)).task(bad, name="bad", timeout=0.4, on_error=replace))

    assert results == [0, 1, 2, 3, 4, ("replaced", 5, "TimeoutError"), 6, 7]
    assert stage_of(run).lost_workers == 1


def test_a_slow_handler_of_an_exception_is_not_ended():
    def bad(value):
        if value == 5:
            raise ValueError("user-boom")
        return value

    def replace(item, error):
        time.sleep(1.2)
        return -item

    results, run = finished(one_frame(range(8)).task(bad, name="bad", timeout=0.4, on_error=replace))

    assert results == [0, 1, 2, 3, 4, -5, 6, 7]
    assert stage_of(run).lost_workers == 0


# -- parts and losses ----------------------------------------------------------------------------------------


def test_an_exploded_item_that_cannot_be_sent_makes_no_other_come_twice(tmp_path):
    once = Once(tmp_path)

    def bad(value):
        yield value
        time.sleep(0.01)
        yield (number for number in ())  # no generator can be pickled
        time.sleep(0.01)
        yield -value
        time.sleep(0.01)
        if value == 3 and once():
            be_killed()
        yield 100 + value

    results, run = finished(Pipeline(range(1, 6)).explode(bad, name="bad", on_error="collect"))

    assert results == [part for value in range(1, 6) for part in (value, -value, 100 + value)]
    assert [failure.position for failure in run.failures] == [(number, 1) for number in range(5)]
    assert (stage_of(run).items_out, stage_of(run).failed) == (15, 5)
    assert stage_of(run).lost_workers == 1


def test_a_dropped_item_is_told_once_although_its_frame_is_run_again(tmp_path):
    once = Once(tmp_path)

    def bad(value):
        yield value
        time.sleep(0.01)
        if value == 2:
            raise ValueError("user-boom")
        yield -value
        time.sleep(0.01)
        if value == 4 and once():
            be_killed()

    pipe = one_frame(range(1, 6)).explode(bad, name="bad", on_error="collect")

    results, run = finished(pipe)

    assert results == [1, -1, 2, 3, -3, 4, -4, 5, -5]
    assert [(failure.item, failure.text) for failure in run.failures] == [(2, "user-boom")]
    assert (stage_of(run).failed, stage_of(run).lost_workers) == (1, 1)


# -- what on_error gives, where a result is more than a value ------------------------------------------------

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])


def failing_at_two(value):
    if value == 2:
        raise ValueError("user-boom")
    return True


@executors
@pytest.mark.parametrize(("verdict", "kept"), [(1, [0, 1, 2, 3]), (0, [0, 1, 3])])
def test_the_replacement_of_a_filter_is_its_verdict(verdict, kept, executor):
    pipe = Pipeline(range(4)).filter(failing_at_two, on_error=lambda item, error: verdict)

    assert pipe.wait_for_result(executor=executor) == kept


@executors
def test_a_verdict_without_a_truth_is_the_handlers_failure(executor):
    pipe = Pipeline(range(4)).filter(failing_at_two, on_error=lambda item, error: np.zeros(2))

    with pytest.raises(ValueError, match=r"truth value of an array .* item 2: 2"):
        pipe.wait_for_result(executor=executor)


@executors
def test_the_replacement_of_a_partition_is_its_verdict(executor):
    true, false = Pipeline(range(4)).partition(failing_at_two, on_error=lambda item, error: 0)

    assert Pipeline.wait_for_all_results([true, false], executor=executor) == [[0, 1, 3], [2]]


@executors
def test_the_replacement_of_a_split_has_a_value_for_each_leg(executor):
    def halves(value):
        return failing_at_two(value), value

    first, second = Pipeline(range(4)).split(halves, n=2, on_error=lambda item, error: (None, -item))
    assert Pipeline.wait_for_all_results([first, second], executor=executor) == [[True] * 3, [0, 1, -2, 3]]

    first, second = Pipeline(range(4)).split(halves, n=2, on_error=lambda item, error: (item,))
    with pytest.raises(ValueError, match=r"split into 2 legs, but .* 1 values — item 2: 2"):
        first.wait_for_result(executor=executor)


@executors
@pytest.mark.parametrize("routed", [{1, 2}, {"one": 1, "two": 2}], ids=["set", "dict"])
def test_values_for_legs_that_have_no_order_are_the_items_failure(routed, executor):
    first, _ = Pipeline(range(4)).split(lambda value: routed if value == 2 else (value, value), n=2, on_error="skip")

    assert first.wait_for_result(executor=executor) == [0, 1, 3]


# -- coroutines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["killed", "timed out"])
def test_a_coroutine_in_a_process_is_watched_like_a_function(how):
    async def bad(value):
        await asyncio.sleep(0)
        if value == 5 and how == "killed":
            be_killed()
        if value == 5:
            await asyncio.sleep(60)
        return value

    pipe = one_frame(range(8)).task(bad, name="bad", executor="process", timeout=1.0, on_error="collect")

    results, run = finished(pipe, stall_timeout=20)

    assert results == [0, 1, 2, 3, 4, 6, 7]
    (failure,) = run.failures
    assert failure.item == 5


def test_a_coroutine_in_a_process_may_wait_long_for_its_next_try():
    async def bad(value):
        if value == 5:
            raise ValueError("user-boom")
        return value

    options = {"timeout": 0.4, "retries": Retry(1, wait=1.2), "on_error": "collect"}
    results, run = finished(one_frame(range(8)).task(bad, name="bad", executor="process", **options))

    assert results == [0, 1, 2, 3, 4, 6, 7]
    assert [failure.text for failure in run.failures] == ["user-boom"]
    assert stage_of(run).lost_workers == 0


def test_what_a_coroutine_raises_after_its_timeout_is_nobodys_affair(caplog):
    async def bad(value):
        try:
            await asyncio.sleep(60 if value == 2 else 0)
        except asyncio.CancelledError:
            raise LookupError("too late") from None
        return value

    results, _ = finished(Pipeline(range(4)).task(bad, timeout=0.3, on_error="skip"))
    gc.collect()

    assert results == [0, 1, 3]
    assert "too late" not in caplog.text


@pytest.mark.parametrize("timeout", [None, 20.0])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_coroutine_that_has_its_own_task_cancelled_has_failed_like_any(workers, timeout):
    async def bad(value):
        if value == 2:  # a time limit written by hand, as before Python 3.11
            asyncio.get_running_loop().call_later(0.01, asyncio.current_task().cancel)
            await asyncio.sleep(60)
        return value

    pipe = Pipeline(range(5)).task(bad, name="bad", workers=workers, timeout=timeout, on_error="collect")

    results, run = finished(pipe, stall_timeout=10)

    assert results == [0, 1, 3, 4]
    assert [(failure.item, failure.error_type) for failure in run.failures] == [(2, "CancelledError")]


def test_a_coroutine_that_has_its_own_task_cancelled_ends_the_run_with_an_error_that_names_its_item():
    async def bad(value):
        if value == 2:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        return value

    with pytest.raises(StageFailed, match="CancelledError — item 2: 2"):
        Pipeline(range(5)).task(bad).wait_for_result(stall_timeout=10)


@pytest.mark.parametrize("executor", ["async", "thread", "inline"])
def test_a_cancellation_that_an_item_took_no_notice_of_is_no_other_items_affair(executor):
    async def bad(value):
        if value == 0:
            asyncio.current_task().cancel()  # comes with the next wait, and there is none
        if value == 1:
            asyncio.get_running_loop().call_later(0.01, asyncio.current_task().cancel)  # comes when it is done
        if value == 2:
            await asyncio.sleep(0.05)
        if value == 3:
            asyncio.current_task().cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        if value == 4:
            part = asyncio.ensure_future(asyncio.sleep(60))
            part.cancel()
            await part
        return value

    results, run = finished(Pipeline(range(6)).task(bad, on_error="collect"), executor=executor, stall_timeout=10)

    assert results == [0, 1, 2, 3, 5]
    assert [failure.item for failure in run.failures] == [4]


@pytest.mark.parametrize("make_error", [KeyboardInterrupt, lambda: SystemExit(3), GeneratorExit])
def test_what_is_no_ordinary_exception_of_a_coroutine_with_a_timeout_is_skipped_too(make_error):
    async def bad(value):
        await asyncio.sleep(0)
        if value == 2:
            raise make_error()
        return value

    results, _ = finished(Pipeline(range(4)).task(bad, timeout=20, on_error="skip"), stall_timeout=10)

    assert results == [0, 1, 3]


def test_a_coroutine_that_cancels_every_task_of_its_loop_ends_the_run_instead_of_holding_it_up():
    async def bad(value):
        if value == 2:
            for task in asyncio.all_tasks():
                task.cancel()
            await asyncio.sleep(0)
        return value

    with pytest.raises(StageFailed, match="CancelledError"):
        Pipeline(range(4)).task(bad, name="bad").wait_for_result(stall_timeout=10)


def test_a_coroutine_that_goes_on_in_spite_of_its_cancellation_is_cancelled_again_at_the_end(caplog, eventually):
    async def bad(value):
        if value == 2:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            await asyncio.sleep(60)
        return value

    results, _ = finished(Pipeline(range(4)).task(bad, timeout=0.05, on_error="skip"))
    eventually(lambda: not any(thread.name == "olympipe-async" for thread in threading.enumerate()))
    gc.collect()

    assert results == [0, 1, 3]
    assert "pending" not in caplog.text


@pytest.mark.parametrize("executor", ["async", "process", "thread", "inline"])
def test_what_a_coroutine_left_to_run_beside_it_is_cancelled_at_the_end(executor, caplog, eventually):
    async def bad(value):
        asyncio.ensure_future(asyncio.sleep(60))  # noqa: RUF006 - the loop's clock holds it
        await asyncio.sleep(0)
        return value

    results, _ = finished(Pipeline(range(4)).task(bad), executor=executor)
    eventually(lambda: not any(thread.name.startswith("olympipe-") for thread in threading.enumerate()))
    gc.collect()

    assert results == [0, 1, 2, 3]
    assert "pending" not in caplog.text


# -- counts, and workers that are replaced for their age -----------------------------------------------------


def test_every_item_that_is_tried_again_after_its_timeout_counts_as_retried():
    def bad(value):
        if value in {2, 5}:
            time.sleep(60)
        return value

    results, run = finished(one_frame(range(8)).task(bad, name="bad", timeout=0.3, retries=1, on_error="skip"))

    assert results == [0, 1, 3, 4, 6, 7]
    assert (stage_of(run).retried, stage_of(run).lost_workers) == (2, 4)


def test_a_worker_that_remembers_what_cannot_be_pickled_is_kept():
    def bad(value):
        return (value for _ in range(1))

    pipe = Pipeline(range(200)).task(bad, max_items_per_worker=40, queue_size=4)

    assert pipe.batch(100, collate=lambda batch: [next(item) for item in batch]).wait_for_result() == [
        list(range(100)),
        list(range(100, 200)),
    ]


def test_young_workers_before_a_batch_do_not_run_all_of_it_again_and_again(tmp_path):
    calls = tmp_path / "calls"

    def bad(value):
        with calls.open("a") as file:
            file.write("x")
        return value

    batches = Pipeline(range(100)).task(bad, max_items_per_worker=2).batch(100).wait_for_result()

    assert batches == [list(range(100))]
    # Each of the 50 workers hears again what came since the last snapshot, and one is written every 16 frames.
    assert len(calls.read_text()) < 100 * 17
