"""When a silence is a stall: played in virtual time."""

from __future__ import annotations

import pytest

from olympipe_like._model.identity import WorkerId
from olympipe_like._runtime.stall import Holding, StallWatch
from olympipe_like._scheduler.standing import WaitsFor

WORKER, OTHER = WorkerId(1), WorkerId(2)


def watch(timeout=None, moved_at=100.0):
    made = StallWatch(timeout, warn_after=60.0)
    made.moved(moved_at)
    return made


def test_a_silence_is_looked_at_when_it_is_long_enough_and_not_before():
    w = watch()

    assert w.due == 160.0
    assert w.look(159.9, WaitsFor.RUN) is None
    assert w.due == 160.0


def test_a_run_that_waits_for_itself_stands_still():
    found = watch().look(161.0, WaitsFor.RUN)

    assert found.seconds == 61.0
    assert not found.fatal


def test_the_same_silence_is_reported_once():
    w = watch()
    w.look(160.0, WaitsFor.RUN)

    assert w.due is None
    assert w.look(10_000.0, WaitsFor.RUN) is None


def test_a_new_silence_after_progress_is_reported_anew():
    w = watch()
    w.look(160.0, WaitsFor.RUN)

    w.moved(200.0)

    assert w.due == 260.0
    assert w.look(260.0, WaitsFor.RUN) is not None


def test_whatever_moves_puts_off_the_look():
    w = watch()
    for at in range(101, 1000, 50):
        w.moved(float(at))
        assert w.look(at + 49.0, WaitsFor.RUN) is None


@pytest.mark.parametrize("who", [WaitsFor.CONSUMER, WaitsFor.SOURCE])
def test_waiting_for_the_consumer_or_a_quiet_source_is_no_stall_and_is_not_looked_at_again(who):
    w = watch()

    assert w.look(160.0, who) is None
    assert w.due is None


def test_a_run_where_nobody_is_asked_for_anything_is_reported():
    assert watch().look(160.0, WaitsFor.NOBODY) is not None


def test_a_short_timeout_takes_the_place_of_the_warning():
    w = watch(timeout=5.0)

    assert w.due == 105.0
    assert w.look(105.0, WaitsFor.RUN).fatal
    assert w.due is None


def test_a_long_timeout_comes_after_the_warning():
    w = watch(timeout=600.0)

    assert not w.look(160.0, WaitsFor.RUN).fatal
    assert w.due == 700.0
    assert w.look(700.0, WaitsFor.RUN).fatal


def test_a_look_that_comes_late_tells_the_worst_only():
    w = watch(timeout=600.0)

    assert w.look(900.0, WaitsFor.RUN).fatal
    assert w.due is None


def test_with_a_timeout_a_silent_source_counts_too_but_only_for_the_timeout():
    w = watch(timeout=600.0)

    assert w.look(160.0, WaitsFor.SOURCE) is None
    assert w.look(700.0, WaitsFor.SOURCE).fatal


def test_with_a_timeout_the_consumer_may_still_take_its_time():
    w = watch(timeout=5.0)

    assert w.look(1000.0, WaitsFor.CONSUMER) is None


def test_a_frame_is_held_from_when_it_was_given():
    holding = Holding()
    holding.gave(WORKER, 3.0)

    assert holding.since(WORKER) == 3.0
    assert holding.since(OTHER) is None


def test_a_frame_sent_ahead_is_not_the_one_a_worker_is_at():
    holding = Holding()
    holding.gave(WORKER, 3.0)
    holding.gave(WORKER, 5.0)

    assert holding.since(WORKER) == 3.0

    holding.answered(WORKER, 8.0, more=False)
    assert holding.since(WORKER) == 8.0  # now it is at the second one


def test_a_worker_that_was_idle_is_at_its_frame_from_when_it_was_given():
    holding = Holding()
    holding.gave(WORKER, 3.0)
    holding.answered(WORKER, 4.0, more=False)

    holding.gave(WORKER, 9.0)

    assert holding.since(WORKER) == 9.0


def test_a_part_of_an_answer_is_a_sign_of_life():
    holding = Holding()
    holding.gave(WORKER, 3.0)
    holding.answered(WORKER, 4.0, more=True)
    holding.gave(WORKER, 9.0)

    assert holding.since(WORKER) == 4.0


def test_a_lost_worker_is_forgotten():
    holding = Holding()
    holding.gave(WORKER, 3.0)

    holding.lost(WORKER)

    assert holding.since(WORKER) is None
