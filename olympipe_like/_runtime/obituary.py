"""How a worker process died, in words."""

from __future__ import annotations

import signal

from olympipe_like._model.failure import Failure
from olympipe_like._plan.layout import Label


def cause_of_death(exit_code: int | None) -> str:
    """Return what an exit code says.

    >>> cause_of_death(1), cause_of_death(-9), cause_of_death(-11)
    ('worker exited with code 1', "worker was killed by SIGKILL (often the kernel's out-of-memory killer)", \
'worker crashed with SIGSEGV')
    """
    if exit_code is None:
        return "worker died, nobody knows how"
    if exit_code >= 0:
        return f"worker exited with code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if name == "SIGKILL":
        return f"worker was killed by {name} (often the kernel's out-of-memory killer)"
    verb = "was ended by" if name in ("SIGTERM", "SIGINT", "SIGHUP") else "crashed with"
    return f"worker {verb} {name}"


def worker_lost(label: Label, slot: int, pid: int | None, exit_code: int | None, held: int, attempts: int) -> Failure:
    """Return the failure of a run whose worker died once too often; ``held``: items of the frame it worked on."""
    what = cause_of_death(exit_code)
    if attempts > 1:
        what += f"; gave up after {attempts} attempts"
    if label.kind == "source":
        text = what.replace("worker", "its process", 1)
        return Failure(kind="source", stage=label.name, place="", what=text, position="before its end")
    return Failure(
        kind="worker",
        stage=label.name,
        place=f"{label.number}/{label.of}",
        what=what,
        position=f"it held {held} item{'' if held == 1 else 's'}" if held else "",
        worker=f"worker {label.number}.{slot}, pid {pid}",
    )
