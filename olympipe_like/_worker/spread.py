"""What explode and unbatch do: one item becomes many, given in parts as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate, islice
from time import perf_counter
from typing import Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import Path
from olympipe_like._plan.parameters import wants_rng
from olympipe_like._plan.segment import Label
from olympipe_like._worker.attempts import Attempts, Dropped
from olympipe_like._worker.chunk import Chunk, spread_columns
from olympipe_like._worker.draws import Draws
from olympipe_like._worker.steps import Step
from olympipe_like._worker.watch import Watch

PART_SECONDS = 0.001
"""An exploding generator's items wait for company no longer than this; see `_scheduler.sizing.TARGET_SECONDS`."""


class Spread(Step):
    """Explode: one item becomes many, streamed in parts."""

    meets_each = True

    def __init__(
        self, function: Callable[[Any], Any] | None, label: Label, worker: str, attempts: Attempts, watch: Watch
    ) -> None:
        super().__init__(label, worker)
        self._function = function
        self.calls_user = function is not None
        self.wants_rng = function is not None and wants_rng(function, 1)
        self.draws: Draws | None = None
        self.steps_back = False  # paths may be followed by lower ones: what another explode made of items of one path
        self.attempts = attempts
        self.watch = watch
        self._chunk: Chunk | None = None  # what it was given last

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Never asked: `spread` is."""
        raise AssertionError(f"explode answers in parts; asked for one of {chunk} from leg {leg}")

    def spread(self, chunk: Chunk, limit: int) -> Iterator[tuple[Chunk, bool]]:
        """Give the parts, each with whether another follows; a part holds at most ``limit`` items."""
        self._chunk = chunk
        part = _Part()
        floors: list[Path] = []
        for index in range(len(chunk.items)):
            part.used += 1
            given = _Given(partial(self._call, chunk, index), self.attempts, self.watch)
            step = 1
            while not given.ended:
                before, at = len(part.items), perf_counter()
                try:
                    given.pull(part.items, min(step, limit - before))
                except BaseException as error:  # noqa: BLE001 - anything a generator raises is its item's failure
                    self.watch.rest()
                    part.note(index, given, before)  # what came before an exception counts
                    judge = self.attempts.failure if given.is_replacement else self.attempts.judge
                    verdict = judge(chunk, index, error, given.tries)
                    if isinstance(verdict, Failure):
                        self.watch.leave()
                        part.failed += 1
                        yield self._cut(part, chunk, chunk.upto, verdict), False
                        return
                    if isinstance(verdict, tuple):
                        given = _Given(partial(_itself, verdict[0]), self.attempts, Watch(), given.count)
                        given.is_replacement = True
                        continue
                    part.failed += 1
                    break
                part.note(index, given, before)
                self.watch.rehearse(part.items[before:])
                now = perf_counter()
                step = step * 2 if now - at < PART_SECONDS / 8 else 1
                if len(part.items) >= limit or (part.items and now - part.began >= PART_SECONDS):
                    self.watch.leave()  # whoever comes next may make it wait
                    # Not further than the item itself: the next one may have the same path.
                    upto = chunk.path(index)
                    if self.steps_back:
                        floors = floors or _floors(chunk)
                        upto = floors[index]
                    drawn = self._pause(given)
                    yield self._cut(part, chunk, upto, None), True  # what failed comes behind the last part
                    self._go_on(drawn)
                    part = _Part()
                    if not given.ended:
                        self.watch.again()
        self.watch.leave()
        yield self._cut(part, chunk, chunk.upto, chunk.failure), False

    def _call(self, chunk: Chunk, index: int) -> Any:
        item = chunk.items[index]
        if self._function is None:
            return item
        if self.draws is None or not self.draws.active:
            return self._function(item)
        return self._function(item, **self.draws.begin(self.draws.seed(chunk, index)))

    def _pause(self, given: _Given) -> Any:
        """Return where the random numbers of an item are that has more to give; steps behind this one draw now."""
        return None if given.ended or self.draws is None else self.draws.pause()

    def _go_on(self, drawn: Any) -> None:
        if drawn is not None and self.draws is not None:
            self.draws.go_on(drawn)

    def rejudge(self, path: Path, result: Any, failure: Failure, error: BaseException) -> Failure | list[Any]:
        """Ask the policy about the item that gave what cannot be sent; the handler's items take that one's place."""
        del result
        assert self._chunk is not None
        index = self._chunk.find(path[:-1])[0]
        if self.draws is not None:
            failure = replace(failure, seed=self.draws.seed(self._chunk, index))
        verdict = self.attempts.judge_unsent(failure, error, self._chunk.only(index), _listed)
        if isinstance(verdict, Failure):
            return verdict
        made: list[Any] = verdict[0] if isinstance(verdict, tuple) else []
        self.count(OpCounts(0, len(made) - 1, 0, isinstance(verdict, Dropped)))
        return made

    def forget(self) -> None:
        """Let go of the items."""
        self._chunk = None

    def _cut(self, part: _Part, chunk: Chunk, upto: Path, failure: Failure | None) -> Chunk:
        self.count(OpCounts(part.used, len(part.items), 0, part.failed))
        return Chunk(part.items, spread_columns(chunk, part.origins, part.ordinals), upto, failure)


def _floors(chunk: Chunk) -> list[Path]:
    """Return for each item the lowest path that may come with it, or after it."""
    return list(accumulate(reversed(chunk.paths()), min, initial=chunk.upto))[:0:-1]


def _itself(item: Any) -> Any:
    return item


def _listed(item: Any, made: Any) -> list[Any]:
    del item
    return list(made)


class _Part:
    """What has been given since the last answer."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.origins: list[int] = []
        self.ordinals: list[int] = []
        self.used = 0  # input items begun
        self.failed = 0
        self.began = perf_counter()

    def note(self, index: int, given: _Given, before: int) -> None:
        got = len(self.items) - before
        self.origins.extend([index] * got)
        self.ordinals.extend(range(given.count, given.count + got))
        given.count += got


class _Given:
    """What one item is made into; begun anew after an exception, as long as it has given nothing."""

    def __init__(self, call: Callable[[], Any], attempts: Attempts, watch: Watch, count: int = 0) -> None:
        self._call = call
        self._attempts = attempts
        self._watch = watch
        self._waits = attempts.waits()
        self._iterator: Iterator[Any] | None = None
        self._begun = False
        self.count = count  # items given so far
        self.tries = 0
        self.ended = False
        self.is_replacement = False

    def pull(self, items: list[Any], wanted: int) -> None:
        """Append up to so many; note when there are no more."""
        before = len(items)
        while True:
            try:
                if self._iterator is None:
                    self._begin()
                    assert self._iterator is not None
                items.extend(islice(self._iterator, wanted))
            except BaseException as error:
                wait = None
                if self.count == 0 and len(items) == before and self._attempts.may_retry(error):
                    wait = next(self._waits, None)
                if wait is None:
                    raise
                self._attempts.retried += 1
                self._iterator = None
                self._watch.rest()
                time.sleep(wait)
                continue
            self.ended = len(items) - before < wanted
            return

    def _begin(self) -> None:
        self.tries += 1
        if self._watch.active:
            if self._begun:
                self._watch.again()
            else:
                self._begun = True
                self._watch.enter()
        self._iterator = iter(self._call())
