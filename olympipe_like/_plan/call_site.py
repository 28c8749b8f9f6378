"""Where in the user's code a stage was added."""

from __future__ import annotations

import sys

_OWN = __file__[: -len("/_plan/call_site.py")]  # pathlib would cost every process 4 ms


def call_site() -> str:
    """Return ``file.py:line`` of the nearest caller outside this package."""
    frame = sys._getframe(levels_to_caller() - 1)
    file = frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{file}:{frame.f_lineno}"


def levels_to_caller() -> int:
    """Return the ``stacklevel`` by which a warning of whoever asks shows the nearest caller outside this package."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
        level += 1
    return level
