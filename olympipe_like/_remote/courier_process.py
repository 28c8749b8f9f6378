"""A courier as a process: what whoever forks, or answers requests itself, shares with it."""

from __future__ import annotations

import os
import socket
import subprocess

from olympipe_like._transport import store
from olympipe_like._worker import interpreter

LEAVE_SECONDS = 2.0  # how long a courier may take to say good-bye
RESTART_SECONDS = 1.0  # before another courier is tried, where one has died


class CourierProcess:
    """A fresh interpreter with the network.

    Attributes
    ----------
    control : socket
        What it is told by, and tells.
    lane : socket
        Takes the sockets of workers.
    memory : int or None
        Descriptor of the shared memory for large frames; None: the system has none.
    """

    def __init__(self, also: tuple[int, ...] = ()) -> None:
        self.control, theirs = socket.socketpair()
        self.lane, their_lane = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.memory: int | None = None
        try:
            self.memory = store.create()
        except OSError:
            pass  # large frames go through sockets: slower, the same results
        memory = () if self.memory is None else (self.memory,)
        sockets = (theirs.fileno(), their_lane.fileno())
        try:
            self._process = interpreter.start(
                "olympipe_like._remote.courier", *sockets, *(memory or (-1,)), passing=[*sockets, *memory, *also]
            )
        except BaseException:
            self._give_back()
            raise
        finally:
            theirs.close()
            their_lane.close()

    def close(self) -> None:
        """Give everything back; the courier has been told, or sees now, that it is over."""
        self._give_back()
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _give_back(self) -> None:
        self.control.close()
        self.lane.close()
        if self.memory is not None:
            os.close(self.memory)
            self.memory = None
