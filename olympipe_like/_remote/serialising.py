"""Items written otherwise than by pickle: msgpack, or functions of the user's. Nothing that a worker sent is unpickled.

A frame then has two parts: the paths and the length of each item, as plain values; and the items one after the other.
In front of each item is a byte: whether it is one, or why it could not be written.
"""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from olympipe_like._model.failure import Failure
from olympipe_like._remote import fields
from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._remote.msgpack_items import msgpack_functions
from olympipe_like._transport import codec
from olympipe_like._transport import messages as wire
from olympipe_like._transport.buffers import Buffer
from olympipe_like._transport.callables import pack, unpack
from olympipe_like._transport.codec import DecodingError, EncodingError

MSGPACK, BYTES = b"msgpack", b"bytes"  # what terms say instead of functions
_ITEM, _PROBLEM = b"v", b"e"


class CannotTravel(Exception):
    """An item could not be written, or not be read, by the stage's serializer."""


def raise_problem(text: str) -> None:
    """Stand in for an item that could not be read: whoever unpickles it is told why."""
    raise CannotTravel(text)


class _Problem:
    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return raise_problem, (self.text,)


class Serializer:
    """Frames with two functions: item to bytes, bytes to item. Takes the place of pickle in a worker."""

    def __init__(self, make: Callable[[], tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]) -> None:
        self._make: Any = make
        self._functions: Any = None

    def _get(self) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        # On first use: in a worker there is no ``__main__`` of the user's before that.
        if self._functions is None:
            self._functions = self._make()
        functions: tuple[Callable[[Any], bytes], Callable[[bytes], Any]] = self._functions
        return functions

    def encode(self, items: Sequence[Any], rest: Any, *, strict: bool = True) -> list[Buffer]:
        """Return a frame's parts; an item that cannot be written is an error, or (not ``strict``) says so itself.

        Raises
        ------
        EncodingError
            If an item cannot be written.
        """
        dumps, _ = self._get()
        blobs = []
        for index, item in enumerate(items):
            try:
                blobs.append(_ITEM + bytes_of(dumps(item)))
            except BaseException as error:
                if strict:
                    raise EncodingError(index) from error
                blobs.append(_PROBLEM + f"{type(error).__name__}: {error}".encode(errors="replace"))
        return [fields.pack((rest, tuple(map(len, blobs)))), b"".join(blobs)]

    def decode(
        self, data: Buffer, buffers: Sequence[Buffer], begin: Callable[[int], bool] | None = None
    ) -> tuple[list[Any], Any]:
        """Return items, and what went with them; ``begin`` as `codec.decode` says.

        Raises
        ------
        DecodingError
            If an item cannot be read.
        """
        rest, blobs = split(data, buffers)
        return codec.build(_Blobs(blobs, self._read), rest, begin), rest

    def decode_leniently(self, data: Buffer, buffers: Sequence[Buffer]) -> tuple[list[Any], Any]:
        """Return items, those that cannot be read replaced by what raises when it is unpickled."""
        rest, blobs = split(data, buffers)
        items = []
        for blob in blobs:
            try:
                items.append(self._read(blob))
            except BaseException as error:  # noqa: BLE001 - the user's function may raise anything
                items.append(_Problem(f"{type(error).__name__}: {error}"))
        return items, rest

    def _read(self, blob: bytes) -> Any:
        if blob[:1] != _ITEM:
            raise CannotTravel(blob[1:].decode(errors="replace"))
        return self._get()[1](blob[1:])


def bytes_of(written: object) -> bytes:
    """Return what a user's ``dumps`` made of an item.

    Raises
    ------
    TypeError
        If it is no bytes: ``bytes`` would take a number for a length, and ``str`` is what `json.dumps` returns.
    """
    if not isinstance(written, bytes | bytearray | memoryview):
        raise TypeError(f"dumps must return bytes, and returned {type(written).__name__}")
    return bytes(written)


class _Blobs:
    """Items that were written each for itself."""

    def __init__(self, blobs: list[bytes], read: Callable[[bytes], Any]) -> None:
        self._blobs = blobs
        self._read = read

    def __len__(self) -> int:
        return len(self._blobs)

    def item(self, index: int) -> Any:
        return self._read(self._blobs[index])

    def leave_out(self, index: int) -> None:
        """Nothing need be done."""


def split(data: Buffer, buffers: Sequence[Buffer]) -> tuple[Any, list[bytes]]:
    """Return what goes with the items, and each item's bytes.

    Raises
    ------
    ProtocolError
        If they are not what `Serializer.encode` makes.
    """
    found = fields.unpack(data)
    if len(buffers) != 1 or not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], tuple):
        raise ProtocolError("items of another shape")
    rest, lengths = found
    if not all(type(length) is int and length > 0 for length in lengths) or sum(lengths) != len(buffers[0]):
        raise ProtocolError("items of other lengths than they say")
    if not isinstance(rest, tuple) or not all(_is_column(column, len(lengths)) for column in rest):
        raise ProtocolError("paths that are none, or of another number than items")
    blobs, at = [], 0
    for length in lengths:
        blobs.append(bytes(buffers[0][at : at + length]))
        at += length
    return rest, blobs


def _is_column(column: object, count: int) -> bool:
    # Of a hostile range the length may be more than `len` can say.
    if isinstance(column, range):
        return column[count:] == range(0) and (count == 0 or bool(column[count - 1 :]))
    if isinstance(column, tuple) and not all(type(each) is int for each in column):
        return False
    return isinstance(column, array | tuple) and len(column) == count


def with_failures(answer: wire.Answered, passed_on: bytes | None, *, plain: bool) -> wire.Answered:
    """Return an answer whose failures, plain values so far, are records as everybody here writes them.

    Parameters
    ----------
    answer : Answered
        As a machine sent it.
    passed_on : bytes or None
        The failure that came with the frame.
    plain : bool
        Whether it was agreed that nothing in them is a pickle.

    Raises
    ------
    ProtocolError
        If one is no failure.
    """
    records = tuple(failure_of(record, plain=plain) for record in answer.records)
    failure = failure_of(answer.failure, plain=plain) if answer.failure is not None else None
    if failure is not None and passed_on is not None:
        ours, theirs = Failure.unpack(passed_on), Failure.unpack(failure)
        if (ours.path, ours.what) == (theirs.path, theirs.what):
            failure = passed_on  # of an earlier stage: here is its exception, too
    return answer._replace(failure=failure, records=records)


def from_worker(
    answer: wire.Answered, pieces: list[Buffer], serializer: Serializer
) -> tuple[wire.Answered, list[Buffer]]:
    """Return an answer with its items as the processes of this machine write them.

    Raises
    ------
    ProtocolError
        If they are not what `Serializer.encode` makes.
    """
    if answer.parcel is None:
        return answer, []
    items, rest = serializer.decode_leniently(*parts_of(answer.parcel.lengths, pieces))
    if len(items) != answer.length:
        raise ProtocolError("another number of items than it says")
    parts = _pickled(items, rest)
    return answer._replace(parcel=wire.Parcel(tuple(memoryview(part).nbytes for part in parts), None)), parts


def _pickled(items: list[Any], rest: Any) -> list[Buffer]:
    """Return a frame as this machine's processes read it; what `loads` made and pickle refuses says so when read."""
    while True:
        try:
            return codec.encode(items, rest)
        except EncodingError as error:
            items[error.index] = _Problem(f"{type(error.__cause__).__name__}: {error.__cause__}")


def to_worker(run: wire.Run, pieces: list[Buffer], serializer: Serializer) -> tuple[wire.Run, list[Buffer]]:
    """Return a frame of this machine's processes as it travels to a worker."""
    if run.parcel is None:
        return run, []
    try:
        items, rest = codec.decode(*parts_of(run.parcel.lengths, pieces, own=True))
    except DecodingError as error:
        parts = _with_problem(serializer, error, f"{type(error.__cause__).__name__}: {error.__cause__}")
    else:
        parts = serializer.encode(items, rest, strict=False)
    parcel = wire.Parcel(tuple(memoryview(part).nbytes for part in parts), None)
    return run._replace(parcel=parcel), parts


def parts_of(lengths: Sequence[int], pieces: Sequence[Buffer], *, own: bool = False) -> tuple[Buffer, list[Buffer]]:
    """Return a frame's first part and the others; ``own``: each in memory that may be written to."""
    whole = memoryview(b"".join(pieces))
    parts: list[Buffer] = []
    at = 0
    for length in lengths:
        part = whole[at : at + length]
        parts.append(bytearray(part) if own and parts else part)
        at += length
    return parts[0], parts[1:]


def _with_problem(serializer: Serializer, error: DecodingError, text: str) -> list[Buffer]:
    """Return the items before one that cannot be read here, and the reason in its place and those after it."""
    rest = error.rest or ()
    count = len(rest[0]) if rest else error.index + 1
    head, body = serializer.encode(error.items, tuple(column[: error.index] for column in rest), strict=False)
    _, known = fields.unpack(head)
    blob = _PROBLEM + text.encode(errors="replace")
    missing = count - error.index
    return [fields.pack((rest, (*known, *[len(blob)] * missing))), bytes(body) + blob * missing]


# -- which functions --------------------------------------------------------------------------------------------------


def pack_functions(dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]) -> bytes:
    """Return both functions as bytes that terms hold."""
    return pickle.dumps(pack((dumps, loads)), protocol=5)


def serializer_of(code: bytes, classes: dict[str, bytes]) -> Serializer | None:
    """Return what the terms of a stage say; None: pickle."""
    if not code:
        return None
    if code == BYTES:
        return Serializer(lambda: (bytes, bytes))  # whoever made them knows what they are
    if code == MSGPACK:
        return Serializer(msgpack_functions)
    return Serializer(lambda: unpack(pickle.loads(code), classes))


# -- failures and log records -----------------------------------------------------------------------------------------


class PlainFailure(NamedTuple):
    """A failure as plain values, some of which may be pickles that only the caller opens."""

    stage: str
    place: str
    what: str
    path: tuple[int, ...] | None
    position: str
    item: str
    worker: str
    traceback: str
    attempts: int
    collected: bool
    kind: str
    no_input: str
    exception: bytes | None
    exception_type: bytes | None
    input: bytes | None


def plain_failure(data: bytes, *, plain: bool) -> tuple[Any, ...]:
    """Return a failure of this machine's own workers as plain values; ``plain``: without any pickle."""
    failure = Failure.unpack(data)
    found = PlainFailure(*(getattr(failure, name) for name in PlainFailure._fields))
    if not plain:
        return found
    return found._replace(exception=None, exception_type=None, input=None, no_input="its machine sends no pickles")


def failure_of(values: Any, *, plain: bool) -> bytes:
    """Return a failure that came as plain values, as everybody here writes it.

    Raises
    ------
    ProtocolError
        If it is none, or holds a pickle where none was agreed on.
    """
    if not isinstance(values, tuple) or len(values) != len(PlainFailure._fields):
        raise ProtocolError("a failure of another shape")
    found: Any = PlainFailure(*values)
    texts = (found.stage, found.place, found.what, found.position, found.item, found.worker, found.traceback)
    pickles = (found.exception, found.exception_type, found.input)
    path = found.path
    fits = (
        all(isinstance(text, str) for text in (*texts, found.no_input))
        and (path is None or (isinstance(path, tuple) and all(type(each) is int for each in path)))
        and type(found.attempts) is int
        and isinstance(found.collected, bool)
        and found.kind in ("stage", "worker")
        and all(each is None or (isinstance(each, bytes) and not plain) for each in pickles)
    )
    if not fits:
        raise ProtocolError("a failure of another shape")
    return Failure(**found._asdict()).pack()


def plain_record(data: bytes, *, plain: bool) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a log record of this machine's own workers as plain values; ``plain``: without what the user added."""
    found, extras = pickle.loads(data)
    return {name: value for name, value in found.items() if _is_value(value)}, {} if plain else extras


def record_of(values: Any, *, plain: bool) -> bytes:
    """Return a log record that came as plain values, as everybody here writes it.

    Raises
    ------
    ProtocolError
        If it is none, or holds a pickle where none was agreed on.
    """
    if not isinstance(values, tuple) or len(values) != 2 or not all(isinstance(each, dict) for each in values):
        raise ProtocolError("a log record of another shape")
    found, extras = values
    fits = (
        all(isinstance(name, str) for name in (*found, *extras))
        and isinstance(found.get("name"), str)
        and type(found.get("levelno")) is int
        and all(_is_value(value) for value in found.values())
        and all(isinstance(value, bytes) and not plain for value in extras.values())
    )
    if not fits:
        raise ProtocolError("a log record of another shape")
    return pickle.dumps((found, extras), protocol=5)


def _is_value(value: object) -> bool:
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return isinstance(value, str | float | None)
