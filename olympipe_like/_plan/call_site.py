"""Where in the user's code a stage was added."""

from __future__ import annotations

import sys
from pathlib import Path

_OWN = str(Path(__file__).resolve().parent.parent)


def call_site() -> str:
    """Return ``file.py:line`` of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
