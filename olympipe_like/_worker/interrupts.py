"""Ctrl-C is the caller's affair: a terminal sends it to every process of the program, and only one shall act on it.

So are other signals that come to all of them. Whoever stops the program may send them, and the caller may have a
handler that finishes what is on its way.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# What Slurm, systemd, timeout and a terminal that closes send to every process of a program.
_TO_ALL = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_before: dict[signal.Signals, Any] = {}  # how this process, or the one it is a fork of, met them when it began


@contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back, here for some milliseconds, and in a process that is started meanwhile until it can ignore it.

    A fresh interpreter needs some 20 ms before a line of ours runs. A Ctrl-C in them would end it with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the caller: it ends the run, which ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Of a caller that ignores it we inherit that, and the system would not tell how our own children ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # one that was held back is forgotten


def outlive_the_run() -> None:
    """Leave what comes to all processes to the caller, too, until it is gone: nobody can replace this process.

    Forks of it undo that: a process that a function starts in them could not be ended by ``terminate()``.
    """
    for number in _TO_ALL:
        if signal.getsignal(number) is not None:  # else it has a handler in C, which could not be put back
            _before[number] = signal.signal(number, signal.SIG_IGN)


def as_at_the_beginning() -> None:
    """Undo `outlive_the_run`, in a fork of the process that did it."""
    for number, handler in _before.items():
        signal.signal(number, handler)
    _before.clear()


def ignore_all() -> None:
    """Leave all that asks for an end to whoever started this process: it sees that one go, and has to say good-bye."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # as above
