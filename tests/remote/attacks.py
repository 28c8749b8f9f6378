"""What strangers and broken peers send: raw bytes, other mechanisms, other keys, and packets that cannot be."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
from pathlib import Path

import zmq

from olympipe_like._remote import fields
from olympipe_like._remote.envelope import NO_TOKEN, Envelope, Kind, open_packet
from olympipe_like._remote.keys import SecretKey
from olympipe_like._remote.session import Session, with_length
from olympipe_like._remote.speech import Says, Welcome, pack, unpack
from olympipe_like._remote.visit import hello_of


class Canary:
    """Touches a file when it is unpickled, which must never happen."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)

    def pickled(self) -> bytes:
        return pickle.dumps(self)

    @property
    def is_alive(self) -> bool:
        return not self.path.exists()


def place_of(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def raw(address: str, data: bytes, seconds: float = 5.0) -> float | None:
    """Send bytes to the port; return after how long the other side closed, None if it did not in time."""
    import time

    began = time.monotonic()
    with socket.create_connection(place_of(address), seconds) as sock:
        sock.settimeout(seconds)
        try:
            if data:
                sock.sendall(data)
            while sock.recv(4096):
                pass
        except TimeoutError:
            return None
        except OSError:
            pass  # it was reset, which closes it too
    return time.monotonic() - began


class Peer:
    """A DEALER socket with whatever security it is given."""

    def __init__(self, address: str, hub: str | None, own: SecretKey | None) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = 5000
        self.socket.sndtimeo = 2000  # ZeroMQ gives up a connection that was refused, and then waits for ever
        if own is not None and hub is not None:
            self.socket.curve_serverkey = hub.encode()
            self.socket.curve_publickey, self.socket.curve_secretkey = own.public.encode(), own.secret.encode()
        self.socket.connect(address)
        self.session: Session | None = None

    def send(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def try_to_send(self, *frames: bytes) -> None:
        """As `send`, unless the connection was refused before a word was said."""
        with contextlib.suppress(zmq.Again):
            self.send(*frames)

    def receive(self, seconds: float = 5.0):
        """Return the next packet's envelope and data; None if nothing comes."""
        if not self.socket.poll(seconds * 1000):
            return None
        frames = self.socket.recv_multipart()
        return open_packet(frames), frames[1]

    def greet(self, workers: int = 1) -> None:
        """Become a machine that the hub knows."""
        data = fields.pack(tuple(hello_of("evil", workers, "0")))
        self.send(Envelope(Kind.HELLO).pack(len(data)), data)
        while True:
            found = self.receive()
            assert found is not None, "no welcome"
            envelope, data = found
            if envelope.kind is Kind.WELCOME:
                Welcome(*fields.unpack(data))
                self.session = Session(envelope.token, 0.0)
                return

    def say(self, channel: int, body: bytes, payload: tuple[bytes, ...] = ()) -> None:
        """Send a message as a machine does."""
        assert self.session is not None
        for packet in self.session.cut(channel, with_length(body, payload)):
            self.send(self.session.envelope(packet), bytes(packet.data))

    def wait_for(self, says: Says) -> tuple[int, tuple]:
        """Return channel and values of the next short message of a kind."""
        assert self.session is not None
        while True:
            found = self.receive()
            assert found is not None, f"no {says.name}"
            envelope, data = found
            if envelope.kind is Kind.BEGIN and self.session.receive(envelope, 0.0):
                length = int.from_bytes(data[8:12], "big")
                if 12 + length <= len(data):
                    what, values = unpack(data[12 : 12 + length])
                    if what is says:
                        return envelope.channel, values

    def is_thrown_out(self, seconds: float = 5.0) -> bool:
        """Whether the hub asks who we are: our session is over."""
        import time

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.receive(0.2)
            if found is not None and found[0].kind is Kind.WHO:
                return True
        return False

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()


__all__ = ["NO_TOKEN", "Canary", "Envelope", "Kind", "Peer", "pack", "place_of", "raw"]
