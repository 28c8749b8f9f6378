"""Several functions in one loop: each item goes through all of them before the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from types import TracebackType
from typing import Any, NamedTuple

from olympipe_like._model.frame import OpCounts
from olympipe_like._model.options import SKIP
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.steps import Map, PerItem, Select, Step, Tap

_DROP = "gone{n} += 1; kept.append(False); continue"
_WRITTEN: dict[type[Step], tuple[str, ...]] = {
    Map: ("item = f{n}(item)", "if item is SKIP: " + _DROP),
    Select: ("if not f{n}(item): " + _DROP,),
    Tap: ("f{n}(item)",),
}
"""What each kind of step does with an item; the first line is the one that calls its function."""


def in_one_pass(steps: Sequence[Step]) -> list[Step | OnePass]:
    """Return what to run in the place of steps: neighbours that may share a loop do."""
    made: list[Step | OnePass] = []
    for shared, group in groupby(steps, _may_share):
        members = list(group)
        if shared and len(members) > 1:
            made.append(OnePass([step for step in members if isinstance(step, PerItem)]))
        else:
            made.extend(members)
    return made


def _may_share(step: Step) -> bool:
    """Whether a step does nothing but call its function with each item, until one raises."""
    return (
        type(step) in _WRITTEN
        and isinstance(step, PerItem)
        and step.attempts.are_final
        and not step.is_async
        and (step.draws is None or not step.draws.active)
    )


class OnePass:
    """Steps that share a loop, which is written for them.

    One step after the other would make a list of all items between any two of them: three tiny functions take 140 ns an
    item in that way, and 100 in this. And of large items only the one at hand is held in all its stages.
    """

    def __init__(self, steps: Sequence[PerItem]) -> None:
        self._steps = steps
        self._loop = _write([type(step) for step in steps])

    def run(self, chunk: Chunk, leg: int) -> Chunk:
        """Return what becomes of a chunk."""
        if any(step.watch.active for step in self._steps):
            for step in self._steps:  # the hub counts the items of one step before those of the next
                chunk = step.run(chunk, leg)
            return chunk
        results: list[Any] = []
        kept: list[bool] = []
        functions = [step.function for step in self._steps]
        gone, item, error = self._loop.run(SKIP, chunk.items, results, kept, *functions)
        if error is None:
            self._count(len(kept), gone)
            return chunk.made(results, kept) if any(gone) else chunk.with_items(results)
        return self._failed(chunk, results, kept, gone, item, error)

    def end(self, leg: int) -> None:
        """Return nothing: none of the steps holds anything."""
        del leg

    def _failed(
        self,
        chunk: Chunk,
        results: list[Any],
        kept: list[bool],
        gone: Sequence[int],
        item: Any,
        error: BaseException,
    ) -> Chunk:
        """Return the results of the items before the one whose function raised, and its failure."""
        index = len(kept)
        if index == len(chunk.items):
            raise error  # not by a function: Ctrl-C behind the last item
        del results[kept.count(True) :]  # Ctrl-C may come between the two
        # Not an attribute of that name that a user's class has.
        trace: TracebackType = vars(BaseException)["__traceback__"].__get__(error)
        line = trace.tb_lineno
        at = max((step for step, call in enumerate(self._loop.calls) if call <= line), default=0)
        seen = chunk.with_items([*chunk.items[:index], item])
        failure = self._steps[at].attempts.failure(seen, index, error, 1)
        self._count(index, gone, at)
        made = seen.with_items(seen.items[:index]).made(results, kept)
        made.failure = failure
        return made

    def _count(self, given: int, gone: Sequence[int], failed: int | None = None) -> None:
        """Count what became of the items given, and of another one that raised at the step ``failed``."""
        for number, (step, dropped) in enumerate(zip(self._steps, gone, strict=True)):
            left = given - dropped
            if failed is None or number > failed:
                step.count(OpCounts(given, left, dropped))
            else:
                fails = int(number == failed)
                step.count(OpCounts(given + 1, left + 1 - fails, dropped, fails))
            given = left


class _Loop(NamedTuple):
    run: Callable[..., tuple[Sequence[int], Any, BaseException | None]]
    calls: tuple[int, ...]  # the line in which each function is called


def _write(kinds: Sequence[type[Step]]) -> _Loop:
    """Return a loop over items that applies functions one after the other.

    It appends results, and for each item that is through whether it has one; it returns how many items each function
    kept back, and what was raised, with what the item had become, if anything was.
    """
    numbers = range(len(kinds))
    gone = "".join(f"gone{number}, " for number in numbers)
    lines = [
        f"def run(SKIP, items, results, kept, {', '.join(f'f{number}' for number in numbers)}):",
        f"    {gone.replace(', ', ' = ')}0",
        "    item = None",
        "    try:",
        "        for item in items:",
    ]
    calls = []
    for number, kind in enumerate(kinds):
        calls.append(len(lines) + 1)
        lines += [12 * " " + line.format(n=number) for line in _WRITTEN[kind]]
    lines += [
        "            results.append(item)",
        "            kept.append(True)",
        "    except BaseException as error:",
        f"        return ({gone}), item, error",
        f"    return ({gone}), None, None",
    ]
    made: dict[str, Any] = {}
    # Begins as our files do: users are shown what is theirs of a traceback.
    exec(compile("\n".join(lines), f"{__file__}: a loop", "exec"), made)  # noqa: S102 - our lines, but for numbers
    return _Loop(made["run"], tuple(calls))
