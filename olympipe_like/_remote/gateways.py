"""The program's side: starts a gateway process for each address it listens on, and keeps it until the program ends."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import threading

from olympipe_like._model.options import Remote
from olympipe_like._remote import temporary
from olympipe_like._remote.clients import Serve
from olympipe_like._remote.gateway_main import Join, Open, Opened
from olympipe_like._remote.keys import KeyFolder
from olympipe_like._transport.connection import Connection
from olympipe_like._worker import interpreter
from olympipe_like.errors import PipelineExecutionError

OPEN_SECONDS = 10.0  # how long a fresh interpreter may take to listen
END_SECONDS = 5.0


class Gateway:
    """One gateway process, and the socket it is told things by.

    Raises
    ------
    PipelineExecutionError
        If it cannot listen on that address.
    KeyProblem
        If there is no key of our own, or others could have read it.
    """

    def __init__(self, remote: Remote) -> None:
        if remote.keys is None:
            own, allowed = temporary.hub_keys(remote.address)
        else:
            own, allowed = KeyFolder(remote.keys).own(), ()
            KeyFolder(remote.keys).allowed()  # what is wrong with them is said before anything listens
        folder = None if remote.keys is None else str(KeyFolder(remote.keys).folder)
        ours, theirs = socket.socketpair()
        try:
            self._process = interpreter.start(
                "olympipe_like._remote.gateway_main",
                theirs.fileno(),
                passing=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._control = Connection(ours)
        self._turn = threading.Lock()
        try:
            self._control.send(Open(remote.address, folder, own, allowed, remote.lost_after, remote.max_message))
            problem = self._answer()
        except BaseException:
            self.end()
            raise
        if problem:
            self.end()
            raise PipelineExecutionError(f"remote workers at {remote.address}: {problem}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def _answer(self) -> str:
        self._socket.settimeout(OPEN_SECONDS)
        try:
            message, _ = self._control.receive()
        except (EOFError, OSError) as error:
            return f"the gateway process ended or did not answer ({type(error).__name__}); see stderr"
        finally:
            self._socket.settimeout(None)
        assert isinstance(message, Opened)
        return message.problem

    def join(self, order: Join, descriptors: list[int]) -> None:
        """Let it work for a run: the socket to the run's hub, and its shared memory, if any."""
        with self._turn:
            socket.send_fds(self._socket, [b"J"], descriptors)
            self._control.send(order)

    def serve(self, order: Serve, descriptor: int) -> None:
        """Let clients come; their requests go to the socket."""
        with self._turn:
            socket.send_fds(self._socket, [b"J"], [descriptor])
            self._control.send(order)

    def end(self) -> None:
        """End the process."""
        self._control.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_open: dict[tuple[str, str | None], Gateway] = {}
_lock = threading.Lock()


def gateway_of(remote: Remote) -> Gateway:
    """Return the gateway at an address, a new one if there is none yet."""
    key = (remote.address, remote.keys)
    with _lock:
        found = _open.get(key)
        if found is not None and not found.is_alive:
            found.end()
            found = None
        if found is None:
            found = _open[key] = Gateway(remote)
        return found


def close_gateway(remote: Remote) -> None:
    """Stop listening at one address."""
    with _lock:
        gateway = _open.pop((remote.address, remote.keys), None)
    if gateway is not None:
        gateway.end()


def close_gateways() -> None:
    """Stop listening. Done at the program's end; a later run begins to listen again."""
    with _lock:
        gateways = list(_open.values())
        _open.clear()
    for gateway in gateways:
        gateway.end()


def _forget_in_child() -> None:
    """In a fork of this process: its gateways are the parent's. Only the copies of the sockets are closed."""
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that does not exist here
    _lock = threading.Lock()
    for gateway in _open.values():
        gateway._control.close()
        gateway._process.returncode = 0  # not our child: nothing to wait for
    _open.clear()


atexit.register(close_gateways)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
