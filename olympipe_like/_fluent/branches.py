"""Methods that send items several ways and bring them together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from olympipe_like._fluent.chain import Chain, Drawing
from olympipe_like._model.options import SKIP, ExecutorName, PolicyOptions, Remote
from olympipe_like._plan import checks
from olympipe_like._plan import operators as ops
from olympipe_like._plan.new_stage import NewStage

if TYPE_CHECKING:
    import sys

    from olympipe_like.pipeline import Pipeline

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack

T = TypeVar("T")


class Branches(Chain[T]):
    """The part of `Pipeline` that splits and merges."""

    def split(
        self,
        split_function: Callable[[T], Sequence[Any]] | Drawing[T, Sequence[Any]],
        n: int | None = None,
        *,
        executor: ExecutorName | Remote | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> tuple[Pipeline[Any], ...]:
        """Return ``n`` legs; the function returns what each gets of an item, None or `SKIP` for nothing.

        ``n`` may be left out where the function's return annotation is a tuple of that length.

        >>> words, sizes = Pipeline(["a", "bcd"]).split(lambda word: (word, len(word)), n=2)
        >>> Pipeline.wait_for_all_results([words, sizes])
        [['a', 'bcd'], [1, 3]]
        """
        stage = NewStage(name, split_function, "split")
        checks.sync_function(stage.where, "split_function", split_function)
        legs = checks.legs_of(stage.where, split_function, n)
        placed = stage.place(split_function, 1, None, True, executor, options=policy)
        op = ops.Split(name=stage.name, placement=placed, function=split_function, legs=legs)
        return self._legs(op, legs, stage, drops_none=True)

    def partition(
        self,
        predicate: Callable[[T], Any] | Drawing[T, Any],
        *,
        executor: ExecutorName | Remote | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> tuple[Pipeline[T], Pipeline[T]]:
        """Return the items for which the function is true, and the others.

        >>> even, odd = Pipeline(range(5)).partition(lambda x: x % 2 == 0)
        >>> Pipeline.wait_for_all_results([even, odd])
        [[0, 2, 4], [1, 3]]
        """
        stage = NewStage(name, predicate, "partition")
        checks.sync_function(stage.where, "predicate", predicate)
        placed = stage.place_sync(1, None, True, executor, options=policy)
        op = ops.Partition(name=stage.name, placement=placed, function=predicate)
        true, false = self._legs(op, 2, stage, drops_none=False)
        return true, false

    def _legs(self, op: ops.Operator, legs: int, stage: NewStage, *, drops_none: bool) -> tuple[Pipeline[Any], ...]:
        whole = self._then(op, site=stage.site)
        return tuple(
            whole._then(ops.Leg(name=f"{op.name}[{leg}]", leg=leg, drops_none=drops_none), site=stage.site)
            for leg in range(legs)
        )

    def gather(self, *others: Pipeline[Any], ordered: bool = True) -> Pipeline[Any]:
        """Merge with other pipelines by source position, ties by leg (this one first); or as items come.

        >>> p = Pipeline(range(5))
        >>> even, odd = p.filter(lambda x: x % 2 == 0), p.filter(lambda x: x % 2)
        >>> even.gather(odd).wait_for_result()
        [0, 1, 2, 3, 4]
        """
        stage = NewStage(None, None, "gather")
        stage.pipelines(others, Chain)
        if checks.flag(stage.where, "ordered", ordered):
            checks.keeps_source_order(stage.where, [self._node, *(other._node for other in others)])
            return self._then(ops.Gather(name="gather"), *others, site=stage.site)
        return self._then(ops.GatherArrival(name="gather"), *others, site=stage.site)

    def align(self, *others: Pipeline[Any], missing: Any = SKIP) -> Pipeline[tuple[Any, ...]]:
        """Pair items that come from the same source position. What not all pipelines have is dropped.

        Unless ``missing`` is given: then it stands in the place of what a pipeline does not have.

        >>> p = Pipeline(range(4))
        >>> p.align(p.filter(lambda x: x % 2).task(str)).wait_for_result()
        [(1, '1'), (3, '3')]
        """
        stage = NewStage(None, None, "align")
        stage.pipelines(others, Chain)
        checks.keeps_source_order(stage.where, [self._node, *(other._node for other in others)])
        return self._then(ops.Align(name="align", missing=missing), *others, site=stage.site)

    def zip(self, *others: Pipeline[Any], strict: bool = True) -> Pipeline[tuple[Any, ...]]:
        """Pair the n-th items. ``strict``: pipelines of different length are an error; else the shortest ends it.

        Items of a leg that gives more than another are held until their partners come: legs of one source whose
        numbers drift apart hold as many as they drift.

        >>> Pipeline("ab").zip(Pipeline([1, 2])).wait_for_result()
        [('a', 1), ('b', 2)]
        """
        stage = NewStage(None, None, "zip")
        stage.pipelines(others, Chain)
        op = ops.Zip(name="zip", strict=checks.flag(stage.where, "strict", strict))
        return self._then(op, *others, site=stage.site)

    def concat(self, *others: Pipeline[Any]) -> Pipeline[Any]:
        """Append other pipelines, one after the other. A source only they use is not touched before its turn.

        >>> Pipeline([1, 2]).concat(Pipeline([3])).wait_for_result()
        [1, 2, 3]
        """
        stage = NewStage(None, None, "concat")
        stage.pipelines(others, Chain)
        return self._then(ops.Concat(name="concat"), *others, site=stage.site)
