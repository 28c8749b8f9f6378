"""What a source gives a run: its items afresh, or an error if they can be had only once and were."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from olympipe_like._plan.operators import Restartable, Source
from olympipe_like._worker.feed import in_epochs
from olympipe_like.errors import SourceExhausted


class OneShot:
    """An iterator given as a source: good for one run."""

    def __init__(self, iterator: Any, name: str) -> None:
        self.iterator = iterator
        self.name = name
        self._taken = False

    def take(self) -> Any:
        """Return the iterator, once.

        Raises
        ------
        SourceExhausted
            The second time, or if a generator has been run to its end elsewhere.
        """
        over = inspect.isgenerator(self.iterator) and inspect.getgeneratorstate(self.iterator) == inspect.GEN_CLOSED
        if self._taken or over:
            raise SourceExhausted(self.name)
        self._taken = True
        return self.iterator


def for_one_run(source: Source) -> Source:
    """Return the source as it is for one run: of a streamer the iteration that is next."""
    if not isinstance(source.datas, Restartable):
        return source
    start = source.datas.starting(*source.args, follows=source.follows, **source.kwargs)
    return replace(source, datas=start, args=(), kwargs={})


def maker_of(source: Source) -> Callable[[], Any]:
    """Return what makes a run's items; raises now what the caller should hear before anything starts."""
    if source.factory or isinstance(source.datas, Restartable):
        made = for_one_run(source)
        return in_epochs(made, lambda: made.datas(*made.args, **made.kwargs))
    datas = source.datas.take() if isinstance(source.datas, OneShot) else source.datas
    return in_epochs(source, lambda: datas)
