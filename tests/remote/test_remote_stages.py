"""A remote stage does what a local one does."""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time

import numpy as np
import pytest

from olympipe_like import SKIP, Pipeline, PlanError, StageFailed

pytestmark = pytest.mark.timeout(60)


def test_results_come_in_order_from_workers_of_another_machine(machines, hub):
    machines(2)

    pipe = Pipeline(range(2000)).task(lambda n: (n * 2, os.getpid()), executor=hub())
    results = pipe.wait_for_result()

    assert [n for n, _ in results] == [n * 2 for n in range(2000)]
    assert len({pid for _, pid in results}) == 2
    assert os.getpid() not in {pid for _, pid in results}


def test_one_run_after_another_uses_the_same_workers_and_any_number_of_stages(machines, hub):
    machines(3)
    there = hub()

    for _ in range(3):
        pipe = Pipeline(range(300)).task(lambda n: n + 1, executor=there).filter(lambda n: n % 2, executor=there)
        assert pipe.explode(lambda n: [n] * 2, executor=there).batch(2).wait_for_result() == [
            [n, n] for n in range(1, 301, 2)
        ]


def test_every_step_that_can_be_remote_is_with_the_run_option(machines, hub):
    machines(3)

    pipe = Pipeline(range(100)).task(lambda n: SKIP if n % 3 == 0 else n).explode(lambda n: [n, -n])
    result = pipe.reduce(0, lambda n, total: total + abs(n)).wait_for_result(executor=hub())

    assert result == [2 * sum(n for n in range(100) if n % 3)]


def test_remote_workers_draw_the_numbers_that_local_ones_draw(machines, hub):
    machines(2)

    def draw(item, rng):
        return item, rng.random(), random.random()

    pipe = Pipeline(range(200)).task(draw).explode(lambda row: row[: random.randrange(4)])

    assert pipe.wait_for_result(executor=hub(), seed=3) == pipe.wait_for_result(executor="inline", seed=3)


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_arrays_of_any_size_arrive_whole_and_are_the_receivers_own(machines, hub, size):
    machines(2)

    def double(array):
        array *= 2
        return array

    arrays = Pipeline(np.full(size, n) for n in range(12)).task(double, executor=hub()).wait_for_result()

    assert len(arrays) == 12
    assert all((array == 2 * n).all() and array.flags.writeable for n, array in enumerate(arrays))


def test_local_and_remote_workers_work_on_one_stage(machines, hub):
    machines(1, name="elsewhere")
    pipe = Pipeline(range(400)).task(lambda n: time.sleep(0.01) or os.getppid(), executor=hub(local_workers=2))

    parents = pipe.wait_for_result()

    assert len(parents) == 400
    assert len(set(parents)) == 2


def test_a_stage_with_local_workers_does_not_wait_for_remote_ones(hub):
    assert Pipeline(range(50)).task(lambda n: n, executor=hub(local_workers=1)).wait_for_result() == list(range(50))


def test_stages_that_share_workers_must_agree_how_long_they_wait_for_them(hub):
    pipe = Pipeline([1]).task(str, executor=hub(lost_after=2.0)).task(int, name="second", executor=hub(lost_after=3.0))

    with pytest.raises(PlanError, match=r"stage 'second': two stages have their workers at .* make one remote\(\)"):
        pipe.wait_for_result()


def test_an_error_names_the_machine_and_is_of_the_users_type(machines, hub):
    machines(1, name="nodeb")

    with pytest.raises(ZeroDivisionError) as caught:
        Pipeline(range(10)).task(lambda n: 1 // (n - 4), executor=hub(), name="invert").wait_for_result()

    assert isinstance(caught.value, StageFailed)
    assert str(caught.value).startswith("stage 1/1 'invert': ZeroDivisionError: ")
    assert "item 4: 4  [worker 1.0 on nodeb, pid " in str(caught.value)


def test_a_policy_holds_for_remote_workers_as_for_local_ones(machines, hub):
    machines(2)

    pipe = Pipeline(range(20)).task(lambda n: 1 // (n % 5), executor=hub(), on_error="collect")
    with pipe.run() as run:
        results = list(run)

    assert results == [1 // (n % 5) for n in range(20) if n % 5]
    assert [failed.item for failed in run.failures] == [0, 5, 10, 15]
    assert run.report.balanced


def test_what_workers_log_arrives(machines, hub, caplog):
    machines(1)

    def speak(n):
        logging.getLogger("shop").warning("number %d", n)
        return n

    with caplog.at_level(logging.WARNING):
        Pipeline(range(3)).task(speak, executor=hub(), name="speak").wait_for_result()

    said = [record for record in caplog.records if record.name == "shop"]
    assert [record.getMessage() for record in said] == ["number 0", "number 1", "number 2"]
    assert all(record.stage == "speak" for record in said)


def test_leaving_the_loop_ends_the_work_on_other_machines(machines, hub, eventually):
    machines(1)

    def work(n):
        if n:
            time.sleep(30)
        return os.getpid()

    with Pipeline(range(100)).task(work, executor=hub()).run() as run:
        pid = next(iter(run))

    eventually(lambda: not is_alive(pid), 5)


def test_an_item_that_takes_too_long_costs_only_itself(machines, hub):
    machines(2)

    def work(n):
        if n == 3:
            time.sleep(60)
        return n

    pipe = Pipeline(range(8)).task(work, executor=hub(), timeout=0.7, on_error="collect")
    with pipe.run() as run:
        results = list(run)

    assert results == [0, 1, 2, 4, 5, 6, 7]
    assert [failed.item for failed in run.failures] == [3]


def test_a_worn_out_worker_is_replaced(machines, hub):
    machines(1)

    pipe = Pipeline(range(6)).task(lambda n: os.getpid(), executor=hub(prefetch=1), max_items_per_worker=2)

    assert len(set(pipe.wait_for_result())) == 3


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_stage_that_waits_says_how_many_workers_others_have(machines, hub, caplog, eventually):
    machines(1)
    there = hub()
    endless = Pipeline(itertools.count()).task(str, executor=there)
    with caplog.at_level(logging.WARNING, "olympipe_like"), endless.run() as first:
        next(iter(first))
        waiting = threading.Thread(target=Pipeline([7]).task(str, executor=there).wait_for_result)
        waiting.start()

        eventually(lambda: "0 of min_workers=1 are there, and 1 at work for other stages or runs" in caplog.text, 15)
    waiting.join(10)
    assert not waiting.is_alive()
