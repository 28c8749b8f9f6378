"""What hub and machines say to each other across the network, as plain values: never a pickle, but for the opaque ones.

Opaque are items, functions, exceptions, and what users add to log records.

A message has a body (what it is, and its fields) and may have a payload: the bytes of a frame's items. Everything that
comes from a machine is checked here for its shape, before anybody acts on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import WorkerId
from olympipe_like._remote import fields
from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._transport import messages as wire

MOST_TEXT = 2000  # characters of a text that a machine may send for people to read
MOST_BODY_BYTES = 256 << 20  # of a message without its payload: failures and log records
MOST_WORKERS = 10_000  # of one machine
MOST_HELD = 10_000  # frames that a worker may want in hand


class Says(IntEnum):
    """What a message is about."""

    # hub to machine
    TERMS = 1  # what the workers of a stage need; channel 0
    START = 2  # start a worker on a new channel
    RUN = 3
    GO_ON = 4
    STOP = 5  # close and end
    ABORT = 6  # close and end now, whatever is in hand
    DROP = 7  # the frame whose next part it would make
    FORGET = 8  # terms, by their number: their run is over; channel 0
    # machine to hub
    STARTED = 16
    READY = 17
    ANSWERED = 18
    BROKEN = 19
    LOGGED = 20
    ENDED = 21
    REFUSED = 22  # this worker will not be started, and why
    # client to hub, on a channel for each call
    ASK = 32  # requests: their numbers and lengths
    WITHDRAW = 33  # what was asked on this channel is not wanted any more
    # hub to client
    TOLD = 48  # outcomes: the numbers of their requests, and their lengths


class Terms(NamedTuple):
    """What a machine must know to start the workers of one stage of one run."""

    number: int  # of these terms, at one hub
    label: tuple[Any, ...]  # name, kind, number, of
    senders: tuple[tuple[Any, ...], ...]
    levels: tuple[Any, ...]
    timeout: float | None
    tells_rss: bool
    needs: tuple[str, ...]  # modules that must be there
    modules: dict[str, tuple[bytes, bool, str]]  # source, whether it is a package, file name
    plain: bool  # nothing that the workers send is a pickle
    own_target: bool  # for workers that bring the function along: the shipment is not for them
    most_bytes: int  # that one of their results may have
    codec: bytes  # how items are written; empty: pickle
    shipment: bytes
    classes: dict[str, bytes]


class Hello(NamedTuple):
    """A machine introduces itself."""

    host: str
    pid: int
    python: tuple[int, int]
    library: str
    workers: int  # 0: a client, which asks
    resumes: bytes  # the token of the session it had, empty: none
    heard: int  # of that session


class Welcome(NamedTuple):
    """The hub's answer."""

    heard: int
    is_new: bool  # the session that was to be resumed is over
    lost_after: float
    beat: float
    most_bytes: int


class Ended(NamedTuple):
    """How a worker process ended."""

    exit_code: int | None
    pid: int
    ordinal: int | None
    timed_out: bool
    excused: bool


def pack(says: Says, *values: object) -> bytes:
    """Return the body of a message."""
    return fields.pack((int(says), *values))


def unpack(body: bytes) -> tuple[Says, tuple[Any, ...]]:
    """Return what a body says."""
    found = fields.unpack(body)
    if not isinstance(found, tuple) or not found or type(found[0]) is not int:
        raise ProtocolError("a message without a kind")
    try:
        return Says(found[0]), found[1:]
    except ValueError:
        raise ProtocolError(f"a message of unknown kind {found[0]}") from None


def pack_run(number: int, run: wire.Run) -> bytes:
    """Return the body of a frame for a worker."""
    lengths = run.parcel.lengths if run.parcel is not None else None
    return pack(
        Says.RUN,
        number,
        run.leg,
        run.ended,
        lengths,
        run.skip,
        run.length,
        run.prefix,
        run.upto,
        run.failure,
        run.part_items,
        run.skip_items,
        run.careful,
        run.rehearsed,
        run.poison,
    )


def unpack_run(worker: WorkerId, values: Sequence[Any]) -> wire.Run:
    """Return the frame for a local worker; where its bytes are there is for the caller to say."""
    _, leg, ended, lengths, skip, length, prefix, upto, failure, part_items, skip_items, careful, rehearsed, poison = (
        values
    )
    parcel = wire.Parcel(lengths, None) if lengths is not None else None
    return wire.Run(
        worker,
        leg,
        ended,
        parcel,
        skip,
        length,
        prefix,
        upto,
        failure,
        part_items,
        skip_items,
        wire.NO_SLOT,
        careful,
        rehearsed,
        poison,
    )


def pack_answer(number: int, answer: wire.Answered, failure: object, records: tuple[object, ...]) -> bytes:
    """Return the body of an answer."""
    lengths = answer.parcel.lengths if answer.parcel is not None else None
    return pack(
        Says.ANSWERED,
        number,
        lengths,
        answer.length,
        answer.upto,
        failure,
        tuple(tuple(counts) for counts in answer.counts),
        answer.seconds,
        answer.more,
        answer.done,
        records,
        answer.rss,
    )


def unpack_answer(worker: WorkerId, values: Sequence[Any], nbytes: int) -> tuple[int, wire.Answered]:
    """Return the number of the frame that is answered, and the answer (its parcel inline, no slot returned).

    Failures in it are plain values still: `serialising.with_failures` makes records of them.

    Raises
    ------
    ProtocolError
        If any field is not what it must be.
    """
    _is(values, int, (tuple, type(None)), int, tuple, object, tuple, float, bool, bool, tuple, int)
    number, lengths, length, upto, failure, counts, seconds, more, done, records, rss = values
    _need(length >= 0 and rss >= 0 and number >= 0, "a number below 0")
    _need(math.isfinite(seconds) and seconds >= 0, "a time that is none")
    _ints(upto)
    _ints(lengths or ())
    _need(sum(lengths or ()) == nbytes and min(lengths or (0,)) >= 0, "a payload of another size than it says")
    _need((lengths is None) is (length == 0), "items without bytes, or bytes without items")
    for row in counts:
        _need(isinstance(row, tuple) and len(row) == len(OpCounts._fields), "counts of another shape")
        _ints(row)
        _need(min(row) >= 0, "a count below 0")
    for record in (*records, *([failure] if failure is not None else [])):
        _need(isinstance(record, tuple), "a failure of another shape")
    parcel = wire.Parcel(lengths, None) if lengths is not None else None
    made = tuple(OpCounts(*row) for row in counts)
    return number, wire.Answered(
        worker, parcel, length, upto, failure, made, seconds, more, done, (), records, None, rss
    )


def unpack_hello(data: bytes | memoryview) -> Hello:
    """Return how a machine introduces itself."""
    values = fields.unpack(data)
    if not isinstance(values, tuple):
        raise ProtocolError("a greeting of another shape")
    _is(values, str, int, tuple, str, int, bytes, int)
    hello = Hello(*values)
    _ints(hello.python)
    _need(len(values[2]) == 2 and 0 <= hello.workers <= MOST_WORKERS, "a greeting that cannot be")
    return hello._replace(host=readable(hello.host, 64), library=readable(hello.library, 32))


def unpack_ended(values: Sequence[Any]) -> Ended:
    """Return how a worker ended."""
    _is(values, (int, type(None)), int, (int, type(None)), bool, bool)
    return Ended(*values)


def unpack_several(values: Sequence[Any], nbytes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return numbers and lengths of what comes together in a payload."""
    _is(values, tuple, tuple)
    numbers, lengths = values
    _ints(numbers)
    _ints(lengths)
    _need(len(numbers) == len(lengths) and min(lengths, default=0) >= 0, "lengths that cannot be")
    _need(sum(lengths) == nbytes, "a payload of another size than it says")
    return numbers, lengths


def one_value(values: Sequence[Any]) -> Any:
    """Return the only field of a message."""
    _is(values, object)
    return values[0]


def one_int(values: Sequence[Any]) -> int:
    """Return the only field of a message, a number."""
    _is(values, int)
    number: int = values[0]
    return number


def holds_of(values: Sequence[Any]) -> int:
    """Return how many frames a worker that is ready wants in hand; 0: as many as others."""
    _is(values, int)
    _need(0 <= values[0] <= MOST_HELD, "a number of frames that cannot be")
    return int(values[0])


def one_text(values: Sequence[Any]) -> str:
    """Return the only field of a message, a text for people."""
    _is(values, str)
    return readable(values[0], MOST_TEXT)


def readable(text: str, most: int) -> str:
    """Return a text of others as one that does no harm on a terminal or in a log."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text[:most])


def _is(values: Sequence[Any], *kinds: Any) -> None:
    _need(len(values) == len(kinds), "a message of another shape")
    for value, kind in zip(values, kinds, strict=True):
        _need(isinstance(value, kind), "a field of another type")
        _need(kind is not int or not isinstance(value, bool), "a field of another type")


def _ints(values: Sequence[Any]) -> None:
    _need(all(type(value) is int for value in values), "a number that is none")


def _need(holds: object, what: str) -> None:
    if not holds:
        raise ProtocolError(what)
