"""What a worker is doing: stacks of another process, of a thread of this one, of a coroutine.

Another process is asked by a signal. faulthandler answers it in C, so it does even while the process computes in C and
holds the interpreter's lock. A process that is stopped answers when it goes on.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from types import FrameType
from typing import Any

SIGNAL: int | None = signal.SIGRTMIN + 9 if sys.platform == "linux" else None
"""Asks a process of a run for its stacks. Real-time signals have no meaning of their own; the first ones are the C
library's and profilers'."""

FILE_NAME = "olympipe-stacks"  # what /proc shows behind the descriptor, for whoever looks from outside
_MOST_BYTES = 16_000  # of one process's answer: some forty threads of ten frames


class StackFile:
    """Where a process writes its stacks, and whoever started it reads them: a file without a name, inherited by fork.

    Where there is no signal or no such file it stays empty; that is no reason to do without the worker.
    """

    def __init__(self) -> None:
        self.descriptor: int | None = None
        if SIGNAL is None:
            return
        try:
            if hasattr(os, "memfd_create"):
                self.descriptor = os.memfd_create(FILE_NAME)
            else:
                import tempfile  # 3 ms for every process, and most systems have memfds

                with tempfile.TemporaryFile() as file:
                    self.descriptor = os.dup(file.fileno())
        except OSError:
            pass  # no descriptor is left, or a sandbox forbids it

    def ask(self, pid: int) -> bool:
        """Ask the process for its stacks; say whether that could be done. It needs some hundredths of a second."""
        if self.descriptor is None or SIGNAL is None:
            return False
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)  # the process writes at the same place: it shares this descriptor
        try:
            os.kill(pid, SIGNAL)
        except ProcessLookupError:
            return False
        return True

    def read(self) -> str:
        """Return what the process has written since it was asked."""
        if self.descriptor is None:
            return ""
        return os.pread(self.descriptor, _MOST_BYTES, 0).decode(errors="replace").rstrip()

    def close(self) -> None:
        """Give the descriptor back."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def show_on_signal(descriptor: int | None) -> None:
    """Let this process write the stacks of all its threads to a descriptor whenever it is asked."""
    if descriptor is not None and SIGNAL is not None:
        faulthandler.register(SIGNAL, file=descriptor, all_threads=True, chain=False)


def of_thread(ident: int | None) -> str:
    """Return the stack of a thread of this process, innermost call last; empty if it has ended."""
    frame = sys._current_frames().get(ident) if ident is not None else None
    # How threading came to call it is the same for all.
    calls = [call for call in traceback.extract_stack(frame) if call.filename != threading.__file__] if frame else []
    return "".join(traceback.format_list(calls)).rstrip()


def of_coroutine(coroutine: Any) -> str:
    """Return where a suspended coroutine stands, innermost call last; empty if it has ended."""
    found: list[tuple[FrameType, int]] = []
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        found.append((frame, frame.f_lineno))
        coroutine = coroutine.cr_await
    return "".join(traceback.StackSummary.extract(iter(found)).format()).rstrip()
