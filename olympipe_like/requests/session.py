"""One call of `imap` or `apply`: pulls requests no further than its look-ahead, gives their results in their order."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from olympipe_like._model.failure import Failure
from olympipe_like._plan.segment import Label
from olympipe_like._runtime.raising import to_error
from olympipe_like._worker.blame import blame, show
from olympipe_like._worker.feed import iterate
from olympipe_like.errors import BrokerClosed
from olympipe_like.requests.exchange import Asker
from olympipe_like.requests.outcome import Buffer, Format, pack_unsent, value_of

JOIN_SECONDS = 0.25  # how long a thread is waited for that may be inside the user's requests

ANOTHERS = "this process is a fork of the one that began it, which takes its results: make a Client here"

_REQUESTS = Label("requests", "source", 0, 0)


class Way(Protocol):
    """How a request comes to the run that answers it."""

    def ask(self, asker: Asker, requests: Sequence[tuple[int, Buffer]]) -> None:
        """Let requests be answered, each with its number; `Asker.told` is told the outcome of each."""

    def withdraw(self, asker: Asker) -> None:
        """Tell an asker nothing more."""


class Session:
    """The books of one call. One thread asks, one takes; outcomes are told by any.

    Request k is not pulled before result k - ``look_ahead`` has been consumed: when the one behind it is asked for.
    """

    def __init__(self, way: Way, kind: Format, look_ahead: int) -> None:
        self._way = way
        self._kind = kind
        self._look_ahead = look_ahead
        turn = threading.RLock()
        self._room, self._next = threading.Condition(turn), threading.Condition(turn)
        self._turn = turn
        self._requests: dict[int, Any] = {}  # asked, and not taken: errors show them
        self._outcomes: dict[int, Buffer] = {}
        self._pulled = 0
        self._taken = 0  # the number of the next one to take
        self._consumed = 0
        self._ended = False  # there will be no more requests
        self._failure: Failure | None = None  # of their source
        self._closed = False
        self._process = os.getpid()

    def must_be_ours(self) -> None:
        """Make sure that this is no fork of the process that asks: nobody would be told anything here.

        Raises
        ------
        BrokerClosed
            If it is one.
        """
        if os.getpid() != self._process:
            raise BrokerClosed(ANOTHERS)

    # -- asking -------------------------------------------------------------------------------------------------------

    def feed(self, requests: Iterable[Any]) -> None:
        """Pull and ask until the requests end, fail, or nobody wants the results."""
        requests_left: Iterator[Any] | None = None
        try:
            requests_left = iterate(requests)
            while self._wait_for_room():
                try:
                    request = next(requests_left)
                except StopIteration:
                    break
                self.ask(request)
        except BaseException as error:  # noqa: BLE001 - whatever the user's requests raise is told in its place
            self._end(self._blame(error))
        else:
            self._end(None)
        finally:
            self._close_requests(requests_left)

    def ask(self, request: Any) -> None:
        """Ask for one; what cannot be written is its own failure."""
        with self._turn:
            number = self._pulled
            self._pulled += 1
            self._requests[number] = request
        try:
            data = self._kind.dumps(request)
        except Exception as error:  # noqa: BLE001 - the user's function, or the user's classes
            self.told([(number, pack_unsent(error))])
            return
        self._way.ask(self, [(number, data)])
        if self._closed:
            self._way.withdraw(self)  # meanwhile, before it was asked

    def _wait_for_room(self) -> bool:
        with self._turn:
            if self._pulled - self._consumed >= self._look_ahead:
                self._room.wait_for(lambda: self._closed or self._has_room)
            return not self._closed

    @property
    def _has_room(self) -> bool:
        """Whether to go on pulling: threads that wake each other for every request do little else."""
        return self._pulled - self._consumed <= self._look_ahead - max(self._look_ahead // 4, 1)

    def _blame(self, error: BaseException) -> Failure:
        return blame(error, _REQUESTS, "", kind="source", position=f"after {self._pulled} requests")

    def _end(self, failure: Failure | None) -> None:
        with self._turn:
            self._ended = True
            self._failure = failure
            self._next.notify_all()

    def _close_requests(self, requests: Any) -> None:
        """Close a generator, so that its ``finally`` runs; a file is the user's to close."""
        close = getattr(requests, "close", None)
        if close is None or hasattr(requests, "read"):
            return
        try:
            close()
        except BaseException as error:  # noqa: BLE001 - the user's finally block
            self._end(self._blame(error))

    # -- taking -------------------------------------------------------------------------------------------------------

    def told(self, outcomes: Sequence[tuple[int, Buffer]]) -> None:
        """Keep outcomes until their turn comes; of two the first counts."""
        with self._turn:
            if self._closed:
                return
            for number, outcome in outcomes:
                if number in self._requests:
                    self._outcomes.setdefault(number, outcome)
            if self._taken in self._outcomes:
                self._next.notify_all()

    def take(self) -> Any:
        """Return the next result, or raise what its request came to.

        Raises
        ------
        StopIteration
            If there is none any more.
        BrokerClosed
            If this process is a fork of the one that asked.
        """
        self.must_be_ours()  # before the lock: it may be held by a thread that does not exist here
        with self._turn:
            self._consumed = self._taken
            if self._has_room:
                self._room.notify_all()
            self._next.wait_for(self._knows_what_is_next)
            number = self._taken
            outcome = self._outcomes.pop(number, None)
            if outcome is None:
                failure, self._failure = self._failure, None
            else:
                request = self._requests.pop(number)
                self._taken += 1
        if outcome is None:
            if failure is not None:
                raise to_error(failure)
            raise StopIteration
        return value_of(outcome, self._kind, lambda failure: _named(failure, number, request))

    def _knows_what_is_next(self) -> bool:
        return self._taken in self._outcomes or self._closed or (self._ended and self._taken == self._pulled)

    def close(self) -> None:
        """Want nothing more; from any thread. In a fork, what was asked is the parent's and goes on."""
        if os.getpid() != self._process:
            return
        with self._turn:
            if self._closed:
                return
            self._closed = True
            self._requests.clear()
            self._outcomes.clear()
            self._room.notify_all()
            self._next.notify_all()
        self._way.withdraw(self)


def _named(failure: Failure, number: int, request: Any) -> Failure:
    """Return a failure that says which request it was of."""
    return replace(failure, path=(number,), position=f"request {number}", item=show(request))


class Results(Iterator[Any]):
    """The results of `imap`, in the order of the requests. Leaving the loop, `close` or ``with`` withdraws the rest.

    An error is raised in its request's place; `next` goes on behind it.
    """

    def __init__(self, session: Session, requests: Iterable[Any]) -> None:
        self._session = session
        self._thread = threading.Thread(
            target=session.feed, args=(requests,), name="olympipe-requests-feed", daemon=True
        )
        self._begun = False
        self._over = False

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        if not self._begun:
            self._session.must_be_ours()
            self._begun = True
            self._thread.start()
        try:
            return self._session.take()
        except StopIteration:
            self.close()
            raise

    def close(self) -> None:
        """Withdraw what is not answered yet; from any thread."""
        self._over = True
        self._session.close()
        if self._begun and self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def __enter__(self) -> Results:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._begun and not self._over and not sys.is_finalizing():
            # Not here: whoever is interrupted by this may be in the midst of the very books that are changed.
            threading.Thread(target=self._session.close, name="olympipe-requests-close", daemon=True).start()
