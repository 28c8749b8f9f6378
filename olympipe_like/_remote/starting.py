"""Workers of this machine that a program starts itself: for trying things out, for tests, for one large machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from olympipe_like._model.options import Remote
from olympipe_like._remote import temporary

STOP_SECONDS = 5.0
_PACKAGE_HOME = str(Path(__file__).resolve().parent.parent.parent)


class Workers:
    """A worker command that runs beside this program; ``with`` ends it.

    Attributes
    ----------
    process : subprocess.Popen
        The main process of the command.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

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
    """
    command = [sys.executable, "-m", "olympipe_like", "worker", where.address, "--workers", str(workers)]
    if name is not None:
        command += ["--name", name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [_PACKAGE_HOME, os.getenv("PYTHONPATH")]))}
    if keys is not None:
        process = subprocess.Popen(
            [*command, "--keys", os.fspath(keys)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        return Workers(process)
    reads, writes = os.pipe()
    try:
        os.write(writes, temporary.worker_keys(where.address))
        process = subprocess.Popen(
            [*command, "--keys-from", str(reads)],
            env=environment,
            pass_fds=[reads],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    finally:
        os.close(reads)
        os.close(writes)
    return Workers(process)
