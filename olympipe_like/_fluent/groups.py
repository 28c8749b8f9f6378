"""Methods that make one item of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from olympipe_like._fluent.chain import Chain
from olympipe_like._model.options import SKIP, OnError, Retry
from olympipe_like._plan import checks
from olympipe_like._plan import operators as ops
from olympipe_like._plan.checks import NewStage

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
    ) -> Pipeline[Any]:
        """Group items. The last, incomplete batch is kept, dropped, or padded with ``pad``.

        ``pad`` is a value, or a function of how many are missing that returns a list. ``collate`` makes the batch of
        its items: "list", "stack" (numpy, field by field for tuples and dicts) or a function. Batches that it fails on
        are treated as the items of `task` are: all of a batch is dropped, or replaced by ``on_error(items, error)``.

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
        options = {"on_error": on_error, "retries": retries, "worker_retries": worker_retries}
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
    ) -> Pipeline[U]:
        """Fold all items into one: ``reducer(item, accumulator)``, in this order of arguments, as in Olympipe.

        >>> Pipeline("abc").reduce("", lambda item, text: text + item).wait_for_result()
        ['abc']
        """
        stage = NewStage(name, reducer, "reduce")
        checks.sync_function(stage.where, "reducer", reducer)
        retries = checks.whole_number(stage.where, "worker_retries", worker_retries, 0)
        op = ops.Reduce(name=stage.name, initial=accumulator, reducer=reducer, worker_retries=retries)
        return self._then(op, site=stage.site)
