"""How a stage runs, as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, NamedTuple, TypedDict

from olympipe_like.errors import PlanError, PlanTypeError

ExecutorName = Literal["process", "thread", "async", "inline"]
EXECUTORS: tuple[ExecutorName, ...] = ("process", "thread", "async", "inline")
Where = Literal["process", "thread", "async", "inline", "remote"]  # what a placement says; remote: see `Remote`
Workers = int | Literal["auto"]  # as a stage is given them


class Skip:
    """The type of `SKIP`: "no item here", where None is an ordinary value."""

    def __repr__(self) -> str:
        return "SKIP"

    def __reduce__(self) -> str:
        return "SKIP"  # the one object of this module: `is` holds in every process

    def __bool__(self) -> bool:
        return False


SKIP = Skip()


class Limits(NamedTuple):
    """What a whole run may cost."""

    max_failures: float | None = None  # items, or below 1 a share of the source's
    memory: int | None = None  # bytes of items on their way
    stall_timeout: float | None = None  # seconds without progress
    auto_workers: int | None = None  # those that stages with workers="auto" share; None: one for each


NO_LIMITS = Limits()

OnError = Literal["raise", "skip", "collect"] | Callable[[Any, Exception], Any]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an item that raised is tried again, after how long, and for which exceptions.

    Parameters
    ----------
    times : int, at least 0
        Tries after the first.
    wait : float, seconds
        Before the first of them.
    factor : float, at least 1
        By how much each wait is longer than the one before.
    on : tuple of exception types
        Others are not tried again. With `TimeoutError` among them an item that ran into ``timeout`` is.
    """

    times: int = 1
    wait: float = 0.0
    factor: float = 2.0
    on: tuple[type[BaseException], ...] = (Exception,)

    def __post_init__(self) -> None:
        on: object = self.on  # whatever its annotation says
        kinds = on if isinstance(on, tuple) else (on,)
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise PlanTypeError(f"Retry: on must be a tuple of exception types, got {on!r}")
        object.__setattr__(self, "on", kinds)
        if type(self.times) is not int:
            raise PlanTypeError(f"Retry: times must be a whole number, got {self.times!r}")
        if self.times < 0:
            raise PlanError(f"Retry: times must be >= 0, got {self.times!r}")
        for name, least in (("wait", 0), ("factor", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise PlanTypeError(f"Retry: {name} must be a number, got {value!r}")
            if not least <= float(value) < math.inf:
                raise PlanError(f"Retry: {name} must be >= {least} and finite, got {value!r}")

    @property
    def timeouts(self) -> int:
        """How often an item that ran into its timeout is tried again."""
        return self.times if any(issubclass(TimeoutError, kind) for kind in self.on) else 0


class WorkerOptions(TypedDict, total=False):
    """What every stage that runs user code accepts by keyword, about its workers and the items that fail in them."""

    retries: int | Retry  # tries after the first
    timeout: float | None  # seconds per item; process workers are replaced, coroutines are cancelled
    worker_retries: int  # how many workers an item may cost before it counts as failed (default 2 after the first)
    max_items_per_worker: int | None  # a worker is replaced after so many
    max_rss: int | str | None  # a worker is replaced when it holds more memory: bytes, or "2GB"
    copy: bool  # False: arrays come as views of shared memory, which cannot be written to; process workers only


class PolicyOptions(WorkerOptions, total=False):
    """As `WorkerOptions`, and what becomes of an item that fails for good."""

    on_error: OnError  # raise (default): the run fails; skip, collect: drop the item; callable: gives its replacement


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What happens to an item that fails, and to the worker it fails in."""

    on_error: OnError = "raise"
    retry: Retry = field(default=Retry(times=0))
    timeout: float | None = None  # seconds
    worker_retries: int = 2
    max_items: int | None = None  # of one worker
    max_rss: int | None = None  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Workers of other machines, which come to an address of this one; `olympipe_like.remote.remote` makes it."""

    address: str
    keys: str | None = None  # folder, or file of our own secret key; None: for workers that this program starts
    min_workers: int = 1
    prefetch: int = 2  # frames a worker may have in hand
    lost_after: float = 10.0  # seconds without a sign of life
    reconnect_for: float = 60.0  # seconds a stage may be without any worker, once it had some
    local_workers: int = 0  # processes of this machine that work beside them
    modules: tuple[str, ...] = ()  # travel with the functions
    max_message: int = 1 << 30  # bytes of one frame of items
    serializer: Literal["pickle", "msgpack", "own", "bytes"] = "pickle"  # bytes: every item is some, travelling as is
    dumps: Callable[[Any], bytes] | None = None  # own: of one item
    loads: Callable[[bytes], Any] | None = None
    own_target: bool = False  # workers bring the function along, and nothing is sent to them but requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a stage runs, how much of it at once, and what happens when it fails."""

    executor: Where = "process"
    remote: Remote | None = None  # where executor is "remote"
    workers: int = 1
    auto: bool = False  # that many to begin with; the run gives it more, or takes them away
    ordered: bool = True
    queue_size: int | None = None
    policy: Policy = field(default=Policy())
    copy: bool = True  # arrays are the worker's own; False: it may be given views that it cannot write to
