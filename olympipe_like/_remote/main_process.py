"""A courier's parent, as the courier sees it: whether it is there, and whether it runs."""

from __future__ import annotations

import os


class MainProcess:
    """Made by the courier at its start."""

    def __init__(self) -> None:
        self.pid = os.getppid()
        self._stopped_since: float | None = None

    @property
    def has_gone(self) -> bool:
        """Whether it has ended; a fork of it may still hold our connection."""
        return os.getppid() != self.pid

    def stopped_for(self, now: float) -> float:
        """Return for how many seconds it has been seen stopped (Ctrl-Z, SIGSTOP, a debugger); 0: it runs."""
        if not _is_stopped(self.pid):
            self._stopped_since = None
            return 0.0
        if self._stopped_since is None:
            self._stopped_since = now
        return now - self._stopped_since


def _is_stopped(pid: int) -> bool:
    """Whether a process is stopped; False where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib takes milliseconds to import
            state = file.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in (b"T", b"t")
