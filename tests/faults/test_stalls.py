"""A run that stands still says why, to whoever reads the log; with stall_timeout= it fails and leaves nothing."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import pickle
import re
import signal
import threading
import time

import psutil
import pytest

from olympipe_like import Pipeline, PipelineExecutionError, StalledError
from olympipe_like._runtime import stall

FOR_EVER = 1000.0  # seconds
SOON = 0.3  # seconds without progress, where a stall is wanted
STARTED = 1.5  # the same, where workers must have come to the user's function by then, on a busy machine


@pytest.fixture
def warn_early(monkeypatch):
    """Warn after a fraction of a second instead of a minute."""
    monkeypatch.setattr(stall, "STALL_SECONDS", SOON)


@pytest.fixture
def stuck(tmp_path):
    """Return a function that waits for the end of the test: a thread can be ended by nobody else."""
    path = tmp_path / "over"

    def wait():
        while not path.exists():
            time.sleep(0.01)

    yield wait
    path.touch()


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def same(x):
    return x


def sleep_at(bad):
    def sleeping(x):
        if x == bad:
            time.sleep(FOR_EVER)
        return x

    return sleeping


def compute_in_c(x):
    if x == 3:
        sum(itertools.repeat(0, 10**13))  # one call that never gives the interpreter's lock back
    return x


def freeze(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGSTOP)
    return x


def stalled(pipe, seconds=STARTED, **options):
    with pytest.raises(StalledError) as caught:
        pipe.wait_for_result(stall_timeout=seconds, **options)
    return str(caught.value)


# -- the text ---------------------------------------------------------------------------------------------------------


def test_the_error_says_which_worker_of_which_stage_holds_what_and_what_waits():
    pipe = Pipeline(range(40), name="numbers").task(same).task(sleep_at(3), workers=2, queue_size=5, name="decode")

    text = stalled(pipe)

    assert "stood still" in text
    assert "source 'numbers': has given" in text
    assert "stage 2/2 'decode': worker 2." in text
    assert "has had 1 frame of 1 item for " in text or "has had 2 frames of" in text
    assert "items wait in front of it" in text
    assert "sink 'results'" in text


@pytest.mark.parametrize("work", [sleep_at(3), compute_in_c], ids=["sleeps", "computes in C"])
def test_the_error_shows_the_line_of_the_function_that_a_worker_process_is_in(work):
    text = stalled(Pipeline(range(40)).task(work, workers=2))

    assert f'test_stalls.py", line {work.__code__.co_firstlineno + 2} in {work.__name__}' in text
    assert "hub_main" not in text  # how it came to be is of no interest
    assert "(waits for something to do)" in text  # the other one


def test_the_stacks_of_all_threads_of_a_worker_are_shown():
    def work(x):
        def in_a_thread():
            time.sleep(FOR_EVER)

        thread = threading.Thread(target=in_a_thread, daemon=True)
        thread.start()
        thread.join()

    text = stalled(Pipeline([1]).task(work))

    assert " in in_a_thread" in text
    assert " in work" in text


def test_a_worker_that_was_stopped_is_named_though_it_gives_no_stacks():
    text = stalled(Pipeline(range(40)).task(freeze, workers=2))

    assert "gives no stacks: it was stopped by a signal" in text


def test_what_a_thread_is_doing_is_shown_beside_what_processes_do(stuck):
    def work(x):
        if x == 3:
            stuck()
        return x

    text = stalled(Pipeline(range(40)).task(same).task(work, executor="thread", name="slow"))

    assert "worker 2.0, in the caller's process has had" in text
    assert "worker 2.0, thread olympipe-slow-0:" in text
    assert "in work\n    stuck()" in text


@pytest.mark.parametrize("timeout", [None, 1000.0])
def test_where_a_coroutine_waits_is_shown(timeout):
    async def fetch(x):
        if x == 3:
            await asyncio.sleep(FOR_EVER)
        return x

    text = stalled(Pipeline(range(40)).task(fetch, workers=3, timeout=timeout))

    assert "in fetch\n    await asyncio.sleep(FOR_EVER)" in text


def test_what_a_silent_source_is_doing_is_shown(stuck):
    def source():
        yield 1
        stuck()

    in_its_own_process = stalled(Pipeline(source).task(same))
    assert "source 'source': has given 1 item and may give" in in_its_own_process
    assert " in source" in in_its_own_process
    in_the_caller = stalled(Pipeline(source()).task(same))
    assert "in source\n    stuck()" in in_the_caller


def test_a_worker_that_takes_for_ever_to_be_built_is_named():
    class Model:
        def __init__(self):
            time.sleep(FOR_EVER)

        def apply(self, x):
            return x

    text = stalled(Pipeline(range(3)).class_task(Model, "apply"))

    assert "worker 1.0, pid " in text
    assert " in __init__" in text


def test_a_handler_that_never_returns_is_named_whatever_the_timeout_of_its_stage():
    def fails(x):
        raise ValueError(x)

    def handler(item, error):
        time.sleep(FOR_EVER)  # the handler's line

    pipe = Pipeline([0]).task(fails, name="fails", on_error=handler, timeout=0.1)

    text = stalled(pipe)

    assert "worker 1.0, pid" in text
    assert re.search(r"line \d+ in handler", text)


def test_the_error_pickles_and_is_an_error_of_the_run():
    error = StalledError("the run stood still for 5.0 s")

    again = pickle.loads(pickle.dumps(error))

    assert isinstance(again, PipelineExecutionError)
    assert str(again) == again.text == error.text
    assert again.errors == [error.text]


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_what_came_before_the_stall_is_delivered(executor, stuck):
    got = []

    def work(x):
        if x == 3:
            stuck()
        return x

    def consume():
        for x in Pipeline(range(40)).task(work, executor=executor).run(stall_timeout=STARTED):
            got.append(x)  # noqa: PERF402 - to keep them when the error follows

    with pytest.raises(StalledError):
        consume()

    assert got == [0, 1, 2]


@pytest.mark.parametrize("work", [sleep_at(3), compute_in_c, freeze], ids=["sleeps", "computes in C", "is stopped"])
def test_no_worker_outlives_a_stalled_run(work, eventually):
    before = set(psutil.Process().children(recursive=True))

    stalled(Pipeline(range(40)).task(work, workers=2))

    eventually(lambda: len(set(psutil.Process().children(recursive=True)) - before) <= 1)  # the hub


def test_a_program_can_run_again_after_a_stall():
    stalled(Pipeline(range(40)).task(sleep_at(3)))

    assert Pipeline(range(5)).task(same).wait_for_result(stall_timeout=30) == [0, 1, 2, 3, 4]


# -- what is no stall -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_a_consumer_may_take_its_time(executor, warn_early, caplog):
    got = []

    for x in Pipeline(range(1000)).task(same, workers=2).run(stall_timeout=STARTED, executor=executor):
        got.append(x)
        if x == 500:
            time.sleep(STARTED + SOON)

    assert got == list(range(1000))
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_quiet_source_in_an_empty_run_is_no_reason_for_a_warning(executor, warn_early, caplog):
    def camera():
        yield 1
        time.sleep(4 * SOON)
        yield 2

    assert Pipeline(camera()).task(same, executor=executor).wait_for_result() == [1, 2]
    assert warnings_in(caplog) == []


def test_slow_items_are_no_stall_while_some_of_them_come():
    pipe = Pipeline(range(12)).task(lambda x: time.sleep(0.25) or x, workers=2)

    assert pipe.wait_for_result(stall_timeout=2.0) == list(range(12))


# -- the warning ------------------------------------------------------------------------------------------------------


@pytest.fixture
def warned(tmp_path):
    """Return a function that waits, in whatever process, until so many warnings have been logged."""

    class Counting(logging.Handler):
        count = 0

        def emit(self, record):
            self.count += 1
            (tmp_path / f"warned-{self.count}").touch()

    def wait(times):
        deadline = time.monotonic() + 20
        while not (tmp_path / f"warned-{times}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    handler = Counting()
    logging.getLogger("olympipe_like").addHandler(handler)
    yield wait
    logging.getLogger("olympipe_like").removeHandler(handler)


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_stall_is_reported_once_and_the_run_goes_on_when_it_can(executor, warn_early, caplog, warned):
    def work(x):
        if x == 3:
            warned(1)
            time.sleep(4 * SOON)  # long enough for a second one
        return x

    got = Pipeline(range(40)).task(work, executor=executor).wait_for_result()

    assert got == list(range(40))
    (text,) = warnings_in(caplog)
    assert "goes on waiting" in text
    assert "in work" in text
    assert caplog.records[0].name == "olympipe_like"


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_run_that_stalls_anew_is_reported_anew(executor, warn_early, caplog, warned):
    def work(x):
        if x in (3, 7):
            warned(1 if x == 3 else 2)
        return x

    got = Pipeline(range(10)).task(work, executor=executor).wait_for_result()

    assert got == list(range(10))
    assert len(warnings_in(caplog)) == 2


def test_a_long_stall_is_reported_before_it_is_an_error(warn_early, caplog):
    text = stalled(Pipeline(range(40)).task(sleep_at(3)), seconds=STARTED)

    assert "as long as its stall_timeout allows" in text
    assert len(warnings_in(caplog)) == 1


def test_a_stall_is_reported_while_progress_is_shown(warn_early, caplog):
    reports = []

    stalled(Pipeline(range(40)).task(sleep_at(3)), seconds=STARTED, progress=reports.append)

    assert reports
    assert len(warnings_in(caplog)) == 1


def test_items_that_wait_for_a_quiet_source_beside_theirs_are_reported(warn_early, caplog, warned):
    def quiet():
        warned(1)
        yield from "ab"

    got = Pipeline(range(2)).task(same).zip(Pipeline(quiet())).wait_for_result()

    assert got == [(0, "a"), (1, "b")]
    (text,) = warnings_in(caplog)
    assert "source 'quiet': has given 0 items" in text
