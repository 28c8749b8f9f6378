"""Where the consumer of a run is, and the places it has passed: what a state is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from olympipe_like._model.identity import END, Path
from olympipe_like._plan.graph import Node, topological
from olympipe_like._plan.resuming import Restart, numbered
from olympipe_like._plan.twins import without_twins
from olympipe_like._runtime.restarting import Orders, find_restart
from olympipe_like._worker.chunk import Chunk, Columns
from olympipe_like._worker.resumed import Gate, without_first

DENSE, MARKS = 2048, 32
"""Places, and marks of a streamer, kept one by one; of older ones every second, again and again.

With fewer of them a resumed run reads more than it must, and gives the same.
"""

_PICKED, _LAST = 64, 16  # places kept of one frame: spread over it, and its last ones


class Place(NamedTuple):
    """How far the consumer has come: the furthest path met, and how many items have come since it was met first."""

    path: Path = ()
    met: int = 0


class Mark(NamedTuple):
    """Where a streamer was, in its own words."""

    at: Path
    state: Mapping[str, Any]


class Bookmark:
    """Keeps places, no items. A frame costs it some microseconds, whatever is in it."""

    def __init__(self, leaf: Node, seed: int, base: Restart, place: Place, given: int) -> None:
        self._nodes = numbered(leaf)
        self._base = base
        self._orders = Orders(seed)
        found = without_twins(topological([leaf]))
        unique = {number: found[node] for number, node in self._nodes.items()}
        self._unique = unique
        self._in_order = unique[max(unique)] and all(len(node.inputs) < 2 for node in self._nodes.values())
        self._remembers = any(node.op.remembers for node in self._nodes.values())
        self._gate = Gate(place.path, place.met)
        self.place = place
        self.given = given
        self._passed: list[Path] = []  # of some of the items taken
        self._given_then = 0  # items that had been taken when the last of those was
        self._chunk = Chunk([], (), ())
        self._folded = 0  # items of the chunk that are accounted for
        self._left: tuple[Columns, int, int] | None = None  # paths of the frame before, and which of them to note
        self._marks: dict[int, list[Mark]] = {}

    def take(self, chunk: Chunk) -> Chunk:
        """Return the part of a frame that is new; all of the one before has been taken by now."""
        self._leave()
        if not self._gate.is_open:
            chunk = without_first(chunk, self._gate.leaves_out(chunk))
        self._chunk, self._folded = chunk, 0
        return chunk

    def note(self, taken: int) -> None:
        """Note that so many items of the frame at hand have been taken."""
        if self._left is not None:
            columns, start, stop = self._left
            left = Chunk([None] * stop, columns, ())
            self._left = None
            self.place = self._place_behind(left, start, stop)
            self._pass(left.path(stop - 1), self.given)
        chunk, start = self._chunk, self._folded
        if taken <= start:
            return
        self._folded = taken
        self.place = self._place_behind(chunk, start, taken)
        for index in _picked(start, taken) if self._remembers else (taken - 1,):
            self._pass(chunk.path(index), self.given + index - start + 1)
        self.given += taken - start
        if not self._remembers:
            del self._passed[:-1]
        elif len(self._passed) > 2 * DENSE:
            self._passed = self._passed[:-DENSE:2] + self._passed[-DENSE:]

    def _leave(self) -> None:
        """Note that all of the frame at hand has been taken."""
        chunk, folded = self._chunk, self._folded
        if self._remembers or not self._in_order:
            self.note(len(chunk.items))
        elif len(chunk.items) > folded:  # of such plans nobody needs more than the last one, and seldom that
            self._left = chunk.columns, folded, len(chunk.items)
            self.given += len(chunk.items) - folded

    def _pass(self, path: Path, given: int) -> None:
        if END[0] not in path:  # what came because an input had ended is no place to begin behind
            self._passed.append(path)
            self._given_then = given

    def _place_behind(self, chunk: Chunk, start: int, stop: int) -> Place:
        last = chunk.path(stop - 1)
        # What came because an input had ended may be made of such, and step back behind it.
        if self._in_order and END[0] not in last:
            return Place(last, 1)
        furthest, met = self.place
        for path in chunk.paths()[start:stop]:
            furthest, met = (path, 1) if path > furthest else (furthest, met + 1)
        return Place(furthest, met)

    def mark(self, source: int, at: Path, state: Mapping[str, Any]) -> None:
        """Note where a streamer was; the first one says where it began."""
        marks = self._marks.setdefault(source, [])
        marks.append(Mark(at, state))
        if len(marks) > 2 * MARKS:
            marks[:-MARKS] = marks[:-MARKS:2]

    def mark_before(self, source: int, restart: Restart) -> Mark:
        """Return the last mark of a streamer before the first item that is wanted of it."""
        first = restart.sources.get(source, ())
        begun, *later = self._marks[source]
        return next((mark for mark in reversed(later) if mark.at <= first), begun)

    def restart(self) -> Restart:
        """Return where a run must begin to give what comes next."""
        # Where one could begin for an earlier place one can begin for a later one: a step that finds nothing better
        # takes that.
        self._base = find_restart(self._nodes, self._unique, self._base, self._passed, self._given_then, self._orders)
        return self._base


def _picked(start: int, stop: int) -> Iterable[int]:
    spread = range(start, stop, max((stop - start) // _PICKED, 1))
    return spread if spread.step == 1 else sorted({*spread, *range(max(start, stop - _LAST), stop)})
