"""Items that end, or hold up, whoever unpickles them: found in frames of many, and dealt with as their reader says."""

from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest

from olympipe_like import Pipeline, StageFailed, WorkerLost
from tests.faults.cases import DEATHS, GAVE_UP, WORKER, first_line, outcome

pytestmark = [pytest.mark.fault("T13"), pytest.mark.timeout(30)]

ITEMS = range(2000)
BAD = (900, 901, 1700)  # by then many items travel together
OTHERS = [item for item in ITEMS if item not in BAD]
NAMED = re.escape(" — item 900: <could not be rebuilt>") + WORKER


class Deadly:
    """Harms every process that unpickles it, but the one that made it."""

    def __init__(self, harm):
        self.harm = harm

    def __reduce__(self):
        return rebuild, (self.harm, os.getpid())


def rebuild(harm, home):
    if os.getpid() != home:
        harm()
    return Deadly(harm)


def exits():
    os._exit(1)


def hangs():
    time.sleep(1000)


def making(harm, bad):
    shared = np.dtype("i4")  # what a bad item has in common with its neighbours must not be lost with it

    def make(item):
        return item, Deadly(harm) if item in bad else shared, np.full(3, item, shared)

    return make


def made_by(harm=exits, bad=BAD):
    return Pipeline(ITEMS).task(making(harm, bad), workers=2, name="maker")


def number(item):
    assert (item[1], item[2].dtype) == (np.dtype("i4"), np.dtype("i4"))
    return int(item[2][0])


def finished(pipe):
    with pipe.run() as run:
        results = list(run)
    return results, run


@pytest.mark.parametrize("death", DEATHS)
def test_it_is_named_with_its_reader_after_all_items_before_it(death):
    die, what = DEATHS[death]

    arrived, error = outcome(made_by(die).task(number, name="reader"))

    assert arrived == list(ITEMS[:900])
    assert type(error) is WorkerLost
    expected = re.escape(f"stage 2/2 'reader': {what} while it unpickled the item{GAVE_UP}") + NAMED
    assert re.fullmatch(expected, first_line(error)), first_line(error)


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("workers", [1, 3])
def test_it_can_be_skipped_and_harms_no_other(workers, retries):
    pipe = made_by().task(number, workers=workers, name="reader", on_error="skip", worker_retries=retries)

    results, run = finished(pipe)

    assert results == OTHERS
    assert [stage.failed for stage in run.report.stages if stage.name == "reader"] == [len(BAD)]
    assert run.report.to_dict()["balanced"]


def test_it_can_be_collected_with_all_that_is_known_of_it():
    results, run = finished(made_by().task(number, name="reader", on_error="collect"))

    assert results == OTHERS
    assert [failure.position for failure in run.failures] == [(item,) for item in BAD]
    assert {failure.text for failure in run.failures} == {
        f"worker exited with code 1 while it unpickled the item{GAVE_UP}"
    }
    assert {failure.item for failure in run.failures} == {None}


def test_a_handler_is_told_of_it_with_something_that_stands_for_it():
    pipe = made_by().task(number, name="reader", on_error=lambda item, error: (repr(item), str(error)))

    results, _ = finished(pipe)

    assert results[900] == (
        "<could not be rebuilt>",
        f"worker exited with code 1 while it unpickled the item{GAVE_UP}",
    )
    assert [result for result in results if isinstance(result, int)] == OTHERS


def test_what_stands_for_it_goes_no_further():
    arrived, error = outcome(made_by().task(number, name="reader", on_error=lambda item, error: item))

    assert arrived == list(ITEMS[:900])
    assert isinstance(error, StageFailed)
    assert "result cannot be sent to the next stage: TypeError: the item itself could not be rebuilt" in str(error)


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (lambda pipe, **options: pipe.filter(lambda item: number(item) % 2, **options), [x for x in OTHERS if x % 2]),
        (lambda pipe, **options: pipe.explode(lambda item: [item] * 2, **options), sorted(OTHERS * 2)),
        (lambda pipe, **options: pipe.tap(number, **options), OTHERS),
    ],
    ids=["filter", "explode", "tap"],
)
def test_every_operator_with_a_policy_skips_it(reader, expected):
    results, run = finished(reader(made_by(), on_error="skip", name="reader"))

    assert [number(item) for item in results] == expected
    assert [stage.failed for stage in run.report.stages if stage.name == "reader"] == [len(BAD)]


def test_the_readers_of_all_legs_meet_it_and_skip_it():
    make = making(exits, BAD)
    left, right = Pipeline(ITEMS).split(lambda item: (make(item), item), n=2)
    pipe = left.task(number, on_error="skip", name="reader").gather(right.task(lambda item: item, on_error="skip"))

    results, run = finished(pipe)

    assert results == sorted(OTHERS * 2)
    assert [stage.failed for stage in run.report.stages if stage.name == "reader"] == [len(BAD)]


@pytest.mark.parametrize(
    "reader",
    [
        lambda pipe: pipe.reduce(0, lambda item, total: total + 1, name="reader"),
        lambda pipe: pipe.scan(0, lambda item, total: (total + 1, total), name="reader"),
        lambda pipe: pipe.batch(7),
        lambda pipe: pipe.window(3),
    ],
    ids=["reduce", "scan", "batch", "window"],
)
def test_a_stage_without_a_policy_ends_the_run_and_names_it(reader):
    _, error = outcome(reader(made_by()))

    assert type(error) is WorkerLost
    expected = r"stage 2/2 '\w+': worker exited with code 1 while it unpickled the item; gave up after (3|11) attempts"
    assert re.fullmatch(expected + NAMED, first_line(error)), first_line(error)


def test_an_item_that_takes_too_long_to_unpickle_has_timed_out():
    pipe = made_by(hangs, bad=(900,)).task(number, name="reader", timeout=0.5, on_error="skip")

    results, run = finished(pipe)

    assert results == [item for item in ITEMS if item != 900]
    assert [stage.failed for stage in run.report.stages if stage.name == "reader"] == [1]


def test_an_item_that_takes_too_long_to_unpickle_is_named():
    arrived, error = outcome(made_by(hangs, bad=(900,)).task(number, name="reader", timeout=0.5))

    assert arrived == list(ITEMS[:900])
    assert isinstance(error, TimeoutError)
    expected = re.escape("stage 2/2 'reader': took longer than timeout=0.5 s to be unpickled") + NAMED
    assert re.fullmatch(expected, first_line(error)), first_line(error)
