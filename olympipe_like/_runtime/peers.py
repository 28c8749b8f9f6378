"""The hub's connections, and the one place where it waits."""

from __future__ import annotations

import selectors
from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic

from olympipe_like._transport.connection import Channel, Message


class Peer:
    """One connection: what to do with its messages, and the slots of shared memory granted to the other side."""

    def __init__(self, channel: Channel, receive: Callable[[Peer, Message], None], gone: Callable[[], None]) -> None:
        self.channel = channel
        self.receive = receive
        self.gone = gone
        self.slots: set[int] = set()
        self.lent: Counter[int] = Counter()  # slot -> how many frames in it the other side may look at
        self.is_watched_for_writing = False

    def send(self, message: object, payload: bytearray | None = None) -> None:
        """Send a message; what does not fit now goes when the loop comes round."""
        self.channel.send(message, (payload,) if payload is not None else ())

    def read(self) -> None:
        """Take what has come."""
        for message in self.channel.receive():
            self.receive(self, message)


class Peers:
    """All connections of a run, and other descriptors it waits for."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._peers: dict[int, Peer] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers.values()))

    def add(self, channel: Channel, receive: Callable[[Peer, Message], None], gone: Callable[[], None]) -> Peer:
        """Begin to listen to a connection."""
        peer = Peer(channel, receive, gone)
        self._peers[channel.fileno()] = peer
        self._selector.register(channel, selectors.EVENT_READ, lambda events: self._ready(peer, events))
        return peer

    def watch(self, descriptor: int, happened: Callable[[], None]) -> None:
        """Call ``happened`` when a descriptor is readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, lambda _: happened())

    def unwatch(self, descriptor: int) -> None:
        """No longer watch it."""
        self._selector.unregister(descriptor)

    def forget(self, peer: Peer) -> None:
        """No longer listen to a connection."""
        if self._peers.pop(peer.channel.fileno(), None) is not None:
            self._selector.unregister(peer.channel)

    def finish(self, peer: Peer) -> None:
        """Take what has come on a connection whose other side is dead, then forget it."""
        if peer.channel.fileno() in self._peers:
            peer.read()
            self.forget(peer)

    def wait(self, timeout: float | None) -> None:
        """Wait until something happens, and deal with it."""
        for peer in self._peers.values():
            if peer.channel.wants_to_write != peer.is_watched_for_writing:
                peer.is_watched_for_writing = not peer.is_watched_for_writing
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.is_watched_for_writing else 0)
                self._selector.modify(peer.channel, events, self._selector.get_key(peer.channel).data)
        for key, events in self._selector.select(timeout if timeout is None else max(timeout, 0)):
            key.data(events)

    def wait_until(self, *times: float | None) -> None:
        """As `wait`, until the first of these times (`monotonic`, seconds) at most; None: there is none."""
        known = [each for each in times if each is not None]
        self.wait(min(known) - monotonic() if known else None)

    def close(self) -> None:
        """Give everything back; also in a fork, which has copies of it all."""
        self._selector.close()
        for peer in self._peers.values():
            peer.channel.close()
        self._peers.clear()

    def _ready(self, peer: Peer, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            peer.channel.flush()
        if events & selectors.EVENT_READ and peer.channel.fileno() in self._peers:
            peer.read()
            if peer.channel.is_gone and peer.channel.fileno() in self._peers:
                self.forget(peer)
                peer.gone()
