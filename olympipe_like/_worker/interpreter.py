"""Starts fresh interpreters that run one of our mains: none of the caller's modules, threads and locks is in them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from olympipe_like._worker import interrupts

PACKAGE_HOME = __file__[: -len("/olympipe_like/_worker/interpreter.py")]

# Without garbage collection imports take a tenth less time.
_START = (
    "import gc, sys; gc.disable(); sys.path.insert(0, sys.argv[1]); "
    "from {module} import main; gc.enable(); main(*map(int, sys.argv[2:]))"
)


def start(
    module: str,
    *numbers: int,
    passing: Sequence[int] = (),
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start an interpreter that calls ``main`` of a module with these numbers, and return the process.

    Ctrl-C is held back from it; its main has to call `interrupts.ignore_interrupts`, or to do better.

    Parameters
    ----------
    module : str
        A module of ours.
    *numbers : int
        Arguments of its ``main``, mostly descriptors.
    passing : sequence of int
        Descriptors that it inherits.
    stdin, stdout, stderr : int or None
        As `subprocess.Popen` takes them.

    Raises
    ------
    OSError
        If the system has no room for it.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    command = [sys.executable, *flags, "-c", _START.format(module=module), PACKAGE_HOME, *map(str, numbers)]
    with interrupts.held_back():
        return subprocess.Popen(command, pass_fds=passing, stdin=stdin, stdout=stdout, stderr=stderr)
