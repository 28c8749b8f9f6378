"""A frame with its items: what a worker works on. Paths are kept in columns, so that dense ones cost nothing."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, compress, repeat
from typing import Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import END, Path
from olympipe_like._worker.sifted import sift

Column = Sequence[int]  # a range while dense, Sifted behind one filter, else an array('q')
Columns = tuple[Column, ...]  # one column for each number of the paths

_PAD = -1  # fills the columns of shorter paths; sorts before every number, as a prefix should


class Chunk:
    """Items with their paths, how far they bring the stream, and the failure that follows them, if any."""

    __slots__ = ("columns", "failure", "items", "upto")

    def __init__(self, items: list[Any], columns: Columns, upto: Path, failure: Failure | None = None) -> None:
        self.items = items
        self.columns = columns
        self.upto = upto
        self.failure = failure

    @property
    def has_ends(self) -> bool:
        """Whether any item is one that an operator gave because its input had ended."""
        return any(END[0] in column for column in self.columns)

    def path(self, index: int) -> Path:
        """Return one item's path."""
        return tuple(column[index] for column in self.columns if column[index] != _PAD)

    def paths(self) -> list[Path]:
        """Return all paths."""
        if _PAD in chain.from_iterable(self.columns[1:]):
            return [self.path(index) for index in range(len(self.items))]
        return list(zip(*self.columns, strict=True))

    def with_items(self, items: list[Any]) -> Chunk:
        """Return the chunk with other items in the places of the first ones."""
        columns = self.columns
        if len(items) != len(self.items):
            columns = tuple(column[: len(items)] for column in columns)
        return Chunk(items, columns, self.upto, self.failure)

    def select(self, mask: Sequence[bool]) -> Chunk:
        """Return the items whose place in the mask is true."""
        items = list(compress(self.items, mask))
        return self if len(items) == len(self.items) else self.made(items, mask)

    def made(self, items: list[Any], mask: Sequence[bool]) -> Chunk:
        """Return a chunk of items made of those whose place in the mask is true."""
        columns = tuple(sift(column, mask, len(items)) for column in self.columns)
        return Chunk(items, columns, self.upto, self.failure)

    def with_others(self, index: int, items: list[Any]) -> Chunk:
        """Return the chunk with any number of items in the place of one, all of them with its path."""
        made = [*self.items[:index], *items, *self.items[index + 1 :]]
        if len(items) == 1:
            return self.with_items(made)
        columns = tuple(
            array("q", [*column[:index], *([column[index]] * len(items)), *column[index + 1 :]])
            for column in self.columns
        )
        return Chunk(made, columns, self.upto, self.failure)

    def only(self, index: int) -> Chunk:
        """Return a chunk of one of the items."""
        return Chunk(self.items[index : index + 1], tuple(column[index : index + 1] for column in self.columns), END)

    def find(self, path: Path) -> list[int]:
        """Return where the items with a path are; several if both legs of a gather had it."""
        return [index for index in range(len(self.items)) if self.path(index) == path]

    def view(self, skip: int, count: int, prefix: Path) -> Chunk:
        """Return the cut of the chunk that a frame's header stands for."""
        items, columns = self.items, self.columns
        if skip or count != len(items):
            items = items[skip : skip + count]
            columns = tuple(column[skip : skip + count] for column in columns)
        if prefix:
            columns = (*(array("q", [number]) * len(items) for number in prefix), *columns)
        return Chunk(items, columns, self.upto, self.failure)


def dense(items: list[Any], start: int) -> Chunk:
    """Return consecutive items of a source, the first with number ``start``."""
    stop = start + len(items)
    return Chunk(items, (range(start, stop),), (stop,))


def nothing(upto: Path = END) -> Chunk:
    """Return a chunk without items."""
    return Chunk([], (), upto)


def from_paths(items: list[Any], paths: Sequence[Path], upto: Path, failure: Failure | None = None) -> Chunk:
    """Return a chunk of items with any paths, in any depth."""
    depth = max(map(len, paths), default=0)
    padded = (path + (_PAD,) * (depth - len(path)) for path in paths)
    columns = tuple(array("q", column) for column in zip(*padded, strict=True))
    return Chunk(items, columns, upto, failure)


def spread_columns(chunk: Chunk, origins: Sequence[int], ordinals: Iterable[int]) -> Columns:
    """Return the columns of items made of other items: where each came from, and its number among its siblings."""
    inherited = tuple(array("q", map(column.__getitem__, origins)) for column in chunk.columns)
    return (*inherited, array("q", ordinals))


def join(chunks: Sequence[Chunk]) -> Chunk:
    """Return several chunks as one; what follows a failure is dropped."""
    upto = chunks[-1].upto
    chunks = [chunk for chunk in chunks if chunk.items or chunk.failure is not None] or [chunks[-1]]
    items: list[Any] = []
    depth = max(len(chunk.columns) for chunk in chunks)
    columns: list[array[int]] = [array("q") for _ in range(depth)]
    for chunk in chunks:
        items.extend(chunk.items)
        count = len(chunk.items)
        for level, column in enumerate(columns):
            column.extend(chunk.columns[level] if level < len(chunk.columns) else repeat(_PAD, count))
        if chunk.failure is not None:
            break
    return Chunk(items, tuple(columns), upto, chunk.failure)
