"""Turns a source into frames: pulls only what is allowed, holds nothing back. Runs wherever the source lives."""

from __future__ import annotations

import contextlib
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from operator import itemgetter
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import Path
from olympipe_like._plan.operators import Source
from olympipe_like._plan.segment import Label
from olympipe_like._worker.blame import blame
from olympipe_like._worker.chunk import Chunk, dense
from olympipe_like._worker.epochs import Epochs
from olympipe_like.errors import PlanError

PULL_SECONDS = 0.001
"""Items that were pulled wait no longer than this for company."""

FIRST_ITEMS = 8
"""Items that are sent one by one whatever is allowed: what the first ones cost says little, so the first slow one among
them has no company, and it is soon seen that a run goes well."""

MARK_SECONDS, MARK_SHARE = 0.25, 20
"""A source that knows where it is says so this often: what a resumed run pulls in vain is what it gives meanwhile.

Seldomer if that takes long: its work between is at least so many times as much.
"""

_NEVER_BLOCK = (list, tuple, range, str, bytes, bytearray, dict, set, frozenset, deque)
_second = itemgetter(1)


@runtime_checkable
class Resumable(Protocol):
    """An iterator that can be taken up where it is: a streamer's."""

    round: int

    def state_dict(self) -> Mapping[str, Any]:
        """Return where it is."""


class PortGone(Exception):
    """The run has ended; nobody takes frames any more."""


class Queue(Iterator[Any]):
    """A source that others fill: what is there goes together, and nothing waits for company."""

    @abstractmethod
    def take(self, most: int) -> list[Any]:
        """Return what is there, at most so many items; waits for the first. Nothing: there will be none any more."""

    def __next__(self) -> Any:
        for item in self.take(1):
            return item
        raise StopIteration


class FeedPort(Protocol):
    """Where frames go and allowances come from. Every method may raise `PortGone`."""

    def wait(self, pulled: int) -> tuple[int, int] | None:
        """Return (items that may be pulled in all, largest frame) once above ``pulled``; None: stop."""

    def send(self, chunk: Chunk) -> None:
        """Send the next frame."""

    def end(self) -> None:
        """Say that there is no more."""

    def mark(self, position: Path, state: Mapping[str, Any]) -> None:
        """Say where the source is: its own state behind the item at a position (epochs, and items of this one)."""


def iterate(datas: Any) -> Iterator[Any]:
    """Return an iterator over a source's items, async or not."""
    if hasattr(type(datas), "__aiter__") and not hasattr(type(datas), "__iter__"):
        from olympipe_like._worker.async_items import AsyncItems  # asyncio takes 20 ms to import

        return AsyncItems(datas)
    return iter(datas)


def iterate_behind(datas: Any, count: int) -> Iterator[Any]:
    """Return an iterator over a source's items but the first ``count`` (>= 0) of them.

    Sequences are read from there on. Of anything else these items are pulled and dropped.

    Raises
    ------
    PlanError
        If there are not so many.
    """
    if count and _is_sequence(datas):
        if len(datas) < count:
            raise PlanError(_TOO_SHORT.format(count))
        return map(datas.__getitem__, range(count, len(datas)))
    iterator = iterate(datas)
    if count and next(islice(iterator, count - 1, count), _MISSING) is _MISSING:
        raise PlanError(_TOO_SHORT.format(count))
    return iterator


_MISSING = object()
_TOO_SHORT = "the source ended before the {} items it gave before: this run cannot go on where the other was"


def _is_sequence(datas: Any) -> bool:
    """Whether an item can be had without those before it, and is the same as in a loop."""
    kind = type(datas)
    own_loop = getattr(kind, "__iter__", None) not in (None, Sequence.__iter__)
    plain = kind in (list, tuple, range, str, bytes)
    return plain or (not own_loop and hasattr(kind, "__len__") and hasattr(kind, "__getitem__"))


def in_epochs(source: Source, make: Callable[[], Any]) -> Callable[[], Any]:
    """Return what makes the items of all epochs of a source; ``make`` makes those of one."""
    if not source.epochs and source.begin is None:
        return make
    return lambda: Epochs(lambda behind: iterate_behind(make(), behind), source.epochs, source.limits, source.begin)


class Feeder:
    """Pulls from one source until it ends, fails or is told to stop.

    A source that is slow now gives frames of one item, sent at once. From a fast one several are pulled at a time; if
    it then stops giving, what has come goes out after a millisecond all the same: a second thread sees to that, because
    the first one is waiting inside the source.
    """

    def __init__(self, make: Callable[[], Any], label: Label, port: FeedPort, worker: str) -> None:
        self._make = make
        self._label = label
        self._port = port
        self._worker = worker
        self._iterator: Iterator[Any] | None = None
        self._epochs: Epochs | None = None  # it, if it is one
        self._given = 0
        self._wanted = 1  # items to pull at a time
        self._pulling = 0.0  # seconds the source took for the last pull; sending it is not its affair
        self._turn = threading.Condition()
        self._pull = 0  # number of the pull at hand, even while none is going on
        self._items: list[Any] = []
        self._tickets: list[None] = []  # one for each item this pull may still take
        self._flusher: threading.Thread | None = None
        self._parked = False
        self._over = False
        self._next_mark = perf_counter() + MARK_SECONDS  # when to say where the source is

    def run(self) -> None:
        """Feed; returns when there is nothing left to do."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[int]:
        """Feed, one frame a step; for whoever has other things to do in between."""
        failure: Failure | None = None
        try:
            datas = self._make()
            self._iterator = iterator = iterate(datas)
            self._epochs = iterator if isinstance(iterator, Epochs) else None
            never_blocks = isinstance(datas, _NEVER_BLOCK)
            feed = partial(self._take, iterator) if isinstance(iterator, Queue) else partial(self._feed, never_blocks)
            while (allowance := self._port.wait(self._given)) is not None:
                if perf_counter() >= self._next_mark:
                    self._mark()
                if not feed(*allowance):
                    break
                yield self._given
            if self._epochs is not None and self._epochs.last is not None:
                self._port.send(self._epochs.last)
        except PortGone:
            self._stop_flusher()
            self._close()
            return
        except BaseException as error:  # noqa: BLE001 - anything a source raises is reported like any failure
            failure = self._blame(error)
        self._stop_flusher()
        failure = self._close() or failure
        with contextlib.suppress(PortGone):  # the run is over already; nobody is left to tell
            if failure is not None:
                chunk = dense([], self._given)
                chunk.failure = failure
                self._port.send(chunk)
            self._port.end()

    def _take(self, queue: Queue, allowed: int, size: int) -> bool:
        """Send what others have put there; say whether there may be more."""
        items = queue.take(min(allowed - self._given, size))
        self._send(items)
        return bool(items)

    def _feed(self, never_blocks: bool, allowed: int, size: int) -> bool:
        """Send one frame; say whether there may be another."""
        if self._given < FIRST_ITEMS:
            size = 1
        count = min(allowed - self._given, size if never_blocks else min(self._wanted, size))
        before = self._given
        ended = self._pull_plainly(count) if never_blocks or count == 1 else self._pull_watched(count)
        # As many as come in half of that time, approached by steps: one that was interrupted says little of the next.
        share = PULL_SECONDS / 2 / self._pulling if self._pulling > 0 else 2.0
        self._wanted = max(1, int((self._given - before) * min(max(share, 0.5), 2.0)))
        return not ended

    def _pull_plainly(self, count: int) -> bool:
        """Pull and send up to ``count`` items; say whether the source has ended."""
        assert self._iterator is not None
        items: list[Any] = []
        began = perf_counter()
        try:
            items.extend(islice(self._iterator, count))
        finally:  # what came before an exception is sent before it
            self._pulling = perf_counter() - began
            self._send(items)
        return len(items) < count

    def _pull_watched(self, count: int) -> bool:
        """As `_pull_plainly`, from a source that may stop giving at any item."""
        assert self._iterator is not None
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush, name="olympipe-feed-flush", daemon=True)
            self._flusher.start()
        with self._turn:
            items: list[Any] = []
            self._items = items
            self._tickets = tickets = [None] * count
            self._pull += 1
            if self._parked:
                self._turn.notify()
        before = self._given
        began = perf_counter()
        try:
            # zip asks for a ticket first: without one no item is taken from the source.
            items.extend(map(_second, zip(tickets, self._iterator, strict=False)))
        finally:
            self._pulling = perf_counter() - began
            with self._turn:
                flushed = len(tickets) < count
                self._pull += 1
                self._items = []
                self._send(items)
        return not flushed and self._given - before < count

    def _flush(self) -> None:
        """Send what a pull has taken once it lasts too long, and let that pull take only the item it waits for."""
        idle = 0
        with self._turn:
            while not self._over:
                seen = self._pull
                self._parked = idle > 20  # polled only while the source gives
                self._turn.wait(None if self._parked else PULL_SECONDS)
                self._parked = False
                if self._pull != seen or self._pull % 2 == 0:
                    idle = 0 if self._pull != seen else idle + 1
                    continue
                self._tickets.clear()
                taken = self._items[:]
                del self._items[: len(taken)]
                with contextlib.suppress(PortGone):  # the feeding thread meets the same and ends
                    self._send(taken)
                while self._pull == seen and not self._over:  # nothing more to do in this pull
                    self._parked = True
                    self._turn.wait()
                self._parked = False

    def _send(self, items: list[Any]) -> None:
        if items:
            place = self._epochs.place if self._epochs is not None else dense
            chunk = place(items, self._given)
            self._given += len(items)
            self._port.send(chunk)

    def _mark(self) -> None:
        """Say where the source is, if it knows: a streamer does."""
        now = perf_counter()
        source: Any = self._iterator
        position: Path | None = (self._given,)
        if self._epochs is not None:
            source, position = self._epochs.source, self._epochs.position
        if isinstance(source, Resumable) and position is not None:
            self._port.mark(position, source.state_dict())
        cost = perf_counter() - now
        self._next_mark = now + max(MARK_SECONDS, MARK_SHARE * cost)

    def _blame(self, error: BaseException) -> Failure:
        position = f"after {self._given} items"
        return blame(error, self._label, self._worker, kind="source", position=position)

    def _close(self) -> Failure | None:
        """Close a generator, so that its ``finally`` runs; return the failure if that raises."""
        close = getattr(self._iterator, "close", None)
        if close is not None and not hasattr(self._iterator, "read"):  # a file is the user's to close
            try:
                close()
            except BaseException as error:  # noqa: BLE001 - the user's finally block
                return self._blame(error)
        return None

    def _stop_flusher(self) -> None:
        if self._flusher is not None:
            with self._turn:
                self._over = True
                self._turn.notify()
            self._flusher.join()
