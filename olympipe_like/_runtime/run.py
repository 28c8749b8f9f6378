"""One execution of a plan: the handle that users iterate, stop and ask for a report."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypedDict, TypeVar

from olympipe_like._model.failure import Failure
from olympipe_like._model.options import NO_LIMITS, ExecutorName, Limits, Remote
from olympipe_like._model.stats import RunStats
from olympipe_like._observe.progress import Progress
from olympipe_like._observe.report import Report
from olympipe_like._plan.graph import Node
from olympipe_like._plan.layout import Layout
from olympipe_like._runtime.engines import Engine, open_engines
from olympipe_like._runtime.hand import Hand
from olympipe_like._runtime.local import Dropped, LocalRun, Waiting
from olympipe_like._runtime.raising import to_error
from olympipe_like._runtime.stats import stats_of
from olympipe_like._runtime.tracking import Tracker
from olympipe_like.errors import PipelineExecutionError, RunInUse

if TYPE_CHECKING:
    from olympipe_like._runtime.dead_letters import DeadLetters
    from olympipe_like.failed_item import FailedItem

T_co = TypeVar("T_co", covariant=True)

FAILED_SHOWN = 10
"""Failed items that a report names."""

ProgressOption = bool | Callable[[Report], object] | None


class RunOptions(TypedDict, total=False):
    """What every terminal accepts by keyword."""

    fuse: bool  # neighbouring stages share their workers wherever that makes no difference but speed
    executor: ExecutorName | Remote | None  # for all stages; "inline": everything in the caller, for debugging
    progress: ProgressOption  # None: on a terminal or in a notebook; a callable gets a Report now and then
    max_failures: float | None  # items that may fail at stages that drop them; below 1: a share of the source's items
    memory: int | str | None  # bytes of items on their way through the run, or a text like "2GB"
    auto_workers: int | None  # processes that stages with workers="auto" share; None: by the number of cores
    queue_size: int | None  # items that wait before each stage that names no queue_size, and before the consumer
    stall_timeout: float | None  # seconds without any progress after which the run fails; None: a warning after 60
    quarantine: str | os.PathLike[str] | None  # a folder that keeps failed items
    seed: int | None  # >= 0: what is random is the same in each run that has it; None: another in each run


_ANOTHERS = "this process is a fork of the one in which the run began, which takes its results: begin another run here"


class Run(Generic[T_co]):
    """A run under way. Iterate it for the results; leaving the loop, an error or ``with`` ends all of it.

    Nothing starts before the first of: ``with``, iteration.

    Examples
    --------
    >>> from olympipe_like import Pipeline
    >>> with Pipeline([1, 2, 3]).run() as run:
    ...     print(list(run), run.report.stages[-1].items_in)
    [1, 2, 3] 3
    """

    def __init__(
        self,
        layout: Layout,
        leaves: Sequence[Node],
        lay: Callable[[Sequence[Node]], Layout],
        seed: int,
        *,
        inline: bool,
        in_hub: bool,
        progress: ProgressOption = None,
        limits: Limits = NO_LIMITS,
        quarantine: str | os.PathLike[str] | None = None,
        seed_given: bool = False,
    ) -> None:
        self._limits = limits
        self._leaves = leaves
        self._lay = lay
        self._tracker = Tracker(leaves, seed, given=seed_given)
        self._layout = layout.seeded(seed, generators=seed_given)
        self._places = {sink: index for index, sink in enumerate(self._layout.sinks)}
        self._inline = inline
        self._in_hub = in_hub
        self._progress_option = progress
        self._progress: Progress | None = None
        self._quarantine = quarantine
        self._letters: DeadLetters | None = None
        self._engine: Engine | None = None
        self._began = self._ended = 0.0
        self._shown = 0.0
        self._closed = False
        self._closing = False
        self._entered = False
        self._collected: list[Failure] = []
        self._failures: list[FailedItem] = []
        self._hand: Hand[T_co] = Hand(self._following)
        self._frames: Iterator[tuple[int, list[Any]]] | None = None

    # -- life ---------------------------------------------------------------------------------------------------------

    def _begin(self) -> Engine:
        if self._engine is None:
            if self._quarantine is not None:
                from olympipe_like._runtime.dead_letters import DeadLetters  # most runs keep none

                self._letters = DeadLetters(self._quarantine, self._layout)
            self._progress = Progress.choose(self._progress_option)
            self._began = self._shown = monotonic()
            self._layout = self._tracker.begin(self._layout)
            if self._in_hub:
                from olympipe_like._runtime.hub_run import HubRun  # a run without processes needs none of it

                interval = self._progress.interval if self._progress else None
                self._engine = hub_run = HubRun(self._layout, interval, self._limits)
                if self._letters is not None:
                    self._letters.use(hub_run.shipped, hub_run.classes)
            else:
                self._engine = LocalRun(self._layout, inline=self._inline, limits=self._limits)
            open_engines.add(self._engine)
            try:
                self._engine.start()
            except BaseException:
                self.close()
                raise
        return self._engine

    def __enter__(self) -> Run[T_co]:
        self._begin()
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the run, whatever it is doing.

        A second call finishes what Ctrl-C broke off in the first: every generator around the results ends with one.
        """
        if self._closing or (self._closed and self._engine not in open_engines):
            return
        if self._engine is not None and self._engine.left_to_parent:
            self._closed = True
            return
        try:
            self._closing = True
            if not self._closed:
                self._closed = True
                self._ended = monotonic()
            if self._engine is not None:
                self._engine.close()
                open_engines.discard(self._engine)
        finally:
            self._closing = False
            if self._progress is not None:
                progress, self._progress = self._progress, None
                try:
                    progress.update(self._stats())
                finally:
                    progress.close()

    def stop(self, drain: bool = True) -> None:
        """Ask the sources for no more; ``drain``: what is in flight still comes out, else the run ends now."""
        if not drain:
            self.close()
        elif self._engine is not None and not self._closed:
            self._tracker.was_stopped = True
            self._engine.stop()

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return where the consumer is: behind the item taken last. JSON can hold it.

        A run that is given it with `load_state_dict`, of the same pipeline with any workers and executors, gives
        exactly the items that come next. Once the loop has ended it is the beginning of the next epoch: of streamers,
        and of what is drawn without a seed.

        Raises
        ------
        PlanError
            If the pipeline would not give the same items again, or if the run was asked to `stop`.

        Examples
        --------
        >>> from olympipe_like import Pipeline
        >>> pipe = Pipeline(range(6)).shuffle(3).batch(2)
        >>> with pipe.run() as run:
        ...     first = next(iter(run))
        ...     state = run.state_dict()
        ...     rest = list(run)
        >>> with pipe.run() as run:
        ...     run.load_state_dict(state)
        ...     print(list(run) == rest)
        True
        """
        if not self._closed:
            self._begin()
        return self._tracker.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the run begin where `state_dict` was asked; before its first item is taken.

        Raises
        ------
        PlanError
            If the state is of another pipeline, or an item has been taken.
        """
        leaf = self._tracker.load(state, over=self._closed)
        if self._engine is not None:  # it has begun where nobody wants it to
            self._engine.close()
            open_engines.discard(self._engine)
            self._engine = self._frames = None
            if self._progress is not None:
                self._progress.close()
        self._layout = self._lay([leaf]).seeded(self._tracker.seed, generators=self._tracker.seeds_generators)
        if self._entered:
            self._begin()

    # -- results ------------------------------------------------------------------------------------------------------

    def frames(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield (place of the leaf, items) as they come; ends or fails as the run does."""
        if self._frames is None:
            self._frames = self._make_frames()
        return self._frames

    def _make_frames(self) -> Iterator[tuple[int, list[Any]]]:
        try:
            engine = self._begin()
            while not self._closed:
                if engine.left_to_parent:
                    raise PipelineExecutionError(_ANOTHERS)
                found = engine.next(self._progress.interval if self._progress is not None else None)
                self._show_progress()
                if engine.marks:
                    self._tracker.note_marks(engine.marks)
                if found is None:
                    self._tracker.finish()
                    return
                if isinstance(found, Failure):
                    self._raise(found)
                if isinstance(found, Waiting):
                    continue
                if isinstance(found, Dropped):
                    for record in found.records:
                        self._keep(record)
                    continue
                sink, chunk = found
                chunk = self._tracker.take(chunk)
                if chunk.items:
                    yield self._places[sink], chunk.items
                if chunk.failure is not None:
                    self._raise(chunk.failure)
        finally:
            self.close()

    def _keep(self, record: Failure) -> None:
        """Keep the record of an item that was dropped, as its stage and the run asked."""
        if record.collected:
            self._collected.append(record)
        if self._letters is not None:
            try:
                self._letters.keep(record)
            except OSError as problem:
                raise PipelineExecutionError(
                    f"quarantine: {record.position} of stage {record.stage!r} could not be kept in "
                    f"{str(self._letters.directory)!r}: {problem}. The run ends, because the item would be lost"
                ) from problem

    def _raise(self, failure: Failure) -> NoReturn:
        error = to_error(failure)
        interrupted = self._inline and isinstance(failure.original, KeyboardInterrupt)
        if self._letters is not None and failure.path is not None and not interrupted:
            try:
                self._letters.keep(failure)
            except OSError as problem:  # the run's own error says more, and is raised
                text = f"quarantine: {failure.position} of stage {failure.stage!r} could not be kept: {problem}"
                warnings.warn(text, RuntimeWarning, stacklevel=2)
        if interrupted and failure.original is not None:
            raise failure.original from None  # most likely Ctrl-C, which met the user's function in this thread
        raise error

    def __iter__(self) -> Iterator[T_co]:
        """Iterate the results. Leaving the loop ends the run; under ``with`` the loop can be taken up again."""
        hand, stays = self._hand.items, self._entered
        try:
            while hand is not None:
                yield from hand
                hand = self._hand.after(hand)
        except RunInUse:
            stays = True  # for the other loop
            raise
        finally:
            if not stays:
                self.close()

    def _following(self) -> Iterator[T_co] | None:
        """Return the items of the next frame as an iterator that tells how far it has come; None: that was all."""
        found = next(self.frames(), None)
        return self._tracker.watched(found[1]) if found is not None else None

    async def __aiter__(self) -> AsyncIterator[T_co]:
        import asyncio  # takes 20 ms; whoever comes here has it

        hand, stays = self._hand.items, False
        try:
            while hand is not None:
                for item in hand:
                    yield item
                hand = await asyncio.to_thread(self._hand.after, hand)
        except RunInUse:
            stays = True  # for the other loop
            raise
        finally:
            if not stays:
                self.close()

    def results(self) -> list[list[Any]]:
        """Return all results, a list for each leaf."""
        lists: list[list[Any]] = [[] for _ in self._places]
        for place, items in self.frames():
            lists[place] += items
        return lists

    # -- insight ------------------------------------------------------------------------------------------------------

    @property
    def failures(self) -> list[FailedItem]:
        """The items that stages with ``on_error="collect"`` dropped so far, in the order of the source."""
        from olympipe_like._runtime.failed_items import from_failure  # most runs have none

        done = len(self._failures)
        self._failures += [from_failure(record, {}) for record in self._collected[done:]]
        return sorted(self._failures, key=lambda failed: (failed.position, failed.place))

    @property
    def seed(self) -> int:
        """What all that is random in this run follows from; another run with ``seed=`` this one draws the same.

        In a run that went on to another epoch it is that epoch's, not what the first was given.
        """
        return self._tracker.seed

    @property
    def report(self) -> Report:
        """The run's counts and times as they stand, and what limits it."""
        return Report(self._stats())

    def _show_progress(self) -> None:
        if self._progress is not None and monotonic() - self._shown >= self._progress.interval:
            self._progress.update(self._stats())
            self._shown = monotonic()  # afterwards: a function that takes its time is not called for every frame

    def _stats(self) -> RunStats:
        tallies = self._engine.tallies() if self._engine is not None else ()
        elapsed = (self._ended if self._closed else monotonic()) - self._began if self._engine is not None else 0.0
        balanced = self._engine is not None and self._engine.balanced
        first = nsmallest(FAILED_SHOWN, self._collected, key=lambda failure: failure.path or ())
        return replace(
            stats_of(self._layout, tallies, elapsed, finished=self._closed, balanced=balanced),
            failed=tuple(failure.sentence for failure in first),
            kept=len(self._collected),
        )
