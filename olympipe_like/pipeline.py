"""The fluent face: an immutable, lazy plan. Its methods are in `_fluent`, by theme."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from os import PathLike
from typing import Any, TypeVar

from olympipe_like._fluent.branches import Branches
from olympipe_like._fluent.chain import Chain
from olympipe_like._fluent.groups import Groups
from olympipe_like._fluent.items import Items
from olympipe_like._fluent.selection import Selection
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
    (at most 16 384 items) where that is more, but not more than about 32 MiB.

    Stages with a function of the user's accept, by keyword, what is to become of an item that fails:

    - ``on_error``: "raise" (the run fails), "skip" (drop it), "collect" (drop it, and keep it in ``run.failures``), or
      a function of item and exception that returns the result instead; None or `SKIP` drops the item (of `tap`, which
      passes its items on whatever is returned, only `SKIP`).
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

    def _then(self, op: ops.Operator, *others: Chain[Any], site: str) -> Pipeline[Any]:
        return self._at(Node(op, (self._node, *(other._node for other in others)), site))

    def _at(self, node: Node) -> Pipeline[Any]:
        made: Pipeline[Any] = object.__new__(Pipeline)
        made._node = node
        return made
