"""From which of its legs a stage takes the next frame. Knows neither workers nor windows."""

from __future__ import annotations

from collections.abc import Sequence

from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import END, Path
from olympipe_like._model.topology import Take
from olympipe_like._scheduler.edge import Edge


class Legs:
    """The inputs of one stage that takes frames in order."""

    def __init__(self, take: Take, *, tells_end: bool) -> None:
        self._take = take
        self._tells_end = tells_end
        self.told: set[int] = set()  # legs whose end the worker knows
        self._progress: dict[int, Path] = {}  # how far each leg has come
        self._items: dict[int, int] = {}
        self.ahead = 0  # frames that may be taken of legs whose turn has not come

    def taken(self, leg: int, frame: Frame) -> None:
        """Note a frame taken."""
        # What came at the end of the input is all equally far: merges further up tell no more of it than that.
        self._progress[leg] = max(min(frame.upto, END), self._progress.get(leg, ()))
        self._items[leg] = self._items.get(leg, 0) + frame.count
        self.ahead = max(self.ahead - 1, 0)

    def in_turn(self, edges: Sequence[Edge]) -> Edge | None:
        """Return the leg to take from (or whose end to tell), None while that leg has nothing."""
        for edge in edges:
            if edge.exhausted and edge.leg not in self.told:
                return edge if self._tells_end else None
        legs = [edge for edge in edges if not edge.exhausted]
        if not legs:
            return None
        if self._take is Take.ANY:
            legs = [edge for edge in legs if edge.next() is not None]
            return min(legs, key=lambda edge: edge.taken) if legs else None
        if self._take is Take.COUNT:
            leg = min(legs, key=lambda edge: self._items.get(edge.leg, 0))
        else:
            # Of legs that have come equally far one that has a frame: a merge further up answers with several frames
            # for the same stretch, and the other leg's next one may be waiting for room that only this one makes.
            leg = min(self._hindmost(legs), key=lambda edge: (edge.next() is None, self._come(edge)))
        if leg.next() is None and self.ahead:
            leg = min(legs, key=lambda edge: (edge.next() is None, self._come(edge)))
        return leg if leg.next() is not None else None

    def _come(self, edge: Edge) -> Path:
        return self._progress.get(edge.leg, ())

    def _hindmost(self, legs: Sequence[Edge]) -> list[Edge]:
        """Return the legs that have come least far."""
        least = min(map(self._come, legs))
        if self._take is Take.STEP and least:
            # A leg that is amid an item's parts, or parts of parts, has not passed it.
            return [leg for leg in legs if self._come(leg)[: len(least)] == least]
        return [leg for leg in legs if self._come(leg) == least]
