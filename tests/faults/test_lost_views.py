"""Workers die while they look at shared memory: results are those of a run with copies, and the memory comes back."""

from __future__ import annotations

import os
import random
import signal
import time

import numpy as np
import pytest

from olympipe_like import SKIP, Pipeline, WorkerLost
from olympipe_like._transport import store
from tests.faults.cases import Once, be_killed

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here"),
]

both = pytest.mark.parametrize("copy", [True, False])


def source(count, size=100_000):
    for number in range(count):
        yield np.full(size, number, np.float64)


class Mortal:
    """Keeps views, checks them with every item, and is killed now and then."""

    def __init__(self, chance):
        self.random = random.Random()
        self.chance = chance
        self.kept = []

    def see(self, array):
        self.kept.append((array[::100], float(array[0])))
        assert all((view == value).all() for view, value in self.kept), "memory changed under a view"
        if self.random.random() < self.chance:
            os.kill(os.getpid(), signal.SIGKILL)
        return array[:50_000]

    def close(self):
        assert all((view == value).all() for view, value in self.kept), "memory changed under a view"


@both
def test_workers_that_keep_views_and_are_killed_lose_nothing_and_leave_nothing(copy, monkeypatch):
    descriptors = []
    create = store.create
    monkeypatch.setattr(store, "create", lambda: descriptors.append(create()) or os.dup(descriptors[-1]))
    held = []

    pipe = Pipeline(lambda: source(600)).class_task(
        Mortal, "see", [0.02], close_method="close", workers=3, worker_retries=50, copy=copy
    )
    try:
        with pipe.task(lambda a: (a[0], a[-1], len(a)), copy=copy).run() as run:
            results = []
            for result in run:
                results.append(result)
                held.append(os.fstat(descriptors[0]).st_blocks * 512)
    finally:
        os.close(descriptors[0])

    assert results == [(number, number, 50_000) for number in range(600)]
    assert max(held) < 192 << 20


@both
def test_a_fold_whose_worker_is_killed_goes_on_with_the_same(copy, tmp_path):
    once = Once(tmp_path)

    def fold(array, state):
        if array[0] == 70 and once():
            be_killed()
        assert [view[0] for view in state] == list(range(int(array[0])))
        return [*state, array[:2]], array[0]

    results = Pipeline(source(100)).scan([], fold, copy=copy).wait_for_result()

    assert results == list(range(100))


@both
def test_an_item_that_kills_every_worker_is_found_among_its_neighbours(copy):
    def kill_by_seven(array):
        if array[0] == 7:
            be_killed()
        return array.sum()

    pipe = Pipeline(source(20, 2000)).task(kill_by_seven, copy=copy, worker_retries=1, on_error="skip")

    assert pipe.wait_for_result() == [2000.0 * number for number in range(20) if number != 7]
    with pytest.raises(WorkerLost, match="item 7"):
        Pipeline(source(20, 2000)).task(kill_by_seven, copy=copy, worker_retries=1).wait_for_result()


@both
def test_an_item_that_takes_too_long_costs_its_worker_and_nothing_else(copy):
    kept = []

    def linger(array):
        kept.append(array)
        if array[0] == 5:
            time.sleep(60)
        return array[0]

    pipe = Pipeline(source(10)).task(linger, copy=copy, timeout=0.3, on_error=lambda item, error: SKIP)

    assert pipe.wait_for_result() == [number for number in range(10) if number != 5]


@both
def test_worn_out_workers_hand_over_what_they_look_at(copy):
    kept = []

    def keep(array):
        kept.append(array)
        return float(sum(each[0] for each in kept))

    results = Pipeline(source(60)).task(keep, copy=copy, max_items_per_worker=5).wait_for_result()

    assert len(results) == 60


@both
def test_items_tried_again_see_the_same_bytes(copy):
    tries = []

    def fail_twice(array):
        tries.append(array[3:5])
        if len(tries) % 3:
            raise ValueError
        return [float(view[0]) for view in tries[-3:]]

    results = Pipeline(source(30)).task(fail_twice, copy=copy, retries=2).wait_for_result()

    assert results == [[number] * 3 for number in range(30)]


def test_a_child_outlives_its_worker_and_still_sees_what_it_saw(tmp_path):
    path = tmp_path / "seen"

    def fork_and_die(array):
        if array[0] == 3 and not path.with_suffix(".forked").exists():
            path.with_suffix(".forked").touch()
            if not os.fork():
                right = True
                for _ in range(100):
                    time.sleep(0.01)
                    right = right and bool((array == 3).all())
                path.with_suffix(".new").write_text(str(right))
                path.with_suffix(".new").rename(path)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        return array[0]

    results = Pipeline(lambda: source(2000)).task(fork_and_die, copy=False).wait_for_result()

    assert results == list(range(2000))
    until = time.monotonic() + 20
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert path.read_text() == "True"
