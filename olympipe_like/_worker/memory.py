"""What the operators with memory do: batch, reduce, and the merges gather, align and zip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import END, Path, at_end, until_end
from olympipe_like._plan import operators as ops
from olympipe_like._plan.parameters import wants_rng
from olympipe_like._plan.segment import Label
from olympipe_like._worker.attempts import Attempts, Dropped
from olympipe_like._worker.blame import show
from olympipe_like._worker.chunk import Chunk, from_paths
from olympipe_like._worker.draws import Draws
from olympipe_like._worker.steps import Step
from olympipe_like._worker.watch import Watch


def collate_by_name(name: str) -> Callable[[list[Any]], Any]:
    """Return the function for ``collate=``, which is given a list of its own."""
    return _as_it_is if name == "list" else stack


def _as_it_is(items: list[Any]) -> list[Any]:
    return items


def stack(items: list[Any]) -> Any:
    """Return arrays stacked along a new first axis; tuples and dicts of arrays field by field."""
    import numpy as np

    first = items[0]
    if isinstance(first, tuple):
        return tuple(stack(list(field)) for field in zip(*items, strict=True))
    if isinstance(first, dict):
        return {key: stack([item[key] for item in items]) for key in first}
    return np.stack(items)


class Group(Step):
    """Batch."""

    def __init__(self, op: ops.Batch, label: Label, worker: str, attempts: Attempts, watch: Watch) -> None:
        super().__init__(label, worker)
        self._attempts = attempts
        self._watch = watch
        self._op = op
        self._collate: Callable[..., Any] = op.collate if callable(op.collate) else collate_by_name(op.collate)
        self.wants_rng = wants_rng(self._collate, 1)
        self.draws: Draws | None = None
        self._held: list[Any] = []
        self._last: Path = ()  # of the last item that came
        self._made: list[tuple[Any, list[Any]]] = []  # batches of the frame at hand, and their items

    @property
    def held(self) -> int:
        """Items of the batch begun."""
        return len(self._held)

    def state(self) -> Any:
        """Return the batch begun."""
        return self._held, self._last

    def restore(self, state: Any) -> None:
        """Go on with it."""
        self._held, self._last = state

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return the batches that are complete now."""
        del leg
        size, start = self._op.size, -len(self._held)
        items = self._held + chunk.items
        ends = range(size, len(items) + 1, size)
        out: list[Any] = []
        lasts: list[int] = []
        dropped = 0
        failure = chunk.failure
        for stop in ends:
            last = stop - 1 + start
            made = self._batch(items[stop - size : stop], partial(chunk.path, last))
            if isinstance(made, Failure):
                failure = made
                break
            if isinstance(made, Dropped):
                dropped += size
                continue
            out.append(made[0])
            lasts.append(last)
            if self._attempts.mends:
                self._made.append((made[0], items[stop - size : stop]))
        columns = tuple([column[last] for last in lasts] for column in chunk.columns)
        self._held = items[len(ends) * size :]
        if chunk.items:
            self._last = chunk.path(-1)
        failed = dropped + (failure is not chunk.failure)
        self.count(OpCounts(len(chunk.items), len(out), 0, failed, len(out) * (size - 1)))
        return Chunk(out, columns, until_end(chunk.upto), failure)

    def end(self, leg: int) -> Chunk | None:
        """Return the incomplete batch, as asked."""
        del leg
        held, self._held = self._held, []
        if not held:
            return None
        if self._op.last == "drop":
            self.count(OpCounts(0, 0, len(held)))
            return None
        path = at_end(self._last)
        made = self._batch(held, lambda: path, missing=self._op.size - len(held) if self._op.last == "pad" else 0)
        if isinstance(made, Failure):
            return Chunk([], (), END, made)
        if isinstance(made, Dropped):
            self.count(OpCounts(0, 0, 0, len(held)))
            return None
        self._made.append((made[0], held))
        self.count(OpCounts(0, 1, 0, 0, len(held) - 1))
        return from_paths(list(made), [path], END)

    def rejudge(self, path: Path, result: Any, failure: Failure, error: BaseException) -> Failure | list[Any]:
        """Ask the policy about the items of a batch."""
        members = next((members for made, members in self._made if made is result), None)
        if members is None:
            return failure
        verdict = self._attempts.judge_unsent(failure, error, from_paths([members], [path], END))
        if isinstance(verdict, Failure):
            return verdict
        if isinstance(verdict, tuple):
            return [verdict[0]]
        self.count(OpCounts(0, -1, 0, len(members), 1 - len(members)))
        return []

    def forget(self) -> None:
        """Let go of the batches that went out."""
        self._made.clear()

    def _batch(self, members: list[Any], path: Callable[[], Path], missing: int = 0) -> tuple[Any] | Dropped | Failure:
        """Return one batch, in a tuple, or what the policy makes of its failure."""
        watch = self._watch
        try:
            if watch.active:
                watch.enter()
                watch.rest()  # a timeout is about the items of the stage that this rides along with
            made = self._collated(members, missing, path)
            if watch.active:
                watch.rehearse((made,))
                watch.leave()
        except BaseException as error:  # noqa: BLE001 - the collate function is the user's
            verdict = self._judge(members, path, missing, error)
            watch.leave()
            return verdict
        return (made,)

    def _judge(
        self, members: list[Any], path: Callable[[], Path], missing: int, error: BaseException
    ) -> tuple[Any] | Dropped | Failure:
        """Try again, as often as allowed, and return what becomes of the batch."""
        attempts, tries = self._attempts, 1
        if attempts.may_retry(error):
            made, later, tries = attempts.again(error, partial(self._collated, members, missing, path))
            if later is None:
                return (made,)
            error = later
        return attempts.judge(from_paths([members], [path()], END), 0, error, tries)

    def _collated(self, members: list[Any], missing: int, path: Callable[[], Path]) -> Any:
        drawn = self.draws.begin(self.draws.seed_at(path())) if self.draws is not None and self.draws.active else {}
        # Of a copy: what the function does to its list must not show when it is tried again, or recorded.
        return self._collate(members + self._padding(missing) if missing else members[:], **drawn)

    def _padding(self, missing: int) -> list[Any]:
        pad = self._op.pad
        if not callable(pad):
            return [pad] * missing
        made = pad(missing)
        if not isinstance(made, Iterable):
            raise TypeError(f"pad must return a list of the {missing} missing, and returned {show(made)}")
        filling = list(made)
        if len(filling) != missing:
            raise ValueError(f"pad must return a list of the {missing} missing, and returned {len(filling)}")
        return filling


class Fold(Step):
    """Reduce."""

    meets_each = True

    def __init__(self, op: ops.Reduce, label: Label, worker: str, attempts: Attempts, watch: Watch) -> None:
        super().__init__(label, worker)
        self._attempts = attempts
        self._watch = watch
        self._reducer = op.reducer
        # A run must not change the plan's own initial value: the next run starts from it again.
        self._value = deepcopy(op.initial)
        self._last: Path = ()  # of the last item that came

    @property
    def held(self) -> int:
        """The accumulator, whatever it is."""
        return 1

    def state(self) -> Any:
        """Return the accumulator."""
        return self._value, self._last

    def restore(self, state: Any) -> None:
        """Go on with it."""
        self._value, self._last = state

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Fold the items in."""
        del leg
        done = 0
        failure = chunk.failure
        try:
            for item in chunk.items:
                if self._watch.active:
                    self._watch.enter()
                self._value = self._reducer(item, self._value)
                done += 1
        except BaseException as error:  # noqa: BLE001 - anything a function raises is its item's failure
            failure = self._attempts.failure(chunk, done, error, 1)
        self._watch.leave()
        if chunk.items:
            self._last = chunk.path(-1)
        failed = int(failure is not chunk.failure)
        self.count(OpCounts(done + failed, 0, 0, failed, done))
        return Chunk([], (), until_end(chunk.upto), failure)

    def end(self, leg: int) -> Chunk:
        """Return the one result."""
        del leg
        self.count(OpCounts(0, 1))
        return from_paths([self._value], [at_end(self._last)], END)
