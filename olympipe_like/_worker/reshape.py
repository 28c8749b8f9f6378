"""What the operators of `_plan.reshaping` do: sample, unique, shard, window, bucket, scan; for shuffle see `mixing`.

All but sample take frames in order and remember. What they remember is plain data, so that a successor can be told.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import END, Path, at_end, until_end
from olympipe_like._model.options import SKIP
from olympipe_like._plan import reshaping as ops
from olympipe_like._plan.segment import Label
from olympipe_like._worker.attempts import Attempts
from olympipe_like._worker.blame import blame
from olympipe_like._worker.chunk import Chunk, from_paths
from olympipe_like._worker.steps import Step
from olympipe_like._worker.watch import Watch


class Sampled(Step):
    """Sample: the share of items whose number, made of seed and path, is small enough."""

    def __init__(self, op: ops.Sample, seed: str, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._seed = _scramble(tuple(seed.encode()))
        self._below = int(op.share * (1 << 64))

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the items drawn."""
        del leg
        made = chunk.select([_scramble((self._seed, *path)) < self._below for path in chunk.paths()])
        self.count(OpCounts(len(chunk.items), len(made.items), len(chunk.items) - len(made.items)))
        return made


_BITS = (1 << 64) - 1


def _scramble(numbers: tuple[int, ...]) -> int:
    """Return 64 bits that look random and are the same in every process.

    For each number the finalizer of SplitMix64: Steele, G. L., Lea, D. and Flood, C. H. (2014). Fast splittable
    pseudorandom number generators. OOPSLA 2014, 453-472.
    """
    made = 0
    for number in numbers:
        made = (made + number + 0x9E3779B97F4A7C15) & _BITS
        made = ((made ^ (made >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
        made = ((made ^ (made >> 27)) * 0x94D049BB133111EB) & _BITS
        made ^= made >> 31
    return made


class Keyed(Step):
    """What steps share that ask a function of the user's for each item's key."""

    def __init__(self, key: Callable[[Any], Any] | None, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self.key = key

    def blame(self, error: BaseException, chunk: Chunk, index: int) -> Failure:
        """Return the failure of an item."""
        path, item = chunk.path(index), chunk.items[index]
        return blame(error, self.label, self.worker, path=path, item=item, keep=self.keeps)


class Distinct(Keyed):
    """Unique: the first item of each key."""

    def __init__(self, op: ops.Unique, label: Label, worker: str) -> None:
        super().__init__(op.key, label, worker)
        self._seen: set[Any] = set()

    @property
    def held(self) -> int:
        """Keys met."""
        return len(self._seen)

    def state(self) -> Any:
        """Return the keys met."""
        return self._seen

    def restore(self, state: Any) -> None:
        """Know them."""
        self._seen = state

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the items whose keys are new."""
        del leg
        seen, key = self._seen, self.key
        kept: list[bool] = []
        failed = 0
        try:
            for item in chunk.items:
                own = item if key is None else key(item)
                kept.append(own not in seen)
                seen.add(own)
        except BaseException as error:  # noqa: BLE001 - the key is the user's, and may be anything
            failure = self.blame(error, chunk, len(kept))
            chunk = chunk.with_items(chunk.items[: len(kept)])
            chunk.failure = failure
            failed = 1
        made = chunk.select(kept)
        self.count(OpCounts(len(kept) + failed, len(made.items), len(kept) - len(made.items), failed))
        return made


class Dealt(Step):
    """Shard: of each round of ``world`` items the one at place ``rank``."""

    def __init__(self, op: ops.Shard, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._op = op
        self._seen = 0
        self._first: list[Any] = []  # pad: what to give for an item that is missing in the last round
        self._own: tuple[Path, Any] | None = None  # drop: waits for the end of its round

    @property
    def held(self) -> int:
        """Items kept for the end."""
        return len(self._first) + (self._own is not None)

    def begin(self, taken: int) -> int:
        """Go on counting."""
        self._seen = taken
        return 0

    def state(self) -> Any:
        """Return the number of items seen, and those kept."""
        return self._seen, self._first, self._own

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self._seen, self._first, self._own = state

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the own items; with ``even="drop"`` those of full rounds."""
        del leg
        op, count = self._op, len(chunk.items)
        if op.even == "pad":
            self._first += chunk.items[: op.world - len(self._first)]
        waiting = [] if self._own is None else [self._own]
        places = range((op.rank - self._seen) % op.world, count, op.world)
        waiting += [(chunk.path(place), chunk.items[place]) for place in places]
        self._seen += count
        whole = op.even != "drop" or self._seen % op.world <= op.rank
        ready, rest = (waiting, []) if whole else (waiting[:-1], waiting[-1:])
        self._own = rest[0] if rest else None
        self.count(OpCounts(count, len(ready), count - len(places)))
        # Not always the path of the one that waits: what explode made of items of one path steps back.
        upto = until_end(chunk.upto if self._own is None else min(self._own[0], chunk.upto))
        return from_paths([item for _, item in ready], [path for path, _ in ready], upto, chunk.failure)

    def end(self, leg: int) -> Chunk | None:
        """Even out the last round."""
        del leg
        rest = self._seen % self._op.world
        first, self._first = self._first, []
        if self._own is not None:
            self._own = None
            self.count(OpCounts(0, 0, 1))
        elif first and 0 < rest <= self._op.rank:
            self.count(OpCounts(0, 1))
            return from_paths([first[(self._op.rank - rest) % len(first)]], [at_end(())], END)
        return None


class Slide(Step):
    """Window: lists of consecutive items, one every ``step`` items."""

    def __init__(self, op: ops.Window, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._op = op
        self._held: list[Any] = []
        self._pass = 0  # items to leave out before the next window begins
        self._last: Path = ()  # of the last item that came

    @property
    def held(self) -> int:
        """Items of the windows begun."""
        return len(self._held)

    def begin(self, taken: int) -> int:
        """Leave out what belongs to no window that begins later."""
        self._pass = -taken % self._op.step
        return 0

    def state(self) -> Any:
        """Return the windows begun."""
        return self._held, self._pass, self._last

    def restore(self, state: Any) -> None:
        """Go on with them."""
        self._held, self._pass, self._last = state

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the windows that are complete now."""
        del leg
        size, step = self._op.size, self._op.step
        items = self._held + chunk.items
        own = -len(self._held)  # index in the chunk of the first of them
        start = self._pass
        ends = range(start + size, len(items) + 1, step)
        lasts = [end - 1 + own for end in ends]
        start += len(ends) * step
        self._held, self._pass = items[start:], max(start - len(items), 0)
        columns = tuple([column[last] for last in lasts] for column in chunk.columns)
        if chunk.items:
            self._last = chunk.path(-1)
        self.count(OpCounts(len(chunk.items), len(ends)))
        return Chunk([items[end - size : end] for end in ends], columns, until_end(chunk.upto), chunk.failure)

    def end(self, leg: int) -> Chunk | None:
        """Return the windows that stay incomplete, if asked to."""
        del leg
        held, self._held = self._held, []
        if not self._op.partial or not held:
            return None
        left = [held[start:] for start in range(0, len(held), self._op.step)]
        self.count(OpCounts(0, len(left)))
        return from_paths(left, [at_end(self._last)] * len(left), END)


class Buckets(Keyed):
    """Bucket: lists of items with like keys."""

    def __init__(self, op: ops.Bucket, label: Label, worker: str) -> None:
        super().__init__(op.key, label, worker)
        self._op = op
        self._open: dict[int, tuple[list[Any], float]] = {}  # items and the sum of their keys
        self._last: Path = ()  # of the last item that came

    @property
    def held(self) -> int:
        """Items of the lists begun."""
        return sum(len(items) for items, _ in self._open.values())

    def state(self) -> Any:
        """Return the lists begun."""
        return self._open, self._last

    def restore(self, state: Any) -> None:
        """Go on with them."""
        self._open, self._last = state

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the lists that are complete now."""
        del leg
        out: list[tuple[int, list[Any]]] = []
        failure, taken = chunk.failure, 0
        try:
            for item in chunk.items:
                out += [(taken, items) for items in self._put(item)]
                taken += 1
        except BaseException as error:  # noqa: BLE001 - the key is the user's, and may be anything
            failure = self.blame(error, chunk, taken)
        if chunk.items:
            self._last = chunk.path(-1)
        failed = int(failure is not chunk.failure)
        merged = sum(len(items) - 1 for _, items in out)
        self.count(OpCounts(taken + failed, len(out), 0, failed, merged))
        columns = tuple([column[index] for index, _ in out] for column in chunk.columns)
        return Chunk([items for _, items in out], columns, until_end(chunk.upto), failure)

    def _put(self, item: Any) -> list[list[Any]]:
        """Put an item where it belongs; return the lists that this completes."""
        op = self._op
        cost = op.key(item)
        bucket = bisect_right(op.boundaries, cost)
        items, total = self._open.pop(bucket, ([], 0))
        complete = []
        if op.max_cost is not None and items and total + cost > op.max_cost:
            complete.append(items)
            items, total = [], 0
        items.append(item)
        total += cost
        if len(items) == op.size or (op.max_cost is not None and total >= op.max_cost):
            complete.append(items)
        else:
            self._open[bucket] = items, total
        return complete

    def end(self, leg: int) -> Chunk | None:
        """Return the lists that stay incomplete, those of the smallest keys first."""
        del leg
        left = [items for _, (items, _) in sorted(self._open.items(), key=_first)]
        self._open = {}
        count = sum(map(len, left))
        if self._op.drop_last:
            left = []
        self.count(OpCounts(0, len(left), 0 if left else count, 0, count - len(left) if left else 0))
        return from_paths(left, [at_end(self._last)] * len(left), END) if left else None


def _first(entry: tuple[int, Any]) -> int:
    return entry[0]


class Running(Step):
    """Scan: a fold that gives something for each item."""

    meets_each = True

    def __init__(self, op: ops.Scan, label: Label, worker: str, attempts: Attempts, watch: Watch) -> None:
        super().__init__(label, worker)
        self._attempts = attempts
        self._watch = watch
        self._function = op.function
        self._state = deepcopy(op.initial)  # the next run starts from it again

    @property
    def held(self) -> int:
        """The state, whatever it is."""
        return 1

    def state(self) -> Any:
        """Return it."""
        return self._state

    def restore(self, state: Any) -> None:
        """Go on with it."""
        self._state = state

    def call(self, item: Any) -> Any:
        """Return what the function makes of an item, and remember what it wants remembered."""
        self._state, result = self._function(item, self._state)
        return result

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return what becomes of each item."""
        del leg
        results: list[Any] = []
        try:
            for item in chunk.items:
                if self._watch.active:
                    self._watch.enter()
                result = self.call(item)
                self._watch.rehearse((result,))
                results.append(result)
        except BaseException as error:  # noqa: BLE001 - anything a function raises is its item's failure
            failure = self._attempts.failure(chunk, len(results), error, 1)
            chunk = chunk.with_items(chunk.items[: len(results)])
            chunk.failure = failure
            self.count(OpCounts(1, 0, 0, 1))
        self._watch.leave()
        made = chunk.with_items(results).select([result is not SKIP for result in results])
        self.count(OpCounts(len(results), len(made.items), len(results) - len(made.items)))
        return made
