"""A lost worker's frames go to the others; only what can not be asked again, or kills again and again, ends a run."""

from __future__ import annotations

import pytest

from olympipe_like._model import commands as c
from olympipe_like._model import events as e
from olympipe_like._plan.layout import lay_out
from tests.scheduler import nodes as n
from tests.scheduler.simulator import Simulation

ENDLESS = range(10**9)


def play(*leaves, queue_size=None, **options):
    return Simulation(lay_out(leaves, queue_size=queue_size), **options)


def results(run):
    return run.values(run.stage("results"))


def workers(run, stage="task"):
    return run.workers_of(run.stage(stage))


def test_a_lost_workers_frame_goes_to_its_successor():
    run = play(n.task(n.source(range(4))), item_seconds=0.03)
    run.pull(0, 1)
    (worker,) = workers(run)

    run.lose(worker)

    (successor,) = workers(run)
    assert [type(each) for each in run.commands] == [c.StartWorker, c.RunFrame]
    assert run.workers[successor].queue[0].key == (run.stage("task"), 0, 0)
    assert run.workers[successor].slot == run.workers[worker].slot
    assert results(run.run()) == [0, 1, 2, 3]


def test_a_free_worker_takes_a_lost_ones_frame_before_newer_ones():
    run = play(n.task(n.source(range(9)), workers=2), item_seconds=0.03)
    first, second = workers(run)
    for _ in range(4):
        run.pull(0, 1)
    run.lose(first)

    taken = [run.workers[each].queue[0].key[2] for each in workers(run)]

    assert sorted(taken) == [0, 1]
    assert second in workers(run)


def test_frames_a_lost_worker_had_not_begun_cost_no_attempt():
    run = play(n.task(n.source(range(9))), item_seconds=1e-6)
    run.pull(0, 1)
    run.answer(*workers(run))
    run.pull(0, 1)
    run.pull(0, 1)
    (worker,) = workers(run)
    assert len(run.workers[worker].queue) == 2

    run.lose(worker)
    run.answer(*workers(run))  # the frame that was worked on
    for _ in range(2):
        run.lose(*workers(run))

    assert run.failed is None
    assert results(run.run()) == list(range(9))


def test_a_frame_that_costs_three_workers_ends_the_run():
    run = play(n.task(n.source(range(9))), item_seconds=0.03)
    run.pull(0, 1)

    run.lose(*workers(run))
    run.lose(*workers(run))
    assert run.failed is None
    (last,) = workers(run)
    run.lose(last)

    assert run.failed.attempts == 3
    assert run.failed.worker == last
    assert run.failed.frame.upto == (1,)
    assert run.failed.exit_code == -9


def test_losses_of_different_frames_do_not_add_up():
    run = play(n.task(n.source(range(8))), item_seconds=0.03)
    for _ in range(8):
        run.pull(0, 1)
        run.lose(*workers(run))
        run.lose(*workers(run))
        run.answer(*workers(run))

    assert results(run.run()) == list(range(8))


def test_workers_that_die_before_any_answer_end_the_run():
    run = play(n.task(n.source(range(9)), workers=2))

    for _ in range(3):
        assert run.failed is None
        run.lose(workers(run)[0])

    assert run.failed.attempts == 1
    assert run.failed.frame is None


def test_idle_workers_that_die_later_are_replaced_without_end():
    run = play(n.task(n.source(range(3))), item_seconds=0.03)
    run.pull(0, 1)
    run.answer(*workers(run))

    for _ in range(10):
        run.lose(*workers(run))

    assert results(run.run()) == [0, 1, 2]


@pytest.mark.parametrize("leaf", [lambda s: n.batch(s, 2), lambda s: n.gather(s, n.task(s))], ids=["batch", "gather"])
def test_the_loss_of_what_a_worker_remembered_ends_the_run(leaf):
    run = play(leaf(n.source(range(9))), item_seconds=0.03)
    scan = next(spec.id for spec in run.specs if spec.name in {"batch", "gather"})
    run.pull(0, 1)

    run.lose(*run.workers_of(scan))

    assert run.failed.stage == scan


def test_a_late_answer_of_a_lost_worker_has_no_effect():
    run = play(n.task(n.source(range(3))), item_seconds=0.03)
    run.pull(0, 1)
    (worker,) = workers(run)
    run.lose(worker)

    run.late_answer(worker)

    assert run.commands == []
    assert results(run.run()) == [0, 1, 2]


def test_the_end_of_a_worker_that_was_asked_to_stop_is_its_own_affair():
    run = play(n.task(n.source(range(3)))).run()
    (worker,) = run.workers

    run._event(e.WorkerLost(at=9.0, worker=worker, exit_code=1))

    assert run.commands == []


@pytest.mark.parametrize("before", [n.task, lambda s: n.batch(s, 1)], ids=["a task", "a batch"])
def test_a_worker_whose_answer_nobody_wants_any_more_may_be_lost(before):
    numbers = n.source(ENDLESS)
    busy = before(numbers)
    run = play(n.limit(busy, 1), n.limit(numbers, 4, "others"), item_seconds=0.03)
    stage = next(spec.id for spec in run.specs if spec.workers)
    for _ in range(3):
        run.pull(0, 1)
    run.answer(*run.workers_of(stage))
    held = [number for number in run.workers_of(stage) if run.workers[number].queue]

    for worker in held:
        run.lose(worker)

    assert run.failed is None
    run.run()
    assert [len(items) for items in run.delivered.values()] == [1, 4]


def test_a_lost_workers_room_is_given_back():
    run = play(n.task(n.source(range(30)), workers=3), queue_size=2, item_seconds=0.03)
    for number in range(9):
        run.run_without(("answer", workers(run)[number % 3]), "consume")
        run.lose(workers(run)[number % 3])
        run.run_without("consume")
        run.consume(run.stage("results"))

    assert results(run.run()) == list(range(30))
