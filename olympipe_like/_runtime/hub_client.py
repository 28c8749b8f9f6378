"""Starts hub processes and keeps an idle one warm for the next run of this program."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from olympipe_like._transport.connection import Connection
from olympipe_like._worker import interpreter
from olympipe_like.errors import InternalError

if TYPE_CHECKING:
    from olympipe_like._runtime.orders import RunOrder

IDLE_SECONDS = 5.0  # how long a hub may take to end the last workers of a run that is over
REFUSAL_SECONDS = 1.0  # how long it may take to say why it could not begin a run
KEPT_WARM = 1  # more idle hubs than this are ended: several runs at once are rare


class Hub:
    """One hub process and the socket it is told things by."""

    def __init__(self) -> None:
        if not hasattr(socket, "send_fds") or not hasattr(os, "fork"):
            raise InternalError(
                f"process stages need Unix sockets and fork, which {sys.platform} has not; "
                'give the run executor="thread" or executor="inline"'
            )
        ours, theirs = map(_beyond_standard, socket.socketpair())
        try:
            self._process = interpreter.start(
                "olympipe_like._runtime.hub_main",
                theirs.fileno(),
                passing=[theirs.fileno()],
                stdout=subprocess.DEVNULL,  # each run brings its own
                stderr=None if _is_open(2) else subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._control = Connection(ours)

    @property
    def pid(self) -> int:
        """The hub's process id."""
        return self._process.pid

    def begin(self, order: RunOrder, descriptors: Sequence[int]) -> None:
        """Start a run. What workers print goes where the caller's own output goes now, whenever the hub was started."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            streams = [descriptor if _is_open(descriptor) else nowhere for descriptor in (1, 2)]
            socket.send_fds(self._socket, [b"r"], [*streams, *descriptors])
        finally:
            os.close(nowhere)
        self._control.send(order)

    def leave_to_parent(self) -> None:
        """In a fork of the process that started it: close the copy of its socket."""
        self._control.close()
        self._process.returncode = 0  # not our child: nothing to wait for

    def refusal(self) -> str | None:
        """Return why the hub could not begin the run; None if it did, or is gone."""
        self._socket.settimeout(REFUSAL_SECONDS)
        try:
            message, _ = self._control.receive()
        except (EOFError, OSError):
            return None
        finally:
            self._socket.settimeout(None)
        from olympipe_like._runtime.orders import Refused

        return message.reason if isinstance(message, Refused) else None

    def is_idle_again(self) -> bool:
        """Wait until the hub has cleaned up after a run that is over; False if it cannot be used again."""
        self._socket.settimeout(IDLE_SECONDS)
        try:
            message, _ = self._control.receive()
        except (EOFError, OSError):
            return False
        self._socket.settimeout(None)
        from olympipe_like._runtime.orders import Idle

        return isinstance(message, Idle)

    def end(self, *, kill: bool = False) -> int | None:
        """End the process; a hub that does not go by itself is killed. Returns its exit code."""
        self._control.close()
        if kill:
            self._process.kill()
        try:
            return self._process.wait(IDLE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _is_open(descriptor: int) -> bool:
    """Whether 1 or 2 is the program's output: it may have been started without (``>&-``), or have closed it."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    # Without at its start: then the number was free, and may be a file or socket of the program now.
    return (sys.__stdout__ if descriptor == 1 else sys.__stderr__) is not None


def _beyond_standard(sock: socket.socket) -> socket.socket:
    """Return the socket under a number that no process takes for its input or output."""
    if sock.fileno() > 2:
        return sock
    import fcntl  # not on every system that gets as far as this module

    with sock:
        return socket.socket(fileno=fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 3))


_idle: list[Hub] = []
_lock = threading.Lock()


def acquire() -> Hub:
    """Return a hub that nobody else uses."""
    with _lock:
        hub = _pop_idle()
    return hub if hub is not None else Hub()


def warm_up() -> None:
    """See to it that a hub is ready or starting, while the caller loads what it needs itself.

    A fresh interpreter takes some 90 ms to come so far; the caller's own modules take 60 ms of them.
    """
    with _lock:
        _idle.append(_pop_idle() or Hub())


def _pop_idle() -> Hub | None:
    while _idle:
        hub = _idle.pop()
        if hub._process.poll() is None:
            return hub
        hub.end()
    return None


def release(hub: Hub) -> None:
    """Give a hub back after its run is over; waits until nothing of the run is left."""
    try:
        is_idle = hub.is_idle_again()
    except BaseException:  # Ctrl-C, pressed again: with the hub its workers end at once
        hub.end(kill=True)
        raise
    if is_idle:
        with _lock:
            if len(_idle) < KEPT_WARM:
                _idle.append(hub)
                return
        hub.end()
    else:
        hub.end(kill=True)


def close_idle_hubs() -> None:
    """End the hubs kept warm. Done at the interpreter's exit; the next run starts a new one."""
    with _lock:
        hubs, _idle[:] = _idle[:], []
    for hub in hubs:
        try:
            hub.end()
        except KeyboardInterrupt:  # at the program's exit nobody is left to catch it; whoever presses again is in haste
            hub.end(kill=True)


def _forget_in_child() -> None:
    """In a fork of this process: its hubs are the parent's. Only the copies of the sockets are closed."""
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that does not exist here
    _lock = threading.Lock()
    for hub in _idle:
        hub.leave_to_parent()
    _idle.clear()


atexit.register(close_idle_hubs)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
