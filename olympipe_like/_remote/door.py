"""The listening socket: who may come in, and how much of the machine a stranger can use. Reads no message's content."""

from __future__ import annotations

import errno
import resource
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import Any, NamedTuple

from olympipe_like._remote.envelope import CHUNK_BYTES, SIZE
from olympipe_like._remote.keys import PublicKey, SecretKey
from olympipe_like._remote.zeromq import load_zmq

DOMAIN = "olympipe-like"
HANDSHAKE_SECONDS = 3.0  # a stranger who says nothing is shown out
DEAD_SECONDS = 60.0  # a connection without any traffic is closed; sessions have clocks of their own
LAST_WORDS_MS = 300
MOST_WAITING = 64  # packets of one connection that wait to be read: 16 MiB
TELL_SECONDS = 60.0  # between two lines about the same address


class CannotListen(Exception):
    """The address cannot be had."""


class Incoming(NamedTuple):
    """A packet of an allowed key, unread."""

    connection: bytes  # how to answer; a new one after each reconnection
    key: PublicKey
    frames: list[Any]


class Door:
    """A ROUTER socket with mutual CURVE: only allowed keys come through the handshake, and only they are heard.

    Raises
    ------
    CannotListen
        If the address is taken, or is none of this machine's.
    """

    def __init__(self, context: Any, address: str, own: SecretKey, note: Callable[[str], None]) -> None:
        self._zmq = zmq = load_zmq()
        self._z85 = import_module("zmq.utils.z85")
        self._note = note
        self._keys: dict[str, PublicKey] = {}
        self._refused_at: Counter[str] = Counter()  # since the last line about that address
        self._told_at: dict[str, float] = {}
        _have_many_descriptors()
        # Before the socket is bound: there is no instant in which anybody is let in unasked.
        self._porter = context.socket(zmq.REP)
        self._porter.linger = 0
        self._porter.bind("inproc://zeromq.zap.01")
        self.socket = router = context.socket(zmq.ROUTER)
        router.linger = 0
        router.curve_server = True
        router.curve_publickey, router.curve_secretkey = own.public.encode(), own.secret.encode()
        router.zap_domain = DOMAIN.encode()
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        router.setsockopt(zmq.HANDSHAKE_IVL, int(HANDSHAKE_SECONDS * 1000))
        router.setsockopt(zmq.MAXMSGSIZE, CHUNK_BYTES + SIZE)
        router.setsockopt(zmq.HEARTBEAT_IVL, int(DEAD_SECONDS * 250))
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(DEAD_SECONDS * 1000))
        router.router_mandatory = 1  # a connection that is gone is an error to send to, and so noticed
        router.sndhwm = 0  # bounded by what workers may have in hand
        router.rcvhwm = MOST_WAITING
        router.ipv6 = "[" in address
        # Not those of keys that are not allowed: the porter tells of them, with their address.
        events = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        self._monitor = router.get_monitor_socket(events)
        try:
            router.bind(address)
        except zmq.ZMQError as error:
            self.close()
            none = error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL)
            what = "; this machine has no such address" if none else ""
            raise CannotListen(f"cannot bind {address}: {error}{what}") from None

    @property
    def handles(self) -> list[Any]:
        """What to wait for."""
        return [self.socket, self._porter, self._monitor]

    def allow(self, keys: list[PublicKey]) -> list[PublicKey]:
        """Let these keys in and nobody else; return those that are not allowed any more."""
        before = self._keys
        self._keys = {key.public: key for key in keys}
        return [key for public, key in before.items() if public not in self._keys]

    def wait(self, seconds: float) -> None:
        """Wait until something has come, at most so long."""
        poller = self._zmq.Poller()
        for handle in self.handles:
            poller.register(handle, self._zmq.POLLIN)
        poller.poll(seconds * 1000)

    def read(self) -> list[Incoming]:
        """Return what has come, after looking after the handshakes."""
        zmq = self._zmq
        while self._porter.poll(0):
            self._admit()
        while self._monitor.poll(0):
            self._monitor.recv_multipart()
            self._refuse("", "that did not finish the handshake")
        found: list[Incoming] = []
        while len(found) < MOST_WAITING:
            try:
                connection, *frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                break
            key = self._keys.get(frames[-1].get("User-Id")) if frames else None
            if key is not None:  # else it was revoked after its handshake
                found.append(Incoming(connection.bytes, key, frames))
        return found

    def send(self, connection: bytes, envelope: bytes, data: Any = b"") -> bool:
        """Send a packet; say whether there still is such a connection."""
        try:
            self.socket.send_multipart([connection, envelope, data], self._zmq.DONTWAIT, copy=len(data) < 65536)
        except self._zmq.ZMQError as error:
            if error.errno in (self._zmq.EHOSTUNREACH, self._zmq.EAGAIN):
                return False
            raise
        return True

    def close(self) -> None:
        """Stop listening; what was said last has a moment to leave."""
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close(LAST_WORDS_MS)
        self._porter.close(0)

    def _admit(self) -> None:
        """Answer one question of ZeroMQ's (ZAP, RFC 27): whether a key may in."""
        version, request, domain, address, _, mechanism, *credentials = self._porter.recv_multipart()
        key = None
        if domain == DOMAIN.encode() and mechanism == b"CURVE" and len(credentials) == 1:
            key = self._keys.get(self._z85.encode(credentials[0]).decode())
        if key is None:
            origin = address.decode(errors="replace")
            self._refuse(origin, f"from {origin}: no key that is allowed")
            self._porter.send_multipart([version, request, b"400", b"not allowed", b"", b""])
        else:
            self._porter.send_multipart([version, request, b"200", b"OK", key.public.encode(), b""])

    def _refuse(self, address: str, which: str) -> None:
        self._refused_at[address] += 1
        now = monotonic()
        if now - self._told_at.get(address, -TELL_SECONDS) >= TELL_SECONDS:
            if len(self._told_at) > 1000:
                self._told_at.clear()
            self._told_at[address] = now
            count = self._refused_at.pop(address)
            self._note(f"refused {count} connection{'' if count == 1 else 's'} {which}")


def _have_many_descriptors() -> None:
    """Raise our own limit as far as we may: each silent stranger takes one for as long as a handshake may last."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
