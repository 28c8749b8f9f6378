"""Methods that say which items there are, how often, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Literal, TypeVar

from olympipe_like._fluent.chain import Chain
from olympipe_like._plan import amounts, checks, reshaping
from olympipe_like._plan import operators as ops
from olympipe_like._plan.new_stage import NewStage
from olympipe_like._plan.repetition import repeated
from olympipe_like.errors import PlanError

if TYPE_CHECKING:
    from olympipe_like.pipeline import Pipeline

T = TypeVar("T")


class Selection(Chain[T]):
    """The part of `Pipeline` that chooses items."""

    def limit(self, packet_limit: int) -> Pipeline[T]:
        """Keep the first items. The source is asked for no item more than they need.

        That is exact behind stages that make one item of one (task, batch, skip, tap). Behind filter and explode, which
        cannot know, the source runs ahead within the windows.

        >>> Pipeline(range(10**9)).limit(3).wait_for_result()
        [0, 1, 2]
        """
        stage = NewStage(None, None, "limit")
        amount = checks.whole_number(stage.where, "packet_limit", packet_limit, 0)
        return self._then(ops.Limit(name="limit", amount=amount), site=stage.site)

    def skip(self, n: int) -> Pipeline[T]:
        """Drop the first ``n`` items.

        >>> Pipeline(range(5)).skip(3).wait_for_result()
        [3, 4]
        """
        stage = NewStage(None, None, "skip")
        return self._then(
            ops.SkipFirst(name="skip", amount=checks.whole_number(stage.where, "n", n, 0)), site=stage.site
        )

    def shuffle(self, buffer: int | None = 1000, seed: int | None = None) -> Pipeline[T]:
        """Give the items in random order. ``buffer`` of them are held; each one that comes replaces a random one.

        None holds all, for a source with an end. With a small buffer items stay near their place: at most ``buffer``
        places before it, any number behind it. The same ``seed`` gives the same order, for any workers; without one
        each run has another.

        >>> Pipeline(range(8)).shuffle(4, seed=1).wait_for_result()
        [1, 0, 5, 3, 7, 2, 6, 4]
        """
        stage = NewStage(None, None, "shuffle")
        op = reshaping.Shuffle(
            name="shuffle",
            buffer=None if buffer is None else checks.whole_number(stage.where, "buffer", buffer, 1),
            seed=amounts.seed(stage.where, seed),
        )
        return self._then(op, site=stage.site)

    def sample(self, fraction: float, seed: int | None = None) -> Pipeline[T]:
        """Keep a random share of the items, from 0 to 1. What becomes of an item depends on seed and position alone.

        >>> Pipeline(range(20)).sample(0.25, seed=3).wait_for_result()
        [5, 14, 17, 19]
        """
        stage = NewStage(None, None, "sample")
        share = amounts.share(stage.where, "fraction", fraction)
        op = reshaping.Sample(name="sample", share=share, seed=amounts.seed(stage.where, seed))
        return self._then(op, site=stage.site)

    def unique(self, key: Callable[[T], Hashable] | None = None) -> Pipeline[T]:
        """Keep the first item of each key; without a function the item is its own key. All keys met are remembered.

        >>> Pipeline(["b", "a", "B"]).unique(str.lower).wait_for_result()
        ['b', 'a']
        """
        stage = NewStage(None, None, "unique")
        if key is not None:
            checks.sync_function(stage.where, "key", key)
        return self._then(reshaping.Unique(name="unique", key=key), site=stage.site)

    def shard(self, rank: int, world: int, even: Literal["uneven", "drop", "pad"] = "uneven") -> Pipeline[T]:
        """Keep every ``world``-th item, from item ``rank`` (from 0) on: one of ``world`` programs' share of a source.

        Where the number of items cannot be divided, some get one item more. ``even``: "drop" it, or "pad" the others
        with items from the beginning, so that all get as many.

        >>> [Pipeline("abcde").shard(rank, 2, even="pad").wait_for_result() for rank in (0, 1)]
        [['a', 'c', 'e'], ['b', 'd', 'a']]
        """
        stage = NewStage(None, None, "shard")
        count = checks.whole_number(stage.where, "world", world, 1)
        place = checks.whole_number(stage.where, "rank", rank, 0)
        if place >= count:
            raise PlanError(f"{stage.where}: rank must be below world, which is {count}, got {place}")
        checks.one_of(stage.where, "even", even, ("uneven", "drop", "pad"))
        return self._then(reshaping.Shard(name="shard", rank=place, world=count, even=even), site=stage.site)

    def repeat(self, epochs: int | None = None) -> Pipeline[T]:
        """Give the stream ``epochs`` times, or without end: its source is iterated again, its functions run again.

        Nothing is kept. Steps before it that remember begin anew with each epoch; steps behind it see one stream. In
        positions the epoch's number, from 0, comes first. What it was made of is not shared: run together with it, the
        source is iterated once for each.

        Raises
        ------
        PlanError
            If the source is an iterator, or a limit (unless right behind its source or the repeats of it), skip, zip,
            concat, or gather(ordered=False) stands before it.

        Examples
        --------
        >>> Pipeline(range(3)).task(str).batch(2).repeat(2).wait_for_result()
        [['0', '1'], ['2'], ['0', '1'], ['2']]
        """
        stage = NewStage(None, None, "repeat")
        count = None if epochs is None else checks.whole_number(stage.where, "epochs", epochs, 1)
        return self._at(repeated(stage.where, self._node, count))

    def cycle(self, max_iter: int | None = None) -> Pipeline[T]:
        """Give the stream again and again, without end or ``max_iter`` items in all; see `repeat`.

        A source that gives nothing is an error then, because the wait would have no end.

        >>> Pipeline("abc").cycle(5).wait_for_result()
        ['a', 'b', 'c', 'a', 'b']
        """
        stage = NewStage(None, None, "cycle")
        endless = self._at(repeated(stage.where, self._node, None))
        if max_iter is None:
            return endless
        return endless.limit(checks.whole_number(stage.where, "max_iter", max_iter, 0))
