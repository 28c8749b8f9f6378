"""Lists of steps, in the forms that Neuraxle has, as stages over batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from olympipe_like._model.options import Workers
from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like._worker.composed import OwnStep, call_with, rows
from olympipe_like.errors import PlanError, PlanTypeError

if TYPE_CHECKING:
    from olympipe_like.pipeline import Pipeline

Collate = Literal["list", "stack"] | Callable[[list[Any]], Any]

_FORMS = (
    "step, (workers, step), (name, step), (name, workers, step), (name, workers, queue_size, step), "
    "(name, workers, worker_args, step) or (name, workers, worker_args, queue_size, step)"
)


class Step(NamedTuple):
    """One step, whichever form it was given in."""

    step: Any
    name: str
    workers: Workers
    queue_size: int | None
    worker_args: tuple[dict[str, Any], ...] = ()


class Defaults(NamedTuple):
    """What holds for steps that do not say it themselves, and for all of them."""

    workers: Workers | None
    queue_size: int | None
    use_processes: bool

    @property
    def executor(self) -> Literal["process", "thread"]:
        """Where the steps run."""
        return "process" if self.use_processes else "thread"


def read(where: str, steps: object, defaults: Defaults) -> list[Step]:
    """Return the steps of a list.

    Raises
    ------
    PlanError, PlanTypeError
        If it is no list, or empty, or one of them has no form that is known.
    """
    checks.flag(where, "use_processes", defaults.use_processes)
    if defaults.workers is not None:
        checks.staff(where, "n_workers_per_step", defaults.workers)
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise PlanTypeError(f"{where}: steps must be a list, got {checks.show(steps)}")
    if not steps:
        raise PlanError(f"{where}: steps must not be empty")
    return [_read_one(f"{where}: step {number}", given, defaults) for number, given in enumerate(steps, 1)]


def _read_one(where: str, given: object, defaults: Defaults) -> Step:
    form = given if isinstance(given, tuple) else (given,)
    *before, step = form or (None,)
    named = bool(before) and isinstance(before[0], str)
    name: object = before.pop(0) if named else checks.name_of(step, "step")
    workers = before.pop(0) if before else defaults.workers or 1
    arguments = before.pop(0) if before and isinstance(before[0], Sequence) else None
    queue_size = before.pop(0) if before else defaults.queue_size
    if before or (len(form) > 2 and not named):
        raise PlanTypeError(f"{where}: must be {_FORMS}; got {checks.show(given)}")
    checks.function(where, "the step", step, or_transform=True)
    count = checks.staff(where, "workers", workers)
    return Step(
        step=step,
        name=checks.text(where, "name", name),
        workers=count,
        queue_size=None if queue_size is None else checks.whole_number(where, "queue_size", queue_size, 1),
        worker_args=_read_arguments(where, arguments, count),
    )


def _read_arguments(where: str, given: object, workers: Workers) -> tuple[dict[str, Any], ...]:
    """Return each worker's own arguments: a mapping for each, or pairs of name and value, or lists of such pairs."""
    if given is None:
        return ()
    assert isinstance(given, Sequence)
    made = []
    for each in given:
        pairs = [each] if isinstance(each, tuple) and each and isinstance(each[0], str) else each
        try:
            found = dict(pairs)
        except (TypeError, ValueError):
            found = {}
        if not found and not isinstance(each, Mapping):
            raise PlanTypeError(
                f"{where}: worker_args must hold for each worker a mapping, or a (name, value); got {checks.show(each)}"
            )
        made.append({checks.text(where, "an argument's name", name): value for name, value in found.items()})
    return tuple(dict(each) for each in checks.worker_args(where, made, 0 if workers == "auto" else workers))


def batches(
    source: Pipeline[Any], where: str, batch_size: int, *, keep_incomplete_batch: bool, pad: Any, collate: Collate
) -> Pipeline[Any]:
    """Return the mini-batches that the steps are given."""
    size = checks.whole_number(where, "batch_size", batch_size, 1)
    return source.batch(size, keep_incomplete_batch, pad=pad, collate=collate)


def apply(pipe: Pipeline[Any], step: Step, defaults: Defaults) -> Pipeline[Any]:
    """Return the pipeline with a stage for a step."""
    if not step.worker_args:
        return pipe.task(
            step.step, step.workers, executor=defaults.executor, queue_size=step.queue_size, name=step.name
        )
    return pipe.class_task(
        OwnStep,
        "use",
        [step.step],
        workers=step.workers,
        worker_args=[{"arguments": each} for each in step.worker_args],
        executor=defaults.executor,
        queue_size=step.queue_size,
        name=step.name,
    )


def finish(pipe: Pipeline[Any], where: str, joiner: Callable[[list[Any]], Any] | None) -> Pipeline[Any]:
    """Return the items of the batches, or the one item that a joiner makes of all batches."""
    if joiner is None:
        return pipe.unbatch()
    checks.sync_function(where, "joiner", joiner)
    return pipe.batch(sys.maxsize, collate=joiner)


def in_a_row(
    source: Pipeline[Any],
    steps: Iterable[Any],
    batch_size: int,
    defaults: Defaults,
    joiner: Callable[[list[Any]], Any] | None,
    **options: Any,
) -> Pipeline[Any]:
    """Return the pipeline in which each step works on what the one before made of a batch."""
    where = f"from_steps ({call_site()})"
    pipe = batches(source, where, batch_size, **options)
    for step in read(where, steps, defaults):
        pipe = apply(pipe, step, defaults)
    return finish(pipe, where, joiner)


def side_by_side(
    source: Pipeline[Any],
    steps: Iterable[Any],
    batch_size: int,
    defaults: Defaults,
    join: Callable[..., Any] | None,
    joiner: Callable[[list[Any]], Any] | None,
    **options: Any,
) -> Pipeline[Any]:
    """Return the pipeline in which each step works on every batch, and what they make of it is joined."""
    where = f"union ({call_site()})"
    pipe = batches(source, where, batch_size, **options)
    found = read(where, steps, defaults)
    legs = [apply(pipe, step, defaults) for step in found]
    if join is not None:
        checks.sync_function(where, "join", join)
    together = partial(rows, names=[step.name for step in found]) if join is None else partial(call_with, join)
    joined = legs[0].align(*legs[1:]).task(together, executor=defaults.executor, name="join")
    return finish(joined, where, joiner)
