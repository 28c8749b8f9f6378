"""What a worker does to a request, and the stage that requests go through, as the run and its workers know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from olympipe_like._model.failure import Failure
from olympipe_like._model.options import Placement, Policy, Remote
from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node
from olympipe_like._plan.layout import lay_out
from olympipe_like._plan.segment import Label, Segment
from olympipe_like._worker.blame import blame, text_of
from olympipe_like.requests.outcome import VALUE, Format, pack_failure, split_ticket, with_ticket

NAME = "requests"  # of the stage


def stage(
    above: Node, answer: Callable[[bytes], bytes], mend: ops.Function, where: Remote, worker_retries: int
) -> Node:
    """Return the stage that answers requests, in no order: those who ask have theirs."""
    policy = Policy(on_error=mend, worker_retries=worker_retries)
    placement = Placement(executor="remote", remote=where, workers=0, ordered=False, policy=policy)
    return Node(ops.Task(name=NAME, placement=placement, function=answer), (above,), above.site)


def source(requests: Any) -> Node:
    """Return the source of that stage."""
    return Node(ops.Source(name="askers", datas=requests, can_repeat=False), (), "")


def of_worker(*_: object) -> NoReturn:
    """Stand in, at the broker, for what only workers have."""
    raise AssertionError("a worker brings its own")


class Desk:
    """Answers requests in one worker: the target, what it reads and writes, and what becomes of its exceptions.

    ``interrupted`` is told of Ctrl-C, which means the worker and not the request.
    """

    def __init__(
        self,
        target: Callable[[Any], Any],
        kind: Format,
        name: str,
        title: str,
        most_bytes: int,
        interrupted: Callable[[], None],
    ) -> None:
        self._target = target
        self._kind = kind
        self._label = Label(name, "task", 1, 1)
        self._title = title
        self._most_bytes = most_bytes
        self._interrupted = interrupted

    def segment(self) -> Segment:
        """Return what this worker runs, instead of what the hub would send."""
        # Only the shape of the stage matters here; where it is, and how often it may die, the hub knows.
        last = stage(source(()), self.answer, self.mend, Remote(address=""), 0)
        segment = lay_out([last]).stages[1].segment
        assert segment is not None
        return segment._replace(travels=True)

    def answer(self, asked: bytes) -> bytes:
        """Return the outcome of a request."""
        ticket, data = split_ticket(asked)
        kind = self._kind
        what = "the request cannot be read"
        try:
            request = kind.loads(data if kind.is_pickle else bytes(data))  # type: ignore[arg-type]
            what = ""
            result = self._target(request)
            what = f"the result, of type {type(result).__qualname__}, cannot be written"
            written = kind.dumps(result)
            if len(written) > self._most_bytes:
                what = "the result cannot be sent"
                most = f"max_message={self._most_bytes} of the Broker is the most; raise it"
                raise ValueError(f"it has {len(written)} bytes, and {most}")  # noqa: TRY301 - told as any other
            return with_ticket(ticket, VALUE, written)
        except KeyboardInterrupt:
            self._interrupted()
            raise
        except BaseException as error:  # noqa: BLE001 - anything a target raises is its request's failure
            said = f"{what}: {text_of(error)}" if what else None
            # The path is the asker's to say; with any, the failure is an item's.
            failure = blame(error, self._label, self._title, path=(0,), what=said)
            return with_ticket(ticket, pack_failure(failure))

    def mend(self, asked: bytes, error: Exception) -> bytes:
        """Return the outcome of a request that is not tried again: it cost too many workers."""
        ticket, _ = split_ticket(asked)
        failure = blame(error, self._label, self._title, path=(0,), what=str(error), kind="worker")
        return with_ticket(ticket, pack_failure(_without_exception(failure)))


def _without_exception(failure: Failure) -> Failure:
    """Return the failure of a request that raised nothing."""
    return replace(failure, exception=None, exception_type=None, traceback="", what=failure.what)
