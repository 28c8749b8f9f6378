"""The gateway process: started by a program when it first runs a remote stage, ended with it.

The hub of a run has one thread and forks; ZeroMQ has threads. So it lives here, and a run's hub speaks to it as to any
host of workers.
"""

from __future__ import annotations

import socket
import sys
from time import monotonic
from typing import Any, NamedTuple

from olympipe_like._model.identity import StageId
from olympipe_like._remote.clients import Clients, Serve
from olympipe_like._remote.door import CannotListen, Door
from olympipe_like._remote.gateway import Gateway
from olympipe_like._remote.guests import Guests
from olympipe_like._remote.keys import KeyFolder, KeyProblem, PublicKey, SecretKey
from olympipe_like._remote.run_link import RunLink, StageNeed
from olympipe_like._remote.serialising import BYTES
from olympipe_like._remote.zeromq import load_zmq
from olympipe_like._transport.callables import install_main
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.rebuild import Main
from olympipe_like._worker.interrupts import ignore_interrupts, outlive_the_run
from olympipe_like._worker.startup import keep_large_blocks

KEYS_SECONDS = 1.0  # between two looks at who is allowed


class Open(NamedTuple):
    """Program to gateway: listen there."""

    address: str
    folder: str | None  # of keys; None: the two that follow
    own: SecretKey
    allowed: tuple[PublicKey, ...]
    lost_after: float
    most_bytes: int


class Opened(NamedTuple):
    """Gateway to program: it listens; or why it does not."""

    problem: str


class Join(NamedTuple):
    """Program to gateway: work for a run, whose hub is at the descriptor that comes along."""

    needs: dict[StageId, StageNeed]
    has_memory: bool
    lost_after: float
    most_bytes: int
    path: tuple[str, ...]  # where the program imports from, for serializers of its own


def main(descriptor: int) -> None:
    """Serve the program at the other end of the descriptor until it is gone."""
    ignore_interrupts()
    outlive_the_run()
    keep_large_blocks()
    control_socket = socket.socket(fileno=descriptor)
    control = Connection(control_socket)
    try:
        order, _ = control.receive_alone()
    except (EOFError, OSError):
        return
    assert isinstance(order, Open)
    zmq = load_zmq()
    context = zmq.Context()
    gateway = Gateway()
    try:
        door = Door(context, order.address, order.own, gateway.note)
    except (CannotListen, OSError) as error:
        context.destroy(0)
        control.send(Opened(str(error)))
        return
    gateway.guests = Guests(door, gateway, order.lost_after, order.most_bytes)
    gateway.clients = Clients(gateway.guests)
    try:
        program = _Program(zmq, control_socket, control, gateway, door, order)
        program.look_at_keys()
        control.send(Opened(""))
        program.serve()
    except (BrokenPipeError, EOFError):
        pass  # the program is gone, and with it all that there was to do
    finally:
        gateway.guests.say_goodbye()
        door.close()
        context.term()


class _Program:
    """The loop."""

    def __init__(
        self, zmq: Any, control_socket: socket.socket, control: Connection, gateway: Gateway, door: Door, order: Open
    ) -> None:
        self._zmq = zmq
        self._control_socket = control_socket
        self._control = control
        self._gateway = gateway
        self._door = door
        self._order = order
        self._keys_at = 0.0
        self._key_problem = ""

    def serve(self) -> None:
        zmq = self._zmq
        while True:
            poller = zmq.Poller()
            for handle in self._door.handles:
                poller.register(handle, zmq.POLLIN)
            poller.register(self._control_socket, zmq.POLLIN)
            # A client takes no more than it asked for, and must not hold up the others.
            is_full = any(guest.session.is_full for guest in self._gateway.guests if not guest.is_client)
            front = self._gateway.clients.front
            if front is not None:
                poller.register(front, zmq.POLLIN | (zmq.POLLOUT if front.wants_to_write else 0))
            for link in self._gateway.links:
                wants = 0 if is_full else zmq.POLLIN  # who cannot send takes nothing in
                poller.register(link.channel, wants | (zmq.POLLOUT if link.channel.wants_to_write else 0))
            due = min(self._gateway.guests.due, self._keys_at)
            ready = dict(poller.poll(max(due - monotonic(), 0) * 1000))
            if self._control_socket.fileno() in ready and not self._from_program():
                return
            for incoming in self._door.read():
                self._gateway.guests.receive(incoming)
            if front is not None and front is self._gateway.clients.front:
                found = ready.get(front.fileno(), 0)
                if found & zmq.POLLOUT:
                    front.flush()
                if found & ~zmq.POLLOUT:
                    self._gateway.clients.receive()
            for link in list(self._gateway.links):
                found = ready.get(link.channel.fileno(), 0)
                if found & zmq.POLLOUT:
                    link.channel.flush()
                if found & ~zmq.POLLOUT and not link.receive(self._gateway):
                    self._gateway.close(link)
            now = monotonic()
            if now >= self._gateway.guests.due:
                self._gateway.guests.look(now)
                self._gateway.look(now)
            if now >= self._keys_at:
                self.look_at_keys()

    def _from_program(self) -> bool:
        """Take on one more run, or clients; say whether the program is still there."""
        mark, descriptors, _, _ = socket.recv_fds(self._control_socket, 1, 2)
        if not mark:
            return False
        order, _ = self._control.receive_alone()
        if isinstance(order, Serve):
            self._gateway.clients.open(socket.socket(fileno=descriptors[0]), order)
            return True
        assert isinstance(order, Join)
        self._gateway.guests.agree(order.lost_after, order.most_bytes)
        if any(need.terms.codec not in (b"", BYTES) for need in order.needs.values()):
            sys.path[:] = order.path
            if not isinstance(sys.modules["__main__"], Main):
                install_main()
        link = RunLink(socket.socket(fileno=descriptors[0]), descriptors[1] if order.has_memory else None, order.needs)
        self._gateway.open(link)
        return True

    def look_at_keys(self) -> None:
        """Let in who is allowed now, and drop who is not any more."""
        self._keys_at = monotonic() + KEYS_SECONDS
        allowed = list(self._order.allowed)
        if self._order.folder is not None:
            try:
                allowed = KeyFolder(self._order.folder).allowed()
            except (KeyProblem, OSError) as error:
                # Who was allowed stays so: a file that is being written must not end a run.
                if str(error) != self._key_problem:
                    self._key_problem = str(error)
                    self._gateway.note(f"keys are not read anew: {error}")
                return
        for key in self._door.allow(allowed):
            self._gateway.guests.revoke(key)
