"""What the hub of a run and the gateway to other machines say to each other, beside what workers say."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.identity import StageId, WorkerId


class Came(NamedTuple):
    """Gateway to hub: a worker of another machine is free for a stage."""

    stage: StageId


class Declined(NamedTuple):
    """Hub to gateway: the stage has ended, and wants no more workers."""

    stage: StageId


class Based(NamedTuple):
    """Gateway to hub: where a worker has been started."""

    worker: WorkerId
    host: str
    pid: int


class Lost(NamedTuple):
    """Gateway to hub: a worker's process has ended without being asked to."""

    worker: WorkerId
    exit_code: int | None
    pid: int
    ordinal: int | None  # the item it was at
    timed_out: bool
    excused: bool


class Left(NamedTuple):
    """Gateway to hub: a worker's machine is not there any more, or will not have the worker; no item is to blame."""

    worker: WorkerId
    lost: bool  # without a good-bye
    why: str


class Noted(NamedTuple):
    """Gateway to hub: something people should know."""

    level: int
    text: str
    stage: StageId | None = None


class Hopeless(NamedTuple):
    """Gateway to hub: a stage has had no worker for as long as it may."""

    stage: StageId
    why: str


class Seen(NamedTuple):
    """Gateway to hub: when the machines of these workers gave their last sign of life (`monotonic`, seconds)."""

    workers: tuple[tuple[WorkerId, float], ...]
