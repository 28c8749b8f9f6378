"""What the operators without memory do to the items of one chunk."""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from olympipe_like._model.failure import describe
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.options import SKIP
from olympipe_like._plan import operators as ops
from olympipe_like._plan.layout import Label
from olympipe_like._worker.blame import blame, show
from olympipe_like._worker.chunk import Chunk, spread_columns

if TYPE_CHECKING:
    import asyncio

PART_SECONDS = 0.001
"""An exploding generator's items wait for company no longer than this; see `_scheduler.sizing.TARGET_SECONDS`."""


class Step(ABC):
    """One operator in a worker. `run` never raises: a failing item ends the chunk and travels with it."""

    def __init__(self, label: Label, worker: str) -> None:
        self.label = label
        self.worker = worker
        self.counts = OpCounts()  # of the last call
        self.done = False  # wants no more input

    @abstractmethod
    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return what becomes of a chunk."""

    def end(self, leg: int) -> Chunk | None:
        """Return what was held for a leg that has ended."""
        del leg
        return None

    def close(self) -> None:  # noqa: B027 - most steps hold nothing
        """Give back what was built for this worker."""

    def failed(self, chunk: Chunk, out: list[Any], error: BaseException) -> Chunk:
        """Return the items before the failed one, and its record."""
        index = len(out)
        path = chunk.path(index)
        failure = blame(error, self.label, self.worker, path=path, item=chunk.items[index])
        result = chunk.with_items(out)
        result.failure = failure
        return result


def callable_of(function: Any) -> Callable[..., Any]:
    """Return what to call: the function, or an object's ``transform``."""
    made: Callable[..., Any] = function if callable(function) else function.transform
    return made


class PerItem(Step):
    """Steps that call a function once an item; what they make of the results is the only difference."""

    def __init__(self, function: Callable[[Any], Any], label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - asked for its kind, not for its presence
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Apply the function to each item."""
        del leg
        if self.is_async:
            # A coroutine function in a worker that has no loop of its own: one item at a time.
            if self._loop is None:
                import asyncio  # takes 20 ms, for those who use it

                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(self.run_async(chunk))
        results: list[Any] = []
        try:
            self.apply(chunk.items, results)
        except BaseException as error:  # noqa: BLE001 - anything a function raises is its item's failure
            return self._settle(self.failed(chunk, chunk.items[: len(results)], error), results, failed=1)
        return self._settle(chunk, results)

    async def run_async(self, chunk: Chunk) -> Chunk:
        """Apply the coroutine function to each item, one after the other."""
        import asyncio

        results: list[Any] = []
        try:
            for item in chunk.items:
                result = self.function(item)
                if isinstance(result, Awaitable):
                    result = await result
                results.append(self.judge(result))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and getattr(task, "cancelling", lambda: 1)():
                raise  # the run is being stopped, not the item
            return self._settle(self.failed(chunk, chunk.items[: len(results)], error), results, failed=1)
        except BaseException as error:  # noqa: BLE001 - as above
            return self._settle(self.failed(chunk, chunk.items[: len(results)], error), results, failed=1)
        return self._settle(chunk, results)

    def apply(self, items: list[Any], results: list[Any]) -> None:
        """Append each item's result; on an exception their number tells which item raised."""
        function, append = self.function, results.append
        for item in items:
            append(function(item))

    def judge(self, result: Any) -> Any:
        """Return what to keep of a result."""
        return result

    @abstractmethod
    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the chunk of the items that gave these results."""

    def _settle(self, chunk: Chunk, results: list[Any], failed: int = 0) -> Chunk:
        made = self.make(chunk, results)
        self.counts = OpCounts(len(results) + failed, len(made.items), len(results) - len(made.items), failed)
        return made

    def close(self) -> None:
        """Close the loop, if there is one."""
        if self._loop is not None:
            self._loop.close()


class Map(PerItem):
    """Task, class_task, split: the results are the items; SKIP drops one."""

    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the results without those dropped."""
        made = chunk.with_items(results)
        # By identity: == on items may be anything, and slow.
        kept = [result is not SKIP for result in results]
        return made if all(kept) else made.select(kept)


class Select(PerItem):
    """Filter: the items whose result is true."""

    def apply(self, items: list[Any], results: list[Any]) -> None:
        """Append each item's verdict; a result whose truth is not defined fails like the function itself."""
        function, append = self.function, results.append
        for item in items:
            append(bool(function(item)))

    def judge(self, result: Any) -> bool:
        """Return the truth of a result."""
        return bool(result)

    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the items kept."""
        return chunk.select(results)


class Tap(PerItem):
    """Calls the function, keeps the item."""

    def make(self, chunk: Chunk, results: list[Any]) -> Chunk:
        """Return the items as they were."""
        del results
        return chunk


class Truth(Step):
    """Filter without a function, and legs of a split: decided by looking at the item."""

    def __init__(self, keep: Callable[[Any], bool], pick: int | None, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._keep = keep
        self._pick = pick

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the items to keep."""
        del leg
        items = chunk.items
        if self._pick is not None:
            items = [item[self._pick] for item in items]
        made = Chunk(items, chunk.columns, chunk.upto, chunk.failure)
        made = made.select([self._keep(item) for item in items])
        self.counts = OpCounts(len(items), len(made.items), len(items) - len(made.items))
        return made


def is_given(item: object) -> bool:
    """Whether an item is meant for this leg of a partition."""
    return item is not SKIP


def is_not_none(item: object) -> bool:
    """Whether a filter without a function keeps the item; SKIP is never an item."""
    return item is not None and item is not SKIP


class Print(Step):
    """Debug: prints and passes on."""

    def __init__(self, op: ops.Debug, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._op = op
        self._seen = 0

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Print every n-th item."""
        del leg
        for index, item in enumerate(chunk.items):
            if self._seen % self._op.every == 0:
                # One write a line, so that lines of several workers do not mix.
                sys.stdout.write(f"{self._op.label or self._op.name}: {describe(chunk.path(index))}: {show(item)}\n")
            self._seen += 1
        if chunk.items:
            sys.stdout.flush()
        self.counts = OpCounts(len(chunk.items), len(chunk.items))
        return chunk


class Spread(Step):
    """Explode: one item becomes many, streamed in parts."""

    def __init__(self, function: Callable[[Any], Any] | None, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._function = function

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Never asked: `spread` is."""
        raise AssertionError(f"explode answers in parts; asked for one of {chunk} from leg {leg}")

    def spread(self, chunk: Chunk, limit: int) -> Iterator[tuple[Chunk, bool]]:
        """Give the parts, each with whether another follows; a part holds at most ``limit`` items."""
        items: list[Any] = []
        origins: list[int] = []
        ordinals: list[int] = []
        used = 0  # input items begun since the last part
        began = perf_counter()
        for index, item in enumerate(chunk.items):
            used += 1
            ordinal = 0
            iterator: Iterator[Any] | None = None
            ended = False
            step = 1
            while not ended:
                before, at = len(items), perf_counter()
                wanted = min(step, limit - before)
                failure = chunk.failure
                try:
                    if iterator is None:
                        iterator = iter(item if self._function is None else self._function(item))
                    items.extend(islice(iterator, wanted))
                except BaseException as error:  # noqa: BLE001 - anything a generator raises is its item's failure
                    failure = blame(error, self.label, self.worker, path=chunk.path(index), item=item)
                got = len(items) - before  # what came before an exception counts
                origins.extend([index] * got)
                ordinals.extend(range(ordinal, ordinal + got))
                ordinal += got
                if failure is not chunk.failure:
                    self.counts = OpCounts(used, len(items), 0, 1)
                    yield Chunk(items, spread_columns(chunk, origins, ordinals), chunk.upto, failure), False
                    return
                ended = got < wanted
                now = perf_counter()
                step = step * 2 if now - at < PART_SECONDS / 8 else 1
                if len(items) >= limit or (items and now - began >= PART_SECONDS):
                    self.counts = OpCounts(used, len(items))
                    # Not further than the item itself: the next one may have the same path.
                    yield Chunk(items, spread_columns(chunk, origins, ordinals), chunk.path(index)), True
                    items, origins, ordinals, used = [], [], [], 0
                    began = perf_counter()
        self.counts = OpCounts(used, len(items))
        yield Chunk(items, spread_columns(chunk, origins, ordinals), chunk.upto, chunk.failure), False
