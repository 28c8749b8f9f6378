"""Steps of a resumed run: what an earlier run has dealt with is kept from them, and not given again."""

from __future__ import annotations

from typing import Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import Path
from olympipe_like._model.start import Start
from olympipe_like._plan.segment import Label
from olympipe_like._worker.blame import blame
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.steps import Step
from olympipe_like.errors import PlanError


class Gate:
    """Lets a stream pass from some place on.

    A place is the furthest path met so far, and how many items have come since it was met first: where several items
    have one path, or one that steps back (what explode made of such), that still tells them apart.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.is_open = not path
        self._path = path
        self._count = count  # items at that place that are to be left out
        self._furthest: Path = ()

    def leaves_out(self, chunk: Chunk) -> int:
        """Return how many items at the start of the next chunk may not pass."""
        if self.is_open:
            return 0
        for index, path in enumerate(chunk.paths()):
            self._furthest = max(self._furthest, path)
            if self._furthest == self._path and self._count:
                self._count -= 1
            elif self._furthest >= self._path:
                self.is_open = True
                return index
        return len(chunk.items)

    def state(self) -> Any:
        """Return what a successor must know."""
        return self.is_open, self._count, self._furthest

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self.is_open, self._count, self._furthest = state


class Ghost:
    """What stands in a shuffle for an item that an earlier run has given."""


def without_first(chunk: Chunk, count: int) -> Chunk:
    """Return a chunk without its first items."""
    return chunk.view(count, len(chunk.items) - count, ()) if count else chunk


class Resumed(Step):
    """A step that remembers, in a run that goes on where another was."""

    def __init__(self, step: Step, start: Start, label: Label, worker: str) -> None:
        super().__init__(label, worker)
        self.step = step
        self._taken = Gate(start.after, 1)
        self._given = Gate(start.below, 0)
        self._ghosts = step.begin(start.taken)

    @property
    def held(self) -> int:
        """What the step holds; where the gates are must be written down, too."""
        return self.step.held or not (self._taken.is_open and self._given.is_open)

    def state(self) -> Any:
        """Return what the step remembers, and whether the gates are open."""
        return self._taken.state(), self._given.state(), self._ghosts, self.step.state()

    def restore(self, state: Any) -> None:
        """Go on from there."""
        taken, given, self._ghosts, inner = state
        self._taken.restore(taken)
        self._given.restore(given)
        self.step.restore(inner)

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return what the step makes of the items that are new, without what was given before."""
        left_out = self._taken.leaves_out(chunk)
        self.step.keeps = self.keeps
        made = self.step.run(without_first(chunk, left_out), leg)
        self.count(OpCounts(left_out, 0, left_out))
        return self._new_of(made)

    def end(self, leg: int) -> Chunk | None:
        """Return what of that the step held."""
        held = self.step.end(leg)
        if held is None:
            self.count(self.step.take_counts())  # what it dropped
            return None
        return self._new_of(held)

    def _new_of(self, made: Chunk) -> Chunk:
        count = self._given.leaves_out(made)
        self.done = self.step.done
        self.count(self.step.take_counts())
        ghosts = [place for place, item in enumerate(made.items) if type(item) is Ghost] if self._ghosts else []
        self._ghosts -= len(ghosts)
        if ghosts and ghosts[-1] >= count:
            return Chunk([], (), made.upto, self._shrunk())
        self.count(OpCounts(0, -count, count - len(ghosts)))
        return without_first(made, count)

    def _shrunk(self) -> Failure:
        error = PlanError("the source gives fewer items than when the state was written: the run cannot go on from it")
        return blame(error, self.label, self.worker)

    def rejudge(self, path: Path, result: Any, failure: Failure, error: BaseException) -> Failure | list[Any]:
        """Ask the step."""
        made = self.step.rejudge(path, result, failure, error)
        self.count(self.step.take_counts())
        return made

    def forget(self) -> None:
        """Let the step go of what that needs."""
        self.step.forget()

    def close(self) -> None:
        """Close the step."""
        self.step.close()
