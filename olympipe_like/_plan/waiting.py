"""Which merges may let sources wait for one another, so that in the end none waits for itself.

A merge that takes from the leg that has come least far holds the sources of its other legs back. A `concat` holds those
of a later leg back until the earlier ones have ended. Two such merges of the same sources may want opposite things:
``a.gather(b)`` beside ``a.concat(b)``. So each source may wait for another on one way only: merges are looked at from
the sources on, and one that would close a ring holds items instead of a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node


class Waiting(NamedTuple):
    """What a run's merges do about legs that others have to wait for."""

    takes_any: frozenset[Node]  # merges that take whatever comes, and hold what is ahead
    unbounded: Mapping[Node, tuple[int, ...]]  # concats -> the legs that wait there in any number


def who_waits(nodes: Sequence[Node], sources: Mapping[Node, frozenset[Node]], clocks: Mapping[Node, Node]) -> Waiting:
    """Return what each merge does. ``nodes``: inputs first; ``sources``, ``clocks``: see `graph`."""
    waits = _Waits()
    takes_any: set[Node] = set()
    unbounded: dict[Node, tuple[int, ...]] = {}
    for node in nodes:
        legs = [sources[each] for each in node.inputs]
        if isinstance(node.op, ops.Concat):
            free = []
            for number, later in enumerate(legs[1:], 1):
                earlier = frozenset[Node]().union(*legs[:number])
                if waits.for_any(earlier, later):
                    free.append(number)
                else:
                    waits.add(later, earlier)
            unbounded[node] = tuple(free)
        elif isinstance(node.op, ops.Gather | ops.Align | ops.Zip) and len({clocks[each] for each in node.inputs}) > 1:
            pairs = list(permutations(legs, 2))
            if any(waits.for_any(one, other) for one, other in pairs):
                takes_any.add(node)
            else:
                for one, other in pairs:
                    waits.add(one, other)
    return Waiting(frozenset(takes_any), unbounded)


class _Waits:
    """Which sources may have to wait for which others."""

    def __init__(self) -> None:
        self._for: dict[Node, set[Node]] = {}

    def add(self, who: Iterable[Node], whom: Iterable[Node]) -> None:
        """Note that these sources may have to wait for those."""
        for each in who:
            self._for.setdefault(each, set()).update(whom)

    def for_any(self, who: Iterable[Node], whom: frozenset[Node]) -> bool:
        """Whether any of these sources is one of those, or may have to wait for one of them."""
        found: set[Node] = set()
        left = list(who)
        while left:
            each = left.pop()
            if each in whom:
                return True
            if each not in found:
                found.add(each)
                left += self._for.get(each, ())
        return False
