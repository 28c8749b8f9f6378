"""Shuffle: what it does to items, and which of them it gives when, which seed and size alone decide."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import Path
from olympipe_like._plan import reshaping as ops
from olympipe_like._plan.segment import Label
from olympipe_like._worker.chunk import Chunk, from_paths
from olympipe_like._worker.resumed import Ghost
from olympipe_like._worker.steps import Step

if TYPE_CHECKING:
    from random import Random


def chance(seed: str) -> Random:
    """Return what a shuffle draws from.

    Only with `random()`: that alone is promised to give the same numbers in every version of Python.
    """
    from random import Random  # takes a few milliseconds to load

    return Random(seed)  # noqa: S311 - to mix items, not to hide them


class Shuffled(Step):
    """Shuffle: each item takes the place of a random one of those held, which goes out."""

    def __init__(self, op: ops.Shuffle, seed: str, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self._chance = chance(seed)
        self._size = op.buffer
        self._held: list[tuple[Path, Any]] = []
        self._given = 0

    def begin(self, taken: int) -> int:
        """Begin with ghosts in the buffer, and the generator where it would be."""
        # One that holds all begins with its epoch, before it has taken anything: what it gives first may come last.
        self._held = [((), Ghost())] * (taken if self._size is None else min(taken, self._size))
        self._given = taken - len(self._held)
        for _ in range(self._given):
            self._chance.random()
        return len(self._held)

    @property
    def held(self) -> int:
        """Items in the buffer."""
        return len(self._held)

    def state(self) -> Any:
        """Return the buffer, how many went out, and where the generator of random numbers is."""
        return self._held, self._given, self._chance.getstate()

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self._held, self._given, chance = state
        self._chance.setstate(chance)

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return what had to make room."""
        del leg
        held, random = self._held, self._chance.random
        entries = list(zip(chunk.paths(), chunk.items, strict=True))
        room = len(entries) if self._size is None else self._size - len(held)
        held += entries[:room]
        out = []
        for entry in entries[room:]:
            place = int(random() * len(held))
            out.append(held[place])
            held[place] = entry
        return self._give(out, len(entries), chunk.failure)

    def end(self, leg: int) -> Chunk:
        """Return what is left, mixed."""
        del leg
        left, self._held = self._held, []
        for last in range(len(left) - 1, 0, -1):
            place = int(self._chance.random() * (last + 1))
            left[place], left[last] = left[last], left[place]
        return self._give(left, 0, None)

    def _give(self, entries: list[tuple[Path, Any]], taken: int, failure: Failure | None) -> Chunk:
        paths = [(number, *path) for number, (path, _) in enumerate(entries, self._given)]
        self._given += len(entries)
        self.count(OpCounts(taken, len(entries)))
        return from_paths([item for _, item in entries], paths, (self._given,), failure)


class Order:
    """Plays a shuffle with the numbers of items in the place of items, as long as its input goes on."""

    def __init__(self, seed: str, size: int) -> None:
        self._random = chance(seed).random
        self.size = size
        self._held = list(range(size))  # the numbers of the items in the buffer
        self.given = 0

    def play(self, given: int, wanted: Container[int]) -> list[tuple[int, int]]:
        """Go on until so many items are given; return for those wanted which they are: (when given, number)."""
        held, random, size = self._held, self._random, self.size
        found = []
        for turn in range(self.given, given):
            place = int(random() * size)
            if turn in wanted:
                found.append((turn, held[place]))
            held[place] = turn + size
        self.given = max(self.given, given)
        return found

    @property
    def oldest(self) -> int:
        """The lowest number of an item in the buffer."""
        return min(self._held)
