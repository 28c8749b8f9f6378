"""Workers of this machine that a program starts itself: for trying things out, for tests, for one large machine."""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType

from olympipe_like._model.options import Remote
from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like._remote import temporary
from olympipe_like._remote.address import from_here
from olympipe_like._remote.keys import KeyFolder
from olympipe_like._worker import interpreter
from olympipe_like.errors import PlanError, PlanTypeError

STOP_SECONDS = 5.0


class Workers:
    """A worker command that runs beside this program, and ends with it; ``with`` ends it before.

    Attributes
    ----------
    process : subprocess.Popen
        The main process of the command.
    """

    def __init__(self, process: subprocess.Popen[bytes], leash: int) -> None:
        self.process = process
        self._leash = leash  # descriptor of a pipe to it, open as long as this program lives

    @property
    def pid(self) -> int:
        """The process id of the command."""
        return self.process.pid

    def stop(self) -> None:
        """Let it leave politely: its items go to others."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1

    def __enter__(self) -> Workers:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_workers(
    where: Remote, workers: int = 1, *, keys: str | os.PathLike[str] | None = None, name: str | None = None
) -> Workers:
    """Start ``olympipe-like worker`` on this machine, as a process of its own, and return it.

    Parameters
    ----------
    where : Remote
        What `remote` returned; it may be used before or after.
    workers : int, at least 1
        Worker processes.
    keys : str or path, optional
        The workers' folder of keys, where ``where`` has keys.
    name : str, optional
        What reports call the machine; its host name by default.

    Raises
    ------
    PlanError
        If an argument cannot be, or the workers would not be let in.
    """
    here = f"start_workers ({call_site()})"
    if not isinstance(where, Remote):
        raise PlanTypeError(f"{here}: give what remote(ADDRESS) returned, got {checks.show(where)}")
    count = checks.whole_number(here, "workers", workers, 1)
    if where.keys is not None and keys is None:
        raise PlanError(
            f"{here}: who comes to {where.address} must have a key, as remote(..., keys=...) says: make one for the "
            "workers with 'olympipe-like keys new NAME', allow it, and give keys=FOLDER"
        )
    if where.keys is None and keys is not None:
        raise PlanError(
            f"{here}: remote({where.address!r}) has no keys=, so who has a key is not let in: give both, or neither"
        )
    if keys is not None:
        checks.path(here, "keys", keys)
        KeyFolder(keys).own()  # what is wrong with them is said here, and not by a process of this program
    if name is not None:
        checks.text(here, "name", name)
    command = [sys.executable, "-m", "olympipe_like", "worker", from_here(where.address), "--workers", str(count)]
    if name is not None:
        command += ["--name", name]
    path = filter(None, [interpreter.PACKAGE_HOME, os.getenv("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    reads, leash = os.pipe()
    command += ["--program", str(reads)]
    try:
        if keys is not None:
            command += ["--keys", os.fspath(keys)]
        else:
            os.write(leash, temporary.worker_keys(where.address))
            command += ["--keys-from", str(reads)]
        process = subprocess.Popen(command, env=environment, pass_fds=[reads], stdin=subprocess.DEVNULL)
    except BaseException:
        os.close(leash)
        raise
    finally:
        os.close(reads)
    return Workers(process, leash)
