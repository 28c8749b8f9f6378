"""A lost worker's frames go to the others; only what can not be asked again, or kills again and again, ends a run."""

from __future__ import annotations

import pytest

from olympipe_like._model import commands as c
from olympipe_like._model import events as e
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._plan.layout import lay_out
from tests.scheduler import nodes as n
from tests.scheduler.models import Chunk
from tests.scheduler.simulator import Simulation, Source, _maker

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


def test_an_item_that_costs_three_workers_is_not_run_again():
    run = play(n.task(n.source(range(9))), item_seconds=0.03)
    run.pull(0, 1)

    for _ in range(3):
        assert run.workers[workers(run)[0]].queue[0].order.poison == ()
        run.lose(*workers(run))

    (worker,) = workers(run)
    (given_up,) = run.workers[worker].queue[0].order.poison
    assert (given_up.ordinal, given_up.attempts, given_up.exit_code) == (0, 3, -9)
    run.run()
    assert run.failures[run.stage("results")].what == "given up"


def several_in_one_frame(**options):
    """Return a run whose one worker has a frame of four items in hand."""
    run = play(n.task(n.source(range(9))), item_seconds=1e-6, **options)
    run.pull(0, 1)
    run.answer(*workers(run))
    run.pull(0, 4)
    return run


def lose(run, **known):
    (worker,) = workers(run)
    run.make_ready(worker)
    run.workers[worker].state = "lost"
    run._event(e.WorkerLost(at=run.now, worker=worker, exit_code=-11, **known))


def order(run):
    (worker,) = workers(run)
    return run.workers[worker].queue[0].order


def test_a_frame_that_cost_a_worker_is_run_again_with_a_note_for_each_item():
    run = several_in_one_frame()
    assert not order(run).careful

    lose(run)

    assert order(run).careful
    assert order(run).frame.count == 4
    assert results(run.run()) == list(range(9))


def test_the_item_found_at_the_second_loss_answers_for_the_first():
    run = several_in_one_frame()

    lose(run)
    lose(run, ordinal=2)
    assert order(run).poison == ()
    lose(run, ordinal=2)

    (given_up,) = order(run).poison
    assert (given_up.ordinal, given_up.attempts) == (2, 3)
    run.run()
    assert results(run) == [0, 1, 2]
    assert run.failures[run.stage("results")].path == (3,)


def test_two_items_of_one_frame_are_counted_apart():
    run = several_in_one_frame()

    lose(run)
    lose(run, ordinal=2)
    lose(run, ordinal=1)
    lose(run, ordinal=1)

    assert order(run).poison == ()
    assert results(run.run()) == list(range(9))


def test_a_loss_that_is_nobodys_fault_costs_no_attempt():
    run = several_in_one_frame()

    for _ in range(10):
        lose(run, excused=True)

    assert results(run.run()) == list(range(9))


def test_an_item_that_took_too_long_is_not_run_again():
    run = several_in_one_frame()

    lose(run, ordinal=3, timed_out=True)

    (given_up,) = order(run).poison
    assert (given_up.ordinal, given_up.attempts, given_up.timed_out) == (3, 1, True)


def test_a_frame_whose_losses_nobody_can_place_ends_the_run():
    run = several_in_one_frame()

    for _ in range(3):
        assert run.failed is None
        (last,) = workers(run)
        lose(run)

    assert run.failed.attempts == 3
    assert run.failed.worker == last
    assert run.failed.frame.upto == (5,)
    assert run.failed.exit_code == -11


def test_losses_of_different_frames_do_not_add_up():
    run = play(n.task(n.source(range(8))), item_seconds=0.03)
    for _ in range(8):
        run.pull(0, 1)
        run.lose(*workers(run))
        run.lose(*workers(run))
        run.answer(*workers(run))

    assert results(run.run()) == list(range(8))


def test_a_worker_that_dies_again_and_again_before_any_answer_ends_the_run():
    run = play(n.task(n.source(range(9)), workers=2))

    for _ in range(3):
        assert run.failed is None
        worker = workers(run)[-1]  # its successor, the next time
        run.workers[worker].state = "dead"
        run.report_loss(worker)

    assert run.failed.attempts == 3
    assert run.failed.frame is None


def test_each_of_many_workers_may_die_before_any_answer():
    run = play(n.task(n.source(range(9)), workers=5))

    for worker in workers(run):
        run.lose(worker)

    assert run.failed is None
    assert results(run.run()) == list(range(9))


def test_a_worker_whose_memory_cannot_be_written_down_is_not_replaced_for_its_age():
    specs = [
        StageSpec(id=0, name="numbers", role=Role.SOURCE),
        StageSpec(
            id=1, name="sum", role=Role.SCAN, inputs=(0,), workers=1, flushes=True, may_die=True, max_items=1, max_rss=1
        ),
        StageSpec(id=2, name="results", role=Role.SINK, inputs=(1,)),
    ]
    (made,) = [stage for stage in lay_out([n.batch(n.source(range(9)), 9)]).stages if stage.segment is not None]
    run = Simulation(specs, sources={0: Source(range(9))}, models={1: _maker(made.segment)}, item_seconds=0.03)
    (worker,) = run.workers_of(1)
    run.pull(0, 1)
    frame = run._frame(1, Chunk([], (1,)))
    run.workers[worker].queue.clear()

    answer = {"frame": frame, "counts": (OpCounts(),), "seconds": 0.0, "snapshot": b"", "rss": 2}
    run._event(e.FrameReturned(at=run.now, worker=worker, **answer))
    run.pull(0, 1)

    assert run.workers_of(1) == [worker]
    assert len(run.workers[worker].queue) == 1


def test_idle_workers_that_die_later_are_replaced_without_end():
    run = play(n.task(n.source(range(3))), item_seconds=0.03)
    run.pull(0, 1)
    run.answer(*workers(run))

    for _ in range(10):
        run.lose(*workers(run))

    assert results(run.run()) == [0, 1, 2]


def all_of(numbers):
    return {
        "batch": n.batch(numbers, 4),
        "reduce": n.fold(numbers, 0, lambda item, total: total + item),
        "gather": n.gather(numbers, n.task(numbers)),
        "zip": n.pair(numbers, n.task(numbers)),
        "unbatch": n.unbatch(n.batch(numbers, 3)),
    }


@pytest.mark.parametrize("kind", all_of(n.source([])))
def test_a_successor_remembers_what_the_lost_worker_knew(kind):
    leaf = all_of(n.source(range(30)))[kind]
    layout = lay_out([leaf])
    ((expected, _),) = n.outcomes([leaf])

    for seed in range(60):
        run = Simulation(layout, seed=seed, losses=6, worker_retries=6).run()

        assert run.failed is None
        assert results(run) == expected


def test_a_successor_hears_no_more_than_the_frames_since_the_last_snapshot():
    run = play(n.batch(n.source(range(9)), 4), item_seconds=0.03)
    scan = run.stage("batch")
    run.random.random = lambda: 0.1  # every answer comes with a snapshot
    for _ in range(5):
        run.pull(0, 1)
        run.answer(*run.workers_of(scan))
    run.random.random = lambda: 0.9  # none does
    for _ in range(2):
        run.pull(0, 1)
        run.answer(*run.workers_of(scan))
    run.pull(0, 1)

    run.lose(*run.workers_of(scan))

    (successor,) = run.workers_of(scan)
    assert c.RestoreWorker in [type(each) for each in run.commands]
    assert [(held.order.replay, held.key[2]) for held in run.workers[successor].queue] == [
        (True, 5),
        (True, 6),
        (False, 7),
    ]


def test_the_loss_of_what_cannot_be_written_down_ends_the_run():
    run = play(n.batch(n.source(range(9)), 2), item_seconds=0.03)
    scan = run.stage("batch")
    run.pull(0, 1)
    (worker,) = run.workers_of(scan)
    frame = run._frame(scan, Chunk([], (1,)))
    run.workers[worker].queue.clear()
    run._event(e.FrameReturned(at=run.now, worker=worker, frame=frame, counts=(OpCounts(),), seconds=0.0, snapshot=b""))

    run._event(e.WorkerLost(at=run.now, worker=worker, exit_code=-11))

    assert run.failed.stage == scan


def test_a_worker_that_has_done_its_share_is_replaced():
    specs = [
        StageSpec(id=0, name="numbers", role=Role.SOURCE),
        StageSpec(id=1, name="task", role=Role.MAP, inputs=(0,), workers=1, max_items=3),
        StageSpec(id=2, name="results", role=Role.SINK, inputs=(1,)),
    ]
    (made,) = [stage for stage in lay_out([n.task(n.source(range(10)))]).stages if stage.segment is not None]

    for seed in range(30):
        model = {1: _maker(made.segment)}
        run = Simulation(specs, sources={0: Source(range(10))}, models=model, seed=seed, item_seconds=0.03).run()

        assert run.values(2) == list(range(10))
        assert len(run.workers) == 4
        assert {worker.state for worker in run.workers.values()} == {"stopped"}


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


def test_idle_workers_that_die_without_end_end_the_run():
    run = play(n.task(n.source(range(3))), item_seconds=0.03)
    run.pull(0, 1)
    run.answer(*workers(run))

    for _ in range(100):
        run.lose(*workers(run))
    assert run.failed is None
    (worker,) = workers(run)
    run.make_ready(worker)
    run.workers[worker].state = "lost"
    run._event(e.WorkerLost(at=run.now, worker=worker, exit_code=-11))

    assert run.failed.attempts == 101
    assert run.failed.frame is None
