"""What networks do to connections: cuts, silence, one way only, slow links. By a proxy of our own."""

from __future__ import annotations

import logging
import os
import re
import time
from random import Random

import numpy as np
import pytest

from olympipe_like import Pipeline, StalledError
from tests.remote.proxy import TO_HUB, TO_WORKER, Proxy
from tests.remote.test_machines import consume  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def proxy(address, no_gateway_is_left):
    with Proxy(address) as made:
        yield made


def counting(tally, seconds=0.02):
    """Return a function that notes each of its calls, wherever it runs."""

    def work(n):
        tally.hit(str(n))
        time.sleep(seconds)
        return n, os.getpid()

    return work


BREAKS = {
    "connections are reset": (lambda proxy: proxy.cut(), lambda proxy: None),
    "connections are reset and refused": (lambda proxy: proxy.down(), lambda proxy: proxy.up()),
    "nothing passes": (lambda proxy: proxy.hold(), lambda proxy: proxy.release()),
    "nothing passes to the hub": (lambda proxy: proxy.hold(TO_HUB), lambda proxy: proxy.release()),
    "nothing passes to the workers": (lambda proxy: proxy.hold(TO_WORKER), lambda proxy: proxy.release()),
}


@pytest.mark.fault("N02")
@pytest.mark.parametrize("what", BREAKS)
def test_a_loss_shorter_than_lost_after_costs_no_work(machines, hub, proxy, consume, eventually, tally, what):  # noqa: F811
    begin, end = BREAKS[what]
    machines(2, address=proxy.address)
    consumer = consume(Pipeline(range(300)).task(counting(tally), executor=hub(lost_after=15.0)))
    eventually(lambda: len(consumer.results) > 40, 15)

    begin(proxy)
    time.sleep(1.2)
    end(proxy)

    results = consumer.finish()
    assert [n for n, _ in results] == list(range(300))
    assert len({pid for _, pid in results}) == 2  # the same two all the time
    assert all(tally.count(str(n)) == 1 for n in range(300))  # each item was worked on once
    assert consumer.run.report.stages[1].lost_workers == 0


@pytest.mark.fault("N02")
@pytest.mark.fault("N03")
@pytest.mark.parametrize("what", [each for each in BREAKS if each != "connections are reset"])
def test_after_a_longer_loss_items_go_to_others_and_late_results_are_dropped(
    machines,
    hub,
    proxy,
    consume,  # noqa: F811
    eventually,
    what,
    caplog,
):
    begin, end = BREAKS[what]
    machines(1, address=proxy.address, name="far")
    machines(1, name="near")
    work = Pipeline(range(500)).task(
        lambda n: time.sleep(0.02) or (n, os.getpid()), executor=hub(min_workers=2, lost_after=1.0)
    )
    with caplog.at_level(logging.INFO, "olympipe_like"):
        consumer = consume(work)
        eventually(lambda: len(consumer.results) > 40, 15)

        begin(proxy)
        eventually(lambda: "worker far (key 'local') is lost (last seen 1." in caplog.text, 1.0 + 2)
        before = len(consumer.results)
        eventually(lambda: len(consumer.results) > before + 50, 10)
        end(proxy)

        results = consumer.finish()

    assert [n for n, _ in results] == list(range(500))
    assert len({pid for _, pid in results}) == 3  # the machine came back, with another process
    assert consumer.run.report.balanced
    if what == "nothing passes to the hub":  # what was held back came, too late
        assert re.search(r"worker far .* has come, with 1 worker; \d+ packets of a session that was over", caplog.text)


def test_a_run_may_be_more_patient_than_the_one_before(machines, hub, proxy, consume, eventually, tally):  # noqa: F811
    machines(1, address=proxy.address)
    assert Pipeline(range(5)).task(str, executor=hub(lost_after=0.5)).wait_for_result() == list("01234")
    consumer = consume(Pipeline(range(100)).task(counting(tally), executor=hub(lost_after=20.0)))
    eventually(lambda: len(consumer.results) > 20, 15)

    proxy.hold()
    time.sleep(2)
    proxy.release()

    assert [n for n, _ in consumer.finish()] == list(range(100))
    assert all(tally.count(str(n)) == 1 for n in range(100))


@pytest.mark.fault("N07")
@pytest.mark.parametrize("seed", range(3))
def test_connections_that_break_all_the_time_lose_and_double_nothing(
    machines,
    hub,
    proxy,
    consume,  # noqa: F811
    eventually,
    tally,
    seed,
):
    random = Random(seed)
    machines(2, address=proxy.address)

    def work(array):
        tally.hit(str(int(array[0])))
        time.sleep(0.05)
        return array * 2

    arrays = (np.full(random.choice([10, 50_000, 300_000]), n) for n in range(60))
    consumer = consume(Pipeline(list(arrays)).task(work, executor=hub(lost_after=20.0)))
    eventually(lambda: consumer.results, 15)
    for _ in range(8):
        time.sleep(random.uniform(0.02, 0.3))
        proxy.cut()

    results = consumer.finish(50)
    assert [int(array[0]) for array in results] == [2 * n for n in range(60)]
    assert all((array == array[0]).all() for array in results)
    assert all(tally.count(str(n)) == 1 for n in range(60))
    assert proxy.connections > 3


@pytest.mark.fault("N08")
@pytest.mark.slow
def test_large_items_on_a_slow_link_are_not_taken_for_a_dead_one(machines, hub, proxy, caplog):
    proxy.bytes_per_second = 10e6 / 8
    machines(1, address=proxy.address)

    with caplog.at_level(logging.WARNING, "olympipe_like"):
        pipe = Pipeline([bytes(4 << 20)] * 2).task(lambda data: data + b"x", executor=hub(lost_after=1.0))
        results = pipe.wait_for_result()  # 3.4 s for each item, each way

    assert [len(data) for data in results] == [(4 << 20) + 1] * 2
    assert "lost" not in caplog.text


def test_a_long_way_is_only_slower(machines, hub, proxy):
    proxy.delay = 0.1
    machines(2, address=proxy.address)

    pipe = Pipeline(range(200)).task(lambda n: n + 1, executor=hub(prefetch=8))

    assert pipe.wait_for_result() == list(range(1, 201))


def test_a_run_that_stands_still_names_the_machine_that_is_waited_for(machines, hub):
    machines(1, name="far")

    with pytest.raises(StalledError, match=r"worker 1\.0 on far, pid \d+ has had 1 frame"):
        Pipeline([60]).task(time.sleep, executor=hub()).wait_for_result(stall_timeout=1.0)


def test_a_silence_is_reported_with_the_worker_that_is_waited_for(machines, hub, proxy, consume, eventually, caplog):  # noqa: F811
    machines(1, address=proxy.address, name="far")
    consumer = consume(Pipeline(range(100)).task(lambda n: time.sleep(0.02) or n, executor=hub(lost_after=3.0)))
    eventually(lambda: len(consumer.results) > 20, 15)

    proxy.hold()
    time.sleep(1.5)

    (worker,) = consumer.run.report.workers
    assert worker.host == "far"
    assert worker.last_seen > 1
    proxy.release()
    assert consumer.finish() == list(range(100))
