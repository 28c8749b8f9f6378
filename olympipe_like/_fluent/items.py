"""Methods that look at one item at a time: what is made of it, whether it is kept, who gets to see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from olympipe_like._fluent.chain import Chain, Drawing, DrawingMethod
from olympipe_like._model.options import ExecutorName, OnError, PolicyOptions, Remote, WorkerOptions, Workers
from olympipe_like._plan import checks
from olympipe_like._plan import operators as ops
from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.new_stage import NewStage
from olympipe_like._worker.composed import call_with
from olympipe_like.errors import PlanError

if TYPE_CHECKING:
    import sys

    from olympipe_like.graph.function import Inputs
    from olympipe_like.graph.graph import Graph
    from olympipe_like.pipeline import Pipeline

    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        from typing_extensions import Unpack

T = TypeVar("T")
C = TypeVar("C")


class Items(Chain[T]):
    """The part of `Pipeline` for functions of one item."""

    def task(
        self,
        task: Callable[[T], Any] | Drawing[T, Any],
        workers: Workers = 1,
        on_error: OnError = "raise",
        *,
        count: Workers | None = None,
        ordered: bool = True,
        executor: ExecutorName | Remote | None = None,
        queue_size: int | None = None,
        name: str | None = None,
        **policy: Unpack[WorkerOptions],
    ) -> Pipeline[Any]:
        """Make of each item what the function returns; `SKIP` drops the item, None is an ordinary value.

        ``task`` is a function, sync or async, any callable, or an object with ``.transform``. ``workers`` of them run
        at once (``count`` is its other name); "auto": as many processes as the time goes there, of those the run shares
        out (`run`: ``auto_workers``). The order stays unless ``ordered=False``. ``executor`` is "process", or
        "thread", "async" (the default for async functions) or "inline": the last three run in the caller's process.
        ``on_error``, ``retries``, ``timeout`` and the like: see `Pipeline`; filter, explode and others take them, too.

        >>> Pipeline(["3", "x", "4"]).task(int, workers=2, on_error="skip").wait_for_result()
        [3, 4]
        """
        stage = NewStage(name, task, "task")
        checks.function(stage.where, "task", task, or_transform=True)
        placed = stage.place(task, workers, count, ordered, executor, queue_size, {"on_error": on_error, **policy})
        return self._then(ops.Task(name=stage.name, placement=placed, function=task), site=stage.site)

    def graph_task(
        self, graph: Graph, fetches: Any, inputs: Inputs = None, workers: Workers = 1, **options: Any
    ) -> Pipeline[Any]:
        """As `task`, with an expression graph: each item becomes what is fetched; see `olympipe_like.graph`.

        ``inputs`` is the node, or its name, whose value an item is; several; or a function that returns a mapping.

        >>> from olympipe_like.graph import Graph, placeholder
        >>> with Graph() as graph:
        ...     doubled = placeholder("x") * 2
        >>> Pipeline([1, 2]).graph_task(graph, doubled, "x").wait_for_result()
        [2, 4]
        """
        from olympipe_like.graph.function import graph_function  # most plans have no graph

        return self.task(graph_function(graph, fetches, inputs), workers, **options)

    def class_task(
        self,
        class_constructor: Callable[..., C],
        class_method: Callable[[C, T], Any] | DrawingMethod[C, T] | str,
        class_args: Sequence[Any] | None = None,
        close_method: Callable[[C], Any] | str | None = None,
        class_kwargs: Mapping[str, Any] | None = None,
        workers: Workers = 1,
        *,
        worker_args: Sequence[Mapping[str, Any]] | None = None,
        count: Workers | None = None,
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
            worker_args=checks.worker_args(
                stage.where, worker_args, 0 if placed.remote or placed.auto else placed.workers
            ),
        )
        return self._then(op, site=stage.site)

    def fan_out(
        self,
        *tasks: Callable[[T], Any] | Drawing[T, Any],
        join: Callable[..., Any] | None = None,
        workers: Workers = 1,
        ordered: bool = True,
        executor: ExecutorName | Remote | None = None,
        queue_size: int | None = None,
        **policy: Unpack[PolicyOptions],
    ) -> Pipeline[Any]:
        """Call several functions with each item, side by side; an item becomes the tuple of what they return.

        Or what ``join(*results)`` returns. Each function is a `task` with ``workers`` of its own and these options. An
        item that one of them drops (`SKIP`, ``on_error="skip"``) is dropped.

        >>> Pipeline([3, 4]).fan_out(str, lambda x: x * x).wait_for_result()
        [('3', 9), ('4', 16)]
        """
        stage = NewStage(None, None, "fan_out")
        if not tasks:
            raise PlanError(f"{stage.where}: give at least one function")
        where: Any = {"workers": workers, "ordered": ordered, "executor": executor, "queue_size": queue_size}
        legs = [self.task(each, **where, **policy) for each in tasks]
        joined = legs[0].align(*legs[1:])
        if join is None:
            return joined
        checks.sync_function(stage.where, "join", join)
        return joined.task(partial(call_with, join), executor=executor, name=checks.name_of(join, "join"))

    def filter(
        self,
        keep_if_true: Callable[[T], Any] | Drawing[T, Any] | None = None,
        workers: Workers = 1,
        *,
        count: Workers | None = None,
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
        explode_function: Callable[[T], Iterable[Any]] | Drawing[T, Iterable[Any]] | None = None,
        workers: Workers = 1,
        *,
        count: Workers | None = None,
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

    def tap(
        self,
        fn: Callable[[T], Any] | Drawing[T, Any],
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
