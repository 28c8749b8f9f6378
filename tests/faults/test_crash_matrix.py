"""Every way to fail at every point of an item's way through a worker, at the first, a middle and the last item.

Reading a frame and sending one run no code of the user; the four points here are all that do. After CPython's
``test_deadlock.py`` and loky's ``test_crashes``: the same faults, with the item named and its neighbours kept.
"""

from __future__ import annotations

import os
import re

import pytest

from olympipe_like import Pipeline, StageFailed, WorkerLost
from tests.faults.cases import DEATHS, GAVE_UP, Once, always, first_line, outcome

pytestmark = pytest.mark.timeout(30)

N = 40
LARGE = 300 << 10  # bytes: travels in shared memory; what is below 64 KiB travels in the socket


def boom():
    raise LookupError("user-boom")


FAULTS = {
    "raise": (boom, "LookupError: user-boom"),
    "exit": DEATHS["exit code 1"],
    "exit 0": DEATHS["exit code 0"],
    "kill": DEATHS["SIGKILL"],
    "segfault": DEATHS["SIGSEGV"],
}
# Point of the item's way -> the stage that is told when a worker dies there.
POINTS = {
    "unpickling the item": "stage 1/2 'work'",
    "running": "stage 1/2 'work'",
    "pickling the result": "stage 1/2 'work'",
    "unpickling the result": "stage 2/2 'keep'",
}
# What an exception there is: a result that cannot be read is its sender's failure.
RAISED = {
    "unpickling the item": "source 'numbers': result was sent, but cannot be rebuilt where it arrived: ",
    "running": "stage 1/2 'work': ",
    "pickling the result": "stage 1/2 'work': result cannot be sent to the next stage: ",
    "unpickling the result": "stage 1/2 'work': result was sent, but cannot be rebuilt where it arrived: ",
}

points = pytest.mark.parametrize("point", POINTS)
places = pytest.mark.parametrize("place", [0, N // 2, N - 1], ids=["first", "middle", "last"])
deaths = pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "raise"])
sizes = pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])


class FailsWhenPickled:
    """Stands for a number; a fault happens in the worker that pickles it."""

    def __init__(self, number, fault, when):
        self.number, self.fault, self.when = number, fault, when

    def __reduce__(self):
        if self.when():
            self.fault()
        return int, (self.number,)


class FailsWhenRebuilt:
    """Stands for a number; a fault happens in the process that rebuilds it, which must not be the test's own."""

    def __init__(self, number, fault, when):
        self.number, self.fault, self.when = number, fault, when

    def __reduce__(self):
        return rebuild, (self.number, self.fault, self.when, os.getpid())


def rebuild(number, fault, when, maker):
    if os.getpid() != maker and when():
        fault()
    return number


def run_with(fault, when, point, place, size, **options):
    """Run 40 items through two stages with one fault; return the numbers that arrived, and the error."""
    options = options or {"workers": 2}

    def numbers():
        for number in range(N):
            fails = point == "unpickling the item" and number == place
            yield (FailsWhenRebuilt(number, fault, when) if fails else number), bytes(size)

    def work(item):
        number, data = item
        if number == place:
            if point == "running" and when():
                fault()
            if point == "pickling the result":
                return FailsWhenPickled(number, fault, when), data
            if point == "unpickling the result":
                return FailsWhenRebuilt(number, fault, when), data
        return number, data

    def keep(item):
        number, data = item
        assert len(data) == size
        return number

    pipe = Pipeline(numbers(), name="numbers").task(work, **options).task(keep, **options)
    return outcome(pipe)


@points
@places
@sizes
def test_what_is_raised_anywhere_is_that_items_failure_after_all_items_before_it(point, place, size):
    arrived, error = run_with(boom, always, point, place, size)

    assert arrived == list(range(place))
    assert isinstance(error, StageFailed)
    assert isinstance(error, LookupError)
    assert error.position == f"item {place}"
    assert re.match(RAISED[point] + "LookupError: user-boom — ", first_line(error)), first_line(error)


@points
@places
@sizes
@deaths
def test_a_death_that_happens_every_time_is_told_with_its_stage_and_item_after_all_items_before_it(
    fault, point, place, size
):
    act, what = FAULTS[fault]
    what += " while it unpickled the item" * point.startswith("unpickling") + GAVE_UP

    arrived, error = run_with(act, always, point, place, size)

    assert arrived == list(range(place))
    assert type(error) is WorkerLost
    pattern = re.escape(f"{POINTS[point]}: {what} — item {place}: ") + r".*\[worker \d\.\d, pid \d+\]"
    assert re.fullmatch(pattern, first_line(error)), first_line(error)


@points
@places
@sizes
@deaths
def test_a_death_that_happens_once_costs_nothing(fault, point, place, size, tmp_path):
    once = Once(tmp_path)

    arrived, error = run_with(FAULTS[fault][0], once, point, place, size)

    assert error is None
    assert once.happened
    assert arrived == list(range(N))
