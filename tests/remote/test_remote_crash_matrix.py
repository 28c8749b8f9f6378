"""The crash matrix of worker processes holds for those of other machines: the same faults, points and texts."""

from __future__ import annotations

import re

import pytest

from olympipe_like import StageFailed, WorkerLost
from tests.faults.cases import Once, always, first_line
from tests.faults.test_crash_matrix import FAULTS, LARGE, POINTS, RAISED, N, boom, run_with

pytestmark = pytest.mark.timeout(60)

points = pytest.mark.parametrize("point", POINTS)
sizes = pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
places = pytest.mark.parametrize(
    "place",
    [pytest.param(0, marks=pytest.mark.slow), N // 2, pytest.param(N - 1, marks=pytest.mark.slow)],
    ids=["first", "middle", "last"],
)


@points
@places
@sizes
def test_what_is_raised_anywhere_is_that_items_failure_after_all_items_before_it(machines, hub, point, place, size):
    machines(4)

    arrived, error = run_with(boom, always, point, place, size, executor=hub())

    assert arrived == list(range(place))
    assert isinstance(error, StageFailed)
    assert isinstance(error, LookupError)
    assert error.position == f"item {place}"
    assert re.match(RAISED[point] + "LookupError: user-boom — ", first_line(error)), first_line(error)


@points
@places
@sizes
@pytest.mark.parametrize("fault", ["exit", "kill"])
def test_a_death_that_happens_every_time_is_told_with_stage_and_machine(machines, hub, fault, point, place, size):
    machines(4, name="nodeb")
    act, what = FAULTS[fault]

    arrived, error = run_with(act, always, point, place, size, executor=hub())

    assert arrived == list(range(len(arrived)))
    assert len(arrived) <= place
    assert isinstance(error, WorkerLost)
    worker = r"\[worker \d\.\d on nodeb, pid \d+\]"
    pattern = re.escape(f"{POINTS[point]}: {what}") + rf".*; gave up after 3 attempts — .*{worker}"
    assert re.fullmatch(pattern, first_line(error)), first_line(error)


@points
@places
@sizes
@pytest.mark.parametrize("fault", ["exit", "kill"])
def test_a_death_that_happens_once_costs_nothing(machines, hub, fault, point, place, size, tmp_path):
    machines(4)
    once = Once(tmp_path)

    arrived, error = run_with(FAULTS[fault][0], once, point, place, size, executor=hub())

    assert error is None
    assert once.happened
    assert arrived == list(range(N))
