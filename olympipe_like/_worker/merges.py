"""What the merges do: gather by position, align, zip."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import accumulate, groupby, zip_longest
from typing import Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import END, Path, order_of
from olympipe_like._model.options import SKIP
from olympipe_like._plan import operators as ops
from olympipe_like._plan.segment import Label
from olympipe_like._worker.blame import blame
from olympipe_like._worker.chunk import Chunk, from_paths
from olympipe_like._worker.steps import Step

_AFTER_END: Path = (END[0] + 1,)


class _Leg:
    """What a merge knows of one of its inputs."""

    def __init__(self) -> None:
        self.items: deque[tuple[Path, Path, Any]] = deque()  # what is compared, the item's path, the item
        self.upto: Path = ()
        self.passed: Path = ()  # of the last item taken
        self.failure: Failure | None = None
        self.ended = False

    def take(self, chunk: Chunk) -> None:
        # Items of one place (both legs of a gather had them) and what explode made of them come with paths that step
        # back; in this leg they stay behind the items before them.
        last = self.passed
        paths = chunk.paths()
        orders = list(accumulate(map(order_of, paths) if chunk.has_ends else paths, max, initial=last))[1:]
        if chunk.has_ends:  # an epoch's, perhaps: what is no end itself has the path that it has in a frame without
            paths = [path if END[0] in path else order for path, order in zip(paths, orders, strict=True)]
        else:
            paths = orders
        self.items.extend(zip(orders, paths, chunk.items, strict=True))
        self.passed = orders[-1] if orders else last
        self.upto = order_of(chunk.upto)
        if chunk.failure is not None:
            self.failure = chunk.failure
            # Nothing of this leg comes after the failed item; what other legs have before it still goes out first.
            path = order_of(chunk.failure.path) if chunk.failure.path is not None else ()
            last = self.items[-1][0] if self.items else ()
            self.upto = path if path > last else self.upto


class Merge(Step):
    """What gather and zip share: items that wait for those of other legs."""

    def __init__(self, legs: int, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._legs = [_Leg() for _ in range(legs)]

    @property
    def held(self) -> int:
        """Items that wait."""
        return sum(len(leg.items) for leg in self._legs)

    def state(self) -> Any:
        """Return how far each leg has come, and what waits."""
        return self._legs

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self._legs = state


_Ready = tuple[Path, int, Path, Any]  # what is compared, the leg, the item's path, the item


class Interleave(Merge):
    """Gather by source position."""

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the items whose turn has come."""
        self._legs[leg].take(chunk)
        return self._merge(len(chunk.items))

    def end(self, leg: int) -> Chunk:
        """Return what waited only for this leg."""
        self._legs[leg].ended = True
        self._legs[leg].upto = _AFTER_END
        return self._merge(0)

    def _merge(self, taken: int) -> Chunk:
        bound = min(leg.upto for leg in self._legs)
        ready: list[_Ready] = []
        for number, leg in enumerate(self._legs):
            while leg.items and leg.items[0][0] < bound:
                order, path, item = leg.items.popleft()
                ready.append((order, number, path, item))
        ready.sort(key=_by_order_and_leg)
        failed = next((leg.failure for leg in self._legs if leg.failure is not None and leg.upto == bound), None)
        made = self._make(ready, taken)
        return from_paths([entry[1] for entry in made], [entry[0] for entry in made], min(bound, END), failed)

    def _make(self, ready: list[_Ready], taken: int) -> list[tuple[Path, Any]]:
        """Return what goes out for items in order, and count it."""
        self.count(OpCounts(taken, len(ready)))
        return [(path, item) for _, _, path, item in ready]


def _by_order_and_leg(entry: _Ready) -> tuple[Path, int]:
    return entry[:2]


class Match(Interleave):
    """Align: joins the items of one source position."""

    def __init__(self, op: ops.Align, legs: int, label: Label, worker: str) -> None:
        super().__init__(legs, label, worker)
        self._missing = op.missing

    def _make(self, ready: list[_Ready], taken: int) -> list[tuple[Path, Any]]:
        made: list[tuple[Path, Any]] = []
        merged = 0
        for _, group in groupby(ready, key=_order_of):
            columns: list[list[Any]] = [[] for _ in self._legs]
            for _, leg, path, item in group:  # noqa: B007 - the last one's path stands for all
                columns[leg].append(item)
            rows = zip(*columns, strict=False) if self._missing is SKIP else self._filled(columns)
            before = len(made)
            made += [(path, row) for row in rows]
            used = sum(min(len(column), len(made) - before) for column in columns)
            merged += used - (len(made) - before)
        self.count(OpCounts(taken, len(made), len(ready) - len(made) - merged, 0, merged))
        return made

    def _filled(self, columns: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
        return zip_longest(*columns, fillvalue=self._missing)


def _order_of(entry: _Ready) -> Path:
    return entry[0]


class Pair(Merge):
    """Zip."""

    def __init__(self, op: ops.Zip, legs: int, label: Label, worker: str) -> None:
        super().__init__(legs, label, worker)
        self._strict = op.strict
        self._pairs = 0

    def state(self) -> Any:
        """As every merge's, and the number of pairs."""
        return self._legs, self._pairs

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self._legs, self._pairs = state

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the pairs that are complete now."""
        self._legs[leg].take(chunk)
        return self._pair(len(chunk.items))

    def end(self, leg: int) -> Chunk:
        """Note that a leg gives nothing more."""
        self._legs[leg].ended = True
        return self._pair(0)

    def _pair(self, taken: int) -> Chunk:
        legs = self._legs
        count = min(len(leg.items) for leg in legs)
        paths, items = [], []
        for _ in range(count):
            entries = [leg.items.popleft() for leg in legs]
            paths.append(entries[0][1])
            items.append(tuple(entry[2] for entry in entries))
        self._pairs += count
        first = legs[0]
        upto = first.items[0][0] if first.items else first.upto
        failure = next((leg.failure for leg in legs if leg.failure is not None and not leg.items), None)
        short = next((number for number, leg in enumerate(legs) if leg.ended and not leg.items), None)
        if failure is None and short is not None:
            longer = next((number for number, leg in enumerate(legs) if leg.items), None)
            if not self._strict:
                self.done = True
                upto = END
            elif longer is not None:
                error = ValueError(
                    f"zip(strict=True): leg {short + 1} ended after {self._pairs} items, leg {longer + 1} has more. "
                    "Give strict=False to stop at the shortest"
                )
                entry = legs[longer].items[0]
                failure = blame(error, self.label, self.worker, path=entry[1], item=entry[2], keep=self.keeps)
        self.count(OpCounts(taken, count, 0, 0, count * (len(legs) - 1)))
        return from_paths(items, paths, upto, failure)
