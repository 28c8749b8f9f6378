"""Workers are started some at a time, and the first ones are at work meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from olympipe_like import Pipeline
from olympipe_like._model.commands import RestoreWorker, RunFrame, StartWorker
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._runtime.openings import AT_A_TIME, Openings

pytestmark = pytest.mark.timeout(60)

MANY = 40  # it takes more than 100 ms to start so many


def siblings(item):
    """Return how many processes the hub has started by now."""
    hub = os.getppid()
    return len(Path(f"/proc/{hub}/task/{hub}/children").read_text().split())


def test_the_first_result_does_not_wait_for_the_last_worker():
    counts = Pipeline(range(200)).task(siblings, workers=MANY).wait_for_result()

    assert counts[0] < MANY
    assert len(counts) == 200


def test_nor_do_later_stages():
    pipe = Pipeline(range(200)).task(int, workers=MANY).task(siblings, workers=MANY)

    with pipe.run() as run:
        assert next(iter(run)) < MANY


def test_a_run_may_be_left_before_all_have_been_started():
    for _ in Pipeline(range(200)).task(int, workers=MANY).task(int, workers=MANY):
        break


def test_a_run_may_end_before_all_have_been_started():
    assert Pipeline([1]).task(str, workers=MANY).wait_for_result() == ["1"]
    with pytest.raises(ValueError, match="invalid literal"):
        Pipeline(["x"]).task(int, workers=MANY).wait_for_result()


# -- who is started, and is told what ---------------------------------------------------------------------------------


def start(worker, slot, stage=1):
    return StartWorker(WorkerId(worker), StageId(stage), slot)


def run(worker):
    return RunFrame(WorkerId(worker), StageId(1), 0, None, 1)


def test_first_workers_of_stages_come_first_and_are_told_what_they_were_to_be_told():
    openings = Openings()
    commands = [start(worker, worker) for worker in range(6)] + [start(6, 0, stage=2)]
    for command in commands:
        openings.add(command)
    restore = RestoreWorker(WorkerId(6), b"")
    assert openings.hold(restore)
    assert openings.hold(run(6))
    assert not openings.hold(run(7))

    assert openings.take() == [(commands[0], []), (commands[6], [restore, run(6)])]
    assert not openings.hold(run(6))
    assert openings.take() == [(each, []) for each in commands[1 : 1 + AT_A_TIME]]
    assert openings.take() == [(commands[5], [])]
    assert not openings
    assert openings.take() == []


def test_nobody_waits_for_those_who_are_asked_for_later():
    openings = Openings()
    for worker in range(1 + AT_A_TIME):
        openings.add(start(worker, worker))
    openings.take()
    openings.add(start(20, 0))  # a successor

    assert [command.slot for command, _ in openings.take()] == list(range(1, 1 + AT_A_TIME))
    assert [command.worker for command, _ in openings.take()] == [20]


def test_who_is_stopped_before_is_never_started():
    openings = Openings()
    openings.add(start(0, 0))
    openings.hold(run(0))

    assert openings.drop(WorkerId(0))

    assert not openings
    assert not openings.drop(WorkerId(0))


def test_a_hub_keeps_nothing_of_the_runs_it_has_served():
    pipe = Pipeline(range(3)).task(str)

    def hub_bytes_after(runs):
        for _ in range(runs):
            pipe.wait_for_result()
        return sum(child.memory_info().rss for child in psutil.Process().children())

    before = hub_bytes_after(30)

    assert hub_bytes_after(120) - before < 1 << 20  # each run has 33 KB
