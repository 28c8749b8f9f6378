"""Which stream is opened next. A pool knows weights and which streams are open; not items, and not whose turn it is.

Choosing costs the same for three sources and for thirty thousand, and a pool's state is small: who is left out, or how
far an order has come that follows from the seed.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import Any

from olympipe_like.sampling.seeds import Seed, Uniforms, load_numpy

TRIES = 8
"""Draws from all streams before those left out are sorted out one by one; fails one time in 256 with half of them."""
_ORDER = 2  # what a place uses for its order


def weighted_order(seed: Seed, weights: list[float] | None, count: int) -> list[int]:
    """Return the streams in the order in which drawing by weight, without replacement, takes them.

    Streams of weight 0 are not in it. As many waiting times as streams, each at the rate of its weight, end in this
    order (Efraimidis & Spirakis 2006, Information Processing Letters 97(5), 181-185).
    """
    numpy = load_numpy()
    times = seed.generator(_ORDER).standard_exponential(count)
    if weights is None:
        everyone: list[int] = numpy.argsort(times).tolist()
        return everyone
    chances = numpy.asarray(weights)
    (positive,) = numpy.nonzero(chances)
    some: list[int] = positive[numpy.argsort(times[positive] / chances[positive])].tolist()
    return some


class WithReplacement:
    """Each time any stream, by weight; one that is open may be opened a second time."""

    def __init__(self, count: int, weights: list[float] | None, seed: Seed, uniforms: Uniforms, *, prune: bool) -> None:
        self._count = count
        self._weights = weights
        self._edges = None if weights is None else list(accumulate(weights))
        self._seed = seed
        self._uniforms = uniforms
        self._prune = prune
        self._empty: set[int] = set()  # gave nothing: left out for good, or until another has given something
        self._open: set[int] = set()

    def first(self, most: int) -> list[int]:
        """Return what to open at the beginning."""
        return [self._choose() for _ in range(most)]

    def after(self, left: int, *, gave: bool) -> int | None:
        """Return what to open in place of a stream that has left, if anything is there."""
        if not gave:
            self._empty.add(left)
        elif not self._prune:
            self._empty.clear()
        return None if len(self._empty) == self._count else self._choose_or_none()

    def _choose(self) -> int:
        chosen = self._choose_or_none()
        assert chosen is not None
        return chosen

    def _choose_or_none(self) -> int | None:
        empty, opened = self._empty, self._open
        for _ in range(TRIES if empty or opened else 1):
            chosen = self._pick(self._uniforms.one())
            if chosen not in opened and chosen not in empty:
                return chosen
        weights = self._weights
        free = [n for n in range(self._count) if n not in opened and n not in empty and (not weights or weights[n])]
        if not free:
            return None
        number = self._uniforms.one()
        if weights is None:
            return free[int(number * len(free))]
        edges = list(accumulate(weights[n] for n in free))
        return free[bisect(edges, number * edges[-1])]

    def _pick(self, number: float) -> int:
        edges = self._edges
        return int(number * self._count) if edges is None else bisect(edges, number * edges[-1])

    def state(self) -> dict[str, Any]:
        """Return what the streams that are open do not say."""
        return {"empty": sorted(self._empty)} if self._empty else {}

    def restore(self, state: dict[str, Any], opened: list[int]) -> None:
        """Go to where `state` was asked, with these streams open."""
        del opened
        self._empty = set(state.get("empty", ()))


class SingleActive(WithReplacement):
    """Each time any stream that is not open, by weight."""

    def first(self, most: int) -> list[int]:
        """Return what to open at the beginning."""
        chosen = weighted_order(self._seed, self._weights, self._count)[:most]
        self._open = set(chosen)
        return chosen

    def after(self, left: int, *, gave: bool) -> int | None:
        """Return what to open in place of a stream that has left; it may be the same."""
        self._open.discard(left)
        only_itself = gave and len(self._open) + len(self._empty) == self._count - 1
        chosen = left if only_itself and self._prune else super().after(left, gave=gave)
        if chosen is not None:
            self._open.add(chosen)
        return chosen

    def restore(self, state: dict[str, Any], opened: list[int]) -> None:
        """Go to where `state` was asked, with these streams open."""
        super().restore(state, opened)
        self._open = set(opened)


class Exhaustive:
    """Each stream once, in the order that drawing by weight gives."""

    def __init__(self, count: int, weights: list[float] | None, seed: Seed) -> None:
        self._order = weighted_order(seed, weights, count)
        self._next = 0

    def first(self, most: int) -> list[int]:
        """Return what to open at the beginning."""
        chosen = self._order[:most]
        self._next = len(chosen)
        return chosen

    def after(self, left: int, *, gave: bool) -> int | None:
        """Return the next stream, if there is one."""
        del left, gave
        if self._next == len(self._order):
            return None
        self._next += 1
        return self._order[self._next - 1]

    def state(self) -> dict[str, Any]:
        """Return how far the order has come."""
        return {"next": self._next}

    def restore(self, state: dict[str, Any], opened: list[int]) -> None:
        """Go to where `state` was asked."""
        del opened
        self._next = state["next"]
