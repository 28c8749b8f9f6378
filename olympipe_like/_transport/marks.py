"""Keep a class that travels by value one class in each process, however often it comes, and at home the class it was.

Items of such a class bring the class along. Built anew each time, two items would be of two classes: a dataclass is
equal to none of another class, and a member of an Enum is no longer that member.
"""

from __future__ import annotations

import os
import weakref

_classes: dict[str, weakref.ref[type]] = {}
_marks: dict[int, str] = {}  # by id: how classes are hashed and compared may be their metaclass's affair
_BYTES = 16  # as in a random UUID: no two processes draw the same


def mark_of(cls: type) -> str:
    """Return what tells a class from all others, in every process it comes to."""
    return _marks.get(id(cls)) or settle(os.urandom(_BYTES).hex(), cls)


def find(mark: str) -> type | None:
    """Return the class of a mark, if it lives in this process."""
    known = _classes.get(mark)
    return None if known is None else known()


def class_of(mark: str) -> type:
    """Return the class of a mark, which lives in this process."""
    cls = find(mark)
    if cls is None:
        raise LookupError("the class that travelled with the item is not here")
    return cls


def settle(mark: str, cls: type) -> str:
    """Let a class have a mark for as long as it lives; return the one it has."""
    key = id(cls)

    def forget(_: object) -> None:
        _classes.pop(mark, None)
        _marks.pop(key, None)  # before another object can have this id

    _classes[mark] = weakref.ref(cls, forget)
    return _marks.setdefault(key, mark)  # of two threads that mark it at once both are told the same
