"""A state machine over the scheduler: any plan, any order of events, every fault, and what must hold after each step.

`test_random_plans` leaves the choice of events to a seed and reaches far with many. Here Hypothesis chooses each
event itself, so that it can look for the worst order of few, and shows the shortest one that breaks a promise.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from olympipe_like._model import events as e
from olympipe_like._model.failure import READING
from olympipe_like._model.topology import Role
from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.recovery import Suspects
from olympipe_like._scheduler.scheduler import Scheduler
from tests.scheduler.nodes import outcomes
from tests.scheduler.plans import plans
from tests.scheduler.simulator import Simulation
from tests.scheduler.test_random_plans import given_by

which = st.integers(0, 11)  # of those things that could happen; taken modulo how many there are


class Runs(RuleBasedStateMachine):
    """One run of one plan. The simulation checks the scheduler's own books after every event, and each command."""

    @initialize(drawn=plans(), seed=st.integers(0, 99), retries=st.integers(0, 3))
    def begin(self, drawn, seed, retries):
        self.drawn = drawn
        self.layout = lay_out(drawn.leaves, queue_size=drawn.queue_size)
        self.expected = outcomes(drawn.leaves)
        self.run = Simulation(self.layout, seed=seed, worker_retries=retries)
        self.slow = set()
        self.accused = Counter()  # (frame, item) -> workers it was known to have cost

    # -- what may happen ----------------------------------------------------------------------------------------------

    def found(self, kind):
        if self.run.failed is not None:
            return []
        return [who for each, who in self.run.possible() if each == kind and who not in self.slow]

    def happens(self, kind, which):
        found = self.found(kind)
        if found:
            getattr(self.run, kind)(found[which % len(found)])

    def workers(self, state, *, busy=False):
        if self.run.failed is not None:
            return []
        return [
            number
            for number, worker in self.run.workers.items()
            if worker.state == state and (not busy or (worker.queue and not worker.waits))
        ]

    @rule(which=which, times=st.integers(1, 6))
    def a_source_gives_frames(self, which, times):
        for _ in range(times):
            self.happens("pull", which)

    @rule(which=which)
    def a_worker_has_loaded_its_function(self, which):
        self.happens("make_ready", which)

    @rule(which=which, times=st.integers(1, 6))
    def a_worker_answers(self, which, times):
        for _ in range(times):
            self.happens("answer", which)

    @rule(which=which, times=st.integers(1, 6))
    def the_caller_is_done_with_results(self, which, times):
        for _ in range(times):
            self.happens("consume", which)

    @rule(which=which)
    def somebody_becomes_slow(self, which):
        everybody = [who for _, who in self.run.possible()]
        if everybody:
            self.slow.add(everybody[which % len(everybody)])

    @rule()
    def all_are_quick_again(self):
        self.slow.clear()

    @precondition(lambda self: not self.run.finished)
    @rule(which=which)
    def a_worker_dies_and_nobody_knows_yet(self, which):
        alive = self.workers("alive")
        if alive:
            self.run.workers[alive[which % len(alive)]].state = "dead"

    @precondition(lambda self: not self.run.finished)
    @rule(stage=which)
    def all_workers_of_a_stage_die(self, stage):
        for number in self.workers("alive"):
            if self.run.workers[number].stage == stage % len(self.run.specs):
                self.run.workers[number].state = "dead"

    @rule(which=which)
    def a_death_is_told(self, which):
        self.happens("report_loss", which)

    @rule(which=which)
    def a_death_is_told_twice(self, which):
        lost = self.workers("lost")
        if lost:
            self.repeat(e.WorkerLost(at=self.run.now, worker=lost[which % len(lost)], exit_code=-9))

    @rule(which=which)
    def a_lost_worker_says_that_it_is_ready(self, which):
        lost = self.workers("lost")
        if lost:
            self.repeat(e.WorkerReady(at=self.run.now, worker=lost[which % len(lost)]))

    @rule(which=which)
    def an_answer_of_a_lost_worker_comes_after_all(self, which):
        lost = self.workers("lost")
        if lost:
            self.run.late_answer(lost[which % len(lost)])

    def repeat(self, event):
        self.run._event(event)
        assert self.run.commands == [], f"{event} came too late, and had an effect: {self.run.commands}"

    @precondition(lambda self: not self.run.finished)
    @rule(which=which, item=which, reading=st.booleans(), times=st.integers(1, 4))
    def an_item_is_known_to_have_ended_its_worker(self, which, item, reading, times):
        found = self.accusable()
        if not found:
            return
        key = found[which % len(found)][1].key
        for _ in range(times):  # whoever has the frame next
            number, held = next(((n, held) for n, held in self.accusable() if held.key == key), (None, None))
            if number is not None:
                self.accuse(number, held, item % held.order.frame.count + READING * reading)

    def accuse(self, number, held, ordinal):
        given_up = {case.ordinal for case in held.order.poison}
        if given_up.isdisjoint({ordinal, ordinal - READING, ordinal + READING}):
            spec = self.run.specs[held.order.stage]
            self.accused[held.key, ordinal] += 1
            assert self.accused[held.key, ordinal] <= spec.worker_retries + 1, f"{ordinal} of {held} is run again"
            self.run.make_ready(number)
            self.run.workers[number].state = "dead"
            self.run.report_loss(number, ordinal=ordinal)

    def accusable(self):
        found = []
        for number in self.workers("alive", busy=True):
            worker = self.run.workers[number]
            held, spec = worker.queue[0], self.run.specs[worker.stage]
            if held.order.frame is not None and held.order.frame.count and spec.role is Role.MAP and not spec.parts:
                found.append((number, held))
        return found

    @precondition(lambda self: self.run.events > 30 and not self.run.stopping and not self.run.finished)
    @rule()
    def the_caller_leaves(self):
        self.run.stop()

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def what_was_delivered_is_the_beginning_of_what_must_be(self):
        if self.run.stopping:
            return  # what is given for the end of the input comes sooner; looked at in the end
        for sink, (values, _) in zip(self.layout.sinks, self.expected, strict=True):
            delivered = self.run.values(sink)
            assert delivered == values[: len(delivered)], f"sink {sink} got {delivered} of {values}\n{self.run}"

    @invariant()
    def a_run_is_over_or_something_can_happen(self):
        over = self.run.finished or self.run.failed is not None
        assert over or self.run.possible(), f"DEADLOCK\n{self.run}"

    def teardown(self):
        """Let the run come to its end without further faults: nothing is missing then."""
        note(str(self.run))
        self.run.run_without()
        if self.run.failed is not None:
            return
        self.run.check_end()
        if self.run.gave_up:
            if not self.run.stopping:
                self.what_was_delivered_is_the_beginning_of_what_must_be()
            return
        given = given_by(self.drawn, self.layout, self.run) if self.run.stopping else None
        found = [(self.run.values(sink), self.run.failures[sink] is not None) for sink in self.layout.sinks]
        assert found == outcomes(self.drawn.leaves, given), str(self.run)


Runs.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # `explain` takes longer than all others
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestRuns = pytest.mark.timeout(120)(Runs.TestCase)


def late_answers_count(scheduler, event):
    owner = scheduler._owner[event.worker]
    if isinstance(event, e.FrameReturned):
        owner.returned(event)
    elif event.worker in owner.crew:
        (owner.ready if isinstance(event, e.WorkerReady) else owner.lost)(event)


MISTAKES = {
    "late answers count": (Scheduler, "_worker_event", late_answers_count),
    "a lost frame is forgotten": (Edge, "give_back", lambda *args: None),
    "frames are delivered as they come": (Edge, "next", lambda edge: edge._numbers[0] if edge._numbers else None),
    "an item given up is run again": (Suspects, "poison", lambda *args: ()),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(mistake, monkeypatch):
    owner, name, wrong = MISTAKES[mistake]
    monkeypatch.setattr(owner, name, wrong)
    quickly = settings(Runs.TestCase.settings, phases=[Phase.generate], derandomize=True)

    with pytest.raises((AssertionError, KeyError, IndexError)):
        run_state_machine_as_test(Runs, settings=quickly)
