"""Applies one segment to one frame: a chunk in, answers out. No loop, no connection, no clock of a run."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import partial
from operator import add
from typing import Any, NamedTuple

from olympipe_like._model.failure import Failure
from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import END, Path
from olympipe_like._model.start import BEGINNING
from olympipe_like._plan import operators as ops
from olympipe_like._plan import reshaping
from olympipe_like._plan.segment import Label, Segment
from olympipe_like._transport.buffers import Buffer
from olympipe_like._transport.codec import are_pickled
from olympipe_like._transport.progress_cell import ProgressCell
from olympipe_like._worker.attempts import Attempts, Poisoned
from olympipe_like._worker.chunk import Chunk, from_paths, join, nothing
from olympipe_like._worker.draws import Draws, Generators, seed_of
from olympipe_like._worker.epochs import PerEpoch
from olympipe_like._worker.memory import Fold, Group
from olympipe_like._worker.merges import Interleave, Match, Pair
from olympipe_like._worker.mixing import Shuffled
from olympipe_like._worker.one_pass import OnePass, in_one_pass
from olympipe_like._worker.passing import Print, Truth, is_given, is_not_none
from olympipe_like._worker.reshape import Buckets, Dealt, Distinct, Running, Sampled, Slide
from olympipe_like._worker.resumed import Resumed
from olympipe_like._worker.routing import Route, to_legs, to_one_leg
from olympipe_like._worker.sending import cut_at, encode_chunk, may_hold_skip
from olympipe_like._worker.snapshots import Snapshots
from olympipe_like._worker.spread import Spread
from olympipe_like._worker.steps import Map, PerItem, Select, Step, Tap, callable_of
from olympipe_like._worker.watch import ORDINALS, Watch

_NO_POISON: Mapping[int, Failure] = {}


class Answer(NamedTuple):
    """What a worker says to one frame, or the next part of it."""

    chunk: Chunk
    counts: tuple[OpCounts, ...]
    more: bool  # another part follows
    done: bool  # the stage wants no more input
    records: tuple[Failure, ...]  # of items that were dropped


class Program:
    """A segment ready to run in one worker.

    Raises whatever the user's class raises when an instance is built; never raises for a failing item. ``alone``: no
    other code draws from this process's own generators of random numbers while it runs.
    """

    def __init__(
        self, segment: Segment, slot: int, worker: str, cell: ProgressCell | None = None, *, alone: bool = False
    ) -> None:
        self.seeds_generators = alone and segment.seeds_generators
        self._generators = Generators() if self.seeds_generators else None
        self._slot = slot
        self._segment = segment
        self._worker = worker
        self._watches: list[Watch] = []
        self._is_watched = False
        self._last = segment.last
        self._attempts: list[Attempts] = []
        self._open_legs = max(segment.legs, 1)
        self._close: list[partial[Any]] = []
        self._steps: list[Step] = []
        for index, (op, label) in enumerate(zip(segment.ops, segment.labels, strict=True)):
            # Only steps with a function of the user's are watched: the others are ours, and quick.
            is_watched = index == segment.main or op.runs_user_code or isinstance(op, ops.Batch)
            watch = Watch(cell if is_watched else None, index * ORDINALS)
            self._watches.append(watch)
            self._steps.append(self._step(index, op, label, watch))
        for step in self._steps:
            step.keeps = segment.keeps
        self._spreads = any(isinstance(step, Spread) for step in self._steps)
        self.remembers = segment.legs > 1 or any(op.remembers for op in segment.ops)
        self._snapshots = Snapshots(self._steps)
        self._judge = self._find_judge()
        last = self._steps[-1]
        self._may_leave_skip = last if segment.travels and are_pickled() and isinstance(last, Map) else None
        if self._may_leave_skip is not None:
            self._may_leave_skip.drops_later = True
        batch = next((op for op in segment.ops[segment.last + 1 :] if isinstance(op, ops.Batch)), None)
        # What becomes part of a list goes out with it, and could then not be left out without its neighbours.
        self._tests = (
            segment.travels and batch is not None and not batch.calls_user and self._attempts[segment.last].mends
        )
        # Who is asked about results that cannot be sent remembers what it was given: it shares no loop.
        asked = len(self._steps) if self._judge is None else self._judge
        self._way: list[Step | OnePass] = [*in_one_pass(self._steps[:asked]), *self._steps[asked:]]
        if self._tests:
            self._way = [*self._steps]  # after one of them by its number something is to be done

    def _find_judge(self) -> int | None:
        """Return the step whose policy is asked about results that cannot be sent; None: there is none."""
        last, made_by = len(self._steps) - 1, self._last
        op = self._segment.ops[last]
        if isinstance(op, ops.Batch):
            return last if op.calls_user else None
        passes_on = all(isinstance(step, Truth | Print) for step in self._steps[made_by + 1 :])
        # Who keeps failed items wants them with their input.
        asked = self._attempts[made_by].mends or self._segment.keeps
        return made_by if passes_on and asked else None

    def _step(self, index: int, op: ops.Operator, label: Label, watch: Watch) -> Step:
        worker = self._worker
        attempts = Attempts(
            op.placement.policy,
            label,
            worker,
            keeps_items=self._segment.keeps,
            inline=self._segment.executor == "inline",
        )
        self._attempts.append(attempts)

        def make(epoch: Path) -> Step:
            root = self._seed(index, op, epoch)
            made = self._make(op, label, (attempts, watch), root)
            if isinstance(made, PerItem | Spread) or (isinstance(made, Group) and op.calls_user):
                made.draws = attempts.draws = Draws(
                    root, rng=made.wants_rng, generators=self._generators, alike=index in self._segment.parted
                )
            if isinstance(made, Spread):
                made.steps_back = index in self._segment.parted
            return made

        start = op.start or BEGINNING
        anew = op.epochs and op.remembers and not isinstance(op, ops.Gather | ops.Align)  # these merge epoch by epoch
        step = PerEpoch(make, op.epochs, label, worker, start.epoch) if anew else make(())
        if op.start is not None:
            step = Resumed(step, start, label, worker)
        if isinstance(step, PerItem) and self._segment.executor == "async":
            step.timeout = op.placement.policy.timeout
        return step

    def _seed(self, index: int, op: ops.Operator, epoch: Path) -> str:
        """Return what a step that draws begins with: the same for whoever runs it."""
        own = op.seed if isinstance(op, reshaping.Shuffle | reshaping.Sample) else None
        return reshaping.seed_text(self._segment.seed, own, self._segment.keys[index], epoch)

    def _make(self, op: ops.Operator, label: Label, policy: tuple[Attempts, Watch], seed: str) -> Step:
        worker, legs = self._worker, self._segment.legs
        match op:
            case ops.Task():
                return Map(callable_of(op.function), label, worker, *policy)
            case ops.ClassTask():
                return Map(self._build(op, seed), label, worker, *policy)
            case ops.Split():
                return Route(callable_of(op.function), partial(to_legs, op.legs), label, worker, *policy)
            case ops.Partition():
                return Route(callable_of(op.function), to_one_leg, label, worker, *policy)
            case ops.Filter():
                return Select(callable_of(op.function), label, worker, *policy)
            case ops.NotNone():
                return Truth(is_not_none, None, label, worker)
            case ops.Leg():
                return Truth(is_not_none if op.drops_none else is_given, op.leg, label, worker)
            case ops.Tap():
                return Tap(callable_of(op.function), label, worker, *policy)
            case ops.Debug():
                return Print(op, label, worker)
            case ops.Explode():
                return Spread(callable_of(op.function), label, worker, *policy)
            case ops.Unbatch():
                return Spread(None, label, worker, *policy)
            case ops.Batch():
                return Group(op, label, worker, *policy)
            case ops.Reduce():
                return Fold(op, label, worker, *policy)
            case ops.Gather():
                return Interleave(legs, label, worker)
            case ops.Align():
                return Match(op, legs, label, worker)
            case ops.Zip():
                return Pair(op, legs, label, worker)
            case reshaping.Shuffle():
                return Shuffled(op, seed, label, worker)
            case reshaping.Sample():
                return Sampled(op, seed, label, worker)
            case reshaping.Unique():
                return Distinct(op, label, worker)
            case reshaping.Shard():
                return Dealt(op, label, worker)
            case reshaping.Window():
                return Slide(op, label, worker)
            case reshaping.Bucket():
                return Buckets(op, label, worker)
            case reshaping.Scan():
                return Running(op, label, worker, *policy)
            case _:
                raise AssertionError(f"no step for {op!r}")

    def _build(self, op: ops.ClassTask, seed: str) -> Any:
        if self._generators is not None:
            self._generators.seed(seed_of(seed))  # what the constructor draws is the same in each worker
        kwargs = dict(op.kwargs)
        if op.worker_args:
            kwargs.update(op.worker_args[self._slot])
        instance = op.constructor(*op.args, **kwargs)
        if op.close is not None:
            close = getattr(instance, op.close) if isinstance(op.close, str) else partial(op.close, instance)
            self._close.append(partial(close))
        return getattr(instance, op.method) if isinstance(op.method, str) else partial(op.method, instance)

    # -- frames -------------------------------------------------------------------------------------------------------

    def run(
        self,
        chunk: Chunk | None,
        leg: int,
        part_items: int,
        *,
        careful: bool = False,
        rehearsed: bool = False,
        poison: Mapping[int, Failure] = _NO_POISON,
        unread: Mapping[int, Failure] = _NO_POISON,
    ) -> Generator[Answer, None, None]:
        """Give the answers to a frame, or (``None``) to the end of a leg.

        ``careful``: note for each item that it has begun; ``rehearsed``: and pickle its result at once; ``poison``: the
        items not to be run, and what is to be said of them instead; ``unread``: the same of those in the chunk, by
        index, that nobody can build.
        """
        if chunk is not None and unread:
            if self._steps[0].meets_each:
                poison = {**poison, **unread}  # the first step counts from 0 as they do
            else:
                chunk = self._without(chunk, unread)
        is_watched = careful or bool(poison)  # what is rehearsed is careful, too
        if is_watched or self._is_watched:
            self._is_watched = is_watched
            for watch in self._watches:
                watch.begin(careful=careful, rehearsed=rehearsed, poison=poison)
        try:
            if chunk is not None and not self._spreads:
                yield self._answer(self._whole(chunk, leg), more=False)
                return
            for part, more in self._end(leg, part_items) if chunk is None else self._flow(0, chunk, leg, part_items):
                yield self._answer(part, more=more)
        finally:
            self.forget()

    def _without(self, chunk: Chunk, unread: Mapping[int, Failure]) -> Chunk:
        """Return a chunk without items that nobody can build, or one that ends before the first of them.

        For segments that do not begin with a function of the user's. If all before it only looks at items and passes
        them on, the function's policy says whether they may be dropped.
        """
        main = self._segment.main
        asked = self._attempts[main]
        drops = asked.drops and all(isinstance(step, Truth | Print) for step in self._steps[:main])
        kept = [True] * len(chunk.items)
        for index, failure in sorted(unread.items()):
            error = Poisoned(failure)
            if not drops:
                return cut_at(chunk, index, asked.failure(chunk, index, error, 1))
            asked.judge(chunk, index, error, 1)
            kept[index] = False
            for step in self._steps[:main]:
                step.count(OpCounts(1, 1))
            self._steps[main].count(OpCounts(1, 0, 0, 1))
        return chunk.select(kept)

    def forget(self) -> None:
        """Let go of the frame: its answer is on its way."""
        for step in self._steps:
            step.forget()

    async def run_async(self, chunk: Chunk | None, leg: int) -> Answer:
        """Return the answer to a frame, on an event loop that other frames share."""
        del leg
        out = chunk if chunk is not None else nothing()
        for step in self._steps:
            out = await step.run_async(out) if isinstance(step, PerItem) else step.run(out, 0)
        return self._answer(out, more=False)

    def _answer(self, chunk: Chunk, *, more: bool) -> Answer:
        records: tuple[Failure, ...] = ()
        counts = []
        done = False
        for step, attempts in zip(self._steps, self._attempts, strict=True):
            made = step.take_counts()
            if attempts.records or attempts.retried:
                failed, retried = attempts.take()
                records += failed
                made = made._replace(retried=retried)
            counts.append(made)
            done = done or step.done
        return Answer(chunk, tuple(counts), more, done, records)

    def _whole(self, chunk: Chunk, leg: int) -> Chunk:
        """Send a chunk through all steps, where none of them makes several of it."""
        for index, step in enumerate(self._way):
            chunk = step.run(chunk, 0 if index else leg)
            if self._tests and index == self._last:
                chunk = self._sendable(chunk)
        return chunk

    def _flow(self, start: int, chunk: Chunk, leg: int, part_items: int) -> Iterator[tuple[Chunk, bool]]:
        """Send a chunk through the steps from ``start`` on; explodes turn it into several."""
        for index in range(start, len(self._way)):
            step = self._way[index]
            if isinstance(step, Spread):
                for made, more in step.spread(chunk, part_items):
                    part = self._sendable(made) if self._tests and index == self._last else made
                    for out, more_below in self._flow(index + 1, part, 0, part_items):
                        yield out, more or more_below
                return
            chunk = step.run(chunk, leg if index == 0 else 0)
            if self._tests and index == self._last:
                chunk = self._sendable(chunk)
        yield chunk, False

    def _end(self, leg: int, part_items: int) -> Iterator[tuple[Chunk, bool]]:
        """Give what the first step held for a leg; with the last leg, what all of them hold."""
        self._open_legs -= 1
        last = self._open_legs == 0
        pieces = self._drain(0, part_items, leg=leg, stop=None if last else 1)
        if self._spreads:
            yield from pieces
        else:
            yield join([piece for piece, _ in pieces]), False

    def _drain(
        self, start: int, part_items: int, *, leg: int = 0, stop: int | None = None
    ) -> Iterator[tuple[Chunk, bool]]:
        """End the steps from ``start`` on, each after what the ones before still gave it."""
        upto = END
        for index, step in enumerate(self._way[start:stop], start):
            held = step.end(leg if index == 0 else 0)
            if held is not None:
                for out, _ in self._flow(index + 1, held, 0, part_items):
                    yield out, True
                    if out.failure is not None:
                        return
                    upto = out.upto
        # Other legs may go on: then the stream has come only as far as the merge says.
        yield nothing(upto if stop is not None else END), False

    def encode(self, answer: Answer) -> tuple[Answer, list[Buffer]]:
        """Return an answer as it can be sent, and the bytes of its items."""
        mend = partial(self._mend, len(self._steps) - 1) if self._judge is not None else None
        label = self._segment.labels[self._judge if self._judge is not None else self._last]
        chunk, parts = encode_chunk(answer.chunk, label, self._worker, mend)
        if self._may_leave_skip is not None and parts and may_hold_skip(bytes(parts[0]), len(chunk.items)):
            kept = self._may_leave_skip.drop(chunk)
            if kept is not chunk:
                chunk, parts = encode_chunk(kept, label, self._worker, mend)
                # It is a function that drops items: from now on they are looked for before they are pickled.
                self._may_leave_skip.drops_later = False
                self._may_leave_skip = None
        if chunk is not answer.chunk:
            now = self._answer(chunk, more=answer.more)
            counts = tuple(OpCounts(*map(add, *both)) for both in zip(answer.counts, now.counts, strict=True))
            answer = answer._replace(chunk=chunk, counts=counts, records=answer.records + now.records)
        return answer, parts

    def _sendable(self, chunk: Chunk) -> Chunk:
        """Return a chunk of the last function's results without those that a batch could not be sent with."""
        last = self._last
        return encode_chunk(chunk, self._segment.labels[last], self._worker, partial(self._mend, last))[0]

    def _mend(self, last: int, chunk: Chunk, index: int, failure: Failure, error: BaseException) -> tuple[Chunk, int]:
        """Do what the policy says with a result of the step ``last`` that cannot be sent."""
        judge = self._judge if last != self._last else last
        assert judge is not None
        path = chunk.path(index)
        made = self._steps[judge].rejudge(path, chunk.items[index], failure, error)
        if isinstance(made, Failure):
            return cut_at(chunk, index, made), index
        for step in self._steps[judge + 1 : last + 1]:  # they look at single items and pass them on
            step.count(OpCounts(-1, -1))
            made = step.run(from_paths(made, [path] * len(made), END), 0).items
        return chunk.with_others(index, made), index + len(made)

    def snapshot(self, nbytes: int) -> bytes | None:
        """Return what the steps remember now if that is due, after a frame of so many bytes; None: not now."""
        return self._snapshots.after(nbytes, self._open_legs)

    def heard_again(self, nbytes: int) -> None:
        """Note a frame of so many bytes that a predecessor has answered."""
        self._snapshots.heard(nbytes)

    def restore(self, snapshot: bytes) -> None:
        """Remember what a predecessor did."""
        self._open_legs = self._snapshots.restore(snapshot)

    def close(self) -> None:
        """Close the user's instances and what the steps hold; raises what closing raises."""
        for step in self._steps:
            step.close()
        for close in self._close:
            close()
