"""A result cannot travel, or does harm on the way: T10 to T14, T53."""

from __future__ import annotations

import os
import re
import socket
import threading

import numpy as np
import pytest

from olympipe_like import Pipeline, StageFailed, WorkerLost
from tests import functions as f
from tests.faults.cases import (
    BEFORE,
    GAVE_UP,
    ITEMS,
    STAGE,
    WORKER,
    Once,
    assert_first_line,
    first_line,
    making,
    outcome,
    stage_one_ok,
    two_stages,
)

pytestmark = pytest.mark.timeout(30)

REFUSED = STAGE + ": result cannot be sent to the next stage: "


class ExitsWhenPickled:
    def __reduce__(self):
        os._exit(1)


class ExitsWhenRebuilt:
    def __reduce__(self):
        return os._exit, (1,)


class ExitsOnceWhenRebuilt:
    """Ends the first process that rebuilds it; every later one gets a number."""

    def __init__(self, once):
        self.once = once

    def __reduce__(self):
        return exit_once, (self.once, self.once.home)


def exit_once(once, home):
    if os.getpid() != home and once():
        os._exit(1)
    return -1


@pytest.mark.fault("T10")
@pytest.mark.parametrize(
    ("make", "what", "shown"),
    [
        (threading.Lock, "cannot pickle '_thread.lock' object", "<unlocked _thread.lock object"),
        (
            lambda: (letter for letter in "ab"),
            r"cannot pickle 'generator' object \(use explode to emit several items\)",
            "<generator object",
        ),
        (
            lambda: open("/dev/null"),  # noqa: PTH123, SIM115
            r"cannot pickle '(_io\.TextIOWrapper' object|TextIOWrapper' instances)",  # the second since Python 3.13
            "<_io.TextIOWrapper name='/dev/null'",
        ),
        (socket.socket, "cannot pickle 'socket' object", "<socket.socket fd="),
    ],
    ids=["lock", "generator", "open file", "socket"],
)
def test_a_result_that_cannot_be_pickled_is_shown_with_the_item_it_was_made_of(make, what, shown):
    arrived, error = outcome(two_stages(making(make)))

    assert arrived == BEFORE
    assert isinstance(error, StageFailed)
    assert isinstance(error, TypeError)
    pattern = re.escape(f"{REFUSED}TypeError: ") + what + re.escape(f" — item 100: {shown}") + r"[^\[]*" + WORKER
    assert re.fullmatch(pattern, first_line(error)), first_line(error)


@pytest.mark.fault("T11")
def test_lambdas_and_objects_of_local_classes_are_results_like_any():
    class Local:
        def __init__(self, value):
            self.value = value

    pipe = (
        Pipeline(ITEMS).task(lambda x: (lambda: x, Local(x)), workers=2).task(lambda pair: (pair[0](), pair[1].value))
    )

    assert pipe.wait_for_result() == [(x, x) for x in ITEMS]


@pytest.mark.fault("T12")
def test_a_result_that_explodes_in_the_caller_names_the_stage_that_made_it():
    arrived, error = outcome(two_stages(making(f.ExplodesOnLoad)))

    assert arrived == BEFORE
    assert isinstance(error, StageFailed)
    assert isinstance(error, ValueError)
    assert first_line(error) == (
        f"{STAGE}: result was sent, but cannot be rebuilt where it arrived: ValueError: boom while loading"
        " — item 100: <could not be rebuilt>  [the caller]"
    )


@pytest.mark.fault("T12")
def test_a_result_that_explodes_in_the_next_stage_names_the_stage_that_made_it_and_the_worker_that_found_it():
    pipe = Pipeline(ITEMS).task(making(f.ExplodesOnLoad), workers=2, name="maker").task(stage_one_ok, workers=2)

    arrived, error = outcome(pipe)

    assert arrived == BEFORE
    assert re.fullmatch(
        re.escape(
            "stage 1/2 'maker': result was sent, but cannot be rebuilt where it arrived: ValueError: boom while loading"
            " — item 100: <could not be rebuilt>"
        )
        + WORKER,
        first_line(error),
    ), first_line(error)


@pytest.mark.fault("T13")
def test_a_result_that_ends_its_worker_while_it_is_pickled_is_that_stages_loss():
    arrived, error = outcome(two_stages(making(ExitsWhenPickled)))

    assert arrived == BEFORE
    assert type(error) is WorkerLost
    assert_first_line(error, f"worker exited with code 1{GAVE_UP}")


@pytest.mark.fault("T13")
def test_a_result_that_ends_whoever_rebuilds_it_is_the_next_stages_loss():
    pipe = Pipeline(ITEMS).task(making(ExitsWhenRebuilt), workers=2).task(stage_one_ok, workers=2, name="reader")

    arrived, error = outcome(pipe)

    assert arrived == BEFORE
    assert type(error) is WorkerLost
    assert_first_line(
        error,
        f"worker exited with code 1 while it unpickled the item{GAVE_UP}",
        item="item 100: <could not be rebuilt>",
        stage="stage 2/2 'reader'",
    )


@pytest.mark.fault("T13")
def test_a_result_that_ends_the_caller_ends_the_workers_with_it(script):
    done = script.finish(
        script.start(
            """
            import os
            from olympipe_like import Pipeline

            class Fatal:
                def __reduce__(self):
                    return os._exit, (7,)

            print(Pipeline(range(9)).task(lambda x: Fatal() if x == 5 else x, workers=2).wait_for_result())
            """
        )
    )

    assert done.returncode == 7
    assert done.stdout == ""


@pytest.mark.fault("T14")
def test_a_result_nested_too_deep_is_an_error_and_not_a_crash():
    def nested():
        result = []
        for _ in range(100_000):
            result = [result]
        return result

    arrived, error = outcome(two_stages(making(nested)))

    assert arrived == BEFORE
    assert isinstance(error, RecursionError)
    pattern = (
        re.escape(f"{REFUSED}RecursionError: maximum recursion depth exceeded while pickling an object")
        + r" — item 100: \[\[.*\]\]"
        + WORKER
    )
    assert re.fullmatch(pattern, first_line(error)), first_line(error)


@pytest.mark.fault("T53")
def test_what_the_consumer_does_to_a_result_changes_no_later_one():
    kept = []

    for array in two_stages(lambda value: np.full(40_000, value)):
        assert array[0] == array[-1]
        kept.append(int(array[0]))
        array[...] = -1

    assert kept == list(ITEMS)


@pytest.mark.fault("T53")
def test_results_in_shared_memory_outlive_the_run():
    kept = two_stages(lambda value: np.full(40_000, value)).wait_for_result()

    assert [(int(array.min()), int(array.max())) for array in kept] == [(value, value) for value in ITEMS]


@pytest.mark.fault("T13")
def test_a_result_that_ends_the_first_worker_that_rebuilds_it_costs_nothing(tmp_path):
    once = Once(tmp_path)
    once.home = os.getpid()
    pipe = Pipeline(ITEMS).task(making(lambda: ExitsOnceWhenRebuilt(once)), workers=2).task(stage_one_ok, workers=2)

    arrived, error = outcome(pipe)

    assert error is None
    assert once.happened
    assert arrived == [*BEFORE, -1, *ITEMS[101:]]
