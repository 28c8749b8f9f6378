"""Brings an item from its source to the stage that failed: through the functions of every stage it went through.

Decides what is run on the way and what it means if the item does not come through. Prints what each function gives.
"""

from __future__ import annotations

import bdb
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from olympipe_like._model.identity import END, Path
from olympipe_like._model.options import SKIP
from olympipe_like._plan.operators import Gather, Operator, Source
from olympipe_like._plan.reshaping import Sample
from olympipe_like._plan.segment import Label, Segment
from olympipe_like._runtime import single_step
from olympipe_like._runtime.single_step import Debugging
from olympipe_like._runtime.way import Route
from olympipe_like._worker.blame import text_of
from olympipe_like._worker.chunk import from_paths
from olympipe_like._worker.epochs import Epochs
from olympipe_like._worker.feed import in_epochs, iterate
from olympipe_like._worker.passing import Print, Truth
from olympipe_like._worker.program import Program
from olympipe_like._worker.spread import Spread
from olympipe_like._worker.steps import PerItem, Select, Step, Tap


class Arrived(NamedTuple):
    """The item came to the stage that failed."""

    item: Any


class Dropped(NamedTuple):
    """A stage before it drops the item now."""

    text: str


class Failed(NamedTuple):
    """A stage before it fails on the item now."""

    stage: str
    error: BaseException


Outcome = Arrived | Dropped | Failed


class NotGiven(Exception):
    """A source does not give the item again; the text says why."""


def from_source(source: Source, path: Path) -> Any:
    """Return the item of a callable source with this path; iterates it up to there.

    Raises
    ------
    NotGiven
        If it fails before, or ends.
    """
    made = in_epochs(source, lambda: source.datas(*source.args, **source.kwargs))
    items = None
    try:
        items = iterate(made())
        for number, item in enumerate(items):
            at = items.place([item], number).path(0) if isinstance(items, Epochs) else (number,)
            if at == path:
                return item
    except Exception as error:
        raise NotGiven(f"its source fails before it comes to it: {text_of(error)}") from error
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
    raise NotGiven("its source ends before it comes to it")


class UnknownNumbers(Exception):
    """What a stage on the way drew for the item cannot be told; the text says why."""


class Retracing:
    """Sends an item along one route or several; what they share is run once."""

    def __init__(self, segments: Sequence[Segment | None], debugging: Debugging) -> None:
        self._segments = segments
        self._debugging = debugging
        self._outcomes: dict[Route, Outcome] = {}  # by how far the route goes
        self._came: Counter[tuple[int, int, Path]] = Counter()  # items by stage, step that draws, and path

    def follow(self, route: Route, origin: Callable[[], Any]) -> Outcome:
        """Send what the source gives through the stages of a route, up to the operator that failed.

        Raises
        ------
        UnknownNumbers
            If a stage draws, and the item may be one of several that a gather gave with one path.
        """
        outcome: Outcome = Dropped("the route has no source")
        for end in range(1, len(route) + 1):
            so_far = route[:end]
            if so_far not in self._outcomes:
                self._outcomes[so_far] = (
                    self._pass(so_far, outcome.item) if isinstance(outcome, Arrived) else self._begin(origin)
                )
            outcome = self._outcomes[so_far]
            if not isinstance(outcome, Arrived):
                break
        return outcome

    def _begin(self, origin: Callable[[], Any]) -> Arrived:
        item = origin()
        print(f"the source gives {single_step.shown(item)}")
        return Arrived(item)

    def _pass(self, route: Route, item: Any) -> Outcome:
        """Send the item through the last stage of a route, or the part of it that comes before the one that failed."""
        stretch = route[-1]
        segment = self._segments[stretch.place]
        count = len(stretch.paths) - 1
        if segment is None or count == 0:
            return Arrived(item)
        first = segment._replace(
            ops=segment.ops[:count],
            labels=segment.labels[:count],
            main=min(segment.main, count - 1),
            keys=segment.keys[:count],
        )
        try:
            program = Program(first, 0, "replay", alone=True)
        except Exception as error:  # noqa: BLE001 - the constructor is the user's
            return Failed(_name(first.label), error)
        try:
            return self._through(program, first, route, item)
        finally:
            program.close()

    def _through(self, program: Program, segment: Segment, route: Route, item: Any) -> Outcome:
        paths = route[-1].paths
        for index, (step, op, label) in enumerate(zip(program._steps, segment.ops, segment.labels, strict=True)):
            path = paths[index + 1]
            own = single_step.own_step(step)
            if isinstance(own, Truth | Print):
                passed = own.run(from_paths([item], [path], END), 0).items
                if not passed:
                    return Dropped(f"{_name(label)} drops the item now")
                (item,) = passed
            elif single_step.has_function(own):
                seed = self._seed(own, label, route, index)
                part = path[-1] if isinstance(own, Spread) else None
                outcome = _one(own, op, label, item, part, seed, self._debugging)
                if not isinstance(outcome, Arrived):
                    return outcome
                item = outcome.item
            # Others let the item pass in the run, by chance or by what they had seen before, and do so now.
        return Arrived(item)

    def _seed(self, step: PerItem | Spread, label: Label, route: Route, index: int) -> int | None:
        """Return what the item's numbers followed from at a step of the last stage; None: it draws none."""
        if step.draws is None or not step.draws.active or (isinstance(step, Spread) and not step.calls_user):
            return None
        at = route[-1].place, index, route[-1].paths[index]
        twins = self._came[at]
        self._came[at] += 1
        if not self._can_count(route, index):
            raise UnknownNumbers(
                f"{_name(label)} draws random numbers, and which they were behind a gather is not known"
            )
        return step.draws.seed_at(at[-1], twins)

    def _can_count(self, route: Route, index: int) -> bool:
        """Whether items of one path, as the legs of a gather give them, are side by side where a step draws."""
        gathered = False
        for stretch in route:
            segment = self._segments[stretch.place]
            if segment is None:  # it may leave out one of them
                if gathered:
                    return False
                continue
            for op in segment.ops[:index] if stretch is route[-1] else segment.ops:
                if isinstance(op, Gather):
                    gathered = True
                elif gathered and (op.multiplies or op.remembers or isinstance(op, Sample)):
                    return False
        return True


def _one(
    step: Step, op: Operator, label: Label, item: Any, part: int | None, seed: int | None, debugging: Debugging
) -> Outcome:
    try:
        result = single_step.call(step, item, debugging, part, seed=seed)
    except (KeyboardInterrupt, bdb.BdbQuit):
        raise
    except BaseException as error:  # noqa: BLE001 - anything a function raises is its item's failure
        handler = op.placement.policy.on_error
        if not callable(handler) or not isinstance(error, Exception):
            return Failed(_name(label), error)
        try:
            made = handler(item, error)
        except Exception as later:  # noqa: BLE001 - the handler is the user's, too
            return Failed(_name(label), later)
        print(f"{_name(label)}: {text_of(error)}; its on_error gives {single_step.shown(made)}")
        if made is SKIP or (made is None and not isinstance(step, Tap)):
            return Dropped(f"the on_error of {_name(label)} drops the item now")
        if isinstance(step, Spread):
            assert part is not None
            result = list(made)[part : part + 1]
        else:
            result = step.replacement(item, made) if isinstance(step, PerItem) else made
    else:
        given = result[0] if part is not None and result else result
        print(f"stage {label.number}/{label.of}: {single_step.describe(step, label.name, given)}")
    if isinstance(step, Tap):
        return Arrived(item)
    if isinstance(step, Select):
        return Arrived(item) if result else Dropped(f"{_name(label)} filters the item out now")
    if part is not None:
        return Arrived(result[0]) if result else Dropped(f"{_name(label)} gives fewer parts now")
    return Dropped(f"{_name(label)} drops the item now") if result is SKIP else Arrived(result)


def _name(label: Label) -> str:
    return f"stage {label.number}/{label.of} {label.name!r}"
