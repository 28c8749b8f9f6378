"""Epochs: a source iterated again and again, and steps that begin anew with each.

An item's epoch is the first number of its path; behind several repeats, one number for each, the last repeat's first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

from olympipe_like._model.failure import Failure, describe
from olympipe_like._model.identity import END, Path
from olympipe_like._model.start import SourceStart
from olympipe_like._plan.segment import Label
from olympipe_like._worker.chunk import Chunk, join, nothing
from olympipe_like._worker.steps import Step

Counts = tuple[int | None, ...]  # epochs of each repeat; None: without end
Limits = tuple[tuple[int, int], ...]  # each: how many of the repeats stand in front of it, and how many items pass


def successor(epoch: Path, counts: Counts, depth: int | None = None) -> Path | None:
    """Return the epoch that follows, None if that was the last.

    ``depth``: the one that follows all those with the same first ``depth`` numbers.
    """
    for place in reversed(range(len(counts) if depth is None else depth)):
        number, most = epoch[place] + 1, counts[place]
        if most is None or number < most:
            return (*epoch[:place], number, *(0,) * (len(counts) - place - 1))
    return None


class Epochs(Iterator[Any]):
    """The items of all epochs of a source, which knows afterwards where each came from.

    Raises
    ------
    ValueError
        From ``next``: if the source shall be repeated without end and gives nothing.
    """

    def __init__(
        self,
        make: Callable[[int], Iterator[Any]],
        counts: Counts,
        limits: Limits = (),
        begin: SourceStart | None = None,
    ) -> None:
        self._make = make  # told how many items to leave out
        self._counts = counts
        # Of each limit: by how many numbers its epochs are told apart, and how many items of one pass.
        self._limits = [(len(counts) - behind, amount) for behind, amount in limits]
        self._before = [0] * len(limits)  # items of that epoch that are gone, but for those of the epoch at hand
        beginning = (0,) * (len(counts) + 1)
        self._first, begun = begin or (beginning, beginning)
        self._epoch: Path | None = begun[:-1]
        self._pulled = begun[-1]  # items of the epoch at hand that are gone
        self.source: Iterator[Any] | None = None  # the items of the epoch at hand
        self._begun: list[Path] = []
        self._starts: list[int] = []  # how many items had been given when each of them began
        self._given = 0
        self._over = False
        self._items = self._iterate()

    def _iterate(self) -> Iterator[Any]:
        *first, gone = self._first
        while self._epoch is not None:
            wanted = self._epoch >= tuple(first)
            before = gone if self._epoch == tuple(first) else 0  # items of this epoch that are not given again
            ahead = before - self._pulled if wanted else 0
            items = self.source = self._make(ahead)
            self._pulled += ahead
            if wanted:
                self._begun.append(self._epoch)
                self._starts.append(self._given - before)
            try:
                for item in islice(items, self._room):
                    self._pulled += 1
                    if wanted:
                        self._given += 1
                        yield item
            finally:
                close = getattr(items, "close", None)
                if close is not None and not hasattr(items, "read"):  # a file is the user's to close
                    close()
            self._epoch, self._pulled = self._next_epoch(self._epoch), 0
        self._over = True

    @property
    def _room(self) -> int | None:
        """How many items of the epoch at hand may still be pulled; None: all there are."""
        rooms = [amount - before for (_, amount), before in zip(self._limits, self._before, strict=True)]
        return min(rooms) - self._pulled if rooms else None

    def _next_epoch(self, epoch: Path) -> Path | None:
        """Return the epoch behind this one: the next within all those whose limits are not reached."""
        gone = [before + self._pulled for before in self._before]
        full = [depth for (depth, amount), count in zip(self._limits, gone, strict=True) if count >= amount]
        depth = min(full, default=len(self._counts))
        if self._pulled == 0 and None in self._counts[:depth]:
            raise ValueError("the source gave no items, so repeating it without end would never give any")
        following = successor(epoch, self._counts, depth)
        self._before = [
            count if following is not None and following[:depth] == epoch[:depth] else 0
            for (depth, _), count in zip(self._limits, gone, strict=True)
        ]
        return following

    @property
    def position(self) -> Path | None:
        """Which epoch is at hand, and how many of its items are gone; None: nobody could begin there."""
        # All epochs are over; or what is gone of a limit does not follow from it.
        if self._epoch is None or any(depth < len(self._counts) for depth, _ in self._limits):
            return None
        return (*self._epoch, self._pulled)

    def __next__(self) -> Any:
        return next(self._items)

    def close(self) -> None:
        """Close the source."""
        self._items.close()  # type: ignore[attr-defined]  # a generator

    def place(self, items: list[Any], start: int) -> Chunk:
        """Return a chunk of items, the first of them the ``start``-th in all; asked for each item once, in order."""
        stop = start + len(items)
        pieces = []
        while start < stop:
            index = bisect_right(self._starts, start) - 1
            del self._starts[:index], self._begun[:index]  # an endless source has endless epochs
            began, epoch = self._starts[0], self._begun[0]
            end = min([stop, *self._starts[1:2]])
            numbers = range(start - began, end - began)
            piece = Chunk(items[: end - start], (numbers,), ()).view(0, end - start, epoch)
            piece.upto = (*epoch, numbers.stop)
            pieces.append(piece)
            items, start = items[end - start :], end
        return join(pieces) if pieces else nothing(())

    @property
    def last(self) -> Chunk | None:
        """An empty chunk that says that all epochs are over, if they are."""
        return nothing() if self._over else None


class PerEpoch(Step):
    """A step with one input that remembers nothing from one epoch to the next."""

    def __init__(
        self, make: Callable[[Path], Step], counts: Counts, label: Label, worker: str, first: Path = ()
    ) -> None:
        super().__init__(label, worker)
        self._make = make
        self._counts = counts
        self._epoch: Path | None = first or (0,) * len(counts)
        self.step = make(self._epoch)

    def begin(self, taken: int) -> int:
        """As a step's, for the first epoch."""
        return self.step.begin(taken)

    @property
    def held(self) -> int:
        """What the step of this epoch holds."""
        return self.step.held

    def state(self) -> Any:
        """Return the epoch, and what its step remembers."""
        return self._epoch, self.step.state()

    def restore(self, state: Any) -> None:
        """Go on in that epoch."""
        self._epoch, inner = state
        if self._epoch is not None:
            self.step = self._make(self._epoch)
        self.step.restore(inner)

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return what the step makes of the items of each epoch, and of the ends of epochs between them."""
        del leg
        depth = len(self._counts)
        parts: list[Chunk] = []
        stop = 0
        for epoch, group in groupby(zip(*chunk.columns[:depth], strict=True)):
            parts += self._close_before(epoch)
            start, stop = stop, stop + sum(1 for _ in group)
            columns = tuple(column[start:stop] for column in chunk.columns[depth:])
            piece = Chunk(chunk.items[start:stop], columns, END)
            if stop == len(chunk.items):
                piece.failure = chunk.failure
                if chunk.upto[:depth] == epoch:
                    piece.upto = chunk.upto[depth:]
            parts.append(self._within(piece))
        if chunk.failure is None:
            parts += self._close_before(chunk.upto[:depth])
        if not chunk.items and (chunk.failure is not None or chunk.upto[:depth] == self._epoch):
            parts.append(self._within(Chunk([], (), chunk.upto[depth:], chunk.failure)))
        elif not parts or chunk.upto[:depth] != self._epoch:
            parts.append(nothing(chunk.upto))
        return join(parts)

    def rejudge(self, path: Path, result: Any, failure: Failure, error: BaseException) -> Failure | list[Any]:
        """Ask the step of the epoch at hand."""
        made = self.step.rejudge(path[len(self._counts) :], result, failure, error)
        self.count(self.step.take_counts())
        return made

    def forget(self) -> None:
        """Let it go of what that needs."""
        self.step.forget()

    def end(self, leg: int) -> Chunk | None:
        """Return what the step held for the end of the epoch at hand."""
        del leg
        return join(parts) if (parts := self._close()) else None

    def _close_before(self, epoch: Path) -> list[Chunk]:
        parts = []
        while self._epoch is not None and self._epoch < epoch:
            parts += self._close()
        return parts

    def _close(self) -> list[Chunk]:
        """End the epoch at hand and begin the next."""
        if self._epoch is None:
            return []
        held = self.step.end(0)
        parts = [] if held is None else [self._outside(held)]
        self.count(self.step.take_counts())  # what it dropped
        self._epoch = successor(self._epoch, self._counts)
        if self._epoch is not None:
            self.step = self._make(self._epoch)
        return parts

    def _within(self, piece: Chunk) -> Chunk:
        self.step.keeps = self.keeps
        before = piece.failure
        made = self._outside(self.step.run(piece, 0))
        if made.failure is before or made.failure is None or made.failure.path is None:
            return made
        path = (*(self._epoch or ()), *made.failure.path)
        made.failure = replace(made.failure, path=path, position=describe(path))
        return made

    def _outside(self, made: Chunk) -> Chunk:
        self.count(self.step.take_counts())
        epoch = self._epoch or ()
        whole = made.view(0, len(made.items), epoch)
        whole.upto = (*epoch, *made.upto)
        return whole
