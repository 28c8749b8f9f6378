"""The pace of a source decides how many of its items travel together."""

from __future__ import annotations

import pytest

from olympipe_like._plan.segment import Label
from olympipe_like._worker import feed
from olympipe_like._worker.feed import FIRST_ITEMS, PULL_SECONDS, Feeder

MOST = 64  # items that a frame may hold


class Port:
    """Takes whatever comes."""

    def __init__(self):
        self.sizes = []

    def wait(self, pulled):
        return pulled + 10 * MOST, MOST

    def send(self, chunk):
        self.sizes.append(len(chunk.items))

    def end(self):
        pass

    def mark(self, position, state):
        raise AssertionError("nobody knows where this source is")


@pytest.fixture
def frames_of(monkeypatch):
    """Return what gives the sizes of the frames that items make which take so many seconds each."""
    now = [0.0]
    monkeypatch.setattr(feed, "perf_counter", lambda: now[0])

    def paced(costs):
        for number, cost in enumerate(costs):
            now[0] += cost
            yield number

    def sizes(costs):
        port = Port()
        Feeder(lambda: paced(costs), Label("numbers", "source", 0, 1), port, "").run()
        assert sum(port.sizes) == len(costs)
        return port.sizes

    return sizes


def test_items_that_come_at_an_even_pace_make_frames_of_what_comes_in_half_a_millisecond(frames_of):
    sizes = frames_of([PULL_SECONDS / 50] * 5000)

    assert sizes[FIRST_ITEMS : FIRST_ITEMS + 4] == [2, 4, 8, 16]
    assert set(sizes[FIRST_ITEMS + 4 : -1]) <= {24, 25}


def test_the_first_items_are_sent_one_by_one_however_many_may_travel_together(frames_of):
    sizes = frames_of([0.0] * 100)

    assert sizes[: FIRST_ITEMS + 1] == [1] * FIRST_ITEMS + [2]


def test_an_interruption_makes_frames_smaller_for_a_moment_only(frames_of):
    costs = [PULL_SECONDS / 50] * 5000
    costs[1000::500] = [20 * PULL_SECONDS] * 8

    sizes = frames_of(costs)

    assert len(sizes) < 5000 / 20


def test_a_source_that_turns_slow_gives_its_items_one_by_one(frames_of):
    sizes = frames_of([PULL_SECONDS / 50] * 1000 + [PULL_SECONDS] * 100)

    assert set(sizes[-40:]) == {1}


def test_a_source_that_turns_quick_gives_as_many_as_may_travel_together(frames_of):
    sizes = frames_of([PULL_SECONDS] * 10 + [0.0] * 2000)

    assert sizes[:10] == [1] * 10
    assert MOST in sizes[10:20]
