"""How a worker process died, in words."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Mapping, Sequence

from olympipe_like._model.commands import GiveUp
from olympipe_like._model.failure import READING, Failure, GivenUp
from olympipe_like._model.identity import StageId
from olympipe_like._plan.segment import Label
from olympipe_like.errors import InternalError, TooManyFailures


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


def title_of(label: Label, slot: int, pid: int | None, host: str = "") -> str:
    """Return which worker it is; ``host``: the machine, where it is another.

    >>> title_of(Label("decode", "task", 2, 3), 1, 4711, "nodeb")
    'worker 2.1 on nodeb, pid 4711'
    """
    on = f" on {host}" if host else ""
    return f"worker {label.number}.{slot}{on}, pid {pid}"


def notice_of_death(
    label: Label, slot: int, pid: int, exit_code: int | None, timeout: float | None, host: str = ""
) -> tuple[str, str]:
    """Return who a lost worker was and what to say of its end; ``timeout``: what an item of it exceeded."""
    title = title_of(label, slot, pid, host)
    cause = (
        cause_of_death(exit_code) if timeout is None else f"worker was ended: an item took longer than {timeout:g} s"
    )
    return title, f"stage {label.number}/{label.of} {label.name!r}: {cause} [{title}]"


def given_up(label: Label, case: GivenUp, timeout: float | None, host: str = "") -> Failure:
    """Return the failure of an item that is not run again; which item it is the next worker adds."""
    worker = title_of(label, case.slot, case.pid, host)
    place = f"{label.number}/{label.of}"
    tries = f"; gave up after {case.attempts} attempts" if case.attempts > 1 else ""
    reading = case.ordinal >= READING
    if not case.timed_out:
        what = cause_of_death(case.exit_code) + " while it unpickled the item" * reading + tries
        return Failure(kind="worker", stage=label.name, place=place, what=what, worker=worker, attempts=case.attempts)
    what = f"took longer than timeout={timeout:g} s" + " to be unpickled" * reading
    return Failure(
        stage=label.name,
        place=place,
        what=what + tries,
        worker=worker,
        exception=pickle.dumps(TimeoutError(what)),
        attempts=case.attempts,
    )


def too_many(command: GiveUp, labels: Mapping[StageId, Label]) -> Failure:
    """Return the failure of a run in which more items failed than allowed."""
    found = [(labels[stage], count) for stage, count in command.stages]
    stages = tuple(f"{count} at stage {label.number}/{label.of} {label.name!r}" for label, count in found)
    error = TooManyFailures(command.failed, command.seen, command.allowed, stages)
    return Failure(kind="run", stage="", place="", what=str(error), exception=pickle.dumps(error))


def not_started(label: Label, slot: int, cause: object) -> Failure:
    """Return the failure of a run whose worker, or source, got no process."""
    what = f"could not be started: {cause}"
    if label.kind == "source":
        return Failure(kind="source", stage=label.name, place="", what=f"its process {what}", position="at its start")
    place, worker = f"{label.number}/{label.of}", f"worker {label.number}.{slot}"
    return Failure(kind="worker", stage=label.name, place=place, what=f"worker {what}", worker=worker)


def no_room(cause: object) -> str:
    """Return what is said of a worker that there was no room for, and that is not needed."""
    return f"no room for another worker of those that stages share: {cause}; the run goes on with those it has"


def unbalanced(discrepancies: Sequence[str]) -> Failure:
    """Return the failure of a run whose books do not agree: a fault of this library."""
    error = InternalError("items were lost or doubled: " + "; ".join(discrepancies))
    return Failure(kind="run", stage="", place="", what=str(error), exception=pickle.dumps(error))


def worker_lost(
    label: Label, slot: int, pid: int | None, exit_code: int | None, held: int, attempts: int, host: str = ""
) -> Failure:
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
        worker=title_of(label, slot, pid, host),
    )
