"""Frames of numpy arrays and large bytes, or of tuples and dicts of them: these as they are, the rest in a pickle.

To pickle an array and to build it again takes 6 µs, to note its shape and to look at its bytes 1. Of bytes it saves
a copy at either end.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any

from olympipe_like._transport.buffers import Buffer, own

MOST_PARTS, MOST_LEVELS = 32, 3
"""Of an item: so many parts of each tuple or dict, so deep. What has more is seldom worth looking through."""

_MARK = b"A"  # in front of the pickle: none of protocol 5 begins with it
_NUMBERS = frozenset("biufc")  # kinds of types that are all in their names
_BYTES = {bytes, bytearray}
_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})


def is_one(data: Buffer) -> bool:
    """Whether a frame is one of these, by its first part."""
    return data[:1] == _MARK


def encode(items: Sequence[Any], rest: object, least: int) -> list[Buffer] | None:
    """Return items and ``rest``, a plain value, as a pickle and buffers; None: they are for pickle alone.

    Arrays of ``least`` bytes and more are a buffer each, the smaller ones of a place one together. So are bytes, if
    those in their place have as many on average.
    """
    taken = _Taken(sys.modules.get("numpy"), least)
    if not taken.is_worth_it(items[0], MOST_LEVELS):
        return None
    form = taken.column(items, MOST_LEVELS)
    # Pickle would keep that two items, or two parts of one, are the same array, or dict; and send the same bytes once.
    if form is None or not taken.places or len(set(map(id, taken.single))) < len(taken.single):
        return None
    return [_MARK + pickle.dumps((rest, form, len(items)), protocol=5), *taken.buffers()]


class _Taken:
    """What was taken of the items of a frame, place by place."""

    def __init__(self, numpy: Any, least: int) -> None:
        # Another thread may be importing it: then there are no arrays yet.
        self._array = getattr(numpy, "ndarray", None)
        self._scalars = getattr(numpy, "number", ()), getattr(numpy, "bool_", ())
        self._least = least
        self.single: list[Any] = []  # must not be there twice
        self.places: list[tuple[Sequence[Any], bool]] = []  # the arrays or bytes of each, and whether they are small

    def is_worth_it(self, item: Any, levels: int) -> bool:
        """Return whether there is an array, or large bytes, in an item."""
        kind = type(item)
        if kind in _BYTES:
            return len(item) >= self._least
        if kind not in (tuple, dict) or not levels or len(item) > MOST_PARTS:
            return kind is self._array
        return any(self.is_worth_it(part, levels - 1) for part in (item if kind is tuple else item.values()))

    def buffers(self) -> Iterator[Buffer]:
        """Give the bytes of all of them; not before it is known that they are wanted."""
        for values, are_small in self.places:
            if are_small:
                yield b"".join(values)
            else:
                yield from (pickle.PickleBuffer(value).raw() for value in values)

    def column(self, values: Sequence[Any], levels: int) -> tuple[Any, ...] | None:
        """Return what to know of the values in one place; None: they are for pickle."""
        kinds = set(map(type, values))
        if len(kinds) == 1:
            (kind,) = kinds
            if kind is self._array:
                return self._arrays(values)
            if kind in _BYTES and min(map(len, values)) and sum(map(len, values)) >= self._least * len(values):
                self.single += values
                self.places.append((values, False))
                return (kind.__name__,)
            if kind in (tuple, dict) and (not levels or not 0 < len(values[0]) <= MOST_PARTS):
                return None
            if kind is tuple:
                return self._tuples(values, levels - 1)
            if kind is dict:
                return self._dicts(values, levels - 1)
        if all(kind in _PLAIN or issubclass(kind, self._scalars) for kind in kinds):
            return "values", list(values)
        return None

    def _arrays(self, arrays: Sequence[Any]) -> tuple[Any, ...] | None:
        """All must be of one type of numbers, in C order, with axes and members, and all small or all large."""
        dtype = arrays[0].dtype
        if dtype.kind not in _NUMBERS or not dtype.isnative or dtype.isbuiltin != 1:  # 1: numpy's own
            return None
        for array in arrays:
            if array.dtype != dtype or array.dtype.metadata is not None or not array.flags.c_contiguous:
                return None
        shapes = [array.shape for array in arrays]
        sizes = {array.nbytes for array in arrays}
        if () in shapes or min(sizes) == 0 or min(sizes) < self._least <= max(sizes):
            return None
        are_small = max(sizes) < self._least
        self.single += arrays
        self.places.append((arrays, are_small))
        return "arrays", dtype.str, shapes[0] if len(set(shapes)) == 1 else shapes, are_small

    def _tuples(self, tuples: Sequence[tuple[Any, ...]], levels: int) -> tuple[Any, ...] | None:
        if len(set(map(len, tuples))) > 1:
            return None
        columns = [self.column(values, levels) for values in zip(*tuples, strict=True)]
        return None if None in columns else ("tuples", columns)

    def _dicts(self, dicts: Sequence[dict[Any, Any]], levels: int) -> tuple[Any, ...] | None:
        keys = list(dicts[0])
        for each in dicts:
            if list(each) != keys or set(map(type, each)) != {str}:  # one that is only equal to a key is another
                return None
        self.single += dicts
        columns = [self.column([each[key] for each in dicts], levels) for key in keys]
        return None if None in columns else ("dicts", keys, columns)


def decode(
    data: Buffer, buffers: Sequence[Buffer], *, read_only: bool, borrowed: bool = False
) -> tuple[list[Any], Any]:
    """Return what `encode` was given, each array in memory of its own: large ones in their buffers.

    ``read_only``: they cannot be written to, wherever their bytes are; ``borrowed``: large ones are copied, too.
    """
    rest, form, count = pickle.loads(memoryview(data)[1:])
    return list(_Given(iter(buffers), count, read_only=read_only, borrowed=borrowed).column(*form)), rest


class _Given:
    """Puts the items of a frame together."""

    def __init__(self, buffers: Iterator[Buffer], count: int, *, read_only: bool, borrowed: bool) -> None:
        self._buffers = buffers
        self._count = count
        self._read_only = read_only
        self._borrowed = borrowed

    def column(self, what: str, *how: Any) -> Sequence[Any] | Iterator[Any]:
        """Return the values in one place."""
        match what, how:
            case "arrays", (name, shape, are_small):
                return self._arrays(name, shape, are_small=are_small)
            case "bytes", ():
                return [bytes(next(self._buffers)) for _ in range(self._count)]
            case "bytearray", ():
                return [bytearray(next(self._buffers)) for _ in range(self._count)]
            case "tuples", (columns,):
                return zip(*[self.column(*each) for each in columns], strict=True)
            case "dicts", (keys, columns):
                rows = zip(*[self.column(*each) for each in columns], strict=True)
                return [dict(zip(keys, row, strict=True)) for row in rows]
            case "values", (values,):
                return list(values)
            case _:
                raise ValueError(f"no such values: {what!r}")

    def _arrays(self, name: str, shape: Any, *, are_small: bool) -> list[Any]:
        import numpy as np  # whoever is sent arrays needs it

        dtype = np.dtype(name)
        shapes = [shape] * self._count if isinstance(shape, tuple) else shape
        if are_small:
            block = memoryview(next(self._buffers))
            kept = bytes if self._read_only else bytearray
            ends = accumulate((prod(each) * dtype.itemsize for each in shapes), initial=0)
            buffers: list[Buffer] = [kept(block[start:end]) for start, end in pairwise(ends)]
        else:
            buffers = [next(self._buffers) for _ in shapes]
            if self._borrowed:
                buffers = [own(buffer) for buffer in buffers]
        array = np.ndarray
        if not self._read_only:
            return [array(each, dtype, buffer) for each, buffer in zip(shapes, buffers, strict=True)]
        views = [memoryview(buffer).toreadonly() for buffer in buffers]
        return [aligned(array(each, dtype, view)) for each, view in zip(shapes, views, strict=True)]


def aligned(array: Any) -> Any:
    """Return a read-only array; where its bytes lie askew, a copy that does not: C code may refuse it."""
    if not array.flags.aligned:
        array = array.copy(order="K")
        array.flags.writeable = False
    return array
