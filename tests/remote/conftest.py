"""Real workers as processes of their own, on loopback; nothing of them or of the gateway is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import olympipe_like
from olympipe_like._remote import temporary
from olympipe_like._remote.gateways import close_gateways
from olympipe_like.remote import remote

ROOT = Path(olympipe_like.__file__).parents[1]


@pytest.fixture(autouse=True)
def no_gateway_is_left(nothing_is_left_behind: None) -> Iterator[None]:
    yield
    close_gateways()


@pytest.fixture
def address() -> str:
    return free_address()


def free_address(host: str = "127.0.0.1") -> str:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 0))
        return f"tcp://{host}:{sock.getsockname()[1]}"


class Machine:
    """An ``olympipe-like worker`` in a process group of its own; what it says is kept."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def text(self) -> str:
        """What it has said on its terminal so far."""
        return self._log.read_text()

    def signal(self, number: int, *, everybody: bool = False) -> None:
        """Send a signal to the command, or to all its processes."""
        (os.killpg if everybody else os.kill)(self.process.pid, number)

    def end(self) -> None:
        try:
            self.signal(signal.SIGCONT, everybody=True)
            self.signal(signal.SIGKILL, everybody=True)
        except ProcessLookupError:
            pass  # it has ended already
        self.process.wait()


class Machines:
    """Starts them."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._address = address
        self.all: list[Machine] = []

    def __call__(
        self,
        workers: int = 1,
        *options: str,
        name: str | None = None,
        address: str | None = None,
        keys: Path | None = None,
        prelude: str = "",
        cwd: Path | None = None,
    ) -> Machine:
        """Start one; ``prelude``: Python that it runs first."""
        log = self._folder / f"machine{len(self.all)}.log"
        arguments = ["worker", address or self._address, "--workers", str(workers)]
        arguments += ["--name", name or f"node{len(self.all)}", *options]
        passed = []
        if keys is not None:
            arguments += ["--keys", str(keys)]
        else:
            reads, writes = os.pipe()
            os.write(writes, temporary.worker_keys(self._address))
            os.close(writes)
            passed = [reads]
            arguments += ["--keys-from", str(reads)]
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{prelude}\nfrom olympipe_like.__main__ import main\n"
        code += f"sys.exit(main({arguments!r}))"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=passed,
                start_new_session=True,
                cwd=cwd or ROOT,
                text=True,
            )
        for each in passed:
            os.close(each)
        machine = Machine(process, log)
        self.all.append(machine)
        return machine


@pytest.fixture
def machines(tmp_path: Path, address: str, no_gateway_is_left: None) -> Iterator[Machines]:
    """Start workers that come to the test's address."""
    made = Machines(tmp_path, address)
    yield made
    for machine in made.all:
        machine.end()


@pytest.fixture
def hub(address: str) -> Callable[..., object]:
    """Return remote workers at the test's address, with short patience."""

    def make(**options: object):
        return remote(address, **{"lost_after": 2.0, "reconnect_for": 5.0, **options})

    return make
