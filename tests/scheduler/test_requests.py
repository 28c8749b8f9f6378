"""A stage for requests takes no more from its source than keeps its workers busy, and each worker what it wants."""

from __future__ import annotations

import pytest

from olympipe_like._model.commands import AllowSource, RunFrame, StartWorker
from olympipe_like._model.events import FrameReturned, SourcePulled, WorkerCame, WorkerReady
from olympipe_like._model.frame import Frame, OpCounts
from olympipe_like._model.identity import PayloadId, StageId
from olympipe_like._model.options import Remote
from olympipe_like._plan.layout import lay_out
from olympipe_like._scheduler.scheduler import Scheduler
from tests.scheduler import nodes as n

SOURCE, STAGE = StageId(0), StageId(1)


class Play:
    """A scheduler with one stage for requests, and what it has commanded so far."""

    def __init__(self) -> None:
        where = {"executor": "remote", "workers": 0, "ordered": False, "remote": Remote(address="", own_target=True)}
        self.scheduler = Scheduler(lay_out([n.task(n.source(()), **where)]).specs)
        self.at = 0.0
        self.given = 0
        self.commands = list(self.scheduler.start(self.at))

    def happen(self, event) -> list:
        self.at += 0.001
        new = list(self.scheduler.handle(event))
        self.commands += new
        return new

    def come(self, holds=0):
        """Let a worker come and be ready; return it."""
        (start,) = [each for each in self.happen(WorkerCame(self.at, STAGE)) if isinstance(each, StartWorker)]
        self.happen(WorkerReady(self.at, start.worker, holds))
        return start.worker

    def pull(self, count=1):
        """Let the source give a frame."""
        self.given += count
        frame = Frame(count, count, (self.given,), PayloadId(self.given), 100)
        self.happen(SourcePulled(self.at, SOURCE, frame))

    def answer(self, worker, count=1, seconds=1.0):
        frame = Frame(count, count, (self.given,), PayloadId(10_000 + self.given), 100)
        self.happen(FrameReturned(self.at, worker, frame, (OpCounts(count, count),), seconds))

    @property
    def allowed(self):
        return [each for each in self.commands if isinstance(each, AllowSource)][-1].items

    def held_by(self, worker):
        return sum(isinstance(each, RunFrame) and each.worker == worker for each in self.commands)

    def pull_all(self):
        while self.allowed > self.given and self.given < 1000:
            self.pull()


@pytest.fixture
def play():
    return Play()


def test_without_a_worker_hardly_anything_is_taken(play):
    play.pull_all()

    assert play.given == 2


def test_slow_requests_are_taken_as_far_as_workers_hold_them_and_one_more(play):
    for _ in range(3):
        play.come()

    play.pull_all()

    assert play.given == 3 * 2 + 1


@pytest.mark.parametrize("holds", [1, 2, 5])
def test_a_worker_is_given_as_many_frames_as_it_wants(play, holds):
    worker, other = play.come(holds), play.come(1)

    play.pull_all()

    assert play.held_by(worker) == holds
    assert play.held_by(other) == 1
    assert play.given == holds + 1 + 1


def test_what_is_answered_makes_room_for_as_much(play):
    worker = play.come(2)
    play.pull_all()
    before = play.given

    play.answer(worker)
    play.pull_all()

    assert play.given == before + 1


def test_quick_requests_are_taken_in_company(play):
    worker = play.come(2)
    for _ in range(50):
        play.pull()
        play.answer(worker, seconds=1e-6)

    assert play.allowed - play.given > 100
