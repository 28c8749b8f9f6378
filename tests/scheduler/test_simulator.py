"""The simulation itself: every mistake that is planted in the scheduler is found."""

from __future__ import annotations

import pytest

from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ends import SinkStage, SourceStage
from olympipe_like._scheduler.invariants import check
from olympipe_like._scheduler.ledger import Payloads
from olympipe_like._scheduler.release import Release
from olympipe_like._scheduler.work import WorkStage
from tests.scheduler import nodes as n
from tests.scheduler.plans import is_even, twice
from tests.scheduler.simulator import Simulation

NUMBERS = n.source(range(14))
WORKERS = n.task(NUMBERS, workers=3, queue_size=2)
PLANS = [
    WORKERS,
    n.task(WORKERS, workers=2),
    n.explode(WORKERS, twice, workers=2, queue_size=2),
    n.batch(n.gather(n.keep(NUMBERS, is_even), n.task(NUMBERS, workers=2)), 3),
    n.limit(WORKERS, 5),
]
SEEDS = range(20)


def everything(losses=0):
    """Play all plans with many seeds; the first promise that is broken ends it."""
    for leaf in PLANS:
        layout = lay_out([leaf], queue_size=2)
        for seed in SEEDS:
            run = Simulation(layout, seed=seed, losses=losses, worker_retries=losses).run()
            if not run.failed:
                assert [(run.values(sink), False) for sink in layout.sinks] == n.outcomes([leaf])


def twice_over(original, *args):
    original(*args)
    return original(*args)


def never(original, *args, **kwargs):
    return None


MISTAKES = {
    "the oldest frame is not admitted": (Edge, "admits", lambda f, edge, number, items=1: edge.items < 2),
    "a window has no end": (Edge, "admits", lambda f, edge, number, items=1: True),
    "a source has no window": (Edge, "room", lambda f, edge, size: 1000),
    "a frame is finished without its room": (Edge, "withdraw", never),
    "frames are delivered as they come": (Edge, "next", lambda f, edge: edge._numbers[0] if edge._numbers else None),
    "payloads are not freed": (Payloads, "drop", never),
    "payloads are not held": (Payloads, "hold", never),
    "a frame is held twice": (Payloads, "hold", twice_over),
    "sources are not stopped": (SourceStage, "stop", never),
    "sinks do not end": (SinkStage, "_finished", never),
    "a lost frame is forgotten": (Edge, "give_back", never),
    "stages end early": (WorkStage, "_end_if_done", lambda f, stage: stage.end(stage.inputs[0].low)),
    "parts go out before their turn": (Release, "may_go_on", lambda f, release, key: True),
    "generators are not asked to go on": (WorkStage, "_send_parts", lambda f, stage: None),
    "legs are not told to have ended": (WorkStage, "_tell_end", lambda f, stage, edge: False),
}


def test_without_a_mistake_nothing_is_found():
    everything()
    everything(losses=3)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(mistake, monkeypatch):
    owner, name, wrong = MISTAKES[mistake]
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: wrong(original, *args, **kwargs))

    with pytest.raises((AssertionError, KeyError, IndexError)):
        everything(losses=3)


def damage_items(run):
    run.scheduler.stages[0].outputs[0].items += 1


def damage_allowance(run):
    run.scheduler.stages[0].allowed_items += 100


def damage_hands(run):
    stage = run.scheduler.stages[1]
    one, other = stage.crew._tasks.values()
    other.append(one[0])


def damage_order(run):
    run.scheduler.stages[0].outputs[0].low += 2


@pytest.mark.parametrize("damage", [damage_items, damage_allowance, damage_hands, damage_order])
def test_a_scheduler_that_contradicts_itself_is_found(damage):
    run = Simulation(lay_out([n.task(NUMBERS, workers=2, queue_size=3)]), item_seconds=0.03)
    run.pull(0, 1)
    run.pull(0, 1)
    check(run.scheduler)

    damage(run)

    with pytest.raises(AssertionError, match=r"edge|source|stage"):
        check(run.scheduler)
