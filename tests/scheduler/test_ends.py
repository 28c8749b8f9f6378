"""How runs end: after the last item, after a failed one, when the caller wants no more."""

from __future__ import annotations

import pytest

from olympipe_like._model import commands as c
from olympipe_like._model import events as e
from olympipe_like._plan.layout import lay_out
from tests.scheduler import nodes as n
from tests.scheduler.plans import is_even
from tests.scheduler.simulator import Simulation, Source

ENDLESS = range(10**9)
SEEDS = range(30)


def breaks_at(number):
    def function(value):
        if value == number:
            raise ValueError(value)
        return value

    return function


def play(*leaves, queue_size=None, **options):
    return Simulation(lay_out(leaves, queue_size=queue_size), **options)


def results(run):
    return run.values(run.stage("results"))


# -- the ordinary end -------------------------------------------------------------------------------------------------


def test_a_run_of_nothing_ends():
    run = play(n.batch(n.task(n.source([]), workers=3), 2)).run()

    assert results(run) == []


def test_a_run_is_over_when_all_is_delivered_not_when_all_is_consumed():
    run = play(n.task(n.source(range(3))))

    run.run_without("consume")

    assert run.finished
    assert run.payloads

    run.run()
    assert not run.payloads


def test_workers_are_stopped_as_soon_as_their_stage_has_no_more_to_do():
    run = play(n.task(n.task(n.source(range(3)), name="first", workers=2), name="second"), item_seconds=0.03)
    second = run.stage("second")

    run.run_without(("answer", *run.workers_of(second)))

    assert run.workers_of(run.stage("first")) == []
    assert run.workers_of(second) != []


def test_every_leaf_ends_for_itself():
    numbers = n.source(range(5))
    layout = lay_out([n.limit(numbers, 2), n.task(numbers), numbers])

    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert [run.values(sink) for sink in layout.sinks] == [[0, 1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]


# -- failed items -----------------------------------------------------------------------------------------------------

BROKEN = {
    "one worker": (lambda s: n.task(s, breaks_at(7)), list(range(7))),
    "three workers": (lambda s: n.task(s, breaks_at(7), workers=3), list(range(7))),
    "a stage after it": (lambda s: n.task(n.task(s, breaks_at(7), workers=2), workers=3), list(range(7))),
    "a filter after it": (lambda s: n.keep(n.task(s, breaks_at(7)), is_even, workers=2), [0, 2, 4, 6]),
    "a batch after it": (lambda s: n.batch(n.task(s, breaks_at(7), workers=2), 3), [[0, 1, 2], [3, 4, 5]]),
    "a sum after it": (lambda s: n.fold(n.task(s, breaks_at(7)), 0, lambda v, total: v + total), []),
    "a skip after it": (lambda s: n.skip(n.task(s, breaks_at(7), workers=2), 5), [5, 6]),
    "a larger limit after it": (lambda s: n.limit(n.task(s, breaks_at(7), workers=2), 9), list(range(7))),
    "an explode after it": (lambda s: n.explode(n.task(s, breaks_at(2)), lambda v: [v, -v], workers=2), [0, 0, 1, -1]),
    "a gather after it": (lambda s: n.gather(n.task(s, breaks_at(3)), n.task(s)), [0, 0, 1, 1, 2, 2]),
    "a zip after it": (lambda s: n.pair(n.task(s), n.task(s, breaks_at(2))), [(0, 0), (1, 1)]),
    "a concat after it": (lambda s: n.concat(n.task(s, breaks_at(3)), s), [0, 1, 2]),
    "two that break": (lambda s: n.task(n.task(s, breaks_at(9), workers=3), breaks_at(4), workers=3), list(range(4))),
}


@pytest.mark.parametrize("queue_size", [1, 3, None])
@pytest.mark.parametrize("broken", BROKEN)
def test_everything_before_a_failed_item_is_delivered_and_nothing_after_it(broken, queue_size):
    make, expected = BROKEN[broken]
    layout = lay_out([make(n.source(ENDLESS))], queue_size=queue_size)
    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert results(run) == expected
        assert run.failures[layout.sinks[0]] is not None
        assert run.sources[0].told_to_stop


def test_another_leaf_goes_on_without_the_one_that_failed():
    numbers = n.source(range(30))
    layout = lay_out([n.task(numbers, breaks_at(3), "broken", workers=2), n.task(numbers, name="whole", workers=2)])
    for seed in SEEDS:
        run = Simulation(layout, seed=seed).run()

        assert [run.values(sink) for sink in layout.sinks] == [[0, 1, 2], list(range(30))]


def test_a_generator_that_failed_is_not_asked_again():
    def half(value):
        yield value
        yield value
        raise ValueError

    for seed in SEEDS:
        run = play(n.explode(n.source(ENDLESS), half, workers=2), queue_size=2, seed=seed).run()

        assert results(run) == [0, 0]
        assert run.sources[0].told_to_stop


@pytest.mark.parametrize("before", [lambda s: s, lambda s: n.batch(s, 2), lambda s: n.task(s, workers=2)])
def test_a_source_that_breaks_fails_after_its_last_item(before):
    layout = lay_out([before(n.source(range(4)))])
    for seed in SEEDS:
        run = Simulation(layout, sources={layout.stages[0].spec.id: Source(range(4), breaks=True)}, seed=seed).run()

        assert results(run) == ([[0, 1], [2, 3]] if len(results(run)) == 2 else [0, 1, 2, 3])
        assert run.failures[layout.sinks[0]].what == "source"


def test_a_worker_that_cannot_start_fails_the_run():
    run = play(n.task(n.source(range(4))))
    (worker,) = run.workers_of(run.stage("task"))

    run._event(e.WorkerFailed(at=0.0, worker=worker, failure="no such device"))

    assert [each for each in run.commands if isinstance(each, c.FailRun)] == [
        c.FailRun("no such device", run.stage("task"), worker)
    ]


def test_a_run_fails_once_although_every_worker_cannot_start():
    run = play(n.task(n.source(range(4)), workers=3))

    for worker in run.workers_of(run.stage("task")):
        run._event(e.WorkerFailed(at=0.0, worker=worker, failure="no such device"))

    assert run.failed is not None
    assert run.commands == []


# -- wanting no more --------------------------------------------------------------------------------------------------


def test_after_a_stop_all_that_was_pulled_is_delivered():
    run = play(n.task(n.source(ENDLESS), workers=2), item_seconds=0.03)
    for _ in range(3):
        run.pull(0, 1)

    run.stop()
    assert run.sources[0].told_to_stop
    run.run()

    assert results(run) == list(range(run.sources[0].pulled))


def test_after_a_stop_a_batch_gives_what_it_holds():
    run = play(n.batch(n.source(ENDLESS), 10))
    run.pull(0, 1)

    run.stop()
    run.sources[0].allowed = 1  # it gives no more before it ends
    run.run()

    assert results(run) == [[0]]


def test_a_stop_after_the_end_changes_nothing():
    run = play(n.task(n.source(range(3)))).run()

    run.stop()

    assert run.commands == []


def test_a_stage_that_answers_a_failed_frame_unopened_still_gives_what_its_worker_holds():
    def breaks_after_two(value):
        yield value
        yield value
        if value == 5:
            raise ValueError(value)

    spread = n.explode(n.source(range(6)), breaks_after_two)
    layout = lay_out([n.task(n.batch(spread, 1), workers=2), spread])

    for seed in range(300):
        run = Simulation(layout, seed=seed).run()

        assert [len(run.values(sink)) for sink in layout.sinks] == [12, 12]
