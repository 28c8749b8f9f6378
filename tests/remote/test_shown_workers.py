"""People are shown the workers of other machines that have begun, and no others."""

from __future__ import annotations

from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._model.tallies import StageTally
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._plan.segment import Label
from olympipe_like._runtime.hub_workers import HubWorker, HubWorkers
from olympipe_like._runtime.orders import HubStage

STAGE = HubStage(StageSpec(StageId(1), "decode", Role.MAP), Label("decode", "task", 1, 1), "remote", gateway=0)
COUNTS = (StageTally(StageId(0), (), 0, 0, 0, 0, 0), StageTally(StageId(1), (), 0, 0, 0, 0, 0))


def test_a_worker_is_shown_once_its_machine_has_begun_it():
    workers = HubWorkers(None, None, None, lambda: None)
    begun, asked_for = (HubWorker(STAGE, slot, None, None) for slot in range(2))
    workers.add(WorkerId(1), begun)
    workers.add(WorkerId(2), asked_for)

    begun.host, begun.pid = "nodeb", 4711

    source, stage = workers.with_workers(COUNTS)
    assert source.workers == ()
    assert [(each.slot, each.host, each.pid) for each in stage.workers] == [(0, "nodeb", 4711)]


def test_a_worker_that_was_lost_is_shown_on():
    workers = HubWorkers(None, None, None, lambda: None)
    lost = HubWorker(STAGE, 0, None, None)
    workers.add(WorkerId(1), lost)
    lost.host, lost.pid, lost.left = "nodeb", 4711, True
    del workers.workers[WorkerId(1)]

    _, stage = workers.with_workers(COUNTS)

    assert [each.left for each in stage.workers] == [True]
