"""What becomes of an item whose function raised: tried again, replaced, dropped and recorded, or the end of it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum
from typing import Any

from olympipe_like._model.failure import Failure, describe
from olympipe_like._model.options import SKIP, Policy
from olympipe_like._plan.segment import Label
from olympipe_like._worker.blame import blame, input_of, show
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.draws import Draws


class Dropped(Enum):
    """That an item gives nothing."""

    DROPPED = "dropped"


DROPPED = Dropped.DROPPED


class Poisoned(BaseException):
    """Raised in the place of a function that must not be called again: its item cost too many workers, or time."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def as_error(self) -> Exception:
        """Return what a user's ``on_error`` is told."""
        return TimeoutError(self.failure.what) if self.failure.kind == "stage" else RuntimeError(self.failure.what)


class Attempts:
    """One stage's policy, applied to its failing items in one worker."""

    def __init__(
        self, policy: Policy, label: Label, worker: str, *, keeps_items: bool = False, inline: bool = False
    ) -> None:
        self._inline = inline  # Ctrl-C meets the function itself
        self._policy = policy
        self._label = label
        self._worker = worker
        self._keeps_items = keeps_items or policy.on_error == "collect"
        self.draws: Draws | None = None  # of the stage's function, for the records
        self.retried = 0  # since last asked for
        self.records: list[Failure] = []  # of items dropped since last asked for

    @property
    def are_final(self) -> bool:
        """Whether the first exception is the end of the run, and nobody is asked."""
        return self._policy.on_error == "raise" and not self._policy.retry.times

    @property
    def mends(self) -> bool:
        """Whether a failed item may be more than the end of the run."""
        return self._policy.on_error != "raise"

    @property
    def drops(self) -> bool:
        """Whether a failed item is left out, whatever it is."""
        return self._policy.on_error in ("skip", "collect")

    def waits(self) -> Iterator[float]:
        """Give the seconds to wait before each further try."""
        retry = self._policy.retry
        for number in range(retry.times):
            yield retry.wait * retry.factor**number

    def may_retry(self, error: BaseException) -> bool:
        """Whether the policy tries again after this exception."""
        return not isinstance(error, Poisoned) and isinstance(error, self._policy.retry.on)

    def again(self, error: BaseException, call: Callable[[], Any]) -> tuple[Any, BaseException | None, int]:
        """Try again as often as allowed; return the result, or the last exception, and the number of tries in all."""
        tries = 1
        for wait in self.waits():
            if not self.may_retry(error):
                break
            time.sleep(wait)
            tries += 1
            self.retried += 1
            try:
                return call(), None, tries
            except BaseException as later:  # noqa: BLE001 - anything a function raises is its item's failure
                error = later
        return None, error, tries

    def judge(
        self,
        chunk: Chunk,
        index: int,
        error: BaseException,
        tries: int,
        accept: Callable[[Any, Any], Any] | None = None,
        *,
        none_drops: bool = True,
    ) -> Failure | Dropped | tuple[Any]:
        """Return the failure that ends the stream here, `DROPPED`, or the item's replacement in a tuple.

        ``accept`` makes of item and replacement what stands for a result; what it raises is the handler's mistake.
        ``none_drops``: a replacement of None drops the item, as SKIP does.
        """
        policy = self._policy.on_error
        if policy == "raise" or (self._inline and isinstance(error, KeyboardInterrupt)):
            return self.failure(chunk, index, error, tries)
        if callable(policy):
            return self._ask(chunk, index, error, tries, accept, none_drops=none_drops)
        if self._keeps_items:
            self._record(self.failure(chunk, index, error, tries))
        return DROPPED

    def judge_unsent(
        self,
        failure: Failure,
        error: BaseException,
        chunk: Chunk,
        accept: Callable[[Any, Any], Any] | None = None,
        *,
        none_drops: bool = True,
    ) -> Failure | Dropped | tuple[Any]:
        """As `judge`, of a result that cannot be sent, which is not tried again; ``chunk``: the one item it is of."""
        policy = self._policy.on_error
        if callable(policy):
            return self._ask(chunk, 0, error, 1, accept, none_drops=none_drops)
        if self._keeps_items:
            data, why_not = input_of(chunk.items[0])
            failure = replace(failure, input=data, no_input=why_not)
        if policy == "raise":
            return failure
        self._record(failure)
        return DROPPED

    def _ask(
        self,
        chunk: Chunk,
        index: int,
        error: BaseException,
        tries: int,
        accept: Callable[[Any, Any], Any] | None,
        *,
        none_drops: bool,
    ) -> Failure | Dropped | tuple[Any]:
        """Return what the user's handler makes of a failed item."""
        policy = self._policy.on_error
        assert callable(policy)
        told = error.as_error() if isinstance(error, Poisoned) else error
        if not isinstance(told, Exception):
            return self.failure(chunk, index, error, tries)
        try:
            made = policy(chunk.items[index], told)
            if made is not SKIP and (made is not None or not none_drops):
                return (made if accept is None else accept(chunk.items[index], made),)
        except BaseException as later:  # noqa: BLE001 - the user's handler may raise anything
            return self.failure(chunk, index, later, tries)
        if self._keeps_items:
            self._record(self.failure(chunk, index, error, tries))
        return DROPPED

    def _record(self, failure: Failure) -> None:
        if self._keeps_items:
            self.records.append(replace(failure, collected=self._policy.on_error == "collect"))

    def failure(self, chunk: Chunk, index: int, error: BaseException, tries: int) -> Failure:
        """Return the record of a failed item."""
        item, path = chunk.items[index], chunk.path(index)
        seed = self.draws.seed(chunk, index) if self.draws is not None else None
        if not isinstance(error, Poisoned):
            found = blame(error, self._label, self._worker, path=path, item=item, keep=self._keeps_items)
            return replace(found, attempts=tries, seed=seed)
        data, why_not = input_of(item) if self._keeps_items else (None, "")
        return replace(
            error.failure,
            stage=self._label.name,  # the hub knows the worker's stage, which others may ride along with
            place=f"{self._label.number}/{self._label.of}",
            path=path,
            position=describe(path),
            item=show(item),
            input=data,
            no_input=why_not,
            seed=seed,
        )

    def take(self) -> tuple[tuple[Failure, ...], int]:
        """Return the records and the number of further tries since last asked."""
        if not self.records and not self.retried:
            return (), 0
        records, retried = tuple(self.records), self.retried
        self.records, self.retried = [], 0
        return records, retried
