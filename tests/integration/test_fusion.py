"""Stages that share their workers differ from those that do not in speed alone."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from hypothesis import given, settings

from olympipe_like import Pipeline, PlanTypeError, StageFailed, WorkerLost
from tests.integration.test_random_plans import relaxed
from tests.reference import evaluate
from tests.strategies import build, plans


def process_of(item):
    return (*item, os.getpid()) if isinstance(item, tuple) else (os.getpid(),)


def kill_at_seven(number):
    if number == 7:
        os.kill(os.getpid(), 9)
    return number


def lock_at_forty(number):
    return threading.Lock() if number == 40 else number


def stages_of(pipe, **options):
    with pipe.run(**options) as run:
        list(run)
    return [stage.workers for stage in run.report.stages]


def test_stages_before_a_fuse_run_in_one_process_and_others_in_their_own():
    pipe = Pipeline(range(20)).task(process_of).task(process_of).fuse().task(process_of).task(process_of)

    for first, second, third, fourth in pipe.wait_for_result():
        assert first == second
        assert len({first, third, fourth}) == 3


def test_each_fuse_begins_where_the_one_before_ended():
    pipe = Pipeline(range(20)).task(process_of).task(process_of).fuse().task(process_of).task(process_of).fuse()

    for first, second, third, fourth in pipe.wait_for_result():
        assert first == second != third == fourth


def test_a_run_can_fuse_all_that_can_be():
    pipe = Pipeline(range(20)).task(process_of).task(process_of).task(process_of, workers=2).task(process_of)

    for first, second, third, fourth in pipe.wait_for_result(fuse=True):
        assert first == second
        assert len({first, third, fourth}) == 3


def test_several_workers_are_shared_and_the_order_is_kept():
    pipe = Pipeline(range(500)).task(lambda x: x + 1, workers=3).filter(lambda x: x % 3, workers=3).fuse()

    assert pipe.wait_for_result() == [x for x in range(1, 501) if x % 3]


def test_a_stage_that_others_read_too_is_not_taken_from_them():
    shared = Pipeline(range(9)).task(process_of)
    fused, alone = shared.task(process_of).fuse(), shared.task(process_of)

    one, other = Pipeline.wait_for_all_results([fused, alone])

    assert {pair[0] for pair in one} == {pair[0] for pair in other}
    assert not {pair[1] for pair in one} & {pair[0] for pair in one}


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 2},
        {"ordered": False},
        {"timeout": 10},
        {"worker_retries": 0},
        {"max_items_per_worker": 5},
        {"max_rss": "4GB"},
        {"executor": "thread"},
    ],
    ids=str,
)
def test_stages_with_other_workers_or_limits_stay_apart(options):
    pipe = Pipeline(range(9)).task(abs).task(abs, **options).fuse()

    assert " + " not in pipe.explain()
    assert pipe.wait_for_result() == list(range(9))


def test_each_stage_keeps_its_own_line_in_the_report_and_its_own_policy():
    def odd_only(number):
        if number % 2 == 0:
            raise ValueError(number)
        return number

    pipe = Pipeline(range(10)).task(odd_only, on_error="skip").filter(lambda x: x > 2).task(str).fuse()
    with pipe.run() as run:
        assert list(run) == ["3", "5", "7", "9"]

    counts = [(stage.items_in, stage.items_out, stage.failed) for stage in run.report.stages]
    assert counts == [(10, 10, 0), (10, 5, 5), (5, 4, 0), (4, 4, 0), (4, 4, 0)]
    assert run.report.balanced


def test_an_error_names_the_stage_it_happened_in():
    pipe = Pipeline(["1", "x"]).task(str.strip).task(int).fuse()

    with pytest.raises(ValueError, match="invalid literal") as caught:
        pipe.wait_for_result()

    assert isinstance(caught.value, StageFailed)
    assert "stage 2/2 'int'" in str(caught.value)
    assert "item 1" in str(caught.value)


def test_a_result_that_cannot_be_sent_is_laid_at_the_door_of_the_stage_that_made_it():
    pipe = Pipeline([1]).task(abs, name="first").task(lambda x: os.scandir(), name="second").fuse()

    with pytest.raises(StageFailed, match="stage 2/2 'second': result cannot be sent"):
        pipe.wait_for_result()


def test_an_item_that_ends_every_worker_is_found_at_the_stage_it_does_so():
    pipe = Pipeline(range(300)).task(abs).task(kill_at_seven, on_error="collect").fuse()
    with pipe.run() as run:
        assert list(run) == [x for x in range(300) if x != 7]

    (failed,) = run.failures
    assert (failed.stage, failed.position) == ("kill_at_seven", (7,))


def test_an_item_that_ends_every_worker_is_found_among_functions_that_share_a_loop():
    pipe = Pipeline(range(300)).task(abs).filter(lambda x: x % 2).task(kill_at_seven).filter(bool).fuse()

    with pytest.raises(WorkerLost, match="stage 3/4 'kill_at_seven'") as caught:
        pipe.wait_for_result()

    assert "item 7: 7" in str(caught.value)


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_an_async_function_among_others_is_awaited(executor):
    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    pipe = (
        Pipeline(range(100)).task(abs, executor=executor).task(double, executor=executor).task(str, executor=executor)
    )

    assert pipe.wait_for_result(fuse=True) == [str(2 * x) for x in range(100)]


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_result_that_cannot_be_sent_is_found_where_failed_items_are_kept(executor, tmp_path):
    pipe = Pipeline(range(100)).task(abs, executor=executor).task(lock_at_forty, executor=executor, name="lock").fuse()
    results = []

    with pytest.raises(StageFailed, match="stage 2/3 'lock': result cannot be sent") as caught:
        results.extend(pipe.task(str, workers=2).run(quarantine=tmp_path))

    assert results == [str(x) for x in range(40)]
    assert caught.value.position == "item 40"


def test_results_that_cannot_be_sent_are_dropped_one_by_one_before_they_are_batched():
    pipe = Pipeline(range(300)).task(abs).task(abs).task(lock_at_forty, on_error="skip").fuse().batch(3)

    assert [x for batch in pipe.wait_for_result() for x in batch] == [x for x in range(300) if x != 40]


def test_what_a_run_calls_fuse_must_be_yes_or_no():
    with pytest.raises(PlanTypeError, match="fuse must be True or False, got 'auto'"):
        Pipeline([1]).task(abs).wait_for_result(fuse="auto")


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=40)
@given(plan=plans())
def test_random_plans_give_the_same_fused(plan):
    expected = evaluate(plan)

    assert Pipeline.wait_for_all_results(build(plan, executor="process"), fuse=True) == expected
    assert Pipeline.wait_for_all_results(build(plan, executor="thread"), fuse=True) == expected
    assert Pipeline.wait_for_all_results([pipe.fuse() for pipe in build(plan)]) == expected
