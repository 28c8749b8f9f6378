"""Sources that fail, and items of a source that cannot travel: T27, T28."""

from __future__ import annotations

import os
import re
import signal
import threading
from functools import partial

import pytest

from olympipe_like import Pipeline, PipelineExecutionError, PlanTypeError, SourceExhausted, SourceFailed, StageFailed
from tests import functions as f
from tests.faults.cases import AT, BEFORE, ITEMS, Once, be_killed, exit_0, first_line, outcome, stage_one_ok

pytestmark = pytest.mark.timeout(30)


def broken_source():
    yield from ITEMS[:AT]
    raise RuntimeError("source-boom")


@pytest.mark.fault("T27")
@pytest.mark.parametrize("where", ["the caller", "a process of its own"])
def test_a_source_that_raises_says_after_how_many_items(where):
    datas = broken_source if where == "a process of its own" else broken_source()
    pipe = Pipeline(datas, name="broken_source").task(stage_one_ok, workers=2).task(stage_one_ok, workers=2)

    arrived, error = outcome(pipe)

    assert arrived == BEFORE
    assert isinstance(error, SourceFailed)
    assert type(error.__cause__) is RuntimeError
    assert first_line(error) == "source 'broken_source' failed after 100 items: RuntimeError: source-boom"


@pytest.mark.fault("T28")
def test_what_is_no_source_is_refused_when_the_pipeline_is_built():
    with pytest.raises(PlanTypeError, match=r"test_sources\.py:\d+.*got 5"):
        Pipeline(5)


@pytest.mark.fault("T28")
def test_a_used_up_generator_says_what_to_do_instead():
    def gen():
        yield from ITEMS

    pipe = Pipeline(gen()).task(stage_one_ok)
    assert pipe.wait_for_result() == list(ITEMS)

    arrived, error = outcome(pipe)

    assert arrived == []
    assert type(error) is SourceExhausted
    assert first_line(error) == (
        "source 'gen' was already consumed: it is an iterator and gives its items once. "
        "To run a pipeline again give it a list, or the function that makes the iterator: Pipeline(make, *args)"
    )


@pytest.mark.fault("T10")
@pytest.mark.parametrize("executor", ["process", "thread"])
def test_an_item_of_the_source_that_cannot_be_pickled_is_told_as_the_sources(executor):
    items = [*BEFORE, threading.Lock()]
    pipe = Pipeline(items, name="numbers").task(stage_one_ok, executor=executor).task(stage_one_ok, workers=2)

    arrived, error = outcome(pipe)

    assert arrived == BEFORE
    assert isinstance(error, StageFailed)
    assert isinstance(error, TypeError)
    assert re.match(
        r"source 'numbers': result cannot be sent to the next stage: TypeError: cannot pickle '_thread.lock' object"
        r" — item 100: <unlocked _thread.lock",
        first_line(error),
    ), first_line(error)


@pytest.mark.fault("T12")
def test_an_item_of_the_source_that_cannot_be_rebuilt_is_told_as_the_sources():
    pipe = Pipeline([*BEFORE, f.ExplodesOnLoad()], name="numbers").task(stage_one_ok, workers=2)

    arrived, error = outcome(pipe)

    assert arrived == BEFORE
    assert re.fullmatch(
        r"source 'numbers': result was sent, but cannot be rebuilt where it arrived: ValueError: boom while loading"
        r" — item 100: <could not be rebuilt>  \[worker 1\.[01], pid \d+\]",
        first_line(error),
    ), first_line(error)


@pytest.mark.fault("T20")
@pytest.mark.parametrize(
    ("die", "what"),
    [(be_killed, "its process was killed by SIGKILL (often the kernel's out-of-memory killer)"),
     (exit_0, "its process exited with code 0"),
     (partial(os._exit, 3), "its process exited with code 3"),
     (partial(signal.raise_signal, signal.SIGTERM), "its process was ended by SIGTERM"),
     (partial(signal.raise_signal, signal.SIGABRT), "its process crashed with SIGABRT")],
    ids=["SIGKILL", "exit code 0", "exit code 3", "SIGTERM", "SIGABRT"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["generator", "async generator"])
def test_a_source_whose_process_dies_is_an_error_and_never_a_short_list(die, what, form):
    if form == "generator":

        def numbers():
            yield from BEFORE
            die()

    else:

        async def numbers():
            for number in BEFORE:
                yield number
            die()

    arrived, error = outcome(Pipeline(numbers).task(stage_one_ok, workers=2))

    assert arrived == BEFORE[: len(arrived)]
    assert isinstance(error, PipelineExecutionError)
    assert first_line(error) == f"source 'numbers' failed before its end: {what}"


@pytest.mark.fault("T29")
def test_a_run_left_by_an_exception_while_its_source_blocks_ends(tmp_path):
    release, left = threading.Event(), Once(tmp_path)

    def blocking():
        try:
            yield from ITEMS[:50]
            release.wait(20)
        finally:
            left()

    def consume():
        with Pipeline(blocking()).task(stage_one_ok).run() as run:
            for number, _ in enumerate(run):
                if number == 20:
                    raise LookupError("the consumer's own")

    with pytest.raises(LookupError, match="the consumer's own"):
        consume()
    release.set()

    for thread in threading.enumerate():
        if thread.name.startswith("olympipe-source"):
            thread.join(5)
    assert left.happened
