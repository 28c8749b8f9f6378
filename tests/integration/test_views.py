"""Stages that look at arrays in shared memory: nothing changes under a view, whatever is kept where and how long."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olympipe_like import SKIP, Pipeline, PlanError, PlanTypeError, StageFailed
from olympipe_like._runtime.vault import VIEWED_BYTES
from olympipe_like._transport import store

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here"),
]

MIB = 1 << 17  # numbers of 8 bytes


def array(number, size=MIB):
    return np.full(size, number, np.float64)


def is_view(array):
    """Whether an array lies in the run's memory, mapped for reading."""
    where = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions, *_, name = line.split(maxsplit=5)
        low, high = (int(each, 16) for each in span.split("-"))
        if low <= where < high:
            return permissions == "r--s" and name.startswith("/memfd:olympipe_like")
    return False


def source(count, size=MIB):
    for number in range(count):
        yield array(number, size)


@pytest.fixture
def shared(monkeypatch):
    """Give a function that returns the bytes of shared memory that the latest run holds."""
    descriptors = []
    create = store.create

    def create_and_note(*args):
        made = create(*args)
        descriptors.append(os.dup(made))
        return made

    monkeypatch.setattr(store, "create", create_and_note)
    yield lambda: os.fstat(descriptors[-1]).st_blocks * 512
    for descriptor in descriptors:
        os.close(descriptor)


# -- what a stage gets ---------------------------------------------------------------------------------------


def test_large_arrays_are_views_and_small_ones_are_as_read_only():
    items = [array(0), array(1, 3), array(2, 2000), array(3)]

    results = Pipeline(items).task(lambda a: (is_view(a), a.flags.writeable, a.sum()), copy=False).wait_for_result()

    assert results == [(True, False, 0), (False, False, 3), (False, False, 4000), (True, False, 3 * MIB)]


def test_without_the_option_arrays_are_the_workers_own():
    results = Pipeline(source(3)).task(lambda a: (is_view(a), a.flags.writeable)).wait_for_result()

    assert results == [(False, True)] * 3


@pytest.mark.parametrize("size", [3, MIB])
def test_who_writes_to_a_view_is_told_so(size):
    def blacken(array):
        array[...] = 0

    with pytest.raises(StageFailed, match="read-only"):
        Pipeline(source(3, size)).task(blacken, copy=False).wait_for_result()


class Adder:
    def __init__(self):
        self.kept = []

    def add(self, array):
        self.kept.append(array[:2])
        return is_view(array)


def see_all(arrays):
    return list(map(is_view, arrays))


SAW = [True] * 4
EVERYWHERE = {
    "task": lambda p: p.task(is_view, copy=False),
    "class_task": lambda p: p.class_task(Adder, "add", copy=False),
    "filter": lambda p: p.filter(is_view, copy=False).task(lambda a: True),
    "tap": lambda p: p.tap(lambda a: 1 / is_view(a), copy=False).task(lambda a: True),
    "explode": lambda p: p.explode(lambda a: [is_view(a)], copy=False),
    "reduce": lambda p: p.reduce([], lambda a, views: [*views, is_view(a)], copy=False).unbatch(),
    "scan": lambda p: p.scan(None, lambda a, state: (a, is_view(a)), copy=False),
    "split": lambda p: p.split(lambda a: [is_view(a), None], n=2, copy=False)[0],
    "partition": lambda p: p.partition(is_view, copy=False)[0].task(lambda a: True),
    "fan_out": lambda p: p.fan_out(is_view, copy=False).task(lambda pair: pair[0]),
    "batch": lambda p: p.task(lambda a: a, workers=2).batch(2, collate=see_all, copy=False).unbatch(),
    "batch behind a task": lambda p: p.task(is_view, copy=False).batch(2, collate="stack").unbatch().task(bool),
    "window before a task": lambda p: p.window(1).task(lambda arrays: is_view(arrays[0]), copy=False),
    "two that share a worker": lambda p: p.tap(lambda a: None, copy=False).task(is_view, copy=False).fuse(),
}


@pytest.mark.parametrize("how", EVERYWHERE)
def test_every_operator_with_a_function_can_look(how):
    assert EVERYWHERE[how](Pipeline(source(4))).wait_for_result() == SAW


NOWHERE = {
    "one of two that share a worker wants its own": lambda p: (
        p.tap(lambda a: None, copy=False).task(lambda a: a.flags.writeable and is_view(a) is False).fuse()
    ),
    "a batch of the user's shares the worker": lambda p: (
        p.task(lambda a: a.flags.writeable, copy=False).batch(4, collate=lambda found: found).unbatch()
    ),
}


@pytest.mark.parametrize("how", NOWHERE)
def test_where_not_all_who_share_a_worker_look_arrays_are_its_own(how):
    assert NOWHERE[how](Pipeline(source(4))).wait_for_result() == [True] * 4


@pytest.mark.parametrize("executor", ["thread", "async", "inline"])
def test_it_is_refused_where_no_memory_is_shared(executor):
    with pytest.raises(PlanError, match=f"copy=False is about memory .* got '{executor}'"):
        Pipeline([1]).task(len, executor=executor, copy=False)


def test_it_is_refused_for_workers_of_other_machines():
    remote = pytest.importorskip("olympipe_like.remote").remote

    with pytest.raises(PlanError, match=r"test_views\.py.*copy=False is about memory"):
        Pipeline([1]).task(len, executor=remote("tcp://127.0.0.1:5999"), copy=False)


def test_it_must_be_true_or_false():
    with pytest.raises(PlanTypeError, match="copy must be True or False, got 0"):
        Pipeline([1]).reduce(0, len, copy=0)


@pytest.mark.parametrize("executor", ["thread", "inline"])
def test_a_whole_run_without_processes_just_passes_items(executor):
    results = Pipeline(source(3)).task(lambda a: a.flags.writeable, copy=False).wait_for_result(executor=executor)

    assert results == [True] * 3


def test_without_shared_memory_the_results_are_the_same(monkeypatch):
    def none():
        raise OSError(38, "none")

    monkeypatch.setattr(store, "create", none)

    pipe = Pipeline(source(5)).task(lambda a: (a.flags.writeable, a[7]), copy=False)
    with pytest.warns(RuntimeWarning, match="no shared memory"):
        assert pipe.wait_for_result() == [(False, number) for number in range(5)]


# -- nothing changes under a view ----------------------------------------------------------------------------


class Keeper:
    """Keeps views in every way there is, and looks whether they are what they were."""

    def __init__(self, seed, most=40):
        self.random = random.Random(seed)
        self.most = most
        self.kept = []

    def see(self, array):
        value = float(array[0])
        kind = self.random.randrange(8)
        if kind == 0:
            self.kept.append((array, value))
        elif kind == 1:
            self.kept.append((array[10:20], value))
        elif kind == 2:
            self.kept.append((memoryview(array)[3:9], value))
        elif kind == 3:
            self.kept.append((array.reshape(-1, 64)[::5].T, value))
        elif kind == 4:
            ring = [array[::1000]]
            ring.append(ring)  # garbage that is only found by the collector
            self.kept.append((ring[0], value))
        elif kind == 5:
            self.kept.append((np.asarray(array.view(np.int64)).view(np.float64), value))
        while len(self.kept) > self.most:
            self.kept.pop(self.random.randrange(len(self.kept)))
        if len(self.kept) % 10 == 0:
            gc.collect()
        self.check()
        return array[5:50_000] if kind == 6 else value

    def check(self):
        for view, value in self.kept:
            got = np.asarray(view)
            assert got.min() == got.max() == value, "memory changed under a view"

    def close(self):
        self.check()


def first(result):
    return float(result) if np.ndim(result) == 0 else float(np.unique(result)[0])


def test_a_view_kept_for_the_whole_run_stays_what_it_was_while_thousands_of_frames_pass(shared):
    kept = []

    def keep_the_first(array):
        if len(kept) < 5:
            kept.append((array, array.copy()))
        if array[0] % 100 == 0:
            assert all((view == copy).all() for view, copy in kept)
        return is_view(array)

    def end(seen):
        assert all((view == copy).all() for view, copy in kept)
        return seen

    count = 3000
    pipe = Pipeline(lambda: source(count, 70_000)).task(lambda a: a + 0, copy=False)
    pipe = pipe.task(keep_the_first, copy=False).task(end)
    assert pipe.wait_for_result() == [True] * count
    assert shared() < 128 << 20


@settings(deadline=None, max_examples=6, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 30), workers=st.integers(1, 3), size=st.sampled_from([9_984, 64_000, 128_000]))
def test_keepers_of_all_kinds_see_what_they_saw(seed, workers, size):
    count = 300
    arguments = [{"seed": seed + number} for number in range(workers)]

    pipe = Pipeline(lambda: source(count, size)).task(lambda a: a, copy=False)
    pipe = pipe.class_task(Keeper, "see", close_method="close", workers=workers, worker_args=arguments, copy=False)

    assert list(map(first, pipe.wait_for_result())) == list(map(float, range(count)))


def test_state_of_a_fold_may_hold_views():
    def fold(array, state):
        state = [*state, array[:3]]
        assert [float(view[1]) for view in state] == list(range(len(state)))
        return state, float(array[0])

    assert Pipeline(source(150)).scan([], fold, copy=False).wait_for_result() == list(range(150))
    (kept,) = Pipeline(source(150)).reduce([], lambda a, acc: [*acc, a[:3]], copy=False).wait_for_result()
    assert [float(view[1]) for view in kept] == list(range(150))
    assert all(view.flags.writeable for view in kept)


def test_batches_of_views_are_what_they_were():
    results = Pipeline(source(100)).task(lambda a: a[3:90_000], copy=False).batch(30).wait_for_result()

    assert [[first(each) for each in batch] for batch in results] == [
        list(range(at, min(at + 30, 100))) for at in range(0, 100, 30)
    ]


def test_one_frame_that_goes_several_ways_is_held_until_all_have_looked():
    def slow(array):
        time.sleep(0.002)
        return array[0], array[-1]

    pipe = Pipeline(source(60))
    legs = [pipe.task(lambda a: (a[0], a[-1]), copy=False), pipe.task(slow, copy=False), pipe.task(first)]

    quick, late, own = Pipeline.wait_for_all_results(legs)

    assert quick == late == [(number, number) for number in range(60)]
    assert own == list(range(60))


# -- memory is bounded, and comes back -----------------------------------------------------------------------


def test_who_keeps_everything_looks_at_no_more_than_a_fixed_amount(shared):
    kept = []

    def keep(array):
        kept.append(array)
        return is_view(array), float(kept[0][0]) == 0.0

    pipe = Pipeline(lambda: source(200)).task(keep, copy=False)
    held, results = [], []
    with pipe.run() as run:
        for result in run:
            results.append(result)
            held.append(shared())

    assert all(right for _, right in results)
    views = sum(seen for seen, _ in results)
    assert VIEWED_BYTES // (4 << 20) <= views < 200
    assert max(held) < VIEWED_BYTES + (64 << 20)


def test_a_limit_of_the_run_bounds_what_is_looked_at_too(shared):
    kept = []

    def keep(array):
        kept.append(array)
        return is_view(array)

    results = Pipeline(lambda: source(100)).task(keep, copy=False).wait_for_result(memory="8MB")

    assert 0 < sum(results) < 20


def test_a_worker_that_waits_has_let_go(shared):
    def emit():
        for number in range(3):
            yield array(number, 8 * MIB)
        while not done:
            time.sleep(0.01)

    done = []
    with Pipeline(emit()).task(lambda a: a[0], copy=False).run() as run:
        results = iter(run)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        until = time.monotonic() + 20
        while shared() > store.KEPT_BYTES and time.monotonic() < until:
            time.sleep(0.01)
        held = shared()
        done.append(True)

    assert held <= store.KEPT_BYTES


def test_frames_larger_than_all_that_may_be_kept_are_looked_at_one_after_the_other():
    large = (VIEWED_BYTES >> 3) + 1000

    results = Pipeline(lambda: source(4, large)).task(lambda a: (is_view(a), a[-1]), copy=False).wait_for_result()

    assert results == [(True, number) for number in range(4)]


# -- children and force --------------------------------------------------------------------------------------


def test_a_child_that_a_function_forks_keeps_what_it_sees(tmp_path):
    path = tmp_path / "seen"

    def fork_once(array):
        if array[0] == 3:
            array = array[:100]
            if not os.fork():
                right = True
                for _ in range(100):  # as long as the run takes, and longer
                    time.sleep(0.01)
                    right = right and bool((np.asarray(array) == 3).all())
                path.with_suffix(".new").write_text(str(right))
                path.with_suffix(".new").rename(path)
                os._exit(0)
        return array[0]

    assert Pipeline(lambda: source(400)).task(fork_once, copy=False).wait_for_result() == list(range(400))
    until = time.monotonic() + 20
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)

    assert path.read_text() == "True"


def test_a_program_that_a_function_runs_holds_nothing_up(shared):
    def run_a_program(array):
        if array[0] % 20 == 0:
            assert os.system("true") == 0
        return is_view(array)

    assert Pipeline(lambda: source(200)).task(run_a_program, copy=False).wait_for_result() == [True] * 200


@pytest.mark.usefixtures("caplog")
def test_who_writes_to_a_view_by_force_costs_its_worker_and_no_other_item():
    def by_force(array):
        if array[0] == 2:
            ctypes.memset(array.__array_interface__["data"][0], 255, 8)
        return array[0]

    pipe = Pipeline(source(5)).task(by_force, copy=False, worker_retries=1, on_error=lambda item, error: SKIP)

    assert pipe.wait_for_result() == [0, 1, 3, 4]
