"""A courier as a process: what whoever forks, or answers requests itself, shares with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from olympipe_like._transport import store
from olympipe_like._worker import interrupts

LEAVE_SECONDS = 2.0  # how long a courier may take to say good-bye
RESTART_SECONDS = 1.0  # before another courier is tried, where one has died

_START = (
    "import sys; sys.path.insert(0, sys.argv[4]); "
    "from olympipe_like._remote.courier import main; main(*map(int, sys.argv[1:4]))"
)
_PACKAGE_HOME = str(Path(__file__).resolve().parent.parent.parent)


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
        numbers = [str(each) for each in (theirs.fileno(), their_lane.fileno(), *(memory or (-1,)))]
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        try:
            with interrupts.held_back():
                self._process = subprocess.Popen(
                    [sys.executable, *flags, "-c", _START, *numbers, _PACKAGE_HOME],
                    pass_fds=[theirs.fileno(), their_lane.fileno(), *memory, *also],
                    stdin=subprocess.DEVNULL,
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
