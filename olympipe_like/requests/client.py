"""A client: asks the broker of another process, on this machine or another."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like._remote.clients import several
from olympipe_like._remote.messenger import Anew, Answered, Ask, Meet, Over, TooLarge, Withdraw
from olympipe_like._transport.connection import Connection
from olympipe_like._worker import interpreter
from olympipe_like.errors import BrokerClosed
from olympipe_like.requests.asking import Asking, not_running
from olympipe_like.requests.exchange import Asker
from olympipe_like.requests.outcome import Buffer, format_of, pack_closed, pack_unsent
from olympipe_like.requests.session import ANOTHERS, Way
from olympipe_like.requests.visitor import visitor

END_SECONDS = 2.0  # how long a messenger may take to say good-bye

_running: weakref.WeakSet[Client] = weakref.WeakSet()


class Client(Asking):
    """Asks a broker in another process, as if it were here.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT`` of the broker; it may start later.
    keys : str or path, optional
        The folder that ``olympipe-like keys`` made, or a ``NAME.secret`` in it; the broker must name this key in its
        ``clients``. Without keys only a broker of the same program, or of the one it was forked from, can be met.
    broker : str, optional
        Name of the broker's key, where the folder allows several.
    reconnect_for : float, seconds
        Requests fail with `BrokerClosed` when there has been no broker for so long. One that comes back is asked
        again what it had not answered.
    dumps, loads : callable, optional
        As of the `Broker`, and the same.
    name : str, optional
        What the broker calls this one; the host name by default.
    """

    def __init__(
        self,
        address: str,
        *,
        keys: str | os.PathLike[str] | None = None,
        broker: str | None = None,
        reconnect_for: float = 60.0,
        dumps: Callable[[Any], bytes] | None = None,
        loads: Callable[[bytes], Any] | None = None,
        name: str | None = None,
    ) -> None:
        where = f"Client ({call_site()})"
        super().__init__(format_of(where, dumps, loads))
        found = visitor(where, address, keys, broker, name)
        patience = checks.seconds(where, "reconnect_for", reconnect_for)
        self._meet = Meet(found.address, found.own, found.hub, found.host, patience)
        self._turn = threading.RLock()
        self._calls_by_channel: dict[int, Asker] = {}
        self._channels: dict[Asker, int] = {}
        self._open_requests: dict[tuple[int, int], Buffer] = {}  # not answered: asked again of a broker that is new
        self._last = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection | None = None
        self._thread: threading.Thread | None = None
        self._why_over = ""
        self._left_to_parent = False  # this process is a fork of the one where it runs

    # -- life ---------------------------------------------------------------------------------------------------------

    def run_async(self) -> Client:
        """Begin to look for the broker, in the background; return the client."""
        with self._turn:
            if self._process is not None or self._why_over:
                return self
            ours, theirs = socket.socketpair()
            try:
                self._process = interpreter.start(
                    "olympipe_like._remote.messenger",
                    theirs.fileno(),
                    passing=[theirs.fileno()],
                    stdout=subprocess.DEVNULL,
                )
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
            self._control = Connection(ours)
            self._control.send(self._meet)
            self._thread = threading.Thread(target=self._listen, name="olympipe-requests-client", daemon=True)
            self._thread.start()
            _running.add(self)
        return self

    def __enter__(self) -> Client:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        return self.run_async()

    def cancel(self) -> None:
        """Leave the broker, from any thread; whoever waits for a result is told with `BrokerClosed`."""
        self._end(f"the client of the broker at {self._meet.address} was cancelled")
        with self._turn:
            control, thread, process = self._control, self._thread, self._process
        if control is not None:
            control.shut_down()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._turn:
            self._control = None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _running.discard(self)

    def leave_to_parent(self) -> None:
        """In a fork of the process that began it: nothing done here may disturb the parent's calls."""
        self._left_to_parent = True
        self._turn = threading.RLock()  # the parent's may be held by a thread that does not exist here
        self._why_over = ANOTHERS
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # not our child: nothing to wait for
        self._control = self._process = self._thread = None
        for each in (self._calls_by_channel, self._channels, self._open_requests):
            each.clear()

    def _way(self) -> Way:
        if self._left_to_parent:
            raise BrokerClosed(ANOTHERS)
        if self._control is None:
            raise not_running("client", is_over=bool(self._why_over))
        return self

    # -- what goes out ------------------------------------------------------------------------------------------------

    def ask(self, asker: Asker, requests: Sequence[tuple[int, Buffer]]) -> None:
        """Send requests of one call; for `Session`."""
        with self._turn:
            is_over = bool(self._why_over)
            if asker not in self._channels and not is_over:
                self._last += 1
                self._channels[asker] = self._last
                self._calls_by_channel[self._last] = asker
            channel = self._channels.get(asker, 0)
            if not is_over:
                self._open_requests.update(((channel, number), request) for number, request in requests)
        if is_over:
            outcome = pack_closed(self._why_over)
            asker.told([(number, outcome) for number, _ in requests])
            return
        for number, request in requests:  # without the lock: a broker that is slow to read holds up nobody else
            self._send(Ask(channel, number), request)

    def withdraw(self, asker: Asker) -> None:
        """Want nothing more of one call; for `Session`."""
        with self._turn:
            channel = self._channels.pop(asker, None)
            if channel is not None:
                del self._calls_by_channel[channel]
                for place in [place for place in list(self._open_requests) if place[0] == channel]:
                    del self._open_requests[place]
        if channel is not None:
            self._send(Withdraw(channel))

    def _send(self, message: object, *payload: Buffer) -> None:
        control = self._control
        if control is not None:
            try:
                control.send(message, payload)
            except OSError:
                pass  # the messenger has ended, which the listening thread sees

    # -- what comes in, in a thread of its own ------------------------------------------------------------------------

    def _listen(self) -> None:
        control = self._control
        assert control is not None
        why = "the process with the connection to the broker has ended"
        while True:
            try:
                message, payload = control.receive()
            except (EOFError, OSError):
                break
            if isinstance(message, Answered):
                self._answered(message, payload)
            elif isinstance(message, TooLarge):
                self._refused(message)
            elif isinstance(message, Anew):
                with self._turn:
                    again = list(self._open_requests.items())
                for (channel, number), request in again:
                    self._send(Ask(channel, number), request)
            elif isinstance(message, Over):
                why = message.why
        self._end(why)

    def _answered(self, message: Answered, payload: bytearray | None) -> None:
        with self._turn:
            for number in message.numbers:
                self._open_requests.pop((message.channel, number), None)
            asker = self._calls_by_channel.get(message.channel)
        if asker is not None:
            asker.told(several(message.numbers, message.lengths, payload or b""))

    def _refused(self, message: TooLarge) -> None:
        most = f"max_message={message.most} of the Broker is the most; raise it"
        outcome = pack_unsent(ValueError(f"it has {message.nbytes} bytes, and {most}"))
        self._answered(Answered(message.channel, (message.number,), (len(outcome),)), bytearray(outcome))

    def _end(self, why: str) -> None:
        with self._turn:
            self._why_over = self._why_over or why
            found = [(self._calls_by_channel[channel], number) for channel, number in self._open_requests]
            self._open_requests.clear()
        for asker, number in found:
            asker.told([(number, pack_closed(self._why_over))])


@atexit.register
def _cancel_all() -> None:
    for client in list(_running):
        client.cancel()


def _leave_to_parent() -> None:
    for client in list(_running):
        client.leave_to_parent()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
