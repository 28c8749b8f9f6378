"""A stage function raises: T01, T04 to T09, T36, T39. The first line is compared whole."""

from __future__ import annotations

import re
import resource

import pytest

from olympipe_like import Pipeline, StageFailed
from tests import functions as f
from tests.faults.cases import (
    AT,
    BAD,
    BEFORE,
    ITEMS,
    assert_first_line,
    making,
    outcome,
    raising,
    two_stages,
)

pytestmark = pytest.mark.timeout(30)

NOT_REBUILT = " (original exception could not be rebuilt)"


@pytest.mark.fault("T01")
def test_a_value_error_names_stage_item_and_worker_and_shows_the_line():
    arrived, error = outcome(two_stages(raising(lambda: ValueError("user-boom"))))

    assert arrived == BEFORE
    assert isinstance(error, StageFailed)
    assert isinstance(error, ValueError)
    assert_first_line(error, "ValueError: user-boom")
    assert re.search(r'cases\.py", line \d+, in stage_two_bad\n +raise make_error\(\)', str(error))


@pytest.mark.parametrize(
    ("make_error", "what"),
    [
        pytest.param(lambda: SystemExit(3), "SystemExit: 3", marks=pytest.mark.fault("T04")),
        pytest.param(
            lambda: KeyboardInterrupt("user-ki"), "KeyboardInterrupt: user-ki", marks=pytest.mark.fault("T05")
        ),
        pytest.param(lambda: StopIteration("user-stop"), "StopIteration: user-stop", marks=pytest.mark.fault("T06")),
        pytest.param(lambda: GeneratorExit("user-end"), "GeneratorExit: user-end", marks=pytest.mark.fault("T06")),
    ],
    ids=["SystemExit", "KeyboardInterrupt", "StopIteration", "GeneratorExit"],
)
@pytest.mark.parametrize("operator", ["task", "filter", "explode", "tap"])
def test_what_would_end_a_program_or_a_loop_is_the_items_failure_in_every_operator(operator, make_error, what):
    stage_two_bad = raising(make_error)
    pipe = Pipeline(ITEMS).task(lambda value: value, workers=2)
    calls = {
        "task": lambda: pipe.task(stage_two_bad, workers=2),
        "filter": lambda: pipe.filter(stage_two_bad, workers=2),
        "explode": lambda: pipe.explode(lambda value: [stage_two_bad(value)], name="stage_two_bad", workers=2),
        "tap": lambda: pipe.tap(stage_two_bad),
    }

    arrived, error = outcome(calls[operator]())

    assert arrived == BEFORE
    assert type(error) is StageFailed
    assert_first_line(error, what)


@pytest.mark.fault("T07")
def test_an_exception_that_pickle_cannot_rebuild_keeps_its_type_and_text():
    arrived, error = outcome(two_stages(raising(lambda: f.TwoArguments(7, "user-boom"))))

    assert arrived == BEFORE
    assert isinstance(error, f.TwoArguments)
    assert error.__cause__ is None
    assert_first_line(error, "TwoArguments: user-boom (code 7)" + NOT_REBUILT)


@pytest.mark.fault("T08")
def test_an_exception_that_holds_a_lock_keeps_its_type_and_text():
    arrived, error = outcome(two_stages(raising(lambda: f.HoldsALock("user-boom"))))

    assert arrived == BEFORE
    assert isinstance(error, f.HoldsALock)
    assert_first_line(error, "HoldsALock: user-boom" + NOT_REBUILT)


@pytest.mark.fault("T09")
def test_an_exception_that_cannot_be_printed_is_named_by_its_type():
    arrived, error = outcome(two_stages(raising(lambda: f.CannotBePrinted("user-boom"))))

    assert arrived == BEFORE
    assert isinstance(error, f.CannotBePrinted)
    assert_first_line(error, "CannotBePrinted: <unprintable>")


@pytest.mark.fault("T09")
def test_a_text_of_fifty_megabytes_is_cut_and_says_so():
    arrived, error = outcome(two_stages(raising(lambda: ValueError("x" * 50_000_000))))

    assert arrived == BEFORE
    shown = 10_000 - len("ValueError: ")
    assert_first_line(error, f"ValueError: {'x' * shown}… ({50_000_000 - shown} more characters)")
    assert len(str(error)) < 25_000  # the traceback is cut the same way


@pytest.mark.fault("T36")
def test_lack_of_memory_in_a_worker_is_the_items_failure():
    def stage_two_bad(value):
        if value == BAD:
            now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
            resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20), -1))
            return len(bytearray(1 << 30))
        return value

    arrived, error = outcome(two_stages(stage_two_bad))

    assert arrived == BEFORE
    assert isinstance(error, MemoryError)
    assert_first_line(error, "MemoryError")


@pytest.mark.fault("T39")
def test_endless_recursion_is_the_items_failure_with_a_short_text():
    def deeper():
        return deeper()

    arrived, error = outcome(two_stages(making(deeper)))

    assert arrived == BEFORE
    assert isinstance(error, RecursionError)
    assert_first_line(error, "RecursionError: maximum recursion depth exceeded")
    assert len(str(error)) < 10_000


@pytest.mark.fault("T01")
@pytest.mark.parametrize("executor", ["thread", "inline"])
def test_the_line_is_the_same_where_no_process_is_used(executor):
    with two_stages(raising(lambda: ValueError("user-boom"))).run(executor=executor) as run:
        arrived, error = outcome(run)

    assert len(arrived) == AT
    assert re.fullmatch(
        r"stage 2/2 'stage_two_bad': ValueError: user-boom — item 100: 770100  \[worker 2\.[01][^]]*\]",
        str(error).split("\n", 1)[0],
    )
