"""The record of one failed item: everything a person needs, nothing that cannot travel."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from olympipe_like._model.identity import Path, position_of

TEXT_LIMIT = 10_000  # characters of an exception's text or traceback that travel
ITEM_LIMIT = 80  # characters of an item's repr
WHAT_LIMIT = 200  # characters of an exception's text where it is one of a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What happened to an item, where, and the exception if it can be rebuilt elsewhere."""

    kind: Literal["stage", "source", "worker", "run", "stall"] = "stage"  # run: the exception is what the caller gets
    stage: str
    place: str  # '2/3'
    what: str  # type and text
    path: Path | None = None  # the item's; None: no item is to blame
    position: str = ""  # the path, in words
    item: str = ""
    worker: str = ""
    traceback: str = ""
    exception: bytes | None = None  # pickled; None: it cannot be rebuilt
    exception_type: bytes | None = None  # pickled by name, for errors whose instance does not travel
    original: BaseException | None = None  # the exception itself, where it never left its process
    attempts: int = 1  # how often its function was tried, or how many workers it cost
    input: bytes | None = None  # the failed item, as `_transport.codec.encode_item` makes it
    collected: bool = False  # dropped from the stream; the caller keeps the record
    no_input: str = ""  # why the item could not be encoded, where that was asked for
    seed: int | None = None  # what the item's random numbers followed from, 128 bits; None: the stage has none by item

    @property
    def sentence(self) -> str:
        """Which item of which stage it was, and what happened."""
        return f"stage {self.place} {self.stage!r}: {cut(self.what, WHAT_LIMIT)} — {self.position}: {self.item}"

    def pack(self) -> bytes:
        """Return the record as bytes that travel with a frame."""
        return pickle.dumps(replace(self, original=None), protocol=5)

    @staticmethod
    def unpack(data: bytes) -> Failure:
        """Return what `pack` was given."""
        failure = pickle.loads(data)
        assert isinstance(failure, Failure)
        return failure


READING = 1 << 62
"""Ordinals from here on are those of a frame's items while they are built from bytes: no function has begun."""

SOME_READING = READING - 1
"""One of a frame's items, all of which are built at once: nobody knows which."""


class GivenUp(NamedTuple):
    """An item that is not run again: it cost too many workers, or too much time."""

    ordinal: int  # which of the items its frame gives the stage's function, from 0; from READING on: see there
    attempts: int
    slot: int  # of the worker it cost last
    pid: int | None
    exit_code: int | None
    timed_out: bool


def describe(path: Path) -> str:
    """Return an item's path in words.

    >>> describe((5,)), describe((5, 2))
    ('item 5', 'item 5.2')
    """
    position = position_of(path)
    if not position:
        return "what came at the end of the input"
    return "item " + ".".join(map(str, position))


def cut(text: str, limit: int) -> str:
    """Return the text, shortened if need be, and say so.

    >>> cut("abcdefghij", 4)
    'abcd… (6 more characters)'
    """
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"
