"""Steps of ours that look at one item after the other and pass it on, or do not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from olympipe_like._model.failure import describe
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.options import SKIP
from olympipe_like._plan import operators as ops
from olympipe_like._plan.segment import Label
from olympipe_like._worker.blame import show
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.steps import Step


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
        self.count(OpCounts(len(items), len(made.items), len(items) - len(made.items)))
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

    def state(self) -> int:
        """Return how many it has seen."""
        return self._seen

    def restore(self, state: int) -> None:
        """Go on counting."""
        self._seen = state

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
        self.count(OpCounts(len(chunk.items), len(chunk.items)))
        return chunk
