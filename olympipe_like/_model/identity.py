"""Kinds of numbers, so that a worker's number is never taken for a stage's."""

from __future__ import annotations

from typing import NewType

StageId = NewType("StageId", int)  # index of a stage in the run's layout, in topological order
WorkerId = NewType("WorkerId", int)  # unique in a run, never used again after the worker is gone
PayloadId = NewType("PayloadId", int)  # what stands for a frame's items where they must not be opened
FrameNumber = NewType("FrameNumber", int)  # position of a frame in its stream, from 0

NO_STAGE = StageId(-1)  # of a stage that need not be named
NO_PAYLOAD = PayloadId(-1)  # a frame without items needs no payload

Path = tuple[int, ...]
"""Where an item comes from: (source position,), and one more number for each explode it went through."""

END: Path = (1 << 62,)
"""Sorts after every item: how far a stream has come that has ended."""


def at_end(behind: Path) -> Path:
    """Return the path of what an operator emits only because its input ended.

    It sorts after every item and yet holds the path of the last item it was made of (empty: of none), which
    `order_of` leaves out and `position_of` finds again.
    """
    return (*END, *position_of(behind), *END)


def until_end(upto: Path) -> Path:
    """Return how far a step brings its stream that gives an item at the end yet: others came from there already.

    >>> until_end((5, 2)), until_end((*at_end((6,)), 2)) == END
    ((5, 2), True)
    """
    return min(upto, END)


def order_of(path: Path) -> Path:
    """Return what a merge compares.

    >>> order_of((5, 2)), order_of(at_end((6,))) == END, order_of((*at_end((6,)), 2)) == (*END, 2)
    ((5, 2), True, True)
    """
    if END[0] not in path:
        return path
    start = path.index(END[0]) + 1
    return path[:start] + path[path.index(END[0], start) + 1 :] if END[0] in path[start:] else path


def position_of(path: Path) -> Path:
    """Return where in the source an item comes from; empty: it was made of no item.

    >>> position_of((5, 2)), position_of((*at_end((6,)), 2)), position_of(at_end(()))
    ((5, 2), (6, 2), ())
    """
    if END[0] not in path:
        return path
    after = path.index(END[0]) + 1
    if path[after : after + 1] in ((), END):
        return ()
    return tuple(number for number in path if number != END[0])
