"""What the operators without memory do to the items of one chunk."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain, compress, repeat
from operator import add
from typing import TYPE_CHECKING, Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import Path
from olympipe_like._model.options import SKIP, Skip
from olympipe_like._plan.parameters import wants_rng
from olympipe_like._plan.segment import Label
from olympipe_like._worker.attempts import Attempts, Dropped
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.draws import Draws
from olympipe_like._worker.watch import Watch

if TYPE_CHECKING:
    import asyncio


_NOTHING = OpCounts()


class Step(ABC):
    """One operator in a worker. `run` never raises: a failing item ends the chunk and travels with it."""

    meets_each = False  # enters its watch once for each item it is given

    def __init__(self, label: Label, worker: str) -> None:
        self.label = label
        self.worker = worker
        self.counts = OpCounts()  # since last asked for
        self.done = False  # wants no more input
        self.keeps = False  # failed items go into their records

    @abstractmethod
    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return what becomes of a chunk."""

    def count(self, made: OpCounts) -> None:
        """Add what was done with some items."""
        self.counts = made if self.counts is _NOTHING else OpCounts(*map(add, self.counts, made))

    def take_counts(self) -> OpCounts:
        """Return what was done since last asked."""
        counts, self.counts = self.counts, _NOTHING
        return counts

    def end(self, leg: int) -> Chunk | None:
        """Return what was held for a leg that has ended."""
        del leg
        return None

    @property
    def held(self) -> int:
        """How many items, or other things of the user's, it remembers."""
        return 0

    def state(self) -> Any:
        """Return what it remembers, for a successor; None: nothing ever."""
        return None

    def restore(self, state: Any) -> None:  # noqa: B027 - most steps remember nothing
        """Remember what a predecessor did."""

    def begin(self, taken: int) -> int:
        """Begin as if so many items had been taken, all of them given since; return for how many of them ghosts stand.

        A shuffle's places are counted, so something must be in them.
        """
        del taken
        return 0

    def rejudge(self, path: Path, result: Any, failure: Failure, error: BaseException) -> Failure | list[Any]:
        """Return what the policy puts in the place of a result that cannot be sent; counts the difference."""
        del path, result, error
        return failure

    def forget(self) -> None:  # noqa: B027 - most steps hold nothing
        """Let go of what `rejudge` needed."""

    def close(self) -> None:  # noqa: B027 - most steps hold nothing
        """Give back what was built for this worker."""


def callable_of(function: Any) -> Callable[..., Any]:
    """Return what to call: the function, or an object's ``transform``."""
    made: Callable[..., Any] = function if callable(function) else function.transform
    return made


class PerItem(Step):
    """Steps that call a function once an item; what they make of the results is the only difference."""

    meets_each = True

    def __init__(
        self, function: Callable[[Any], Any], label: Label, worker: str, attempts: Attempts, watch: Watch
    ) -> None:
        super().__init__(label, worker)
        self.function = function
        self.attempts = attempts
        self.watch = watch
        self.draws: Draws | None = None
        self.wants_rng = wants_rng(function, 1)
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - asked for its kind, not for its presence
        )
        self.timeout: float | None = None  # seconds a coroutine may take; others are watched by the hub
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen: tuple[Chunk, list[Any]] | None = None  # what it was given last, and made of it

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Apply the function to each item."""
        del leg
        if self.is_async:
            # A coroutine function in a worker that has no loop of its own: one item at a time.
            import asyncio  # takes 20 ms, for those who use it

            from olympipe_like._worker.coroutines import run

            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            return run(self._loop, self.run_async(chunk))
        results: list[Any] = []
        dropped: list[int] = []
        watched = self.watch.active or (self.draws is not None and self.draws.active)
        while True:
            done = len(results)
            try:
                if watched:
                    self._apply_watched(chunk, results)
                else:
                    self.apply(chunk.items[done:] if done else chunk.items, results)
            except BaseException as error:
                index = len(results)
                if index == len(chunk.items):
                    raise  # not by the function: Ctrl-C behind the last item
                self.watch.rest()
                tries = 1
                if self.attempts.may_retry(error):
                    call = partial(self._once_more, chunk, index)
                    result, failed, tries = self.attempts.again(error, call)
                    if failed is None:
                        results.append(result)
                        continue
                    error = failed
                verdict = self.verdict(chunk, index, error, tries)
                if isinstance(verdict, Failure):
                    self.watch.leave()
                    return self._settle(chunk, results, dropped, verdict)
                self._take(verdict, results, dropped)
                continue
            if watched or done:  # else it was not told of any item
                self.watch.leave()
            return self._settle(chunk, results, dropped)

    def apply(self, items: list[Any], results: list[Any]) -> None:
        """Append each item's result; on an exception their number tells which item raised."""
        function = self.function
        for item in items:
            results.append(function(item))  # noqa: PERF401 - should it raise, those before are there

    def _apply_watched(self, chunk: Chunk, results: list[Any]) -> None:
        """As `apply`, telling the hub which item it is at, and giving each item its random numbers."""
        for index in range(len(results), len(chunk.items)):
            if self.watch.active:
                self.watch.enter()
            result = self.judge(self._call(chunk, index))
            self.watch.rehearse((result,))
            results.append(result)

    def _call(self, chunk: Chunk, index: int) -> Any:
        if self.draws is None or not self.draws.active:
            return self.function(chunk.items[index])
        return self.function(chunk.items[index], **self.draws.begin(self.draws.seed(chunk, index)))

    def _once_more(self, chunk: Chunk, index: int) -> Any:
        self.watch.again()
        try:
            return self.judge(self._call(chunk, index))
        finally:
            self.watch.rest()

    def _take(self, verdict: Dropped | tuple[Any], results: list[Any], dropped: list[int]) -> None:
        if isinstance(verdict, tuple):
            results.append(verdict[0])
        else:
            dropped.append(len(results))
            results.append(None)

    async def run_async(self, chunk: Chunk) -> Chunk:
        """Apply the coroutine function to each item, one after the other."""
        from olympipe_like._worker.coroutines import attempt

        results: list[Any] = []
        dropped: list[int] = []
        for index in range(len(chunk.items)):
            call = self._watched(chunk, index) if self.watch.active else partial(self._call, chunk, index)
            result, error, tries = await attempt(call, self.attempts, self.judge, self.timeout, self.watch.rest)
            verdict: Failure | Dropped | tuple[Any] = (result,)
            if error is not None:
                verdict = self.verdict(chunk, index, error, tries)
            if isinstance(verdict, Failure):
                self.watch.leave()
                return self._settle(chunk, results, dropped, verdict)
            self._take(verdict, results, dropped)
        self.watch.leave()
        return self._settle(chunk, results, dropped)

    def _watched(self, chunk: Chunk, index: int) -> Callable[[], Any]:
        """Return what calls the function with an item and tells the hub that it is at it, or at it again."""
        begin = chain((self.watch.enter,), repeat(self.watch.again))

        def call() -> Any:
            next(begin)()
            return self._call(chunk, index)

        return call

    def judge(self, result: Any) -> Any:
        """Return what to keep of a result."""
        return result

    def verdict(self, chunk: Chunk, index: int, error: BaseException, tries: int) -> Failure | Dropped | tuple[Any]:
        """Return what the policy makes of a failed item."""
        return self.attempts.judge(chunk, index, error, tries, self.replacement)

    def replacement(self, item: Any, made: Any) -> Any:
        """Return what to keep of what ``on_error`` gave in the place of a result."""
        del item
        return made

    @abstractmethod
    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the chunk of the items that gave these results."""

    def _settle(self, chunk: Chunk, results: list[Any], dropped: list[int], failure: Failure | None = None) -> Chunk:
        """Return what became of the items with results; those dropped for good count as failed."""
        self._seen = chunk, results
        given = len(results)
        failed = len(dropped)
        if failure is not None:
            failed += 1
            chunk = chunk.with_items(chunk.items[:given])
            chunk.failure = failure
        if dropped:
            kept = [True] * given
            for index in dropped:
                kept[index] = False
            chunk = chunk.select(kept)
            results = list(compress(results, kept))
        made = self.make(chunk, results)
        taken = given + (failure is not None)
        self.count(OpCounts(taken, len(made.items), taken - failed - len(made.items), failed))
        return made

    def rejudge(self, path: Path, result: Any, failure: Failure, error: BaseException) -> Failure | list[Any]:
        """Ask the policy about the item that a result was made of."""
        assert self._seen is not None
        chunk, results = self._seen
        found = chunk.find(path)
        # Of several with one path it is the one whose result this is; what a leg of a split picked is no result itself.
        index = next((each for each in found if results[each] is result or chunk.items[each] is result), found[0])
        if self.draws is not None:
            failure = replace(failure, seed=self.draws.seed(chunk, index))
        verdict = self.verdict_unsent(failure, error, chunk.only(index))
        if isinstance(verdict, Failure):
            return verdict
        made = self.outputs(result, verdict[0]) if isinstance(verdict, tuple) else []
        failed = isinstance(verdict, Dropped)
        self.count(OpCounts(0, len(made) - 1, 1 - len(made) - failed, failed))
        return made

    def verdict_unsent(self, failure: Failure, error: BaseException, chunk: Chunk) -> Failure | Dropped | tuple[Any]:
        """As `verdict`, of an item whose result cannot be sent."""
        return self.attempts.judge_unsent(failure, error, chunk, self.replacement)

    def outputs(self, result: Any, made: Any) -> list[Any]:
        """Return what goes out for an item when ``made`` stands in the place of its function's result."""
        del result
        return [made]

    def forget(self) -> None:
        """Let go of the items."""
        self._seen = None

    def close(self) -> None:
        """Close the loop, if there is one."""
        if self._loop is not None:
            from olympipe_like._worker.coroutines import end_loop

            end_loop(self._loop)


class Map(PerItem):
    """Task, class_task, split: the results are the items; SKIP drops one."""

    drops_later = False  # whoever pickles the results sees whether SKIP is among them, which costs less than to look

    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the results without those dropped."""
        made = chunk.with_items(results)
        return made if self.drops_later else without_skipped(made)

    def drop(self, chunk: Chunk) -> Chunk:
        """Return a chunk of results, pickled meanwhile, without those dropped."""
        made = without_skipped(chunk)
        gone = len(chunk.items) - len(made.items)
        self.count(OpCounts(0, -gone, gone))
        return made


def without_skipped(chunk: Chunk) -> Chunk:
    """Return a chunk without `SKIP`."""
    # By type: == on items may be anything, and slow; nothing else that looks at each of them is as quick.
    if Skip not in set(map(type, chunk.items)):
        return chunk
    return chunk.select([item is not SKIP for item in chunk.items])


class Select(PerItem):
    """Filter: the items whose result is true."""

    def apply(self, items: list[Any], results: list[Any]) -> None:
        """Append each item's verdict; a result whose truth is not defined fails like the function itself."""
        function = self.function
        for item in items:
            results.append(True if function(item) else False)  # noqa: SIM210, PERF401 - bool() is as slow as a function

    def judge(self, result: Any) -> bool:
        """Return the truth of a result."""
        return bool(result)

    def replacement(self, item: Any, made: Any) -> bool:
        """Return the verdict given in the place of the function's."""
        del item
        return bool(made)

    def outputs(self, result: Any, made: Any) -> list[Any]:
        """Return the item if the verdict is to keep it."""
        return [result] if made else []

    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the items kept."""
        return chunk.select(results)


class Tap(PerItem):
    """Calls the function, keeps the item."""

    def verdict(self, chunk: Chunk, index: int, error: BaseException, tries: int) -> Failure | Dropped | tuple[Any]:
        """Keep the item whatever the handler returns, but for SKIP: nobody looks at what a tap's function returns."""
        return self.attempts.judge(chunk, index, error, tries, none_drops=False)

    def verdict_unsent(self, failure: Failure, error: BaseException, chunk: Chunk) -> Failure | Dropped | tuple[Any]:
        """Keep the item, as above."""
        return self.attempts.judge_unsent(failure, error, chunk, none_drops=False)

    def outputs(self, result: Any, made: Any) -> list[Any]:
        """Return the item as it is."""
        del made
        return [result]

    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the items as they were."""
        del results
        return chunk
