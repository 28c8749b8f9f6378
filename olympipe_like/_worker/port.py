"""The worker's side of the wire: frames in shared memory or inline, slots asked for when they are needed."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import NO_STAGE, Path
from olympipe_like._plan.segment import Label
from olympipe_like._transport import store
from olympipe_like._transport.buffers import Buffer, own, split
from olympipe_like._transport.codec import DecodingError, are_pickled, decode
from olympipe_like._transport.connection import Connection, size_of
from olympipe_like._transport.messages import (
    Allow,
    Ended,
    Forks,
    Marked,
    MemoryShort,
    NeedSlot,
    Parcel,
    Pulled,
    Returned,
    SlotGrant,
    Stop,
)
from olympipe_like._transport.views import Views
from olympipe_like._worker.blame import blame, text_of
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.feed import PortGone
from olympipe_like._worker.sending import encode_chunk

_ALIGNED = 64
"""Where the first buffer of a slot begins, in bytes: a cache line, and what the widest instructions like."""


def open_parcel(parcel: Parcel, payload: bytearray | None, memory: store.Memory | None) -> tuple[Buffer, list[Buffer]]:
    """Return a frame's pickle and the buffers outside it, as views of where they came."""
    if parcel.offset is not None:
        assert memory is not None
        data, *buffers = memory.read(parcel.offset, parcel.lengths)
    else:
        assert payload is not None
        data, *buffers = split(payload, parcel.lengths)
    return data, buffers


def unpack_chunk(
    parcel: Parcel | None,
    payload: bytearray | None,
    memory: store.Memory | None,
    cut: tuple[int, int, Path],
    upto: Path,
    failure: bytes | None,
    each: Callable[[int], bool] | None = None,
    views: Views | None = None,
) -> Chunk:
    """Return the items of a frame; ``cut`` is (items to leave out at the start, items, prefix of their paths).

    ``each`` is asked before each item is built, as `codec.decode` says; those not built are `NotBuilt`. With ``views``
    arrays cannot be written to, and look at the frame where it is if it is lent.

    Raises
    ------
    Unreadable
        If an item cannot be rebuilt; holds the chunk of those before it.
    """
    skip, count, prefix = cut
    passed_on = Failure.unpack(failure) if failure is not None else None
    if parcel is None:
        return Chunk([], (), upto, passed_on)
    look = views.look(parcel.offset, parcel.lengths) if views is not None and parcel.lent else None
    data, buffers = look if look is not None else open_parcel(parcel, payload, memory)
    if views is not None:
        kept = buffers if look is not None else map(own, buffers)
        buffers = [memoryview(buffer).toreadonly() for buffer in kept]
    try:
        # Each item gets memory of its own, so that none keeps the others, or the slot.
        items, columns = decode(data, buffers, each, read_only=views is not None, borrowed=views is None)
    except DecodingError as error:
        whole = Chunk(error.items, tuple(column[: error.index] for column in error.rest or ()), upto)
        path = tuple(column[error.index] for column in error.rest) if error.rest else None
        cause = error.__cause__ or error
        raise Unreadable(whole.view(skip, max(error.index - skip, 0), prefix), path) from cause
    whole = Chunk(items, columns, upto, passed_on)
    return whole.view(skip, count, prefix) if skip or prefix or count != len(items) else whole


class Unreadable(Exception):
    """A frame holds an item that cannot be rebuilt here."""

    def __init__(self, before: Chunk, path: Path | None) -> None:
        super().__init__(before, path)
        self.before = before
        self.path = path

    def blame(self, sender: Label, worker: str) -> Chunk:
        """Return the items before the one at fault, with its failure, which is its sender's."""
        cause = self.__cause__ or self
        what = f"result was sent, but cannot be rebuilt where it arrived: {text_of(cause)}{_advice(cause)}"
        self.before.failure = blame(cause, sender, worker, path=self.path, item=NotBuilt(), what=what)
        return self.before


def _advice(cause: BaseException) -> str:
    """Return what to do about an item that holds a function of the script: pickle sends no more than its name."""
    if not isinstance(cause, AttributeError) or " on <module '__main__'" not in str(cause):
        return ""
    return "; items may hold functions that can be imported, and lambdas, but not functions of the script"


class NotBuilt:
    """Stands for an item that nobody can build from its bytes; it goes nowhere."""

    def __repr__(self) -> str:
        return "<could not be rebuilt>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("the item itself could not be rebuilt")


class Port:
    """A connection to the hub with the shared memory that goes with it.

    A slot belongs to whom it was granted until a frame in it is sent or it is named as returned; so nobody ever
    writes to memory that the hub has given to another.
    """

    def __init__(self, connection: Connection, memory: store.Memory | None) -> None:
        self.connection = connection
        self.memory = memory
        self._spare: list[SlotGrant] = []
        self._returned: list[int] = []
        self._has_told = False  # that there is no shared memory
        self.views: Views | None = None  # for a stage that wants no arrays of its own
        self._early: deque[tuple[Any, bytearray | None]] = deque()  # came while a slot was waited for

    def open_views(self) -> None:
        """Look at frames in shared memory from now on, instead of copying them."""
        self.views = views = Views(self.memory)

        def before_fork() -> None:
            if slots := views.slots():
                with contextlib.suppress(OSError):  # the hub is gone: nobody uses slots again
                    self.connection.send(Forks(slots))

        os.register_at_fork(before=before_fork)

    def receive(self) -> tuple[Any, bytearray | None]:
        """Return the next message."""
        if self._early:
            return self._early.popleft()
        if self.views is not None and self.views.gone:
            found = self.connection.poll()
            if found is not None:
                return found  # and they go with its answer
            self.connection.send(Returned(self.returned()))
        return self.connection.receive()

    def poll(self) -> tuple[Any, bytearray | None] | None:
        """Return the next message if there is one."""
        return self._early.popleft() if self._early else self.connection.poll()

    def accept(self, slot: SlotGrant) -> None:
        """Take a slot, to be used after those that are there."""
        if slot.size:
            self._spare.append(slot)

    def returned(self) -> tuple[int, ...]:
        """Return the slots that will not be used, or looked at, any more, once; they go with the next message."""
        returned: tuple[int, ...] = ()
        if self._returned:
            returned = tuple(self._returned)
            self._returned.clear()
        return returned if self.views is None else returned + self.views.take_gone()

    def holds(self, parcel: Parcel, parts: list[Buffer]) -> bool:
        """Whether the bytes of a frame are those of one that was lent, its large buffers at their very place."""
        return self.views is not None and self.views.holds(parcel.offset, parcel.lengths, parts)

    def place(self, parts: list[Buffer]) -> tuple[Parcel, list[Buffer]]:
        """Put a frame's bytes where they travel best; return the parcel and what must go with the message."""
        total = size_of(parts)
        lengths = (total,) if len(parts) == 1 else tuple([memoryview(part).nbytes for part in parts])
        if total <= store.INLINE_BYTES:
            return Parcel(lengths, None), parts
        if self.memory is None:
            self._tell("")
            return Parcel(lengths, None), parts
        padding = -lengths[0] % _ALIGNED if len(parts) > 1 and are_pickled() else 0
        slot = self._slot_for(total + padding)
        if slot is None:
            return Parcel(lengths, None), parts  # there is no shared memory
        try:
            self.memory.write(slot.offset, [parts[0], bytes(padding), *parts[1:]] if padding else parts)
        except OSError as error:
            self._spare.append(slot)
            self._tell(f"writing {total} bytes to a memfd: {error}")
            return Parcel(lengths, None), parts  # the socket has memory of its own
        return Parcel((lengths[0] + padding, *lengths[1:]), slot.offset), []

    def _slot_for(self, nbytes: int) -> SlotGrant | None:
        """Return a slot with room for so many bytes; those that turned out too small go back."""
        while self._spare:
            slot = self._spare.pop(0)
            if slot.size >= nbytes:
                return slot
            self._returned.append(slot.offset)
        slot = self._ask_for(nbytes)
        return slot if slot.size >= nbytes else None

    def _tell(self, reason: str) -> None:
        """Let the caller know, once, that large frames take the socket."""
        if not self._has_told:
            self._has_told = True
            self.connection.send(MemoryShort(reason))

    def _ask_for(self, nbytes: int) -> SlotGrant:
        self.connection.send(NeedSlot(nbytes))
        while True:
            message, payload = self.connection.receive()
            if isinstance(message, SlotGrant):
                if not message.size or message.size >= nbytes:
                    return message
                self._returned.append(message.offset)  # granted before the hub knew
                continue
            self._early.append((message, payload))


class SourcePort:
    """Where a feeder sends its frames when the hub is another process."""

    def __init__(self, port: Port, label: Label, worker: str) -> None:
        self._port = port
        self._label = label
        self._worker = worker
        self._allowed = 0
        self._size = 1
        self._failed = False

    def wait(self, pulled: int) -> tuple[int, int] | None:
        """Return the allowance, None when nothing more is wanted."""
        try:
            while not self._failed:
                found = self._port.poll() if self._allowed > pulled else self._port.receive()
                if found is None:
                    return self._allowed, self._size
                message, _ = found
                if isinstance(message, Stop):
                    return None
                if isinstance(message, SlotGrant):
                    self._port.accept(message)
                elif isinstance(message, Allow):
                    self._allowed, self._size = message.items, message.size
                    self._port.accept(message.slot)
        except (EOFError, OSError):
            raise PortGone from None
        return None

    def send(self, chunk: Chunk) -> None:
        """Send a frame."""
        chunk, parts = encode_chunk(chunk, self._label, self._worker)
        try:
            parcel, inline = self._port.place(parts) if parts else (None, [])
            failure = chunk.failure.pack() if chunk.failure is not None else None
            self._failed = failure is not None
            pulled = Pulled(parcel, len(chunk.items), chunk.upto, failure, self._port.returned())
            self._port.connection.send(pulled, inline)
        except (EOFError, OSError):
            raise PortGone from None

    def mark(self, position: Path, state: Mapping[str, Any]) -> None:
        """Say where the source is."""
        try:
            self._port.connection.send(Marked(NO_STAGE, position, state))
        except OSError:
            raise PortGone from None

    def end(self) -> None:
        """Say that there is no more."""
        try:
            self._port.connection.send(Ended())
        except OSError:
            raise PortGone from None
