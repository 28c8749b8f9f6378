"""What travels: a request with its ticket, and the outcome with the same ticket. A request has exactly one outcome.

An outcome is a value as the worker's ``dumps`` wrote it, a failure as plain values, or the reason why there is none.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from olympipe_like._model.failure import Failure
from olympipe_like._plan import checks
from olympipe_like._plan.segment import Label
from olympipe_like._remote import fields
from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._remote.serialising import PlainFailure, bytes_of, failure_of
from olympipe_like._runtime.raising import to_error
from olympipe_like._worker.blame import blame, text_of
from olympipe_like.errors import BrokerClosed, InternalError, PlanError, WorkerLost

Buffer = bytes | bytearray | memoryview

TICKET_BYTES = 8
VALUE, FAILED, CLOSED = b"v", b"f", b"c"

_RESULT = Label("requests", "task", 1, 1)


class Format(NamedTuple):
    """How requests and results are written and read."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]
    is_pickle: bool  # so that what others send may be unpickled, their exceptions, too


PICKLE = Format(lambda value: pickle.dumps(value, protocol=5), pickle.loads, is_pickle=True)


def format_of(where: str, dumps: object, loads: object) -> Format:
    """Return the format that a user asks for.

    Raises
    ------
    PlanError
        If only one function was given, or what is none.
    """
    if (dumps is None) is not (loads is None):
        raise PlanError(f"{where}: give dumps= and loads= together: what one writes the other reads")
    if dumps is None:
        return PICKLE
    checks.function(where, "dumps", dumps)
    checks.function(where, "loads", loads)
    assert callable(dumps)
    assert callable(loads)
    return Format(lambda value: bytes_of(dumps(value)), loads, is_pickle=False)


def with_ticket(ticket: int, *parts: Buffer) -> bytes:
    """Return bytes that travel under a ticket."""
    return b"".join((ticket.to_bytes(TICKET_BYTES, "big"), *parts))


def split_ticket(data: Buffer) -> tuple[int, memoryview]:
    """Return the ticket and the rest."""
    view = memoryview(data)
    return int.from_bytes(view[:TICKET_BYTES], "big"), view[TICKET_BYTES:]


def pack_failure(failure: Failure) -> bytes:
    """Return the outcome of a request that failed."""
    return FAILED + fields.pack(tuple(getattr(failure, name) for name in PlainFailure._fields))


def pack_unsent(error: Exception) -> bytes:
    """Return the outcome of a request that could not be sent."""
    failure = blame(error, _RESULT, "", path=(0,))
    return pack_failure(replace(failure, what=f"cannot be sent: {failure.what}"))


def pack_closed(why: str) -> bytes:
    """Return the outcome of a request that nobody will answer."""
    return CLOSED + why.encode(errors="replace")


def pack_lost(error: Exception) -> bytes:
    """Return the outcome of requests whose run has failed."""
    if not isinstance(error, WorkerLost):
        return pack_closed(f"the broker could not answer: {text_of(error)}")
    failure = Failure(kind="worker", stage=error.stage, place=error.place, what=error.what, worker=error.worker)
    return pack_failure(failure)


def value_of(outcome: Buffer, kind: Format, name: Callable[[Failure], Failure]) -> Any:
    """Return the value of an outcome; ``name``: lets a failure say which request it was.

    Raises
    ------
    PipelineExecutionError
        Where the request failed; also an instance of what the target raised, where that may be rebuilt.
    """
    view = memoryview(outcome)
    tag, data = bytes(view[:1]), view[1:]
    if tag == VALUE:
        try:
            return kind.loads(data if kind.is_pickle else bytes(data))  # type: ignore[arg-type]
        except Exception as error:
            what = f"the result was sent, but cannot be read here: {text_of(error)}"
            raise to_error(name(blame(error, _RESULT, "", path=(0,), what=what))) from error
    if tag == CLOSED:
        raise BrokerClosed(bytes(data).decode(errors="replace"))
    raise to_error(name(_failure_of(tag, data, kind)))


def _failure_of(tag: bytes, data: memoryview, kind: Format) -> Failure:
    """Return the failure that an outcome holds, with its exception where that may be rebuilt."""
    try:
        found = fields.unpack(data) if tag == FAILED else None
        if not kind.is_pickle and isinstance(found, tuple) and len(found) == len(PlainFailure._fields):
            found = tuple(PlainFailure(*found)._replace(exception=None, exception_type=None, input=None))
        return Failure.unpack(failure_of(found, plain=not kind.is_pickle))  # pickled right here, from checked values
    except ProtocolError as error:
        raise InternalError(f"a worker sent {error}") from None
