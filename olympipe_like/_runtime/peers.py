"""The hub's connections, and the one place where it waits."""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Protocol

from olympipe_like._transport.connection import Channel, Message


class Peer:
    """One connection: what to do with its messages, and the slots of shared memory granted to the other side."""

    def __init__(
        self,
        channel: Channel,
        receive: Callable[[Peer, Message], None],
        gone: Callable[[], None],
        behind: set[Peer] | None = None,
    ) -> None:
        self.channel = channel
        self.receive = receive
        self.gone = gone
        self.slots: set[int] = set()
        self.lent: Counter[int] = Counter()  # slot -> how many frames in it the other side may look at
        self._behind = behind if behind is not None else set()  # joins them when not all could be sent

    def send(self, message: object, payload: bytearray | None = None) -> None:
        """Send a message; what does not fit now goes when the loop comes round."""
        self.channel.send(message, (payload,) if payload is not None else ())
        if self.channel.wants_to_write:
            self._behind.add(self)

    def read(self) -> None:
        """Take what has come."""
        for message in self.channel.receive():
            self.receive(self, message)


_READ, _WRITE = select.POLLIN, select.POLLOUT  # the same numbers as `epoll` has


class _Poller(Protocol):
    """What is used of `select.epoll`; `selectors`, on top of it, makes calls and tuples for each event."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None, maxevents: int, /) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class _Poll:
    """The same where the system has no `epoll`."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def poll(self, timeout: float | None, maxevents: int, /) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout is None else timeout * 1000)[:maxevents]

    def close(self) -> None:
        """There is no descriptor."""


class Peers:
    """All connections of a run, and other descriptors it waits for."""

    def __init__(self) -> None:
        self._poller: _Poller = select.epoll() if hasattr(select, "epoll") else _Poll()
        self._handlers: dict[int, Callable[[int], None]] = {}  # what to do with what has happened to a descriptor
        self._peers: dict[int, Peer] = {}
        self._behind: set[Peer] = set()  # have something left to send, and are not watched for that yet

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers.values()))

    def add(self, channel: Channel, receive: Callable[[Peer, Message], None], gone: Callable[[], None]) -> Peer:
        """Begin to listen to a connection."""
        peer = Peer(channel, receive, gone, self._behind)
        descriptor = channel.fileno()
        self._peers[descriptor] = peer
        self._poller.register(descriptor, _READ)
        self._handlers[descriptor] = partial(self._ready, peer)
        return peer

    def watch(self, descriptor: int, happened: Callable[[], None]) -> None:
        """Call ``happened`` when a descriptor is readable."""
        self._poller.register(descriptor, _READ)
        self._handlers[descriptor] = lambda _: happened()

    def unwatch(self, descriptor: int) -> None:
        """No longer watch it."""
        del self._handlers[descriptor]
        with suppress(OSError):  # it may have been closed
            self._poller.unregister(descriptor)

    def forget(self, peer: Peer) -> None:
        """No longer listen to a connection."""
        descriptor = peer.channel.fileno()
        if self._peers.pop(descriptor, None) is not None:
            self.unwatch(descriptor)

    def finish(self, peer: Peer) -> None:
        """Take what has come on a connection whose other side is dead, then forget it."""
        if peer.channel.fileno() in self._peers:
            peer.read()
            self.forget(peer)

    def wait(self, timeout: float | None) -> None:
        """Wait until something happens, for so many seconds at most (None: for ever), and deal with it."""
        if self._behind:
            self._watch_for_writing()
        handlers = self._handlers
        seconds = timeout if timeout is None or timeout > 0 else 0
        for descriptor, events in self._poller.poll(seconds, max(len(handlers), 1)):
            handler = handlers.get(descriptor)
            if handler is not None:  # what happened before may have led to its end
                handler(events)

    def _watch_for_writing(self) -> None:
        for peer in self._behind:
            descriptor = peer.channel.fileno()
            if descriptor in self._peers:
                self._poller.modify(descriptor, _READ | _WRITE)
        self._behind.clear()

    def close(self) -> None:
        """Give everything back; also in a fork, which has copies of it all."""
        self._poller.close()
        for peer in self._peers.values():
            peer.channel.close()
        self._peers.clear()

    def _ready(self, peer: Peer, events: int) -> None:
        channel = peer.channel
        if events & ~_READ:  # or it is gone, which is also to be read
            channel.flush()
            if not channel.wants_to_write:
                self._poller.modify(channel.fileno(), _READ)
        if events & ~_WRITE:
            receive = peer.receive
            for message in channel.receive():
                receive(peer, message)
            if channel.is_gone and channel.fileno() in self._peers:
                self.forget(peer)
                channel.close()  # nobody else would: `close` knows those that are listened to
                peer.gone()
