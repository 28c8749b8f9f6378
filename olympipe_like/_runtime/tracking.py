"""What a run does about its state: follows its consumer, writes the state, and begins where one says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any

from olympipe_like._model.identity import StageId
from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.graph import Node
from olympipe_like._plan.layout import Layout
from olympipe_like._plan.operators import Beginning, Restartable, Source
from olympipe_like._plan.resuming import numbered, refuse_unless_exact, resumed
from olympipe_like._runtime.bookmark import Bookmark, Mark
from olympipe_like._runtime.run_state import Saved, read
from olympipe_like._runtime.sources import for_one_run
from olympipe_like._transport.messages import Marked
from olympipe_like._worker.chunk import Chunk
from olympipe_like.errors import PlanError


class Tracker:
    """One run's."""

    def __init__(self, leaves: Sequence[Node], seed: int, *, given: bool) -> None:
        self._leaves = leaves
        self._given_seed = seed if given else None
        self._saved = Saved(seed, given)  # where the run begins
        self._bookmark: Bookmark | None = None  # None: it has not begun, or has several results
        self._sources: dict[StageId, int] = {}  # the streamers, by stage
        self._beginnings: dict[int, Beginning] = {}  # by the number in the plan
        self._hand: Iterator[Any] | None = None  # over the items of the frame that is being taken
        self._in_frame = 0  # of them at first
        self._taken = False  # whether anything has been
        self._over = False
        self.was_stopped = False

    @property
    def seed(self) -> int:
        """What the steps of the run draw by."""
        return self._saved.own_seed

    @property
    def seeds_generators(self) -> bool:
        """Whether `random` and `numpy.random` draw by it, too."""
        return self._saved.seed_given

    def load(self, state: Mapping[str, Any], *, over: bool) -> Node:
        """Return the plan that begins where a state says."""
        what = f"load_state_dict ({call_site()})"
        if self._taken or over:
            done = "is over" if over else "has given items already"
            raise PlanError(f"{what}: the run {done}; load the state into a new one, before its first item")
        refuse_unless_exact(what, self._leaves)
        (leaf,) = self._leaves
        saved = read(what, state, leaf)
        if self._given_seed not in (None, saved.seed):
            raise PlanError(
                f"{what}: the state is of a run with seed={saved.seed}, and this one was given "
                f"seed={self._given_seed}; leave seed= out to go on with the state's, or load no state to begin anew"
            )
        self._saved = saved
        return resumed(leaf, self._saved.restart, self._saved.begun)

    def begin(self, layout: Layout) -> Layout:
        """Follow a run that begins now; return its layout, with streamers where they begin."""
        if len(self._leaves) > 1:
            return layout
        (leaf,) = self._leaves
        saved = self._saved
        self._bookmark = Bookmark(leaf, saved.own_seed, saved.restart, saved.place, saved.given)
        numbers = iter([number for number, node in numbered(leaf).items() if isinstance(node.op, Source)])
        stages = []
        for stage in layout.stages:
            if stage.source is not None:
                number = next(numbers)
                stage = stage._replace(source=self._begin_source(number, stage.spec.id, stage.source))  # noqa: PLW2901
            stages.append(stage)
        return layout._replace(stages=tuple(stages))

    def _begin_source(self, number: int, stage: StageId, source: Source) -> Source:
        if not (source.factory and isinstance(source.datas, Restartable)):
            return source
        mark = self._saved.marks.get(number)
        if mark is not None:
            source.datas.load_state_dict(mark.state)
        source = for_one_run(source)
        assert isinstance(source.datas, Beginning)
        assert self._bookmark is not None
        self._sources[stage] = number
        self._beginnings[number] = source.datas
        begun = source.begin.begun if source.begin is not None else (0,) * (len(source.epochs) + 1)
        self._bookmark.mark(number, begun, source.datas.state)
        return source

    # -- the consumer -------------------------------------------------------------------------------------------------

    def take(self, chunk: Chunk) -> Chunk:
        """Return the part of a frame of results that is new. What it returned before has been taken."""
        self._hand = None
        if self._bookmark is None:
            return chunk
        chunk = self._bookmark.take(chunk)
        self._in_frame = len(chunk.items)
        self._taken = self._taken or bool(chunk.items)
        return chunk

    def watched(self, items: list[Any]) -> Iterator[Any]:
        """Return an iterator over the items of this frame that tells how many have been taken."""
        self._hand = iter(items)
        return self._hand

    def note_marks(self, marks: deque[Marked]) -> None:
        """Take the marks of streamers."""
        while marks:
            mark = marks.popleft()
            if self._bookmark is not None and mark.source in self._sources:
                self._bookmark.mark(self._sources[mark.source], mark.position, mark.state)

    def finish(self) -> None:
        """Note that all items have been taken."""
        self._over = True

    # -- the state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return where the consumer is."""
        what = f"state_dict ({call_site()})"
        refuse_unless_exact(what, self._leaves)
        if self.was_stopped:
            raise PlanError(
                f"{what}: the run was asked to stop, and what comes out since, a shorter batch for example, would not "
                "have come; ask for the state before, or leave the loop instead"
            )
        (leaf,) = self._leaves
        return self._where(self._bookmark).write(leaf) if self._bookmark is not None else self._saved.write(leaf)

    def _where(self, bookmark: Bookmark) -> Saved:
        saved = self._saved
        if self._over:
            marks = {number: Mark((), begun.next_state) for number, begun in self._beginnings.items()}
            return Saved(saved.seed, saved.seed_given, saved.epoch + 1, marks=marks)
        bookmark.note(self._in_frame - (length_hint(self._hand) if self._hand is not None else 0))
        restart = bookmark.restart()
        marks = {number: bookmark.mark_before(number, restart) for number in self._beginnings}
        return saved._replace(place=bookmark.place, given=bookmark.given, restart=restart, marks=marks)
