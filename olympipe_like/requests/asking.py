"""What brokers and clients have in common: `apply` and `imap`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like.errors import BrokerClosed, PlanTypeError
from olympipe_like.requests.outcome import Format
from olympipe_like.requests.session import Results, Session, Way

LOOK_AHEAD = 64
"""Requests pulled ahead of the results taken, by default: enough for some tens of workers, or for small requests to
travel in company; few enough that none was made long ago."""


class Asking(ABC):
    """Somebody who can ask."""

    def __init__(self, kind: Format) -> None:
        self._kind = kind

    @abstractmethod
    def _way(self) -> Way:
        """Return how requests get to the broker.

        Raises
        ------
        BrokerClosed
            If they do not.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Ask no more; from any thread."""

    def apply(self, request: Any) -> Any:
        """Return the result of one request; waits for it.

        Raises
        ------
        StageFailed
            If the target raised; also an instance of what it raised.
        BrokerClosed
            If the broker is cancelled, or was never started.
        """
        session = Session(self._way(), self._kind, 1)
        try:
            session.ask(request)
            return session.take()
        finally:
            session.close()

    def imap(self, requests: Iterable[Any], *, look_ahead: int = LOOK_AHEAD) -> Results:
        """Return an iterator over the results of many requests, in the order of the requests.

        Parameters
        ----------
        requests : iterable
            Pulled one by one, in a thread of their own, once the first result is asked for; may be endless.
        look_ahead : int, at least 1
            Request k is not pulled before result k - ``look_ahead`` was taken and the next one is asked for. So a
            generator of requests can depend on a model that the results train: it is so many results behind at most.

        Raises
        ------
        StageFailed, BrokerClosed
            From the iterator, as `apply`, in the place of the request; the next one can be asked for all the same.
        SourceFailed
            From the iterator, behind the results of what was pulled, if the requests raise; also an instance of that.
        """
        where = f"imap ({call_site()})"
        ahead = checks.whole_number(where, "look_ahead", look_ahead, 1)
        if not hasattr(requests, "__iter__") and not hasattr(requests, "__aiter__"):
            raise PlanTypeError(f"{where}: requests must be an iterable, got {type(requests).__name__} {requests!r}")
        return Results(Session(self._way(), self._kind, ahead), requests)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


def not_running(what: str, *, is_over: bool) -> BrokerClosed:
    """Return the error of somebody who asks too early, or too late."""
    if is_over:
        return BrokerClosed(
            f"the {what} is not running: it was cancelled, or left its with statement; make another one"
        )
    return BrokerClosed(f"the {what} is not running: call run_async(), or use it in a with statement")
