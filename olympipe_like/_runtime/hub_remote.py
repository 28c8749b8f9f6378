"""The hub's side of the gateways: workers of other machines that come, go and die."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

from olympipe_like._model.commands import StartWorker
from olympipe_like._model.events import WorkerCame, WorkerLeft, WorkerLost
from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import StageId
from olympipe_like._runtime.hub_workers import HubWorker, HubWorkers
from olympipe_like._runtime.log_records import LogQueue
from olympipe_like._runtime.obituary import notice_of_death
from olympipe_like._runtime.orders import HubStage
from olympipe_like._runtime.peers import Peer, Peers
from olympipe_like._transport import messages as wire
from olympipe_like._transport.connection import Channel, Message
from olympipe_like._transport.remote_messages import Based, Came, Declined, Hopeless, Left, Lost, Noted, Seen


class Hub(Protocol):
    """What the run does with what is heard."""

    def _handle(self, event: Any) -> None: ...
    def _fail(self, failure: object) -> None: ...
    def _from_worker(self, peer: Peer, received: Message) -> None: ...


class RemoteWorkers:
    """The gateways of one run."""

    def __init__(self, hub: Hub, crew: HubWorkers, peers: Peers, logs: LogQueue) -> None:
        self._hub = hub
        self._crew = crew
        self._peers = peers
        self._logs = logs
        self._gateways: list[Peer] = []
        self._stages: dict[StageId, HubStage] = {}
        self._started = 0
        self.hosts: dict[tuple[StageId, int | None], str] = {}  # of every remote worker there was, by its process id

    def add(self, channel: Channel, stages: Sequence[HubStage]) -> None:
        """Begin to listen to a gateway."""
        number = len(self._gateways)
        self._gateways.append(self._peers.add(channel, self._receive, self._gone))
        self._stages.update((stage.spec.id, stage) for stage in stages if stage.gateway == number)

    def runs(self, stage: HubStage, slot: int) -> bool:
        """Whether this worker of a stage is to run on another machine."""
        return stage.gateway is not None and slot >= stage.spec.workers

    def start(self, stage: HubStage, command: StartWorker) -> None:
        """Let the gateway start a worker on the machine that has offered one."""
        assert stage.gateway is not None
        self._started += 1
        peer = self._gateways[stage.gateway]
        self._crew.add(command.worker, HubWorker(stage, command.slot, peer, None))
        peer.send(wire.Start(command.worker, command.stage, command.slot))

    def _receive(self, peer: Peer, received: Message) -> None:
        message, _ = received
        match message:
            case Came():
                before = self._started
                self._hub._handle(WorkerCame(at=monotonic(), stage=message.stage))
                if self._started == before:
                    peer.send(Declined(message.stage))
            case Based():
                worker = self._crew.workers.get(message.worker)
                if worker is not None:
                    worker.host, worker.pid = message.host, message.pid
                    self.hosts[worker.stage.spec.id, message.pid] = message.host
            case Lost():
                self._lost(message)
            case Left():
                self._left(message)
            case Noted():
                stage = self._stages.get(message.stage) if message.stage is not None else None
                self._logs.note(message.level, message.text, stage.label.name if stage is not None else "")
            case Hopeless():
                label = self._stages[message.stage].label
                place = f"{label.number}/{label.of}"
                self._hub._fail(Failure(kind="worker", stage=label.name, place=place, what=message.why))
            case Seen():
                for identity, at in message.workers:
                    if identity in self._crew.workers:
                        self._crew.workers[identity].seen_at = at
            case _:
                self._hub._from_worker(peer, received)

    def _lost(self, message: Lost) -> None:
        worker = self._crew.workers.pop(message.worker, None)
        if worker is None or worker.stopping:
            return
        worker.left = True
        timeout = worker.stage.timeout if message.timed_out or message.excused else None
        label = worker.stage.label
        title, text = notice_of_death(label, worker.slot, message.pid, message.exit_code, timeout, worker.host)
        self._logs.note(logging.WARNING, text, label.name, title)
        loss = WorkerLost(
            at=monotonic(),
            worker=message.worker,
            exit_code=message.exit_code,
            pid=message.pid,
            ordinal=message.ordinal,
            timed_out=message.timed_out,
            excused=message.excused,
        )
        self._hub._handle(loss)

    def _left(self, message: Left) -> None:
        worker = self._crew.workers.pop(message.worker, None)
        if worker is None or worker.stopping:
            return
        worker.left = True
        label = worker.stage.label
        failure = Failure(
            kind="worker",
            stage=label.name,
            place=f"{label.number}/{label.of}",
            what=f"worker is lost ({message.why}), and with worker_retries=0 nothing is run twice",
            position=f"it held {worker.in_hand} frames",
            worker=f"worker {label.number}.{worker.slot} on {worker.host}",
        )
        self._hub._handle(WorkerLeft(monotonic(), message.worker, message.lost, failure))

    def _gone(self) -> None:
        self._hub._fail(
            Failure(
                kind="worker",
                stage=", ".join(stage.label.name for stage in self._stages.values()),
                place="",
                what="the gateway process to the remote workers has ended; its last words, if any, are on stderr",
            )
        )
