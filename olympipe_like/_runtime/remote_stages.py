"""The caller's side of a run's remote stages: what their gateways must know, and who connects them with the hub."""

from __future__ import annotations

import socket
from dataclasses import replace
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from olympipe_like._model.identity import StageId
from olympipe_like._model.options import Remote
from olympipe_like._model.stats import WorkerStats
from olympipe_like._model.tallies import StageTally
from olympipe_like._plan.layout import LaidStage
from olympipe_like._runtime.orders import RunOrder
from olympipe_like._transport.callables import ShippingError
from olympipe_like.errors import PlanError, PlanTypeError

if TYPE_CHECKING:
    from olympipe_like._remote.run_link import StageNeed

_terms = count(1)  # a machine keeps what it was told once until the run is over


def worker_stats(stage: LaidStage, tally: StageTally) -> list[WorkerStats]:
    """Return what people are shown of a stage's single workers."""
    label, now = stage.labels[stage.main], monotonic()
    return [
        WorkerStats(
            stage=label.name,
            name=f"{label.number}.{each.slot}",
            host=each.host,
            pid=each.pid,
            items=each.items,
            busy=each.busy,
            last_seen=None if each.left or each.seen_at is None else max(now - each.seen_at, 0.0),
            left=each.left,
            seconds=each.seconds,
        )
        for each in tally.workers
    ]


class RemoteStages:
    """The remote stages of one run, and the addresses their workers come to."""

    def __init__(self) -> None:
        self._addresses: list[Remote] = []
        self._stages: list[tuple[LaidStage, Remote, bytes]] = []

    def __len__(self) -> int:
        return len(self._addresses)

    def add(self, stage: LaidStage, remote: Remote, shipment: bytes) -> int:
        """Add a stage; return which of the run's gateways it uses.

        Raises
        ------
        PlanError
            If another stage uses the same machines and would wait for them longer, or take more from them.
        """
        self._stages.append((stage, remote, shipment))
        for number, known in enumerate(self._addresses):
            if (known.address, known.keys) == (remote.address, remote.keys):
                if (known.lost_after, known.max_message) != (remote.lost_after, remote.max_message):
                    raise PlanError(
                        f"stage {stage.labels[stage.main].name!r}: two stages have their workers at {remote.address}, "
                        "so lost_after and max_message must be the same; make one remote() and give it to both"
                    )
                return number
        self._addresses.append(remote)
        return len(self._addresses) - 1

    def join(self, order: RunOrder, memory: int | None) -> list[socket.socket]:
        """Let each gateway work for the run; return the hub's ends of their connections.

        Raises
        ------
        PipelineExecutionError
            If one cannot listen.
        PlanError
            If pyzmq is missing, or a key.
        """
        if not self._addresses:
            return []
        from olympipe_like._remote.gateway_main import Join  # what only runs with remote stages need
        from olympipe_like._remote.gateways import gateway_of

        hubs_ends: list[socket.socket] = []
        try:
            for remote in self._addresses:
                gateway = gateway_of(remote)
                needs = self._needs(remote, order)
                ours, theirs = socket.socketpair()
                hubs_ends.append(ours)
                with theirs:
                    descriptors = [theirs.fileno(), *([memory] if memory is not None else [])]
                    order_of_it = Join(
                        needs, memory is not None, remote.lost_after, remote.max_message, order.surroundings.path
                    )
                    gateway.join(order_of_it, descriptors)
        except BaseException:
            for each in hubs_ends:
                each.close()
            raise
        return hubs_ends

    def _needs(self, address: Remote, order: RunOrder) -> dict[StageId, StageNeed]:
        from olympipe_like._remote import luggage
        from olympipe_like._remote.run_link import StageNeed
        from olympipe_like._remote.speech import Terms

        needs = {}
        for stage, remote, shipment in self._stages:
            if (remote.address, remote.keys) != (address.address, address.keys):
                continue
            modules = luggage.collect(remote.modules)
            terms = Terms(
                number=next(_terms),
                label=tuple(stage.labels[stage.main]),
                senders=tuple(tuple(sender) for sender in stage.senders),
                levels=tuple(order.surroundings.levels),
                timeout=stage.placement.policy.timeout if stage.placement is not None else None,
                tells_rss=stage.spec.max_rss is not None,
                needs=luggage.needed(shipment, order.classes, modules, remote.modules),
                modules=modules,
                plain=remote.serializer != "pickle",
                own_target=remote.own_target,
                most_bytes=remote.max_message,
                codec=_codec_of(remote),
                shipment=shipment,
                classes=dict(order.classes),
            )
            # The functions are in the terms, by value; as they are they may not pickle.
            needs[stage.spec.id] = StageNeed(
                stage.labels[stage.main], replace(remote, dumps=None, loads=None), terms, stage.spec
            )
        return needs


def _codec_of(remote: Remote) -> bytes:
    if remote.serializer == "pickle":
        return b""
    from olympipe_like._remote.serialising import BYTES, MSGPACK, pack_functions

    if remote.serializer == "bytes":
        return BYTES
    if remote.dumps is None or remote.loads is None:
        return MSGPACK
    try:
        return pack_functions(remote.dumps, remote.loads)
    except ShippingError as error:
        raise PlanTypeError(f"dumps= and loads= cannot be sent to the workers: {error}") from error
