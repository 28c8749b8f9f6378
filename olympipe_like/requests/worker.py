"""A worker that brings its function along: answers requests of a broker, in the thread that says `process_requests`.

To the broker it is a machine with one worker. A courier process has the network, as on every machine; this process is
what forks there, and here runs the one worker itself.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import socket
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from olympipe_like._model.identity import WorkerId
from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.segment import Label
from olympipe_like._remote.courier_process import RESTART_SECONDS, CourierProcess
from olympipe_like._remote.household import Died, Fork, Forked, Kill, Leave, NotForked, Over, Tell, Visiting
from olympipe_like._remote.speech import Ended
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.messages import Ready
from olympipe_like._transport.progress_cell import ProgressCell, shared_page
from olympipe_like._transport.store import Memory
from olympipe_like._worker.loop import WorkerOrder, serve
from olympipe_like._worker.port import Port
from olympipe_like._worker.program import Program
from olympipe_like._worker.startup import Surroundings
from olympipe_like.errors import PipelineExecutionError
from olympipe_like.requests.desk import Desk
from olympipe_like.requests.outcome import format_of
from olympipe_like.requests.visitor import frames_held, visitor

if TYPE_CHECKING:
    from olympipe_like.graph.graph import Graph

_log = logging.getLogger(__name__)
_working: weakref.WeakSet[Worker] = weakref.WeakSet()


class _Job:
    """What a worker is for one run of the broker's."""

    def __init__(self, order: Fork, sock: socket.socket, memory: int | None, courier: Connection) -> None:
        self.order = order
        self.socket = sock
        self.memory = memory
        self.courier = courier

    def abandon(self) -> None:
        """Let whoever works on it meet the end at the next message."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the courier was faster

    def close(self) -> None:
        """Be done with it."""
        self.socket.close()
        if self.memory is not None:
            os.close(self.memory)
        _send(self.courier, Died(self.order.number, Ended(0, os.getpid(), None, timed_out=False, excused=False)))


class Worker:
    """Answers requests of the broker at an address with a function of this process.

    Parameters
    ----------
    target : callable
        ``target(request)`` returns the result. It is called here and never travels: a model in memory, a connection,
        a closure are all fine.
    address : str
        ``tcp://HOST:PORT`` of the broker; the broker may start later.
    prefetch : int, at least 0
        Requests that wait here beside the one at work (frames of some, where they are small). More for a long way.
    keys : str or path, optional
        The folder that ``olympipe-like keys`` made, or a ``NAME.secret`` in it. Without keys a worker works only for
        a broker of the same program, or of the one it was forked from.
    broker : str, optional
        Name of the broker's key, where the folder allows several.
    dumps, loads : callable, optional
        Both: how results are written and requests read; the broker must have the same. By default pickle.
    name : str, optional
        What errors and reports call this machine; its host name by default.

    Examples
    --------
    >>> from olympipe_like.requests import Broker, Worker
    >>> from threading import Thread
    >>> with Broker("tcp://127.0.0.1:5561") as broker, Worker(len, "tcp://127.0.0.1:5561") as worker:
    ...     Thread(target=worker.process_requests).start()
    ...     list(broker.imap(["a", "bc", ""]))
    [1, 2, 0]
    """

    def __init__(
        self,
        target: Callable[[Any], Any],
        address: str,
        prefetch: int = 1,
        *,
        keys: str | os.PathLike[str] | None = None,
        broker: str | None = None,
        dumps: Callable[[Any], bytes] | None = None,
        loads: Callable[[bytes], Any] | None = None,
        name: str | None = None,
    ) -> None:
        where = f"Worker ({call_site()})"
        checks.sync_function(where, "target", target)
        self._target = target
        self._name = checks.name_of(target, "target")
        self._holds = frames_held(where, prefetch)
        self._kind = format_of(where, dumps, loads)
        found = visitor(where, address, keys, broker, name)
        self._visiting = Visiting(found.address, found.own, found.hub, found.host, 1, forbid_pickle=False, linger=None)
        self._turn = threading.Condition()
        self._serving = threading.Lock()
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._jobs: dict[int, _Job] = {}  # waiting, and at hand
        self._courier: Connection | None = None
        self._listener: threading.Thread | None = None
        self._cell: ProgressCell | None = None
        self._cancelled = self._interrupted = False
        self._refused = ""

    @classmethod
    def from_graph(cls, graph: Graph, address: str, prefetch: int = 1, **options: Any) -> Worker:
        """Return a worker that applies an expression graph.

        A request is ``{"fetches": ..., "context": {...}}``, and the result what `Graph.apply` returns; or
        ``{"fetches": ..., "contexts": [...]}``, and the result a list. Only what is fetched travels back.
        """
        from olympipe_like.requests.graphs import target_of

        return cls(target_of(graph), address, prefetch, **options)

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Worker:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        return self  # nobody is met before somebody processes requests: they would wait here in vain

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def process_requests(self) -> None:
        """Answer requests, here in this thread, until `cancel`.

        Raises
        ------
        PipelineExecutionError
            If the broker will not have this worker.
        """
        self._begin()
        try:
            with self._serving:
                while not self._cancelled and (job := self._waiting.get()) is not None:
                    self._work(job)
                self._waiting.put(None)  # for whoever calls it once more
        except BaseException:
            self.cancel()
            raise
        if self._refused:
            self.cancel()
            raise PipelineExecutionError(f"worker for {self._visiting.address}: {self._refused}")

    def cancel(self) -> None:
        """Leave the broker, from any thread: what is not answered goes to others at once.

        A target that is at work is not interrupted, but nobody waits for its result.
        """
        with self._turn:
            self._cancelled = True
            courier, listener = self._courier, self._listener
            self._turn.notify_all()
        self._waiting.put(None)
        if courier is not None:
            _send(courier, Leave("it was asked to"))
        if listener is not None and listener is not threading.current_thread():
            listener.join()
        self._drop_waiting()
        _working.discard(self)

    def leave_to_parent(self) -> None:
        """In a fork of the process that began it: the parent answers on, and nothing done here may disturb that."""
        self._cancelled = True
        self._refused = "this process is a fork of the one that answers: make a Worker here"
        self._turn, self._serving = threading.Condition(), threading.Lock()  # nobody here would release the parent's
        self._waiting = queue.SimpleQueue()
        self._waiting.put(None)
        if self._courier is not None:
            self._courier.close()
        for job in self._jobs.values():
            job.socket.close()
        self._jobs.clear()
        self._courier = self._listener = None

    def _drop_waiting(self) -> None:
        """Be done with what nobody will work on."""
        try:
            while True:
                job = self._waiting.get_nowait()
                if job is not None:
                    job.close()
        except queue.Empty:
            self._waiting.put(None)  # for whoever waits, now or later

    def _begin(self) -> None:
        with self._turn:
            if self._listener is None and not self._cancelled:
                self._listener = threading.Thread(target=self._listen, name="olympipe-requests-worker", daemon=True)
                self._listener.start()
                _working.add(self)

    # -- the work -----------------------------------------------------------------------------------------------------

    def _work(self, job: _Job) -> None:
        """Answer requests until the broker's run has ended, or the connection to it."""
        order, host = job.order, self._visiting.host
        label = Label(*order.terms.label)
        title = f"worker {label.number}.{order.slot} on {host}, pid {os.getpid()}"

        def interrupted() -> None:
            self._interrupted = True
            job.abandon()  # so that no answer is sent

        desk = Desk(self._target, self._kind, self._name, title, order.terms.most_bytes, interrupted)
        identity = WorkerId(order.identity)
        port = Port(Connection(job.socket), Memory(job.memory) if job.memory is not None else None)
        as_worker = WorkerOrder(
            worker=identity,
            slot=order.slot,
            label=label,
            senders=tuple(Label(*sender) for sender in order.terms.senders),
            shipment=b"",
            classes={},
            surroundings=Surroundings.here(),
            parent=os.getpid(),
            memory=job.memory,
            cell=self._cell,
            host=host,
        )
        try:
            program = Program(desk.segment(), order.slot, title, self._cell)
            port.connection.send(Ready(identity, self._holds))
            serve(as_worker, port, program)
        except (EOFError, OSError):
            if self._interrupted:
                raise KeyboardInterrupt from None
            # The session is over, or the courier; whoever asked is served by others.
        finally:
            with self._turn:
                self._jobs.pop(order.number, None)
            job.close()

    # -- what the courier says, in a thread of its own ----------------------------------------------------------------

    def _listen(self) -> None:
        page = shared_page()
        try:
            self._cell = ProgressCell(page)
            self._cell.leave()
            while not self._cancelled:
                self._listen_to_one_courier(page)
                with self._turn:
                    if not self._cancelled:
                        _log.warning("the courier process of the worker for %s has ended", self._visiting.address)
                        self._turn.wait(RESTART_SECONDS)
        except OSError as error:
            self._give_up(f"no courier process can be started: {error}")
        finally:
            os.close(page)

    def _give_up(self, why: str) -> None:
        with self._turn:
            self._refused, self._cancelled = why, True
        self._waiting.put(None)

    def _listen_to_one_courier(self, page: int) -> None:
        process = CourierProcess((page,))
        courier = Connection(process.control)
        try:
            _send(courier, self._visiting._replace(cell=page))
            with self._turn:
                self._courier = courier
                if self._cancelled:
                    _send(courier, Leave("it was asked to"))
            while True:
                try:
                    message, _ = courier.receive()
                except (EOFError, OSError):
                    return
                self._heard(message, courier, process)
        finally:
            with self._turn:
                self._courier = None
                jobs = list(self._jobs.values())
            for job in jobs:
                job.abandon()
            process.close()

    def _heard(self, message: object, courier: Connection, process: CourierProcess) -> None:
        match message:
            case Fork():
                self._take_on(message, courier, process)
            case Kill():
                with self._turn:
                    job = self._jobs.get(message.worker)
                if job is not None:
                    job.abandon()
            case Tell():
                _log.info("%s", message.text)
            case Over():
                _log.log(logging.WARNING if message.code else logging.INFO, "%s", message.text)
                self._give_up(message.text if message.code else "")

    def _take_on(self, order: Fork, courier: Connection, process: CourierProcess) -> None:
        if not order.terms.own_target:
            why = "it answers requests only; for stages of pipelines start olympipe-like worker"
            _log.warning("refused for stage %r: %s", order.terms.label[0], why)
            _send(courier, NotForked(order.number, why))
            return
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(process.lane, [order.number.to_bytes(8, "big")], [theirs.fileno()])
        job = _Job(order, ours, None if process.memory is None else os.dup(process.memory), courier)
        with self._turn:
            self._jobs[order.number] = job
        _send(courier, Forked(order.number, os.getpid()))
        self._waiting.put(job)


def _send(courier: Connection, message: object) -> None:
    try:
        courier.send(message)
    except OSError:
        pass  # it has ended, which the listening thread sees


@atexit.register
def _leave() -> None:
    for worker in list(_working):
        worker.cancel()


def _leave_to_parent() -> None:
    for worker in list(_working):
        worker.leave_to_parent()
    _working.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
