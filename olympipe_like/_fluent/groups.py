"""Methods that make one item of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from olympipe_like._fluent.chain import Chain
from olympipe_like._model.options import SKIP, OnError, Retry
from olympipe_like._plan import amounts, checks, reshaping
from olympipe_like._plan import operators as ops
from olympipe_like._plan.new_stage import NewStage
from olympipe_like.errors import PlanError

if TYPE_CHECKING:
    from olympipe_like.pipeline import Pipeline

T = TypeVar("T")
U = TypeVar("U")


class Groups(Chain[T]):
    """The part of `Pipeline` that batches and folds."""

    def batch(
        self,
        batch_size: int = 2,
        keep_incomplete_batch: bool = True,
        *,
        drop_last: bool | None = None,
        pad: Any = SKIP,
        collate: Literal["list", "stack"] | Callable[[list[T]], Any] = "list",
        on_error: OnError = "raise",
        retries: int | Retry = 0,
        worker_retries: int = 2,
        copy: bool = True,
    ) -> Pipeline[Any]:
        """Group items. The last, incomplete batch is kept, dropped, or padded with ``pad``.

        ``pad`` is a value, or a function of how many are missing that returns a list of as many. ``collate`` makes the
        batch of its items: "list", "stack" (numpy, field by field for tuples and dicts) or a function. Batches that
        these fail on are treated as the items of `task` are: all of a batch is dropped, or replaced by
        ``on_error(items, error)``.

        Examples
        --------
        >>> Pipeline(range(5)).batch(2, pad=-1).wait_for_result()
        [[0, 1], [2, 3], [4, -1]]
        """
        stage = NewStage(None, None, "batch")
        size = checks.whole_number(stage.where, "batch_size", batch_size, 1)
        last = checks.last_batch(stage.where, keep_incomplete_batch, drop_last, padded=pad is not SKIP)
        if collate not in ("list", "stack"):
            checks.sync_function(stage.where, 'collate (if neither "list" nor "stack")', collate)
        options = {"on_error": on_error, "retries": retries, "worker_retries": worker_retries, "copy": copy}
        placed = stage.place(None, options=options)
        op = ops.Batch(name="batch", placement=placed, size=size, last=last, pad=pad, collate=collate)
        return self._then(op, site=stage.site)

    def reduce(
        self,
        accumulator: U,
        reducer: Callable[[T, U], U],
        *,
        name: str | None = None,
        worker_retries: int = 2,
        copy: bool = True,
    ) -> Pipeline[U]:
        """Fold all items into one: ``reducer(item, accumulator)``, in this order of arguments, as in Olympipe.

        >>> Pipeline("abc").reduce("", lambda item, text: text + item).wait_for_result()
        ['abc']
        """
        stage = NewStage(name, reducer, "reduce")
        checks.sync_function(stage.where, "reducer", reducer)
        retries = checks.whole_number(stage.where, "worker_retries", worker_retries, 0)
        placed = stage.place(None, options={"copy": copy})
        op = ops.Reduce(name=stage.name, placement=placed, initial=accumulator, reducer=reducer, worker_retries=retries)
        return self._then(op, site=stage.site)

    def scan(
        self,
        initial: U,
        fn: Callable[[T, U], tuple[U, Any]],
        *,
        name: str | None = None,
        worker_retries: int = 2,
        copy: bool = True,
    ) -> Pipeline[Any]:
        """Fold, giving something for each item: ``fn(item, state)`` returns the next state and the result.

        Arguments in the order of `reduce`. A result `SKIP` drops the item. One worker has all items, in order.

        >>> Pipeline([1, 2, 3]).scan(0, lambda item, total: (total + item, total + item)).wait_for_result()
        [1, 3, 6]
        """
        stage = NewStage(name, fn, "scan")
        checks.sync_function(stage.where, "fn", fn)
        retries = checks.whole_number(stage.where, "worker_retries", worker_retries, 0)
        placed = stage.place(None, options={"copy": copy})
        op = reshaping.Scan(name=stage.name, placement=placed, initial=initial, function=fn, worker_retries=retries)
        return self._then(op, site=stage.site)

    def window(self, size: int, step: int = 1, partial: bool = False) -> Pipeline[list[T]]:
        """Give lists of ``size`` consecutive items, each beginning ``step`` items after the one before.

        ``partial``: at the end also the shorter lists that begin within the last items.

        >>> Pipeline(range(5)).window(3, step=2, partial=True).wait_for_result()
        [[0, 1, 2], [2, 3, 4], [4]]
        """
        stage = NewStage(None, None, "window")
        op = reshaping.Window(
            name="window",
            size=checks.whole_number(stage.where, "size", size, 1),
            step=checks.whole_number(stage.where, "step", step, 1),
            partial=checks.flag(stage.where, "partial", partial),
        )
        return self._then(op, site=stage.site)

    def bucket(
        self,
        key: Callable[[T], float],
        boundaries: Sequence[float] = (),
        batch_size: int | None = None,
        max_cost: float | None = None,
        *,
        drop_last: bool = False,
    ) -> Pipeline[list[T]]:
        """Batch items of like length: lists of items whose keys lie between the same two ``boundaries``.

        A list is complete when it has ``batch_size`` items, or when the sum of its keys would exceed ``max_cost``, or
        reaches it (an item that exceeds it alone is a list by itself); give one of them, or both. A key on a boundary
        belongs above it. At the end come the incomplete lists, smallest keys first, unless ``drop_last``.

        >>> words = ["a", "pear", "is", "fruit", "I", "think"]
        >>> Pipeline(words).bucket(len, [3], batch_size=2).wait_for_result()
        [['a', 'is'], ['pear', 'fruit'], ['I'], ['think']]
        """
        stage = NewStage(None, None, "bucket")
        checks.sync_function(stage.where, "key", key)
        if batch_size is None and max_cost is None:
            raise PlanError(f"{stage.where}: say when a list is complete: batch_size=, max_cost= or both")
        op = reshaping.Bucket(
            name="bucket",
            key=key,
            boundaries=amounts.boundaries(stage.where, "boundaries", boundaries),
            size=None if batch_size is None else checks.whole_number(stage.where, "batch_size", batch_size, 1),
            max_cost=None if max_cost is None else amounts.above_zero(stage.where, "max_cost", max_cost),
            drop_last=checks.flag(stage.where, "drop_last", drop_last),
        )
        return self._then(op, site=stage.site)
