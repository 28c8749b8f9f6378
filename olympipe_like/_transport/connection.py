"""Whole messages over a stream socket: a blocking end for workers and callers, a non-blocking one for the hub."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from olympipe_like._transport.buffers import Buffer
from olympipe_like._transport.packing import pack, unpack

_HEADER = struct.Struct("!IQ")  # length of the pickled message, length of the payload behind it
_READ_BYTES = 1 << 16  # below glibc's threshold for mapping fresh memory at every read (twice the latency)
_COPY_BYTES = 1 << 14  # payloads up to this size are cheaper copied behind the message than sent as vectors
_MAX_VECTORS = 512  # buffers handed to one sendmsg; Linux takes 1024

Message = tuple[Any, bytearray | None]


def _frame_message(message: object, payload: Sequence[Buffer]) -> list[Buffer]:
    """Return a message as buffers to send; as one where that is small enough to copy."""
    data = pack(message)
    if not payload:
        return [_HEADER.pack(len(data), 0) + data]
    size = size_of(payload)
    head = _HEADER.pack(len(data), size) + data
    return [b"".join((head, *payload))] if size <= _COPY_BYTES else [head, *payload]


def size_of(parts: Sequence[Buffer]) -> int:
    """Return how many bytes they are together."""
    size = 0
    for part in parts:
        size += part.nbytes if type(part) is memoryview else len(part)
    return size


def _cut(data: bytes | bytearray) -> tuple[Message | None, int]:
    """Return the message that bytes begin with, if it is whole, and where it ends."""
    if len(data) <= _HEADER.size:  # no message is empty
        return None, 0
    length, size = _HEADER.unpack_from(data)
    start = _HEADER.size
    end = start + length + size
    if len(data) < end:
        return None, 0
    with memoryview(data) as view:
        message = unpack(view[start : start + length])
        return (message, bytearray(view[start + length : end]) if size else None), end


class _Parser:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self.buffer = bytearray()  # bytes that no message was made of yet

    def feed(self, data: bytes) -> Message | None:
        """Add bytes that have come; return the next message if it is whole."""
        if self.buffer:
            self.buffer += data
            return self.next()
        found, end = _cut(data)  # mostly a message has come alone: it need not be kept
        self.buffer += data[end:]
        return found

    def next(self) -> Message | None:
        """Return the next message of those bytes if it is whole."""
        if not self.buffer:
            return None
        found, end = _cut(self.buffer)
        del self.buffer[:end]
        return found


class Connection:
    """The blocking end. One thread at a time may receive, any may send."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._parser = _Parser()
        self._turn = threading.RLock()
        self._outgoing: deque[list[Buffer]] = deque()
        self._is_sending = False

    def fileno(self) -> int:
        """Return the descriptor, for waiting."""
        return self._socket.fileno()

    def send(self, message: object, payload: Sequence[Buffer] = ()) -> None:
        """Send a message and its payload; waits while the other side is behind.

        Raises
        ------
        OSError
            If the other side is gone.
        """
        buffers = _frame_message(message, payload)
        with self._turn:
            self._outgoing.append(buffers)
            # Sending already: a signal handler or a finalizer of this very thread speaks in the midst of a message,
            # and whoever is sending that sends this one next.
            while self._outgoing and not self._is_sending:
                self._is_sending = True
                try:
                    buffers = self._outgoing.popleft()
                    if len(buffers) == 1:
                        self._socket.sendall(buffers[0])
                    else:
                        self._send_parts(buffers)
                finally:
                    self._is_sending = False

    def _send_parts(self, buffers: list[Buffer]) -> None:
        parts = [memoryview(part).cast("B") for part in buffers]
        while parts:
            sent = self._socket.sendmsg(parts[:_MAX_VECTORS])
            while parts and sent >= parts[0].nbytes:
                sent -= parts.pop(0).nbytes
            if sent:
                parts[0] = parts[0][sent:]

    def receive(self) -> Message:
        """Return the next message; waits for it.

        Raises
        ------
        EOFError
            If the other side is gone.
        """
        message = self._parser.next() if self._parser.buffer else None
        while message is None:
            try:
                data = self._socket.recv(_READ_BYTES)
            except ConnectionResetError:
                # Said once when the peer died with unread input; what it had sent before is still there.
                data = self._socket.recv(_READ_BYTES)
            if not data:
                raise EOFError("the other side is gone")
            message = self._parser.feed(data)
        return message

    def receive_alone(self) -> Message:
        """As `receive`, without a byte of what follows: descriptors that come with that would be lost."""
        header = self._exactly(_HEADER.size)
        message = self._parser.feed(header + self._exactly(sum(_HEADER.unpack(header))))
        assert message is not None
        return message

    def _exactly(self, nbytes: int) -> bytes:
        found = bytearray()
        while len(found) < nbytes:
            data = self._socket.recv(nbytes - len(found))
            if not data:
                raise EOFError("the other side is gone")
            found += data
        return bytes(found)

    def poll(self) -> Message | None:
        """Return the next message if it has come already."""
        message = self._parser.next()
        while message is None:
            try:
                data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            if not data:
                raise EOFError("the other side is gone")
            message = self._parser.feed(data)
        return message

    def shut_down(self) -> None:
        """Wake whoever waits here with an EOFError, and tell the other side."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()


class Channel:
    """The non-blocking end: sends wait in a queue of their own, so a slow peer never stops the loop."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._parser = _Parser()
        self._outgoing: deque[memoryview] = deque()
        self.queued = 0  # pieces that had to wait, in all
        self.is_gone = False  # the other side has closed, or is dead

    def fileno(self) -> int:
        """Return the descriptor, for waiting."""
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether something is left to send."""
        return bool(self._outgoing)

    @property
    def unqueued(self) -> int:
        """How many of the pieces that had to wait have been sent; they go in the order they came."""
        return self.queued - len(self._outgoing)

    def send(self, message: object, payload: Sequence[Buffer] = ()) -> None:
        """Send as much as fits now, keep the rest."""
        if self.is_gone:
            return
        buffers = _frame_message(message, payload)
        if len(buffers) == 1 and not self._outgoing:
            try:
                sent = self._socket.send(buffers[0])
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # as in `flush`
            if sent == len(buffers[0]):
                return
            buffers[0] = memoryview(buffers[0])[sent:]
        self.queued += len(buffers)
        self._outgoing.extend(memoryview(part).cast("B") for part in buffers)
        self.flush()

    def flush(self) -> None:
        """Send what is kept, as far as it fits."""
        outgoing = self._outgoing
        while outgoing:
            try:
                sent = self._socket.sendmsg([outgoing[index] for index in range(min(len(outgoing), _MAX_VECTORS))])
            except BlockingIOError:
                return
            except OSError:
                # The peer is dead. Its exit is seen elsewhere; what it had sent can still be read.
                outgoing.clear()
                return
            while outgoing and sent >= outgoing[0].nbytes:
                sent -= outgoing.popleft().nbytes
            if sent:
                outgoing[0] = outgoing[0][sent:]

    def receive(self) -> list[Message]:
        """Return the messages that have come; notes when the other side is gone."""
        messages: list[Message] = []
        resets = 0
        while not self.is_gone:
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                resets += 1  # said once, before the messages a killed peer had sent
                self.is_gone = resets > 1
                continue
            if not data:
                self.is_gone = True
                break
            message = self._parser.feed(data)
            while message is not None:
                messages.append(message)
                message = self._parser.next() if self._parser.buffer else None
            if len(data) < _READ_BYTES:
                break
        return messages

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()
