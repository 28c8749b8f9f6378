"""Stages with `workers="auto"`: workers follow the load, nobody is left without one, and nobody is ended at work."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from olympipe_like._model.commands import DropFrame, RunFrame, StartWorker, StopWorker
from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler import staffing
from olympipe_like._scheduler.allotment import Transfer
from olympipe_like._scheduler.auto_stage import AutoStage
from olympipe_like._scheduler.staffing import LONGEST, PERIOD
from tests.scheduler import nodes as n
from tests.scheduler.clockwork import Clockwork
from tests.scheduler.nodes import outcomes
from tests.scheduler.plans import plans
from tests.scheduler.simulator import Simulation

FEW = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
seeds = st.integers(0, 2**32 - 1)


def chain(items, *names, **where):
    """Return a plan of tasks that share workers, one after the other."""
    node = n.source(range(items))
    for name in names:
        node = n.task(node, name=name, auto=True, **where)
    return lay_out([node])


def play(layout, costs, **options):
    return Clockwork(layout, costs, **options).run()


def constant(seconds):
    return lambda value: seconds


# -- where the time goes ----------------------------------------------------------------------------------------------


def test_a_short_run_is_left_alone():
    run = play(chain(10, "first", "second"), {"first": constant(0.02), "second": constant(0.001)}, auto_workers=8)

    assert run.crews == [(0.0, {"first": 1, "second": 1}), *run.crews[1:]]
    assert all(sum(crews.values()) <= 2 for _, crews in run.crews)


def test_a_single_stage_soon_has_all_workers():
    run = play(chain(3000, "only"), {"only": constant(0.01)}, auto_workers=8)

    assert run.crew_at(3 * PERIOD + 0.1) == {"only": 8}
    assert run.now == pytest.approx(30 / 8, rel=0.2)


def test_items_of_minutes_do_not_keep_workers_from_coming():
    run = play(chain(16, "only"), {"only": constant(60.0)}, auto_workers=8)

    assert run.crew_at(2.0) == {"only": 8}
    assert run.now < 60 * 4


def test_workers_follow_a_load_that_shifts():
    costs = {"first": lambda v: 0.01 if v < 2000 else 1e-4, "second": lambda v: 1e-4 if v < 2000 else 0.01}

    run = play(chain(4000, "first", "second"), costs, auto_workers=5)

    assert run.crew_at(3.0) == {"first": 4, "second": 1}
    assert run.crew_at(run.now - 1.5) == {"first": 1, "second": 4}
    assert run.now < 40 / 4 * 1.25
    assert run.values(3) == list(range(4000))


def test_between_stages_that_cost_the_same_nothing_moves():
    run = play(chain(3000, "a", "b", "c"), dict.fromkeys("abc", constant(0.01)), auto_workers=4, cores=2)

    assert run.moves == 0


def test_a_stage_that_waits_for_its_source_or_for_room_gets_no_worker():
    slow = n.task(n.source(range(400)), name="slow", workers=1)
    layout = lay_out([n.task(n.task(slow, name="auto", auto=True), name="narrow", workers=1)])
    costs = {"slow": constant(0.02), "auto": constant(0.012), "narrow": constant(0.02)}

    run = play(layout, costs, auto_workers=8)

    assert max(crews["auto"] for _, crews in run.crews) == 1


def test_what_a_stage_leaves_at_its_end_goes_to_those_that_go_on():
    costs = {"first": constant(0.004), "second": constant(0.02)}

    run = play(chain(400, "first", "second"), costs, auto_workers=3)

    assert max(crews["second"] for _, crews in run.crews) == 3
    assert run.crews[-1][1] == {"first": 0, "second": 0}


def test_stages_that_remember_and_stages_with_a_number_keep_theirs():
    node = n.task(n.source(range(2000)), name="auto", auto=True)
    node = n.fold(n.batch(n.task(node, name="two", workers=2), 4), 0, lambda item, total: total + len(item))
    costs = {"auto": constant(0.01), "two": constant(0.002), "batch": constant(0.002), "fold": constant(0.002)}

    run = Clockwork(lay_out([node]), costs, auto_workers=4)
    most = {spec.name: 0 for spec in run.specs}
    original = run._note_crews

    def count():
        original()
        for spec in run.specs:
            most[spec.name] = max(most[spec.name], len(run.workers_of(spec.id)))

    run._note_crews = count
    run.run()

    assert most["auto"] > 1
    assert (most["two"], most["fold"]) == (2, 1)


def test_workers_that_are_slow_to_start_are_moved_seldom():
    costs = {"first": lambda v: 0.01 if v % 400 < 200 else 1e-4, "second": lambda v: 1e-4 if v % 400 < 200 else 0.01}

    quick, slow = (play(chain(2000, "first", "second"), costs, auto_workers=3, start=start) for start in (0.01, 1.0))

    assert slow.moves < quick.moves
    times = [at for at, _ in slow.crews]
    assert times[1] >= 4.0  # four times what a start takes, and no look before


def test_nobody_looks_at_a_run_in_which_nothing_can_move():
    idle = play(chain(30, "first", "second"), {"first": constant(5.0)}, auto_workers=2)
    busy = play(chain(30, "first", "second"), {"first": constant(5.0)}, auto_workers=3)

    assert idle.ticks == 0
    assert 1 <= busy.ticks <= 3


def test_a_report_can_tell_what_moved_when_and_why():
    costs = {"first": lambda v: 0.01 if v < 500 else 1e-4, "second": lambda v: 1e-4 if v < 500 else 0.01}

    run = play(chain(1000, "first", "second"), costs, auto_workers=3)

    first, second = (run.scheduler.tallies()[run.stage(name)] for name in ("first", "second"))
    assert [(move.to, move.giver, move.workers) for move in first.moved] == [(first.stage, None, 1)]
    assert (second.moved[0].giver, second.moved[0].workers) == (first.stage, 1)
    assert first.moved[0].at == pytest.approx(PERIOD, abs=0.05)
    assert first.moved[0].busy > 0.9
    assert second.moved[0].giver_busy < 0.2
    assert second.on_duty == pytest.approx(second.busy + second.starved + second.blocked, rel=0.1)


def test_the_workers_that_a_stage_had_at_its_end_count_on():
    run = play(chain(50, "first", "last"), {"first": constant(0.001), "last": constant(0.1)}, auto_workers=2)
    assert run.now > 4

    first = run.scheduler.tallies()[run.stage("first")]

    assert first.staff == 1
    assert first.on_duty == pytest.approx(run.now, rel=0.05)


# -- without wavering -------------------------------------------------------------------------------------------------


@FEW
@given(
    weights=st.lists(st.floats(0.1, 1.0), min_size=2, max_size=4),
    spare=st.integers(1, 5),
    unevenness=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    cores=st.sampled_from([2, 4, 100]),
    seed=seeds,
)
def test_under_a_steady_load_workers_soon_stay_where_they_are(weights, spare, unevenness, cores, seed):
    random = Random(seed)
    names = [f"stage{i}" for i in range(len(weights))]
    costs = {
        name: lambda value, w=weight: 0.02 * w * random.uniform(1 - unevenness, 1 + unevenness)
        for name, weight in zip(names, weights, strict=True)
    }

    run = play(chain(400, *names), costs, auto_workers=len(names) + spare, cores=cores)

    note(f"{run.crews}")
    assert run.values(len(names) + 1) == list(range(400))
    assert run.moves <= 2 * spare + 2


def test_a_load_that_goes_to_and_fro_faster_than_workers_can_follow_is_followed_less_and_less():
    period = 100  # items: about as long as it takes to move a worker
    costs = {
        "first": lambda v: 0.01 if v // period % 2 else 1e-4,
        "second": lambda v: 1e-4 if v // period % 2 else 0.01,
    }

    run = play(chain(20_000, "first", "second"), costs, auto_workers=3)

    assert run.moves <= 20 + run.now / LONGEST
    times = [at for at, _ in run.crews]
    assert max(b - a for a, b in pairwise(times)) >= 4 * PERIOD


# -- whatever the policy says -----------------------------------------------------------------------------------------


@contextmanager
def restless(seed):
    """Move workers about all the time, for no reason."""
    random, agreed = Random(seed), []

    def allot(loads, total):
        if agreed:
            made = agreed.pop()
            giver, taker = made[0]
            # Stages may have ended since: then other stages have these places.
            is_known = max(giver, taker) < len(loads) and loads[giver].auto and loads[taker].auto
            return made if is_known and loads[giver].workers > len(made) else []
        autos = [place for place, load in enumerate(loads) if load.auto]
        spare = total - sum(loads[place].workers for place in autos)
        givers = [place for place in autos if loads[place].workers > 1]
        if not autos or random.random() < 0.2:
            return []
        taker = random.choice(autos)
        if spare > 0:
            return [Transfer(None, taker)] * random.randint(1, spare)
        if givers and (giver := random.choice(givers)) != taker:
            agreed.append([Transfer(giver, taker)] * random.randint(1, loads[giver].workers - 1))
            return agreed[0]
        return []

    patch = pytest.MonkeyPatch()
    patch.setattr(staffing, "allot", allot)
    patch.setattr(staffing, "PERIOD", 0.0)
    patch.setattr(staffing, "LONGEST", 0.0)
    patch.setattr(staffing, "STARTS", 0)
    try:
        yield
    finally:
        patch.undo()


@settings(FEW, max_examples=100)
@given(drawn=plans(autos=True), spare=st.integers(0, 4), seed=seeds)
def test_however_workers_come_and_go_every_leaf_gets_all_its_items_in_order(drawn, spare, seed):
    expected = outcomes(drawn.leaves)
    layout = lay_out(drawn.leaves, queue_size=drawn.queue_size)
    autos = sum(stage.spec.auto for stage in layout.stages)
    for each in range(seed, seed + 6):
        note(f"seed {each}")
        with restless(each):
            run = Simulation(layout, seed=each, losses=6, worker_retries=8, auto_workers=autos + spare)
            run.run()

        assert run.failed is None
        assert [(run.values(sink), run.failures[sink] is not None) for sink in layout.sinks] == expected


# -- one by one -------------------------------------------------------------------------------------------------------


def begun(items=20, workers=2, **where):
    """Return a run of one stage, with the workers it shall have."""
    run = Simulation(chain(items, "task", **where), auto_workers=workers, item_seconds=3.0)
    stage = run.scheduler.stages[run.stage("task")]
    assert isinstance(stage, AutoStage)
    (first,) = run.workers_of(stage.id)
    run.make_ready(first)
    want(run, workers)
    return run, stage, first


def want(run, workers):
    """Have the stage change to so many workers; return the commands."""
    run.scheduler.stages[run.stage("task")].want(workers)
    run.pass_time()
    return run.commands


def test_a_worker_that_has_not_come_yet_is_given_nothing():
    run, stage, first = begun()
    (second,) = set(run.workers_of(stage.id)) - {first}
    run.pull(0, 1)
    run.pull(0, 1)
    assert not run.workers[second].queue

    run.make_ready(second)

    assert [command.worker for command in run.commands if isinstance(command, RunFrame)] == [second]


def test_a_worker_that_is_to_go_finishes_what_it_has_and_gets_nothing_more():
    run, stage, first = begun()
    (second,) = set(run.workers_of(stage.id)) - {first}
    run.make_ready(second)
    run.pull(0, 1)
    run.pull(0, 1)
    assert run.workers[first].queue
    assert run.workers[second].queue

    assert not any(isinstance(command, StopWorker) for command in want(run, 1))
    assert len(stage.leaving) == 1
    (leaving,) = stage.leaving
    run.answer(leaving)

    assert StopWorker(leaving) in run.commands
    assert not any(isinstance(command, RunFrame) and command.worker == leaving for command in run.commands)
    assert run.run().values(2) == list(range(20))


def test_an_idle_worker_is_ended_at_once_and_another_takes_its_place_later():
    run, _, first = begun(workers=3)

    stopped = [command.worker for command in want(run, 1) if isinstance(command, StopWorker)]
    assert len(stopped) == 2
    assert first not in stopped

    assert [command.slot for command in want(run, 2) if isinstance(command, StartWorker)] == [1]
    assert run.run().values(2) == list(range(20))


def test_one_that_was_to_go_stays_if_another_dies_in_the_meantime():
    run, stage, first = begun()
    (second,) = set(run.workers_of(stage.id)) - {first}
    run.make_ready(second)
    run.pull(0, 1)
    run.pull(0, 1)
    want(run, 1)
    (leaving,) = stage.leaving
    (other,) = {first, second} - {leaving}

    run.lose(other)

    assert not stage.leaving
    assert run.workers_of(stage.id) == [leaving]
    assert run.run().values(2) == list(range(20))


def test_one_that_dies_while_it_is_to_go_has_no_successor():
    run, stage, _ = begun()
    for worker in run.workers_of(stage.id):
        run.make_ready(worker)
    run.pull(0, 1)
    run.pull(0, 1)
    want(run, 1)
    (leaving,) = stage.leaving

    run.lose(leaving)

    assert not any(isinstance(command, StartWorker) for command in run.commands)
    assert run.run().values(2) == list(range(20))


def both_in_parts():
    """Return a run of one stage whose first worker has the first frame, and its second rests with a later one."""
    exploded = n.explode(n.source(range(2)), lambda value: [value] * 2, auto=True, queue_size=1)  # parts of one item
    run = Simulation(lay_out([exploded]), auto_workers=2, item_seconds=3.0)
    number = run.stage("explode")
    stage = run.scheduler.stages[number]
    (first,) = run.workers_of(number)
    run.make_ready(first)
    stage.want(2)
    run.pass_time()
    (second,) = set(run.workers_of(number)) - {first}
    run.make_ready(second)
    run.pull(0, 1)
    run.pull(0, 1)
    run.answer(second)
    assert run.workers[second].waits
    return run, stage, first, second


def test_one_that_rests_with_a_later_frame_takes_the_earlier_one_of_a_worker_that_has_no_successor():
    run, stage, first, second = both_in_parts()
    stage.want(1)
    run.pass_time()

    run.lose(first)

    assert DropFrame(second) in run.commands
    assert [command.frame.upto for command in run.commands if isinstance(command, RunFrame)] == [(1,)]  # all before 1
    assert run.run().values(2) == [0, 0, 1, 1]


def test_it_does_so_too_if_the_successor_is_let_go_before_it_was_given_anything(monkeypatch):
    run, stage, first, _ = both_in_parts()
    monkeypatch.setattr(run.scheduler._staffing, "look", lambda at: stage.want(1))

    run.lose(first)

    assert [type(command) for command in run.commands if hasattr(command, "worker")] == [
        StartWorker,
        StopWorker,
        DropFrame,
        RunFrame,
    ]
    assert run.run().values(2) == [0, 0, 1, 1]


def test_a_window_that_the_user_gave_grows_with_the_workers_and_keeps_what_it_promised():
    run, stage, _ = begun(queue_size=2, workers=3)
    (edge,) = stage.inputs

    assert edge.capacity == 2 + 3
    want(run, 1)
    assert edge.capacity == 2 + 3


def test_without_room_for_another_worker_the_run_goes_on_with_those_it_has():
    run, stage, first = begun(workers=3)
    second, third = sorted(set(run.workers_of(stage.id)) - {first})
    run.make_ready(second)

    run.refuse(third)

    assert stage.wanted == 2
    assert not any(isinstance(command, StartWorker) for command in run.commands)
    want(run, 3)  # whoever decides knows better from now on; here nobody is asked for all the same
    assert run.workers_of(stage.id) == [first, second]
    assert run.run().values(2) == list(range(20))


def test_a_worker_that_there_is_no_room_for_is_asked_for_again_if_nobody_else_is_left():
    run, stage, first = begun()
    (second,) = set(run.workers_of(stage.id)) - {first}
    run.make_ready(second)
    run.pull(0, 1)
    run.pull(0, 1)
    run.answer(first)
    want(run, 1)
    assert first not in stage.crew
    want(run, 2)
    (third,) = set(run.workers_of(stage.id)) - {second}
    run.answer(second)
    want(run, 1)
    assert second not in stage.crew

    run.refuse(third)

    (command,) = (command for command in run.commands if isinstance(command, StartWorker))
    assert not command.spare
    assert run.run().values(2) == list(range(20))


def test_no_word_of_a_worker_that_was_let_go_before_there_was_no_room_for_it():
    run, stage, first = begun()
    (second,) = set(run.workers_of(stage.id)) - {first}
    want(run, 1)
    assert second not in stage.crew

    run.refuse(second)

    assert run.commands == []
    assert run.run().values(2) == list(range(20))
