"""Where the display goes: what standard error leads to, and a stream for tqdm that never fails.

Knows terminals. Does not know what is shown.
"""

from __future__ import annotations

import contextlib
import os
import sys
from enum import Enum
from typing import TextIO

_USUAL_SIZE = (80, 24)  # columns and lines of a terminal that does not say


class Surface(Enum):
    """What standard error leads to, as far as drawing is concerned."""

    TERMINAL = "terminal"
    NOTEBOOK = "notebook"
    FILE = "file"  # or a pipe, or a terminal that cannot move its cursor
    NOWHERE = "nowhere"


def find_surface() -> Surface:
    """Return what standard error leads to now."""
    stream = sys.stderr
    if stream is None or getattr(stream, "closed", False):
        return Surface.NOWHERE
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if find_shell and any(kind.__name__ == "ZMQInteractiveShell" for kind in type(find_shell()).__mro__):
        return Surface.NOTEBOOK
    try:
        terminal = stream.isatty()
    except (AttributeError, OSError, ValueError):  # a stand-in for a stream, or closed beneath us
        return Surface.FILE
    return Surface.TERMINAL if terminal and os.environ.get("TERM") != "dumb" else Surface.FILE


class Screen:
    """Standard error as tqdm sees it: keeps what is written and passes it on in one piece, against flicker.

    What cannot be passed on, because the stream was closed or its reader is gone, is dropped: a run must not
    fail for its display.
    """

    def __init__(self, stream: TextIO, surface: Surface) -> None:
        self.surface = surface
        self._stream = stream
        self._written: list[str] = []
        self.encoding: str = getattr(stream, "encoding", None) or "ascii"

    def write(self, text: str) -> None:
        """Keep a text until `show`."""
        self._written.append(text)

    def flush(self) -> None:
        """Do nothing: `show` decides when."""

    def show(self) -> None:
        """Pass on what was written."""
        text = "".join(self._written)
        self._written.clear()
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed
            try:
                self._stream.write(text)
            except UnicodeEncodeError:  # names may hold any sign, streams not
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            if hasattr(self._stream, "flush"):  # print() does without
                self._stream.flush()

    def size(self) -> os.terminal_size:
        """Return how many columns and lines there are; the usual ones where nothing tells."""
        width, height = 0, 0
        if self.surface is Surface.TERMINAL:
            with contextlib.suppress(AttributeError, OSError, ValueError):  # a stand-in for a stream, or closed
                width, height = os.get_terminal_size(self._stream.fileno())
        elif self.surface is Surface.FILE:
            height = sys.maxsize
        asked = os.environ.get("COLUMNS", "")
        width = width or (int(asked) if asked.isdecimal() else 0) or _USUAL_SIZE[0]
        return os.terminal_size((width, height or _USUAL_SIZE[1]))
