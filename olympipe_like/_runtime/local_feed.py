"""Sources of a run in the caller's process: where a feeder gets its allowance and puts its frames."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Protocol

from olympipe_like._model.events import Event, SourceEnded
from olympipe_like._model.identity import Path, StageId
from olympipe_like._plan.segment import Label
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.feed import Feeder, PortGone

JOIN_SECONDS = 0.25  # how long a feeding thread is waited for; one that waits inside the user's source is left behind


class FeedTaker(Protocol):
    """The run that takes what is fed."""

    def pulled(self, source: StageId, chunk: Chunk) -> None: ...
    def marked(self, source: StageId, position: Path, state: Mapping[str, Any]) -> None: ...
    def handle(self, event: Event) -> None: ...


class _Feed:
    """Where a feeder of this process gets its allowance and puts its frames."""

    def __init__(self, run: FeedTaker, source: StageId) -> None:
        self._run = run
        self._source = source
        self._allowed = 0
        self._size = 1
        self._stopped = False

    def send(self, chunk: Chunk) -> None:
        self._run.pulled(self._source, chunk)

    def mark(self, position: Path, state: Mapping[str, Any]) -> None:
        self._run.marked(self._source, position, state)

    def end(self) -> None:
        self._run.handle(SourceEnded(at=monotonic(), source=self._source))


class ThreadFeed(_Feed):
    """A source iterated in a thread of its own."""

    def __init__(self, run: FeedTaker, source: StageId, make: Callable[[], Any], label: Label) -> None:
        super().__init__(run, source)
        self._changed = threading.Condition()
        feeder = Feeder(make, label, self, "")
        self.thread = threading.Thread(target=feeder.run, name=f"olympipe-source-{label.name}", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def allow(self, items: int, size: int) -> None:
        with self._changed:
            self._allowed, self._size = items, size
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def wait(self, pulled: int) -> tuple[int, int] | None:
        with self._changed:
            while not self._stopped and self._allowed <= pulled:
                self._changed.wait()
            return None if self._stopped else (self._allowed, self._size)

    def join(self) -> None:
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join(JOIN_SECONDS)


class InlineFeed(_Feed):
    """A source iterated one item at a time by whoever drives the run."""

    def __init__(self, run: FeedTaker, source: StageId, make: Callable[[], Any], label: Label) -> None:
        super().__init__(run, source)
        self.given = 0
        self._steps = Feeder(make, label, self, "").steps()
        self._ended = False
        self._cut_short: BaseException | None = None  # Ctrl-C in the run's own affairs

    @property
    def may_pull(self) -> bool:
        """Whether it has something to do: an item to pull, or to end."""
        return not self._ended and (self._stopped or self._allowed > self.given)

    def start(self) -> None:
        pass

    def allow(self, items: int, size: int) -> None:
        self._allowed, self._size = items, size

    def stop(self) -> None:
        self._stopped = True

    def wait(self, pulled: int) -> tuple[int, int] | None:
        return None if self._stopped else (pulled + 1, 1)

    def send(self, chunk: Chunk) -> None:
        if self._cut_short is not None:
            raise PortGone
        try:
            super().send(chunk)
        except PortGone:
            raise
        except BaseException as error:
            self._cut_short = error  # the feeder takes it for what the source raised
            raise

    def end(self) -> None:
        if self._cut_short is None:
            super().end()

    def pull(self) -> None:
        self.given += 1
        self._ended = next(self._steps, None) is None
        if self._cut_short is not None:
            raise self._cut_short

    def join(self) -> None:
        self._stopped = True
        while not self._ended:  # closes the source, as its thread would
            self.pull()
