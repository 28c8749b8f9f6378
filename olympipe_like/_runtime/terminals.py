"""What runs a plan: results as lists, as an iterator, as a handle; and what shows a plan without running it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from olympipe_like._model.options import Limits
from olympipe_like._plan import amounts, checks, drawing
from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.graph import Node
from olympipe_like._plan.layout import Layout, lay_out
from olympipe_like._runtime.cores import auto_workers
from olympipe_like.errors import PlanError, PlanTypeError

if TYPE_CHECKING:
    import sys

    from olympipe_like._runtime.run import Run, RunOptions

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack

T = TypeVar("T")
U = TypeVar("U")


class Runnable(Generic[T]):
    """A node of a plan that can be run."""

    _node: Node

    def run(self, **run: Unpack[RunOptions]) -> Run[T]:
        """Return a handle on a new run: iterate it, `stop` it, ask for its ``report``.

        Run options, the same for every terminal: ``executor`` for all stages ("inline": everything in the caller, for
        debugging), ``progress`` (None: bars on a terminal or in a notebook; True, False, or a function that is given
        a report now and then), ``queue_size`` for every stage that names none, and before the consumer,
        ``stall_timeout`` (seconds): fail with `StalledError` when nothing has moved for so long, ``quarantine``: a
        folder that keeps failed items, see `Pipeline.from_quarantine`, ``max_failures``: fail with `TooManyFailures`
        when stages that drop failed items dropped more than so many, or than such a share (below 1) of the source's,
        ``memory``: bytes, or a text like "2GB", of items on their way, ``fuse``: all stages as with `Pipeline.fuse`,
        ``auto_workers``: how many processes the stages with ``workers="auto"`` share, at least one for each (default:
        one for each, and for each processor but one another that goes to where the time goes),
        ``seed`` (a whole number >= 0): what is random is the same in each run with this seed, whatever its workers;
        ``random`` and ``numpy.random`` are then seeded for each item, which takes some 30 µs an item and stage.
        """
        return _open([self._node], run)

    def __iter__(self) -> Iterator[T]:
        """Run, and yield the results as they come. Leaving the loop stops everything."""
        return iter(self.run())

    def __aiter__(self) -> AsyncIterator[T]:
        """As `__iter__`, without holding up the event loop."""
        return self.run().__aiter__()

    def wait_for_result(self, **run: Unpack[RunOptions]) -> list[T]:
        """Run, and return all results.

        Raises
        ------
        StageFailed
            If a stage's function raised; also an instance of what it raised.
        """
        results: list[T] = _open([self._node], run).results()[0]
        return results

    def wait_for_results(
        self, other_pipes: Sequence[Runnable[Any]] | None = None, **run: Unpack[RunOptions]
    ) -> list[list[Any]]:
        """Run together with others, and return a list of results for each, this one first."""
        return _open(_nodes([self]) + _nodes(() if other_pipes is None else other_pipes), run).results()

    @staticmethod
    def wait_for_all_results(pipes: Sequence[Runnable[Any]], **run: Unpack[RunOptions]) -> list[list[Any]]:
        """Run several pipelines as one, stages they share once; return a list of results for each.

        >>> from olympipe_like import Pipeline
        >>> p = Pipeline([1, 2]).task(lambda x: x * 10)
        >>> Pipeline.wait_for_all_results([p, p.task(str)])
        [[10, 20], ['10', '20']]
        """
        nodes = _nodes(pipes)
        return _open(nodes, run).results() if nodes else []

    def wait_for_completion(
        self, other_pipes: Sequence[Runnable[Any]] | None = None, **run: Unpack[RunOptions]
    ) -> None:
        """Run for the effects; results are dropped as they come."""
        for _ in _open(_nodes([self]) + _nodes(() if other_pipes is None else other_pipes), run).frames():
            pass

    def wait_and_reduce(self, accumulator: U, reducer: Callable[[T, U], U], **run: Unpack[RunOptions]) -> U:
        """Run, fold the results as they come with ``reducer(item, accumulator)``, here in the caller; return the fold.

        >>> from olympipe_like import Pipeline
        >>> Pipeline([1, 2, 3]).wait_and_reduce(0, lambda item, total: total + item)
        6
        """
        checks.sync_function(f"run ({call_site()})", "reducer", reducer)
        for item in _open([self._node], run):
            accumulator = reducer(item, accumulator)
        return accumulator

    def explain(self) -> str:
        """Return what a run would consist of: stages, workers, windows, what rides along; runs nothing."""
        return drawing.explain([self._node])

    def __repr__(self) -> str:
        return f"<Pipeline {drawing.one_line(self._node)}>"


def _nodes(pipes: Sequence[object]) -> list[Node]:
    if not isinstance(pipes, Sequence):
        raise PlanTypeError(f"run ({call_site()}): expected a list of pipelines, got {type(pipes).__name__}")
    for pipe in pipes:
        if not isinstance(pipe, Runnable):
            raise PlanTypeError(f"run ({call_site()}): expected pipelines, got {type(pipe).__name__}")
    return [pipe._node for pipe in pipes if isinstance(pipe, Runnable)]


_OPTIONS = {
    "auto_workers",
    "executor",
    "fuse",
    "max_failures",
    "memory",
    "progress",
    "quarantine",
    "queue_size",
    "seed",
    "stall_timeout",
}


def _open(leaves: Sequence[Node], options: RunOptions) -> Run[Any]:
    """Return a run of these leaves, not begun."""
    where = f"run ({call_site()})"
    unknown = set(options) - _OPTIONS
    if unknown:
        raise PlanTypeError(f"{where}: unknown option {min(unknown)!r}; there are {', '.join(sorted(_OPTIONS))}")
    checks.progress(where, options.get("progress"))
    executor = options.get("executor")
    if executor is not None:
        checks.executor(where, executor)
    queue_size = options.get("queue_size")
    if queue_size is not None:
        checks.whole_number(where, "queue_size", queue_size, 1)
    max_failures, memory, stall_timeout = (options.get(name) for name in ("max_failures", "memory", "stall_timeout"))
    limits = Limits(
        max_failures=None if max_failures is None else checks.max_failures(where, max_failures),
        memory=None if memory is None else checks.nbytes(where, "memory", memory),
        stall_timeout=None if stall_timeout is None else checks.seconds(where, "stall_timeout", stall_timeout),
    )
    fuse = checks.flag(where, "fuse", options.get("fuse", False))
    seed = amounts.seed(where, options.get("seed"))
    quarantine = options.get("quarantine")
    if quarantine is not None:
        checks.path(where, "quarantine", quarantine)

    def lay(leaves: Sequence[Node]) -> Layout:
        made = lay_out(leaves, executor, queue_size, fuse=fuse)
        return made if quarantine is None else made.keeping_inputs()

    layout = lay(leaves)
    limits = limits._replace(auto_workers=_auto_workers(where, options.get("auto_workers"), layout))
    used = {stage.placement.executor for stage in layout.stages if stage.placement is not None}
    factories = any(stage.source is not None and stage.source.factory for stage in layout.stages)
    inline = executor == "inline" or (not factories and used <= {"inline"})
    in_hub = not inline and ("process" in used or "remote" in used or factories)
    if in_hub:
        from olympipe_like._runtime.hub_client import warm_up

        warm_up()
    from olympipe_like._runtime.run import Run  # what only runs need is loaded with the first one

    return Run(
        layout,
        leaves,
        lay,
        int.from_bytes(os.urandom(7), "big") if seed is None else seed,
        inline=inline,
        in_hub=in_hub,
        progress=options.get("progress"),
        limits=limits,
        quarantine=quarantine,
        seed_given=seed is not None,
    )


def _auto_workers(where: str, value: object, layout: Layout) -> int | None:
    """Return how many workers the stages with `workers="auto"` share; None: there are no such stages."""
    stages = sum(stage.spec.auto for stage in layout.stages)
    total = None if value is None else checks.whole_number(where, "auto_workers", value, 1)
    if not stages:
        return None
    if total is not None and total < stages:
        raise PlanError(
            f'{where}: auto_workers must be >= {stages}, one for each stage with workers="auto", got {total}'
        )
    return total or auto_workers(stages)
