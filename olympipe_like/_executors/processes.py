"""Worker processes, the hub's side: forked, each with a socket of its own, their deaths seen by handle."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from olympipe_like._transport.connection import Channel
from olympipe_like._worker.loop import WorkerOrder, main
from olympipe_like._worker.stacks import StackFile


class CannotStart(Exception):
    """The system has no room for another process; ``__cause__`` says of what there is too little."""

    def __init__(self, order: WorkerOrder) -> None:
        super().__init__(order)
        self.order = order


class WorkerProcess:
    """One worker process.

    No lock and no pipe is shared with another worker: whatever instant this one dies at, the others go on.

    Raises
    ------
    CannotStart
        If the system refuses a process or the descriptors for it.
    """

    def __init__(self, context: Any, order: WorkerOrder, name: str, close_first: Callable[[], None]) -> None:
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise CannotStart(order) from error
        try:
            self.stacks = StackFile()
        except OSError as error:
            ours.close()
            theirs.close()
            raise CannotStart(order) from error
        self.cell = order.cell
        order = order._replace(stacks=self.stacks.descriptor)
        self.channel = Channel(ours)
        self._handle: int | None = None
        self._process = context.Process(target=_begin, args=(order, theirs, ours, close_first), name=name)
        # Not a daemon: the user's function may start processes of its own.
        self._process.daemon = False
        try:
            self._process.start()
        except OSError as error:
            ours.close()
            self.stacks.close()
            raise CannotStart(order) from error
        finally:
            theirs.close()
        self.pid: int = self._process.pid
        if hasattr(os, "pidfd_open"):
            try:
                self._handle = os.pidfd_open(self.pid)
            except OSError:
                pass  # a kernel before 5.3, or a sandbox that forbids it: the sentinel below does

    @property
    def death_handle(self) -> int:
        """A descriptor that becomes readable when the process has ended.

        The sentinel is a pipe that ends only when the worker's own children have closed it too, hence second choice.
        """
        sentinel: int = self._process.sentinel
        return self._handle if self._handle is not None else sentinel

    def kill(self) -> None:
        """End the process at once, even if it is stopped."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was faster

    def reap(self) -> int | None:
        """Return the exit code of a process that has ended, below 0 for a signal; give everything back."""
        self._process.join()
        code: int | None = self._process.exitcode
        self.channel.close()
        self.stacks.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self._process.close()
        if self.cell is not None:
            self.cell.close()
        return code


def _begin(order: WorkerOrder, sock: socket.socket, other_end: socket.socket, close_first: Callable[[], None]) -> None:
    # The other ends of all sockets were inherited: as long as one copy is open nobody sees that the hub is gone.
    other_end.close()
    close_first()
    main(order, sock)
