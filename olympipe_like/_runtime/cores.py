"""How many processors there are for a run."""

from __future__ import annotations

import os


def usable_cores() -> int | None:
    """Return how many processors this process may use; None: not known."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def auto_workers(stages: int) -> int:
    """Return how many workers so many stages with ``workers="auto"`` share unless the user says it.

    Each has one, whether it needs it or not. So that one stage may have as many as there are processors when the
    others have nothing to do, theirs are not counted.
    """
    return (usable_cores() or 1) + stages - 1
