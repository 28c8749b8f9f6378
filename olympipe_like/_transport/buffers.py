"""Bytes in memory: whose they are, and copies of one's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import accumulate, pairwise

Buffer = bytes | bytearray | memoryview


def split(whole: Buffer, lengths: Sequence[int]) -> list[Buffer]:
    """Return parts that lie one behind the other, as views of the whole."""
    view = memoryview(whole)
    return [view[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]


def own(data: Buffer) -> Buffer:
    """Return a copy that may be written to."""
    made = room(len(data))
    memoryview(made)[:] = data
    return made


def room(length: int) -> Buffer:
    """Return memory for so many bytes."""
    empty = getattr(sys.modules.get("numpy"), "empty", None)  # not there while another thread imports it
    if empty is not None and length >= 1 << 16:
        # Uninitialised: a bytearray would be filled with zeros first, a third of the cost of a copy.
        view: memoryview = empty(length, "u1").data
        return view
    return bytearray(length)
