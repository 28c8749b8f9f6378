"""Runs that stand still, the caller's side: waits for results and looks meanwhile; what this process's workers do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeVar

from olympipe_like._executors.port import ChunkExecutor, WorkerStack
from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import StageId
from olympipe_like._plan.segment import Label
from olympipe_like._runtime.driver import Driver
from olympipe_like._scheduler.standing import Hand, standing, waits_for
from olympipe_like._worker.stacks import of_thread

T = TypeVar("T")

_LOGGER = logging.getLogger("olympipe_like")


def own_stacks(executors: Iterable[ChunkExecutor], sources: Iterable[threading.Thread]) -> list[WorkerStack]:
    """Return what the workers and sources of a run that live in this process are doing."""
    found = [stack for executor in executors for stack in executor.stacks()]
    threads = [WorkerStack(f"thread {thread.name}", of_thread(thread.ident)) for thread in sources]
    return found + [stack for stack in threads if stack.text]


def report(text: str, *, fatal: bool) -> Failure | None:
    """Return the failure of a run that stood still too long, or warn of one that stands still."""
    if fatal:
        return Failure(kind="stall", stage="", place="", what=text)
    _LOGGER.warning("%s", text)
    return None


class LocalStall:
    """Watches a run without a hub while its consumer waits."""

    def __init__(
        self,
        driver: Driver,
        lock: threading.RLock,
        labels: Mapping[StageId, Label],
        stacks: Callable[[], list[WorkerStack]],
    ) -> None:
        self._driver = driver
        self._lock = lock
        self._labels = labels
        self._stacks = stacks

    def get(self, queue: SimpleQueue[T], timeout: float | None) -> T | Failure:
        """Return what comes next in the queue, or the failure of a run that stood still too long.

        Raises
        ------
        Empty
            If nothing came within ``timeout`` seconds.
        """
        until = monotonic() + timeout if timeout is not None else None
        while True:
            # Nobody wakes us when the run goes on and comes to a stand again: then the second look is this late.
            due = self._driver.watch.due
            seconds = due - monotonic() if due is not None else self._driver.watch.longest
            if until is not None:
                seconds = min(seconds, until - monotonic())
            try:
                return queue.get(timeout=max(seconds, 0.0))
            except Empty:
                if (failure := self._look()) is not None:
                    return failure
                if until is not None and monotonic() >= until:
                    raise

    def _look(self) -> Failure | None:
        at = monotonic()
        with self._lock:
            verdict = self._driver.watch.look(at, waits_for(standing(self._driver.scheduler)))
            if verdict is None:
                return None
            from olympipe_like._runtime.stall_text import Account, with_stacks  # no ordinary run needs it

            text = Account(self._driver, self._labels, self._name).tell(verdict, at)
        return report(with_stacks(text, self._stacks()), fatal=verdict.fatal)

    def _name(self, stage: StageId, hand: Hand) -> str:
        return f"worker {self._labels[stage].number}.{hand.slot}"
