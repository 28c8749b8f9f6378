"""Workers of this machine that a program starts itself: for trying things out, for tests, for one large machine."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like._remote import temporary
from olympipe_like._remote.address import from_here
from olympipe_like._remote.keys import SecretKey
from olympipe_like._remote.starting import STOP_SECONDS
from olympipe_like._transport.callables import ShippingError, install_main, pack, pack_main_classes, unpack
from olympipe_like._worker import interpreter
from olympipe_like._worker.interrupts import ignore_interrupts
from olympipe_like.errors import PlanTypeError
from olympipe_like.requests.outcome import format_of
from olympipe_like.requests.visitor import frames_held, visitor
from olympipe_like.requests.worker import Worker

_LENGTH_BYTES = 8


class _Order(NamedTuple):
    """What such a process is told."""

    shipment: bytes  # target, dumps, loads
    classes: dict[str, bytes]  # of the program's __main__
    path: list[str]  # its sys.path
    address: str
    keys: str | None
    throwaway: tuple[SecretKey, str] | None  # instead of a folder
    options: dict[str, Any]


class Workers:
    """Processes that work beside this program; ``with`` ends them.

    Attributes
    ----------
    processes : list of subprocess.Popen
        One for each worker.
    """

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self.processes = processes  # the pipe to each is open as long as this program lives, and ends them with it

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self.processes]

    def stop(self) -> None:
        """Let them leave politely: what they have not answered goes to others."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def __enter__(self) -> Workers:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_workers(
    target: Callable[[Any], Any],
    address: str,
    workers: int = 1,
    *,
    prefetch: int = 1,
    keys: str | os.PathLike[str] | None = None,
    broker: str | None = None,
    dumps: Callable[[Any], bytes] | None = None,
    loads: Callable[[bytes], Any] | None = None,
    name: str | None = None,
) -> Workers:
    """Start processes on this machine in each of which a `Worker` answers requests, and return them.

    The target travels to them by value, as functions of pipelines do. They end with this program. The arguments are
    those of `Worker`, and ``workers``, how many, at least 1.
    """
    where = f"start_workers ({call_site()})"
    checks.sync_function(where, "target", target)
    count = checks.whole_number(where, "workers", workers, 1)
    if isinstance(address, str):
        address = from_here(address)
    frames_held(where, prefetch)
    found = visitor(where, address, keys, broker, name)
    format_of(where, dumps, loads)
    try:
        shipment = pickle.dumps(pack((target, dumps, loads)), protocol=5)
    except ShippingError as error:
        raise PlanTypeError(f"{where}: target, dumps or loads cannot be sent to processes: {error}") from error
    order = _Order(
        shipment,
        pack_main_classes(),
        sys.path,
        address,
        None if keys is None else os.fspath(keys),
        (found.own, found.hub) if keys is None else None,
        {"prefetch": prefetch, "broker": broker, "name": name},
    )
    data = pickle.dumps(order, protocol=5)
    started = Workers([])
    try:
        for _ in range(count):
            process = interpreter.start("olympipe_like.requests.starting", stdin=subprocess.PIPE)
            started.processes.append(process)
            assert process.stdin is not None
            process.stdin.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
            process.stdin.flush()
    except BaseException:
        started.stop()
        raise
    return started


def main() -> None:
    """Be such a process; the order comes through stdin, which stays open as long as the program lives."""
    ignore_interrupts()
    program = sys.stdin.buffer
    order = pickle.loads(program.read(int.from_bytes(program.read(_LENGTH_BYTES), "big")))
    assert isinstance(order, _Order)
    sys.path[:] = order.path
    if order.throwaway is not None:
        temporary.take_over(order.address, *order.throwaway)
    install_main()
    target, dumps, loads = unpack(pickle.loads(order.shipment), order.classes)
    worker = Worker(target, order.address, keys=order.keys, dumps=dumps, loads=loads, **order.options)

    def leave(*_: object) -> None:
        worker.cancel()
        os._exit(0)  # whatever the target is at: its request is with others already

    def leave_with_the_program() -> None:
        os.read(program.fileno(), 1)  # not through the buffer, whose lock the interpreter needs when it ends
        leave()

    signal.signal(signal.SIGTERM, leave)
    threading.Thread(target=leave_with_the_program, daemon=True).start()
    worker.process_requests()
