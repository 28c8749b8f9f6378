"""The fluent face: an immutable, lazy plan. Its methods are in `_fluent`, by theme."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from os import PathLike
from typing import Any, Literal, TypeVar

from olympipe_like._fluent.branches import Branches
from olympipe_like._fluent.chain import Chain
from olympipe_like._fluent.groups import Groups
from olympipe_like._fluent.items import Items
from olympipe_like._fluent.selection import Selection
from olympipe_like._fluent.steps import Defaults, in_a_row, side_by_side
from olympipe_like._model.options import SKIP, Workers
from olympipe_like._plan import checks
from olympipe_like._plan import operators as ops
from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.graph import Node
from olympipe_like._runtime.sources import OneShot

T = TypeVar("T")


class Pipeline(Items[T], Groups[T], Selection[T], Branches[T]):
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
    consumer, up to ``queue_size`` items wait; by default 256 items, or 8 frames of some milliseconds' work each
    (at most 32 768 items) where that is more, but not more than about 24 MiB, or three large items up to 48 MiB.

    Stages with a function of the user's accept, by keyword, what is to become of an item that fails:

    - ``on_error``: "raise" (the run fails), "skip" (drop it), "collect" (drop it, and keep it in ``run.failures``), or
      a function of item and exception that returns the result instead; None or `SKIP` drops the item (of `tap`, which
      passes its items on whatever is returned, only `SKIP`).
    - ``retries``: tries after the first, >= 0, or a `Retry`.
    - ``timeout``: seconds for a try of an item; process and async stages only.
    - ``worker_retries``: how many workers an item may cost after the first, >= 0; 2 by default.
    - ``max_items_per_worker``, ``max_rss``: a worker process is replaced before it gets more items, or when it holds
      more memory (bytes, or a text like "2GB").
    - ``copy``: False lets a process stage look at arrays in shared memory; they cannot be written to.

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
        one_shot = not factory and (hasattr(given, "__next__") or hasattr(given, "__anext__"))
        if one_shot:
            given = OneShot(given, title)
        op = ops.Source(name=title, datas=given, factory=factory, can_repeat=not one_shot, args=args, kwargs=kwargs)
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

    @staticmethod
    def from_steps(
        datas: Any,
        steps: Sequence[Any],
        batch_size: int,
        n_workers_per_step: Workers | None = None,
        max_queued_minibatches: int | None = None,
        *,
        keep_incomplete_batch: bool = True,
        pad: Any = SKIP,
        collate: Literal["list", "stack"] | Callable[[list[Any]], Any] = "list",
        joiner: Callable[[list[Any]], Any] | None = None,
        use_processes: bool = False,
    ) -> Pipeline[Any]:
        """Return a pipeline of steps, each with workers of its own, over mini-batches of the items.

        A step is a function of a batch or an object with ``.transform``; alone, or as ``(workers, step)``,
        ``(name, step)``, ``(name, workers, step)``, ``(name, workers, queue_size, step)``,
        ``(name, workers, worker_args, step)`` or ``(name, workers, worker_args, queue_size, step)``. ``worker_args``:
        for each worker a mapping, or a (name, value): attributes of its copy of the object, or keyword arguments of
        the function. ``n_workers_per_step`` and ``max_queued_minibatches`` are for steps that do not say it.

        The last batch is shorter, or dropped, or padded: ``pad`` and ``collate`` as in `batch`. What comes out are the
        items of the batches, in order; with ``joiner`` the one item that it makes of the list of them. Steps run in
        threads, or in processes.

        >>> steps = [("double", 2, lambda batch: [x * 2 for x in batch]), sorted]
        >>> Pipeline.from_steps([3, 1, 2], steps, batch_size=2).wait_for_result()
        [2, 6, 4]
        """
        defaults = Defaults(n_workers_per_step, max_queued_minibatches, use_processes)
        last: Any = {"keep_incomplete_batch": keep_incomplete_batch, "pad": pad, "collate": collate}
        return in_a_row(Pipeline(datas), steps, batch_size, defaults, joiner, **last)

    @staticmethod
    def union(
        datas: Any,
        steps: Sequence[Any],
        batch_size: int,
        n_workers_per_step: Workers | None = None,
        max_queued_minibatches: int | None = None,
        *,
        join: Callable[..., Any] | None = None,
        keep_incomplete_batch: bool = True,
        pad: Any = SKIP,
        collate: Literal["list", "stack"] | Callable[[list[Any]], Any] = "list",
        joiner: Callable[[list[Any]], Any] | None = None,
        use_processes: bool = False,
    ) -> Pipeline[Any]:
        """As `from_steps`, with every step given the same batches, and what they make of a batch joined in step order.

        ``join(*outputs)`` makes of them what becomes of the batch; without it each item becomes the tuple of what the
        steps made of it. A step that drops a batch (`SKIP`) drops it for all.

        >>> steps = [sorted, ("halves", lambda batch: [x / 2 for x in batch])]
        >>> Pipeline.union([1, 2, 3], steps, batch_size=2).wait_for_result()
        [(1, 0.5), (2, 1.0), (3, 1.5)]
        """
        defaults = Defaults(n_workers_per_step, max_queued_minibatches, use_processes)
        last: Any = {"keep_incomplete_batch": keep_incomplete_batch, "pad": pad, "collate": collate}
        return side_by_side(Pipeline(datas), steps, batch_size, defaults, join, joiner, **last)

    def fuse(self) -> Pipeline[T]:
        """Let the stages so far, back to the last branch, merge or ``fuse``, share their workers: one process for all.

        For cheap functions, whose items cost more to pass on than to compute. Only neighbours with the same executor,
        workers, order and limits to their workers are joined, and none with a timeout; all others stay as they are.
        Results, order, errors and reports are the same. An item reaches the next function as it is, not as a copy.

        >>> Pipeline([1, 2, 3]).task(lambda x: x + 1).filter(lambda x: x % 2 == 0).fuse().wait_for_result()
        [2, 4]
        """
        return self._then(ops.Fuse(name="fuse"), site=call_site())

    def _then(self, op: ops.Operator, *others: Chain[Any], site: str) -> Pipeline[Any]:
        return self._at(Node(op, (self._node, *(other._node for other in others)), site))

    def _at(self, node: Node) -> Pipeline[Any]:
        made: Pipeline[Any] = object.__new__(Pipeline)
        made._node = node
        return made
