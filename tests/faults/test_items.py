"""Items that are difficult in themselves, through a chain of operators: T35, T38, T45 to T47."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from olympipe_like import Pipeline
from tests import functions as f
from tests.arrays import ARRAYS
from tests.faults.cases import ITEMS, stage_one_ok, two_stages

pytestmark = pytest.mark.timeout(40)

executors = pytest.mark.parametrize("executor", ["process", "thread", "inline"])

ODD = [
    *[None, False, 0, 0.0, "", b"", (), [], {}, Ellipsis, NotImplemented],
    *[ValueError("a"), StopIteration("b"), KeyboardInterrupt(), GeneratorExit(), ValueError, StopIteration],
    *["STOP", "END", b"\x80\x05.", (None,), (1, (2,)), {"a": {"b": None}}, [[]]],
]


@pytest.mark.fault("T46")
@executors
def test_odd_items_pass_a_task_a_filter_a_batch_and_an_explode_unchanged(executor):
    pipe = Pipeline(ODD).task(stage_one_ok, workers=2).filter(lambda item: True).batch(5).unbatch()

    result = pipe.task(stage_one_ok).wait_for_result(executor=executor)

    assert list(map(type, result)) == list(map(type, ODD))
    assert list(map(repr, result)) == list(map(repr, ODD))


@pytest.mark.fault("T47")
def test_arrays_of_every_layout_pass_a_filter_a_batch_and_an_explode_unchanged():
    pipe = Pipeline(list(ARRAYS.values())).filter(lambda array: True, workers=2).batch(3).unbatch()

    for layout, result in zip(ARRAYS, pipe.task(stage_one_ok), strict=True):
        assert (result.dtype, result.shape) == (ARRAYS[layout].dtype, ARRAYS[layout].shape), layout
        np.testing.assert_array_equal(result, ARRAYS[layout], layout)


@pytest.mark.fault("T47")
def test_items_that_refuse_every_question_are_named_by_number_when_their_function_fails():
    def stage_two_bad(item):
        if item.number == 3:
            raise ValueError("user-boom")
        return item

    with pytest.raises(ValueError, match=r"item 3: <Touchy instance at 0x"):
        two_stages(stage_two_bad, [f.Touchy(number) for number in range(6)]).wait_for_result()


@pytest.mark.fault("T45")
@executors
@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_items_than_workers_are_exactly_what_comes_out(count, executor):
    pipe = Pipeline(ITEMS[:count]).task(stage_one_ok, workers=8).filter(lambda item: True, workers=8).batch(2).unbatch()

    assert pipe.wait_for_result(executor=executor) == list(ITEMS[:count])


@pytest.mark.fault("T38")
def test_large_results_that_wait_hold_back_the_source():
    pulled = []

    def endless():
        for number in range(10**9):
            pulled.append(number)
            yield number

    options = {"queue_size": 4, "workers": 2}
    pipe = Pipeline(endless()).task(lambda number: bytes(256 << 10), **options)
    with pipe.task(lambda data: data, **options).run(queue_size=4) as run:
        results = iter(run)
        for _ in range(100):
            assert len(next(results)) == 256 << 10
            # Three queues of four, two items in the hands of each of the four workers, one at each end.
            assert len(pulled) <= 100 + 3 * 4 + 2 * 4 + 2


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.fault("T35")
@pytest.mark.timeout(300)
def test_an_item_of_more_than_two_gigabytes_arrives_whole():
    nbytes = (2 << 30) + 16

    def make(size):
        data = np.zeros(size, np.uint8)
        data[:8] = data[-8:] = np.arange(8)
        return data

    def measure(data):
        return data, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    ((result, peak),) = Pipeline([nbytes]).task(make).task(measure).wait_for_result()

    assert result.nbytes == nbytes
    assert result[:8].tolist() == result[-8:].tolist() == list(range(8))
    assert not result[8:-8].any()
    assert peak < 2 * nbytes  # one copy in the worker that received it


@pytest.mark.slow
@pytest.mark.fault("T38")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("options", [{}, {"memory": "16MB"}, {"memory": "16MB", "queue_size": 500}], ids=str)
def test_the_memory_of_all_processes_grows_by_no_more_than_what_is_said(options):
    size = 256 << 10
    edges, workers, frame = 3, 4, 1 << 20
    limit = 16_000_000 if "memory" in options else edges * (32 << 20)
    pulled = [0]

    def endless():
        while True:
            pulled[0] += 1
            yield os.urandom(16) * (size >> 4)

    def most():
        """Return what all processes of the run hold now, and its shared memory."""
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        shared = {}
        for process in family:
            for link in Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # the descriptor that the list was read from
                    if "memfd:olympipe" in str(link.readlink()):
                        found = link.stat()
                        shared[found.st_ino] = found.st_blocks * 512
        return sum(process.memory_full_info().pss for process in family) + sum(shared.values())

    ahead = peak = 0
    pipe = Pipeline(endless()).task(stage_one_ok, workers=2).task(stage_one_ok, workers=2)
    with pipe.run(**options) as run:
        results = iter(run)
        next(results)
        before = most()
        for number in range(1, 400):
            time.sleep(0.005)  # a slow consumer: everything before it fills up
            assert len(next(results)) == size
            ahead = max(ahead, pulled[0] - number)
            if number % 20 == 0:
                peak = max(peak, most())

    in_hand = (3 * workers + 2) * frame  # of each worker: its frame, the next one, the answer; a frame at each end
    assert ahead * size <= limit + in_hand
    assert peak - before <= 2 * limit + in_hand + (32 << 20)
