"""A machine that works for hubs: forks the worker processes its courier asks for, and looks after them.

One thread, no ZeroMQ and none of the user's modules, so that it can fork at any time.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from time import monotonic

from olympipe_like._executors.deadlines import Deadlines
from olympipe_like._executors.processes import CannotStart, WorkerProcess
from olympipe_like._model.identity import WorkerId
from olympipe_like._plan.segment import Label
from olympipe_like._remote.courier_process import RESTART_SECONDS, CourierProcess
from olympipe_like._remote.household import Died, Fork, Forked, Kill, Leave, NotForked, Over, Tell, Visiting
from olympipe_like._remote.luggage import install
from olympipe_like._remote.serialising import serializer_of
from olympipe_like._remote.speech import MOST_BODY_BYTES, Ended, Terms
from olympipe_like._transport import codec
from olympipe_like._transport.connection import Channel
from olympipe_like._transport.loading import load
from olympipe_like._transport.progress_cell import ProgressCell
from olympipe_like._worker.loop import WorkerOrder
from olympipe_like._worker.output import LogLevels
from olympipe_like._worker.sending import Limit, limit
from olympipe_like._worker.stacks import StackFile, show_on_signal
from olympipe_like._worker.startup import Surroundings, keep_large_blocks


class _Process:
    """One worker process."""

    def __init__(self, number: int, process: WorkerProcess) -> None:
        self.number = number
        self.process = process
        self.overdue: tuple[int, float] | None = None  # the item it was ended for, and when that had begun


class Machine:
    """The main process of ``olympipe-like worker``.

    Parameters
    ----------
    visiting : Visiting
        Where to go, as whom, with how many workers.
    say : callable
        Prints a line for whoever looks at the terminal.
    program : int, optional
        Descriptor of a pipe from the program that started this one, which ends with it.
    """

    def __init__(self, visiting: Visiting, say: Callable[[str], None], program: int | None = None) -> None:
        self._visiting = visiting
        self._say = say
        self._processes: dict[int, _Process] = {}
        self._deadlines = Deadlines()
        self._selector = selectors.DefaultSelector()
        self._program = program
        self._why_leave = ""
        self._code: int | None = None

    def run(self) -> int:
        """Work until told to leave; return the exit code."""
        self._context = load("multiprocess").get_context("fork")
        keep_large_blocks()
        show_on_signal(StackFile().descriptor)
        woken, wakes = socket.socketpair()
        woken.setblocking(False)
        wakes.setblocking(False)
        self._inherited = [woken, wakes]
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would not be told how its children ended
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda found, _: self._leave(signal.Signals(found).name))
        self._selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(64))
        if self._program is not None:
            # Nothing more is written to it.
            self._selector.register(self._program, selectors.EVENT_READ, lambda: self._leave("its program has ended"))
        while self._code is None:
            self._serve_one_courier()
            if self._code is None:
                self._say("the courier process has ended; starting another")
                time.sleep(RESTART_SECONDS)
        self._selector.close()
        return self._code

    # -- one courier --------------------------------------------------------------------------------------------------

    def _serve_one_courier(self) -> None:
        process = CourierProcess()
        self._lane, self._memory = process.lane, process.memory
        self._courier = Channel(process.control)
        self._courier.send(self._visiting)
        self._selector.register(process.control, selectors.EVENT_READ, self._from_courier)
        try:
            while self._code is None and not self._courier.is_gone:
                self._wait()
        finally:
            self._kill_all()
            self._selector.unregister(process.control)
            process.close()

    def _wait(self) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._courier.wants_to_write else 0)
        self._selector.modify(self._courier, events, self._from_courier)
        due = self._deadlines.next_look(monotonic())
        for key, found in self._selector.select(None if due is None else max(due - monotonic(), 0)):
            if key.fileobj is self._courier and found & selectors.EVENT_WRITE:
                self._courier.flush()
            if found & selectors.EVENT_READ and self._code is None:
                key.data()
        self._end_overdue()
        if self._why_leave:
            self._say(f"leaving ({self._why_leave})")
            self._courier.send(Leave("it was asked to"))  # first: the items go to others at once
            self._code = 0

    def _leave(self, why: str) -> None:
        self._why_leave = self._why_leave or why

    def _from_courier(self) -> None:
        for message, _ in self._courier.receive():
            match message:
                case Fork():
                    self._fork(message)
                case Kill():
                    if message.worker in self._processes:
                        self._processes[message.worker].process.kill()
                case Tell():
                    self._say(message.text)
                case Over():
                    self._say(message.text)
                    self._code = message.code

    # -- workers ------------------------------------------------------------------------------------------------------

    def _fork(self, message: Fork) -> None:
        terms = message.terms
        if terms.own_target:
            why = "it answers requests of a Broker: there, workers of olympipe_like.requests are wanted"
            self._say(f"refused for stage {terms.label[0]!r}: {why}")
            self._courier.send(NotForked(message.number, why))
            return
        if missing := [name for name in terms.needs if not _is_there(name)]:
            names = ", ".join(repr(name) for name in missing)
            why = f"it has no module {names}; install it there, or send it along with remote(..., modules=[...])"
            self._say(f"refused for stage {terms.label[0]!r}: {why}")
            self._courier.send(NotForked(message.number, why))
            return
        label = Label(*terms.label)
        here = Surroundings.here()
        order = WorkerOrder(
            worker=WorkerId(message.identity),
            slot=message.slot,
            label=label,
            senders=tuple(Label(*sender) for sender in terms.senders),
            shipment=terms.shipment,
            classes=terms.classes,
            surroundings=here._replace(levels=LogLevels(*terms.levels)),
            parent=os.getpid(),
            memory=self._memory,
            cell=ProgressCell(),
            tells_rss=terms.tells_rss,
            host=self._visiting.host,
        )
        name = f"olympipe-{label.name}-{message.slot}"
        try:
            process = WorkerProcess(self._context, order, name, partial(self._in_a_worker, terms))
        except CannotStart as error:
            self._courier.send(NotForked(message.number, f"no process could be started: {error.__cause__}"))
            return
        worker = self._processes[message.number] = _Process(message.number, process)
        self._selector.register(process.death_handle, selectors.EVENT_READ, partial(self._died, worker))
        if terms.timeout is not None and process.cell is not None:
            identity = WorkerId(message.number)
            self._deadlines.watch(identity, process.cell, terms.timeout)
            self._deadlines.set_busy(identity, busy=True)
        socket.send_fds(self._lane, [message.number.to_bytes(8, "big")], [process.channel.fileno()])
        process.channel.close()
        self._courier.send(Forked(message.number, process.pid))

    def _in_a_worker(self, terms: Terms) -> None:
        """In a new worker: take the modules that came along; close its copies of what is ours and the others'."""
        install(terms.modules)
        serializer = serializer_of(terms.codec, terms.classes)
        if serializer is not None:
            codec.use(serializer)
        limit(Limit(terms.most_bytes, terms.most_bytes + MOST_BODY_BYTES // 2))
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for each in self._processes.values():
            each.process.stacks.close()
        self._selector.close()
        self._courier.close()
        self._lane.close()
        for sock in self._inherited:
            sock.close()

    def _end_overdue(self) -> None:
        for identity, at in self._deadlines.overdue(monotonic()):
            worker = self._processes[int(identity)]
            worker.overdue = at
            self._deadlines.forget(identity)
            worker.process.kill()

    def _died(self, worker: _Process) -> None:
        process = worker.process
        self._selector.unregister(process.death_handle)
        self._deadlines.forget(WorkerId(worker.number))
        del self._processes[worker.number]
        pid = process.pid
        at = process.cell.read() if process.cell is not None else None
        code = process.reap()
        # Between our look and its end it may have come to the next item, which is not to blame.
        excused = worker.overdue is not None and worker.overdue != at
        timed_out = worker.overdue is not None and not excused
        ordinal = at[0] if at is not None and not excused else None
        self._courier.send(Died(worker.number, Ended(code, pid, ordinal, timed_out, excused)))

    def _kill_all(self) -> None:
        for worker in list(self._processes.values()):
            worker.process.kill()
            self._died(worker)  # waits for the end, which is certain now


def _is_there(module: str) -> bool:
    """Whether a top-level module can be imported; none is."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
