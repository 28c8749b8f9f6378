"""The queue between those who ask and the run that answers: the run's source, and where its results go.

Knows who asked what. Does not know workers, and opens neither requests nor outcomes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from olympipe_like._worker.feed import Queue
from olympipe_like.requests.outcome import Buffer, pack_closed, split_ticket, with_ticket


class Asker(Protocol):
    """Who has asked, and wants to be told."""

    def told(self, outcomes: Sequence[tuple[int, Buffer]]) -> None:
        """Take outcomes, each with the number of its request."""


class Exchange:
    """Gives the run the requests of all askers in turn, one of each, and each asker its outcomes as they come."""

    def __init__(self) -> None:
        self._turn = threading.Condition()  # something waits, or will not
        self._waiting: dict[Asker, deque[tuple[int, Buffer]]] = {}  # the first is whose turn it is
        self._ready = 0  # requests that wait
        self._tickets: dict[int, tuple[Asker, int]] = {}  # of requests that the run has
        self._last = 0
        self._feed: Feed | None = None
        self._why_closed = ""

    # -- those who ask ------------------------------------------------------------------------------------------------

    def ask(self, asker: Asker, requests: Sequence[tuple[int, Buffer]]) -> None:
        """Let requests, at least one, be answered; the outcome of each is told in any case, and once."""
        with self._turn:
            if not self._why_closed:
                self._waiting.setdefault(asker, deque()).extend(requests)
                if not self._ready:
                    self._turn.notify_all()
                self._ready += len(requests)
                return
        outcome = pack_closed(self._why_closed)
        asker.told([(number, outcome) for number, _ in requests])

    def withdraw(self, asker: Asker) -> None:
        """Tell an asker nothing more; what the run has in hand of it is dropped when it comes."""
        with self._turn:
            self._ready -= len(self._waiting.pop(asker, ()))
            for ticket in [ticket for ticket, (each, _) in list(self._tickets.items()) if each is asker]:
                del self._tickets[ticket]

    # -- the run ------------------------------------------------------------------------------------------------------

    def feed(self) -> Feed:
        """Return the source of a run; that of the run before has ended."""
        with self._turn:
            self._feed = Feed(self)
            return self._feed

    def take(self, feed: Feed, most: int) -> list[bytes]:
        """Return what waits, at most so many requests, once there is one; nothing: the feed has ended."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or feed is not self._feed)
            if feed is not self._feed:
                return []
            return [self._next() for _ in range(min(self._ready, most))]

    def _next(self) -> bytes:
        asker, requests = next(iter(self._waiting.items()))
        number, request = requests.popleft()
        self._ready -= 1
        del self._waiting[asker]
        if requests:
            self._waiting[asker] = requests  # behind the others
        self._last += 1
        self._tickets[self._last] = asker, number
        return with_ticket(self._last, request)

    def deliver(self, answers: Iterable[Buffer]) -> None:
        """Tell outcomes to those who asked; nobody may want them any more."""
        found: dict[Asker, list[tuple[int, Buffer]]] = {}
        with self._turn:
            for answer in answers:
                ticket, outcome = split_ticket(answer)
                asked = self._tickets.pop(ticket, None)
                if asked is not None:
                    found.setdefault(asked[0], []).append((asked[1], outcome))
        for asker, outcomes in found.items():
            asker.told(outcomes)

    def wait(self) -> bool:
        """Wait for a request; False: there will be none."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._why_closed)
            return not self._why_closed

    def fail(self, outcome: bytes) -> None:
        """Tell everybody the same outcome of everything that was asked so far."""
        with self._turn:
            found = list(self._tickets.values())
            found += [(asker, number) for asker, requests in self._waiting.items() for number, _ in requests]
            self._tickets.clear()
            self._waiting.clear()
            self._ready = 0
        for asker, number in found:
            asker.told([(number, outcome)])

    def end_feed(self) -> None:
        """Let the run's source end."""
        with self._turn:
            self._feed = None
            self._turn.notify_all()

    def close(self, why: str) -> None:
        """Take no more requests; those that were taken fail with the reason."""
        with self._turn:
            self._why_closed = self._why_closed or why
            self._feed = None
            self._turn.notify_all()
        self.fail(pack_closed(why))


class Feed(Queue):
    """The source of one run."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def take(self, most: int) -> list[bytes]:
        """Return what waits."""
        return self._exchange.take(self, most)
