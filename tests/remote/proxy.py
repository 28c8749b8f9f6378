"""A TCP proxy that does to connections what networks do: delays, slows, holds back one way or both, cuts."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque

TO_HUB, TO_WORKER = "to hub", "to worker"
PIECE = 16384  # bytes taken at a time


class _Way:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket, name: str) -> None:
        self.source, self.target, self.name = source, target, name
        self.waiting: deque[tuple[float, bytes]] = deque()  # when it may go on, and what
        self.free_at = 0.0  # when the slow link has sent what is before


class Proxy:
    """Stands between workers and a hub; ``address`` is where workers go.

    Attributes
    ----------
    delay : float
        Seconds each piece takes.
    bytes_per_second : float or None
        What the link carries in each direction.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._to = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.delay = 0.0
        self.bytes_per_second: float | None = None
        self.connections = 0
        self._held: set[str] = set()
        self._ways: list[_Way] = []
        self._is_down = False
        self._over = False
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    # -- what tests do ------------------------------------------------------------------------------------------------

    def hold(self, *ways: str) -> None:
        """Let nothing through, this way or both, as a cable that is out does; nobody is told."""
        with self._turn:
            self._held |= set(ways or (TO_HUB, TO_WORKER))

    def release(self) -> None:
        """Let what waits through."""
        with self._turn:
            self._held.clear()

    def cut(self) -> None:
        """Reset all connections; what was on its way is lost. New ones are possible at once."""
        with self._turn:
            self._drop_all()

    def down(self) -> None:
        """Cut, and let nobody connect."""
        with self._turn:
            self._is_down = True
            self._drop_all()

    def up(self) -> None:
        """Let workers connect again."""
        with self._turn:
            self._is_down = False

    def close(self) -> None:
        self._over = True
        self._thread.join()
        with self._turn:
            self._drop_all()
        self._listener.close()

    def __enter__(self) -> Proxy:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the loop -----------------------------------------------------------------------------------------------------

    def _drop_all(self) -> None:
        for way in self._ways:
            way.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no good-bye
            way.source.close()
        self._ways.clear()

    def _drop(self, way: _Way) -> None:
        for each in [each for each in self._ways if each.source in (way.source, way.target)]:
            each.source.close()
            self._ways.remove(each)

    def _serve(self) -> None:
        while not self._over:
            with self._turn:
                self._accept()
                moved = [self._move(way) for way in list(self._ways) if way in self._ways]
                sources = [way.source for way in self._ways if len(way.waiting) < 64]
            if not any(moved):
                with selectors.DefaultSelector() as selector:
                    selector.register(self._listener, selectors.EVENT_READ)
                    for source in sources:
                        if source.fileno() >= 0:
                            selector.register(source, selectors.EVENT_READ)
                    selector.select(0.002)

    def _accept(self) -> None:
        try:
            worker, _ = self._listener.accept()
        except BlockingIOError:
            return
        if self._is_down:
            worker.close()
            return
        try:
            hub = socket.create_connection(self._to, 1)
        except OSError:
            worker.close()
            return
        self.connections += 1
        for sock in (worker, hub):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self._ways += [_Way(worker, hub, TO_HUB), _Way(hub, worker, TO_WORKER)]

    def _move(self, way: _Way) -> bool:
        """Take and pass on what can be; say whether anything moved."""
        now = time.monotonic()
        moved = False
        try:
            if len(way.waiting) < 64:
                try:
                    data = way.source.recv(PIECE)
                    if not data:
                        self._drop(way)
                        return True
                    at = now
                    if self.bytes_per_second is not None:
                        at = way.free_at = max(now, way.free_at) + len(data) / self.bytes_per_second
                    way.waiting.append((at + self.delay, data))
                    moved = True
                except BlockingIOError:
                    pass
            while way.waiting and way.waiting[0][0] <= now and way.name not in self._held:
                at, data = way.waiting.popleft()
                sent = 0
                try:
                    sent = way.target.send(data)
                    moved = True
                except BlockingIOError:
                    pass
                if sent < len(data):
                    way.waiting.appendleft((at, data[sent:]))
                    break
        except OSError:
            self._drop(way)
            return True
        return moved
