"""What a hub is told at the start of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from olympipe_like._model.options import Limits
from olympipe_like._model.topology import StageSpec
from olympipe_like._plan.segment import Label
from olympipe_like._worker.startup import Surroundings


class HubStage(NamedTuple):
    """One stage, as far as the hub needs to know it."""

    spec: StageSpec
    label: Label
    runs: Literal[
        "process", "hosted", "caller", "remote", "nowhere"
    ]  # its workers, or its source; caller: iterated there
    senders: tuple[Label, ...] = ()  # for each leg, the step whose results come in
    timeout: float | None = None  # seconds an item may take, where a process runs it
    shipment: bytes | None = None  # of the segment, or of the source, where a process runs it
    gateway: int | None = None  # which of the run's gateways its remote workers come by
    looks: bool = False  # its workers look at frames in shared memory instead of copying them


class RunOrder(NamedTuple):
    """A whole run.

    Its descriptors come with it, in this order: memory (if any), gateways, results, host (if any), feeds.
    """

    stages: tuple[HubStage, ...]
    classes: Mapping[str, bytes]
    surroundings: Surroundings
    status_interval: float | None  # seconds between reports to the caller
    preload: tuple[str, ...]  # modules that the hub imports once instead of each worker
    limits: Limits
    descriptors: int  # how many come along
    has_memory: bool
    has_host: bool
    gateways: int  # to workers of other machines
    stall_timeout: float | None  # seconds without progress after which the caller wants to fail
    stall_warning: float  # those after which it wants to know


class Refused(NamedTuple):
    """Hub to caller: the run could not begin."""

    reason: str


class Idle(NamedTuple):
    """Hub to caller: nothing of the run is left, the next may come."""
