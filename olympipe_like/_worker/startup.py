"""A worker process's first lines: signals, its parent's death, memory, the caller's surroundings."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from functools import cache
from typing import NamedTuple

from olympipe_like._worker.interrupts import as_at_the_beginning, ignore_interrupts
from olympipe_like._worker.output import LogLevels
from olympipe_like._worker.stacks import show_on_signal

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Surroundings(NamedTuple):
    """What a process of the run takes over from the caller, who may have changed it since the hub was started."""

    directory: str
    path: tuple[str, ...]
    environment: dict[str, str]
    levels: LogLevels

    @staticmethod
    def here() -> Surroundings:
        """Return those of this process."""
        try:
            directory = os.getcwd()  # noqa: PTH109 - pathlib would cost every process 4 ms
        except OSError:  # it was removed under us
            directory = "/"
        return Surroundings(directory, tuple(sys.path), dict(os.environ), LogLevels.here())

    def take_over(self) -> None:
        """Make them those of this process."""
        try:
            os.chdir(self.directory)
        except OSError:
            pass  # gone since; relative paths fail where the user meets them
        sys.path[:] = self.path
        if os.environ != self.environment:
            os.environ.clear()
            os.environ.update(self.environment)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies, even while it computes in C."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before it was asked


def keep_large_blocks() -> None:
    """Tell glibc not to give large blocks back: arrays of 1 MiB would fault anew at each stage (248 to 900 MiB/s).

    Forks inherit it.
    """
    if sys.platform == "linux":
        libc = _libc()
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
            libc.mallopt(_M_TRIM_THRESHOLD, 512 << 20)


def resident_bytes() -> int:
    """Return how much memory this process holds for itself, without what it shares; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 - as above
            _, resident, shared, *_ = file.read().split()
    except OSError:
        return 0
    # The run's shared memory is mapped: a worker that has read much of it holds none of it.
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGESIZE")


def prepare(parent: int, surroundings: Surroundings, stacks: int | None) -> None:
    """Do all of it."""
    as_at_the_beginning()
    ignore_interrupts()
    show_on_signal(stacks)
    die_with(parent)
    if sys.stderr is not None:
        faulthandler.enable()
    surroundings.take_over()
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()  # the hub's state was inherited: every worker would draw the same numbers
