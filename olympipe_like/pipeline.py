"""The fluent face: an immutable, lazy plan. A method is a signature, a short text and one new node."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from olympipe_like._model.options import SKIP, ExecutorName, OnError, PolicyOptions, Remote, WorkerOptions
from olympipe_like._plan import checks
from olympipe_like._plan import operators as ops
from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.checks import NewStage
from olympipe_like._plan.graph import Node
from olympipe_like._runtime.sources import OneShot
from olympipe_like._runtime.terminals import Runnable

if TYPE_CHECKING:
    import sys

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack

T = TypeVar("T")
U = TypeVar("U")
C = TypeVar("C")


class Pipeline(Runnable[T]):
    """A chain of stages over a stream of items. Building it runs nothing; it can be run any number of times.

    Reading one pipeline from several others is a branch: each gets every item, in order.

    Parameters
    ----------
    datas : iterable, async iterable or callable
        The items, or (with ``*args`` and ``**kwargs``) a callable that makes them afresh for each run; it then runs in
        a process of its own. An iterator or generator can be run once.
    name : str, optional
        The source's name in reports and errors.

    Notes
    -----
    The source runs ahead of the consumer by no more than the windows allow. Before each stage, and before the
    consumer, up to ``queue_size`` items wait; by default 256 items, or 8 frames of about a millisecond's work each
    (at most 4096 items) where that is more, but not more than about 32 MiB.

    Stages with a function of the user's accept, by keyword, what is to become of an item that fails:

    - ``on_error``: "raise" (the run fails), "skip" (drop it), "collect" (drop it, and keep it in ``run.failures``), or
      a function of item and exception that returns the result instead; None or `SKIP` drops the item.
    - ``retries``: tries after the first, >= 0, or a `Retry`.
    - ``timeout``: seconds for a try of an item; process and async stages only.
    - ``worker_retries``: how many workers an item may cost after the first, >= 0; 2 by default.
    - ``max_items_per_worker``, ``max_rss``: a worker process is replaced before it gets more items, or when it holds
      more memory (bytes, or a text like "2GB").

    Examples
    --------
    >>> from olympipe_like import Pipeline
    >>> Pipeline(range(10)).task(lambda x: x * 2).filter(lambda x: x % 4 == 0).batch(2).wait_for_result()
    [[0, 4], [8, 12], [16]]
    """

    def __init__(
        self,
        datas: Iterable[T] | AsyncIterable[T] | Callable[..., Iterable[T] | AsyncIterable[T]],
        *args: Any,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        site = call_site()
        factory = checks.source(f"source ({site})", datas, args, kwargs)
        given: Any = datas
        title = checks.name_of(datas, "items") if name is None else checks.text(f"source ({site})", "name", name)
        if not factory and (hasattr(given, "__next__") or hasattr(given, "__anext__")):
            given = OneShot(given, title)
        op = ops.Source(name=title, datas=given, factory=factory, args=args, kwargs=kwargs)
        self._node = Node(op, (), site)

    @staticmethod
    def from_quarantine(
        directory: str | PathLike[str], *, stage: str | None = None, name: str | None = None
    ) -> Pipeline[Any]:
        """Return the items of a folder that runs were given as ``quarantine``, sorted by stage and position.

        They are what the stage that failed was given: feed them to it, not to the stages before it. ``stage``: only
        those of that stage. Each run reads the folder anew; none removes anything from it. Give the new run a folder
        of its own.

        Raises
        ------
        PlanError
            If there is no such folder, or it holds other things.
        """
        from olympipe_like._runtime.quarantine import open_quarantine  # most plans begin elsewhere

        items = open_quarantine(f"source ({call_site()})", directory, stage)
        return Pipeline(items, name="quarantine" if name is None else name)

    # -- building -----------------------------------------------------------------------------------------------------

    def _then(self, op: ops.Operator, *others: Pipeline[Any], site: str) -> Pipeline[Any]:
        made: Pipeline[Any] = object.__new__(Pipeline)
        made._node = Node(op, (self._node, *(other._node for other in others)), site)
        return made

    def task(
        self,
        task: Callable[[T], Any],
        workers: int = 1,
        on_error: OnError = "raise",
        *,
        count: int | None = None,
        ordered: bool = True,
        executor: ExecutorName | Remote | None = None,
        queue_size: int | None = None,
        name: str | None = None,
        **policy: Unpack[WorkerOptions],
    ) -> Pipeline[Any]:
        """Make of each item what the function returns; `SKIP` drops the item, None is an ordinary value.

        ``task`` is a function, sync or async, any callable, or an object with ``.transform``. ``workers`` of them run
        at once (``count`` is its other name); the order stays unless ``ordered=False``. ``executor`` is "process", or
        "thread", "async" (the default for async functions) or "inline": the last three run in the caller's process.
        ``on_error``, ``retries``, ``timeout`` and the like: see `Pipeline`; filter, explode and others take them, too.

        >>> Pipeline(["3", "x", "4"]).task(int, workers=2, on_error="skip").wait_for_result()
        [3, 4]
        """
        stage = NewStage(name, task, "task")
        checks.function(stage.where, "task", task, or_transform=True)
        placed = stage.place(task, workers, count, ordered, executor, queue_size, {"on_error": on_error, **policy})
        return self._then(ops.Task(name=stage.name, placement=placed, function=task), site=stage.site)

    def class_task(
        self,
        class_constructor: Callable[..., C],
        class_method: Callable[[C, T], Any] | str,
        class_args: Sequence[Any] | None = None,
        close_method: Callable[[C], Any] | str | None = None,
        class_kwargs: Mapping[str, Any] | None = None,
        workers: int = 1,
        *,
        worker_args: Sequence[Mapping[str, Any]] | None = None,
        count: int | None = None,
        ordered: bool = True,
        executor: ExecutorName | Remote | None = None,
        queue_size: int | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Pipeline[Any]:
        """As `task`, with a method of an instance that each worker builds for itself and closes at the end.

        ``worker_args`` gives each worker keyword arguments of its own, a mapping for each. A worker that replaces
        another builds a new instance: what the old one remembered is gone.

        Examples
        --------
        >>> Pipeline(["a", "b"]).class_task(str.maketrans, dict.get, [{"a": "x"}]).wait_for_result()
        [None, None]
        """
        stage = NewStage(name, class_constructor, "class")
        checks.function(stage.where, "class_constructor", class_constructor)
        method = checks.method_of(stage.where, "class_method", class_constructor, class_method)
        if close_method is not None:
            checks.method_of(stage.where, "close_method", class_constructor, close_method)
        placed = stage.place(method, workers, count, ordered, executor, queue_size, options=policy)
        op = ops.ClassTask(
            name=stage.name,
            placement=placed,
            constructor=class_constructor,
            method=class_method,
            args=checks.values(stage.where, "class_args", class_args),
            kwargs=checks.named_values(stage.where, "class_kwargs", class_kwargs),
            close=close_method,
            worker_args=checks.worker_args(stage.where, worker_args, 0 if placed.remote else placed.workers),
        )
        return self._then(op, site=stage.site)

    def filter(
        self,
        keep_if_true: Callable[[T], Any] | None = None,
        workers: int = 1,
        *,
        count: int | None = None,
        ordered: bool = True,
        executor: ExecutorName | Remote | None = None,
        queue_size: int | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Pipeline[T]:
        """Keep the items for which the function is true; without a function those that are not None.

        Failing items as in `task`; a function given as ``on_error`` returns the verdict.

        Examples
        --------
        >>> Pipeline([1, None, 0]).filter().wait_for_result()
        [1, 0]
        """
        stage = NewStage(name, keep_if_true, "filter")
        placed = stage.place(keep_if_true, workers, count, ordered, executor, queue_size, options=policy)
        op: ops.Operator = ops.NotNone(name=stage.name)
        if keep_if_true is not None:
            checks.function(stage.where, "keep_if_true", keep_if_true)
            op = ops.Filter(name=stage.name, placement=placed, function=keep_if_true)
        return self._then(op, site=stage.site)

    def explode(
        self,
        explode_function: Callable[[T], Iterable[U]] | None = None,
        workers: int = 1,
        *,
        count: int | None = None,
        ordered: bool = True,
        executor: ExecutorName | Remote | None = None,
        queue_size: int | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Pipeline[Any]:
        """Make each item into the items of the iterable the function returns; generators stream, endless ones too.

        Failing items as in `task`. What a generator gave before it raised stays; after that it is not tried again.

        Examples
        --------
        >>> Pipeline(["ab", "c"]).explode(list).wait_for_result()
        ['a', 'b', 'c']
        """
        if explode_function is None:
            return self._then(ops.Unbatch(name=name or "explode"), site=call_site())
        stage = NewStage(name, explode_function, "explode")
        checks.sync_function(stage.where, "explode_function", explode_function)
        placed = stage.place_sync(workers, count, ordered, executor, queue_size, options=policy)
        return self._then(ops.Explode(name=stage.name, placement=placed, function=explode_function), site=stage.site)

    def unbatch(self) -> Pipeline[Any]:
        """Make each item, an iterable, into its items: the inverse of `batch`.

        >>> Pipeline([[1, 2], [3]]).unbatch().wait_for_result()
        [1, 2, 3]
        """
        return self._then(ops.Unbatch(name="unbatch"), site=call_site())

    def batch(
        self,
        batch_size: int = 2,
        keep_incomplete_batch: bool = True,
        *,
        drop_last: bool | None = None,
        pad: Any = SKIP,
        collate: Literal["list", "stack"] | Callable[[list[T]], Any] = "list",
    ) -> Pipeline[Any]:
        """Group items. The last, incomplete batch is kept, dropped, or padded with ``pad``.

        ``pad`` is a value, or a function of how many are missing that returns a list. ``collate`` makes the batch of
        its items: "list", "stack" (numpy, field by field for tuples and dicts) or a function.

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
        return self._then(ops.Batch(name="batch", size=size, last=last, pad=pad, collate=collate), site=stage.site)

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

    def tap(
        self,
        fn: Callable[[T], Any],
        *,
        executor: ExecutorName | Remote | None = None,
        name: str | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Pipeline[T]:
        """Call the function with each item and pass the item on.

        >>> Pipeline([1, 2]).tap(print, executor="inline").wait_for_result(executor="inline")
        1
        2
        [1, 2]
        """
        stage = NewStage(name, fn, "tap")
        checks.function(stage.where, "fn", fn)
        placed = stage.place(fn, 1, None, True, executor, options=policy)
        return self._then(ops.Tap(name=stage.name, placement=placed, function=fn), site=stage.site)

    def debug(self, label: str = "", every: int = 1) -> Pipeline[T]:
        """Print every n-th item and pass all on.

        >>> Pipeline([7, 8]).debug("seen").wait_for_result(executor="inline")
        seen: item 0: 7
        seen: item 1: 8
        [7, 8]
        """
        stage = NewStage(None, None, "debug")
        step = checks.whole_number(stage.where, "every", every, 1)
        text = checks.text(stage.where, "label", label)
        return self._then(ops.Debug(name="debug", label=text, every=step), site=stage.site)

    # -- branches -----------------------------------------------------------------------------------------------------

    def split(
        self,
        split_function: Callable[[T], Sequence[Any]],
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
        predicate: Callable[[T], Any],
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
        stage.pipelines(others, Pipeline)
        if checks.flag(stage.where, "ordered", ordered):
            checks.keeps_source_order(stage.where, [self._node, *(other._node for other in others)])
            return self._then(ops.Gather(name="gather"), *others, site=stage.site)
        return self._then(ops.GatherArrival(name="gather"), *others, site=stage.site)

    def zip(self, *others: Pipeline[Any], strict: bool = True) -> Pipeline[tuple[Any, ...]]:
        """Pair the n-th items. ``strict``: pipelines of different length are an error; else the shortest ends it.

        Items of a leg that gives more than another are held until their partners come: legs of one source whose
        numbers drift apart hold as many as they drift.

        >>> Pipeline("ab").zip(Pipeline([1, 2])).wait_for_result()
        [('a', 1), ('b', 2)]
        """
        stage = NewStage(None, None, "zip")
        stage.pipelines(others, Pipeline)
        op = ops.Zip(name="zip", strict=checks.flag(stage.where, "strict", strict))
        return self._then(op, *others, site=stage.site)

    def concat(self, *others: Pipeline[Any]) -> Pipeline[Any]:
        """Append other pipelines, one after the other. A source only they use is not touched before its turn.

        >>> Pipeline([1, 2]).concat(Pipeline([3])).wait_for_result()
        [1, 2, 3]
        """
        stage = NewStage(None, None, "concat")
        stage.pipelines(others, Pipeline)
        return self._then(ops.Concat(name="concat"), *others, site=stage.site)
