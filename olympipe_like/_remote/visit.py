"""A machine's connection to the hub: says hello, keeps its session over broken connections, gives signs of life."""

from __future__ import annotations

import os
import socket
import sys
from time import monotonic
from typing import Any, Protocol

from olympipe_like._remote import fields, speech
from olympipe_like._remote.envelope import CHUNK_BYTES, NO_TOKEN, SIZE, Envelope, Kind, ProtocolError, open_packet
from olympipe_like._remote.keys import SecretKey
from olympipe_like._remote.session import Assembly, Buffer, Session, with_length, without_length
from olympipe_like._remote.speech import Hello, Welcome
from olympipe_like._remote.zeromq import load_zmq

HELLO_SECONDS = 1.0  # between two greetings that nobody answers
RECONNECT_SECONDS = (0.1, 2.0)  # the first and the longest pause of ZeroMQ's own attempts
FIRST_BEAT_SECONDS = 0.25  # until the hub has said how often
RETRY_SECONDS = (
    2.0  # after a handshake that failed: ZeroMQ gives such an address up, and the key may be allowed by then
)
REOPEN_AFTER = 0.5  # of lost_after: silence after which a new connection is tried, for the old one may be a dead end
MOST_BYTES = 1 << 40  # the hub may send us what it likes: we run its functions


class Host(Protocol):
    """Who is told what happens."""

    def began(self, *, anew: bool) -> None: ...
    def said(self, channel: int, body: bytes, payload: list[memoryview]) -> None: ...
    def refused(self, text: str) -> None: ...
    def over(self, why: str) -> None: ...


class Visit:
    """One machine's side of its sessions, one after the other."""

    def __init__(self, address: str, own: SecretKey, hub: str, hello: Hello, host: Host) -> None:
        self._zmq = load_zmq()
        self._context = self._zmq.Context()
        self._address = address
        self._own = own
        self._hub = hub
        self._hello = hello
        self._host = host
        self.session: Session | None = None
        self.is_welcome = False  # on this connection
        self._assemblies: dict[int, Assembly] = {}
        self.lost_after = 10.0
        self.most_bytes = MOST_BYTES  # of one message that the hub takes
        self.is_paused = False  # nobody is to be visited for now
        self._beat = FIRST_BEAT_SECONDS
        self._beat_at = self._hello_at = 0.0
        self._opened_at = 0.0
        self.heard_at: float | None = None  # the hub, ever
        self._is_barred = False  # by the hub there, last time we tried
        self._is_no_hub_of_ours = False  # what is there, last time
        self._retry_at: float | None = None
        self.socket: Any = None
        self._monitor: Any = None
        self._open()

    def _open(self) -> None:
        zmq = self._zmq
        if self.socket is not None:
            self._close_socket()
        self.is_welcome = False
        self.socket = dealer = self._context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.curve_serverkey = self._hub.encode()
        dealer.curve_publickey, dealer.curve_secretkey = self._own.public.encode(), self._own.secret.encode()
        dealer.setsockopt(zmq.HANDSHAKE_IVL, 3000)
        dealer.setsockopt(zmq.IMMEDIATE, 1)  # what waits for a connection that is gone is in the session's books
        dealer.setsockopt(zmq.RECONNECT_IVL, int(RECONNECT_SECONDS[0] * 1000))
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, int(RECONNECT_SECONDS[1] * 1000))
        dealer.setsockopt(zmq.MAXMSGSIZE, CHUNK_BYTES + SIZE)
        dealer.sndhwm = 0
        dealer.rcvhwm = 64
        dealer.ipv6 = "[" in self._address
        self._monitor = dealer.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        )
        dealer.connect(self._address)
        self._opened_at = monotonic()
        self._retry_at = None
        self._hello_at = 0.0

    # -- what is said -------------------------------------------------------------------------------------------------

    def send(self, channel: int, body: bytes, payload: list[Buffer] | None = None) -> None:
        """Send a message; without a connection it goes when there is one again."""
        if self.session is None:
            return  # its session is over, and nobody wants it
        for packet in self.session.cut(channel, with_length(body, payload or [])):
            if self.is_welcome:
                self.is_welcome = self._put(self.session.envelope(packet), packet.data)

    def _put(self, envelope: bytes, data: Buffer = b"") -> bool:
        try:
            self.socket.send_multipart([envelope, data], self._zmq.DONTWAIT, copy=len(data) < 65536)
        except self._zmq.Again:
            return False
        return True

    def _say_hello(self, now: float) -> None:
        session = self.session
        resumes, heard = (session.token, session.heard) if session is not None else (NO_TOKEN, 0)
        data = fields.pack(tuple(self._hello._replace(resumes=resumes, heard=heard)))
        if self._put(Envelope(Kind.HELLO).pack(len(data)), data):
            self._hello_at = now + HELLO_SECONDS

    def say_goodbye(self, why: str, *, died: bool) -> None:
        """End the session; waits up to a second for it to be sent."""
        if self.session is not None and self.is_welcome:
            data = why.encode()
            self.socket.linger = 1000
            self._put(Envelope(Kind.BYE, channel=int(died), token=self.session.token).pack(len(data)), data)

    def pause(self, why: str) -> None:
        """End the session, and begin none while `is_paused`."""
        self.say_goodbye(why, died=True)
        self._end(why)
        self.is_paused = True

    # -- what is heard ------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Deal with all that has come."""
        for _ in range(64):
            try:
                frames = self.socket.recv_multipart(self._zmq.DONTWAIT, copy=False)
            except self._zmq.Again:
                return
            buffers = [frame.buffer for frame in frames]
            try:
                self._hear(open_packet(buffers), buffers[-1])
            except ProtocolError as error:
                self._host.refused(f"the hub at {self._address} cannot be understood: {error}")
                return

    def _hear(self, envelope: Envelope, data: memoryview) -> None:
        now = monotonic()
        self.heard_at = now
        match envelope.kind:
            case Kind.WELCOME:
                self._welcomed(envelope, Welcome(*fields.unpack(data)), now)
            case Kind.REFUSE:
                self._host.refused(speech.readable(bytes(data).decode(errors="replace"), speech.MOST_TEXT))
            case Kind.WHO:
                self.is_welcome = False
                if now >= self._hello_at:  # else it has not read the last one yet: each would begin another session
                    self._say_hello(now)
            case Kind.BYE:
                self._put(Envelope(Kind.BYE, token=envelope.token).pack(0))  # it waits to hear that we know
                self._end("the hub has ended")
                self._hello_at = now + HELLO_SECONDS
            case _:
                session = self.session
                if session is None or envelope.token != session.token or not self.is_welcome:
                    return
                if session.receive(envelope, now):
                    self._assemble(envelope, data)
                if session.owes_acknowledgement:
                    self.is_welcome = self._put(session.beat())

    def _assemble(self, envelope: Envelope, data: Buffer) -> None:
        assembly = self._assemblies.setdefault(envelope.channel, Assembly(MOST_BYTES))
        pieces = assembly.add(envelope.kind, data)
        if pieces is not None:
            del self._assemblies[envelope.channel]
            self._host.said(envelope.channel, *without_length(pieces))

    def _welcomed(self, envelope: Envelope, welcome: Welcome, now: float) -> None:
        self.lost_after, self._beat, self.most_bytes = welcome.lost_after, welcome.beat, welcome.most_bytes
        again = []
        if welcome.is_new or self.session is None:
            if self.session is not None:
                self._end("the hub had given us up")
            self.session = Session(envelope.token, now)
        else:
            again = self.session.resume(welcome.heard, now)
        self.is_welcome = True
        self._is_barred = self._is_no_hub_of_ours = False
        self._retry_at = None
        self._hello_at = 0.0  # it was answered: the next may be said at once
        self._host.began(anew=welcome.is_new)
        for packet in again:
            self.is_welcome = self.is_welcome and self._put(self.session.envelope(packet), packet.data)

    def _end(self, why: str) -> None:
        self.is_welcome = False
        self._assemblies.clear()
        if self.session is not None:
            self.session = None
            self._host.over(why)

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When `look` is due next."""
        return self._beat_at

    def look(self, now: float) -> None:
        """Give a sign of life, say hello again, try another connection: whatever it is time for."""
        self._beat_at = now + self._beat
        self._look_at_handshakes(now)
        if self.is_paused:
            return
        session = self.session
        if session is not None and self.is_welcome:
            self.is_welcome = self._put(session.beat())
        elif now >= self._hello_at:
            self._say_hello(now)
        if session is not None and now - session.heard_at > self.lost_after:
            self._end(f"nothing was heard of the hub for {now - session.heard_at:.1f} s")
        silent_since = max(self._opened_at, self.heard_at or 0.0)
        most = max(self.lost_after * REOPEN_AFTER, 4 * self._beat)
        has_gone_silent = self.heard_at is not None and now - silent_since > most
        if has_gone_silent or (self._retry_at is not None and now >= self._retry_at):
            self._open()

    def _look_at_handshakes(self, now: float) -> None:
        while self._monitor.poll(0):
            number = int.from_bytes(self._monitor.recv_multipart()[0][:2], sys.byteorder)
            self._is_barred = number == self._zmq.EVENT_HANDSHAKE_FAILED_AUTH
            self._is_no_hub_of_ours = not self._is_barred
            self._retry_at = now + RETRY_SECONDS

    def trouble(self) -> str:
        """Return why there is no session, as far as it is known. Asks for the address of a name, which takes time."""
        if self._is_barred:
            name = self._own.name
            what_to_do = f"there: olympipe-like keys allow {name}.pub"
            return f"the hub at {self._address} does not let our key {name!r} in; {what_to_do}"
        if self._is_no_hub_of_ours:
            return (
                f"what listens at {self._address} is not the hub whose key we trust; "
                "compare what 'olympipe-like keys list' says here and there"
            )
        host = self._address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
        try:
            socket.getaddrinfo(host, None)
        except (OSError, UnicodeError) as error:
            return f"there is no machine {host!r}: {error}"
        return f"no hub answers at {self._address}; we go on trying"

    def _close_socket(self, linger: int | None = 0) -> None:
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close(linger)

    def close(self) -> None:
        """Give everything back."""
        self._close_socket(None)  # a good-bye may be on its way
        self._context.term()


def hello_of(host: str | None, workers: int, library: str) -> Hello:
    """Return how this machine introduces itself."""
    return Hello(host or socket.gethostname(), os.getpid(), sys.version_info[:2], library, workers, NO_TOKEN, 0)
