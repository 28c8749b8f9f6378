"""An async source as an iterator. Apart from the rest because importing asyncio takes 20 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from olympipe_like._worker.coroutines import end_loop, run


class AsyncItems(Iterator[Any]):
    """An async iterable as an iterator, on a loop of its own."""

    def __init__(self, datas: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._items = aiter_of(datas)

    def __next__(self) -> Any:
        try:
            return run(self._loop, self._items.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """End the async iterator and its loop."""
        close = getattr(self._items, "aclose", None)
        if close is not None:
            run(self._loop, close())
        end_loop(self._loop)


def aiter_of(datas: Any) -> Any:
    """Return the async iterator of an async iterable (the builtin came with Python 3.10, its types did not)."""
    return type(datas).__aiter__(datas)
