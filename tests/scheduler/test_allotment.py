"""Workers go to the stage that keeps its stream from going faster, and stay where they are if nothing is gained."""

from __future__ import annotations

from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like._scheduler.allotment import GAIN, Load, Transfer, allot


def loads_of(costs, sizes, fixed=()):
    """Return what the stages of one stream would do with so many workers: as fast as the slowest allows."""
    pace = min(size / cost for cost, size in zip(costs, sizes, strict=True))
    shares = [pace * cost / size for cost, size in zip(costs, sizes, strict=True)]
    return [
        Load(size, share * size, idle_share=1 - share, busy_share=share, auto=place not in fixed)
        for place, (size, share) in enumerate(zip(sizes, shares, strict=True))
    ]


def settle(costs, sizes, total, fixed=()):
    """Return the sizes after each look, until one changes nothing."""
    history = [list(sizes)]
    for _ in range(50):
        transfers = allot(loads_of(costs, history[-1], fixed), total)
        if not transfers:
            return history
        sizes = list(history[-1])
        for giver, taker in transfers:
            sizes[taker] += 1
            if giver is not None:
                sizes[giver] -= 1
        history.append(sizes)
    raise AssertionError(f"never comes to rest: {history}")


def best_pace(costs, total):
    sizes = (
        [chosen.count(place) + 1 for place in range(len(costs))]
        for chosen in combinations_with_replacement(range(len(costs)), total - len(costs))
    )
    return max(min(size / cost for cost, size in zip(costs, each, strict=True)) for each in sizes)


def test_a_worker_that_nobody_has_goes_to_the_busy_stage():
    assert allot([Load(1, 0.1, idle_share=0.9), Load(1, 1.0)], total=3) == [Transfer(None, 1)]


def test_a_stage_at_most_doubles_at_once():
    assert allot([Load(2, 2.0)], total=16) == [Transfer(None, 0)] * 2


def test_nothing_is_spent_where_two_level_stages_would_need_a_worker_each():
    assert allot([Load(1, 1.0), Load(1, 1.0)], total=3) == []
    assert allot([Load(1, 1.0), Load(1, 1.0)], total=4) == [Transfer(None, 0), Transfer(None, 1)]


def test_a_stage_whose_number_is_fixed_keeps_others_from_more_than_they_can_use():
    slow = Load(1, 0.9, idle_share=0.1, auto=False)
    assert [len(allot([slow._replace(busy=busy), Load(4, 4.0)], total=16)) for busy in (1.0, 0.7, 0.2)] == [0, 2, 4]


def test_another_stream_is_no_reason_to_hold_back():
    assert allot([Load(1, 1.0, auto=False), Load(1, 1.0, stream=1)], total=2) == [Transfer(None, 1)]


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(Load(2, 1.2, idle_share=0.4, busy_share=0.6), id="waits for items or room"),
        pytest.param(Load(2, 0.4, idle_share=0.02, busy_share=0.2), id="waits for the transport"),
    ],
)
def test_a_stage_that_is_not_short_of_workers_gets_none(load):
    assert allot([load], total=8) == []


def test_a_worker_is_taken_only_from_a_stage_that_can_do_without_it():
    busy, idle = Load(1, 1.0), Load(3, 0.3, idle_share=0.9)
    assert allot([busy, idle], total=4) == [Transfer(1, 0)]
    assert allot([busy, idle._replace(busy=2.5)], total=4) == []
    assert allot([busy, Load(1, 0.0, idle_share=1.0)], total=2) == []


@given(st.data())
def test_the_same_load_comes_to_rest_at_nearly_the_best_pace_wherever_one_starts(data):
    costs = data.draw(st.lists(st.floats(0.01, 10), min_size=1, max_size=4))
    spare = data.draw(st.integers(0, 8))
    sizes = [1] * len(costs)
    for place in data.draw(st.lists(st.sampled_from(range(len(costs))), max_size=spare)):
        sizes[place] += 1
    total = len(costs) + spare

    history = settle(costs, sizes, total)

    for before, after in pairwise(history):
        assert min(after) >= 1
        assert sum(before) <= sum(after) <= total
        assert all(new <= 2 * old for old, new in zip(before, after, strict=True))
        assert min(n / c for n, c in zip(after, costs, strict=True)) > min(
            n / c for n, c in zip(before, costs, strict=True)
        )
    pace = min(size / cost for cost, size in zip(costs, history[-1], strict=True))
    assert pace * GAIN * 1.001 >= best_pace(costs, total)


@given(st.data())
def test_stages_with_a_number_keep_theirs(data):
    costs = data.draw(st.lists(st.floats(0.01, 10), min_size=2, max_size=4))
    fixed = data.draw(st.sets(st.sampled_from(range(len(costs))), max_size=len(costs) - 1))
    total = len(costs) - len(fixed) + data.draw(st.integers(0, 8))

    last = settle(costs, [1] * len(costs), total, fixed)[-1]

    assert all(last[place] == 1 for place in fixed)
    assert sum(size for place, size in enumerate(last) if place not in fixed) <= total
