"""The broker: a run of one stage, whose workers come by themselves and whose source is the queue of those who ask."""

from __future__ import annotations

import atexit
import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from olympipe_like._model.options import Remote
from olympipe_like._observe.report import Report
from olympipe_like._plan import checks
from olympipe_like._plan.call_site import call_site
from olympipe_like._plan.layout import lay_out
from olympipe_like._remote import temporary
from olympipe_like._remote.clients import Serve
from olympipe_like._remote.gateways import Gateway, close_gateway, gateway_of
from olympipe_like._runtime.hub_client import warm_up
from olympipe_like._runtime.run import Run
from olympipe_like._transport.connection import Connection
from olympipe_like.errors import BrokerClosed, PipelineExecutionError, PlanError, PlanTypeError
from olympipe_like.remote import keys_to_listen
from olympipe_like.requests.asking import Asking, not_running
from olympipe_like.requests.desk import of_worker, source, stage
from olympipe_like.requests.exchange import Exchange
from olympipe_like.requests.outcome import format_of, pack_lost
from olympipe_like.requests.reception import Reception
from olympipe_like.requests.session import ANOTHERS, Way

_running: weakref.WeakSet[Broker] = weakref.WeakSet()
_starting = threading.Lock()  # two brokers of one address must not begin at once


class Broker(Asking):
    """Takes requests, from this program and its clients, to the workers that come to its address, and results back.

    Parameters
    ----------
    address : str
        ``tcp://HOST:PORT`` of this machine, where workers and clients come to.
    keys : str or path, optional
        The folder that ``olympipe-like keys`` made, or a ``NAME.secret`` in it. Without keys only an address that
        other machines cannot reach is allowed, and only workers and clients of this program and its forks, and those
        that `start_workers` starts, are let in.
    clients : list of str
        Names of the allowed keys that may ask, from other processes, as `Client`; all may work.
    worker_retries : int, at least 1
        How many workers a request may cost, after the first, before it counts as failed: dead, not merely away.
    lost_after : float, seconds
        A worker of which nothing has been heard for so long is lost: what it held is sent to others.
    reconnect_for : float, seconds
        Requests fail with `WorkerLost` if all workers are gone and none comes for so long. Before any has come,
        requests wait.
    max_message : int or text
        Bytes that a result may have, or a request of a client; a larger one fails.
    dumps, loads : callable, optional
        Both: how requests are written and results read; workers must have the same. ``loads`` must be safe to call
        with anything: then nothing that a worker sends is unpickled, and errors arrive without the exception itself.

    Examples
    --------
    >>> from olympipe_like.requests import Broker, start_workers
    >>> def double(number):
    ...     return 2 * number
    >>> with Broker("tcp://127.0.0.1:5562") as broker, start_workers(double, "tcp://127.0.0.1:5562", workers=2):
    ...     print(broker.apply(21), list(broker.imap(range(5))))
    42 [0, 2, 4, 6, 8]
    """

    def __init__(
        self,
        address: str,
        *,
        keys: str | os.PathLike[str] | None = None,
        clients: Sequence[str] = (),
        worker_retries: int = 2,
        lost_after: float = 10.0,
        reconnect_for: float = 60.0,
        max_message: int | str = "1GiB",
        dumps: Callable[[Any], bytes] | None = None,
        loads: Callable[[bytes], Any] | None = None,
    ) -> None:
        where = f"Broker ({call_site()})"
        kind = format_of(where, dumps, loads)
        super().__init__(kind)
        folder = keys_to_listen(where, address, keys)
        if kind.is_pickle and os.environ.get("OLYMPIPE_LIKE_FORBID_PICKLE"):
            raise PlanError(
                f"{where}: OLYMPIPE_LIKE_FORBID_PICKLE is set, so nothing that a worker sends may be unpickled: "
                "give dumps= and loads="
            )
        names = _names(where, clients)
        self._retries = checks.whole_number(where, "worker_retries", worker_retries, 1)
        self._remote = Remote(
            address=address,
            keys=folder,
            lost_after=checks.seconds(where, "lost_after", lost_after),
            reconnect_for=checks.seconds(where, "reconnect_for", reconnect_for),
            max_message=checks.nbytes(where, "max_message", max_message),
            serializer="bytes",
            own_target=True,
        )
        if folder is None:
            temporary.hub_keys(address)  # from now on workers and clients of this program can be made
        self._serve = Serve(None if folder is None else names)
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._exchange = Exchange()
        self._reception: Reception | None = None
        self._gateway: Gateway | None = None
        self._run: Run[bytes] | None = None
        self._cancelled = False
        self._left_to_parent = False  # this process is a fork of the one where it runs

    # -- life ---------------------------------------------------------------------------------------------------------

    def run_async(self) -> Broker:
        """Begin to listen and to answer, in the background; return the broker.

        Raises
        ------
        PipelineExecutionError
            If the address cannot be listened at, or another broker of this program does.
        """
        with self._turn, _starting:
            if self._thread is None and not self._cancelled:
                if any(other._remote.address == self._remote.address for other in _running):
                    at = f"broker at {self._remote.address}"
                    raise PipelineExecutionError(f"{at}: another one of this program answers there; cancel it first")
                self._meet_gateway()
                self._thread = threading.Thread(target=self._answer, name="olympipe-requests-broker", daemon=True)
                self._thread.start()
                _running.add(self)
        return self

    def __enter__(self) -> Broker:  # noqa: PYI034 - typing.Self is newer than our oldest Python
        return self.run_async()

    def cancel(self) -> None:
        """Stop listening and answering, from any thread; whoever waits for a result is told with `BrokerClosed`.

        Workers end what they are at and wait for the next broker at the address.
        """
        with self._turn:
            self._cancelled = True
            thread, run, reception = self._thread, self._run, self._reception
        if reception is not None:
            reception.close()  # first: clients elsewhere are not told, and ask the next broker
        self._exchange.close(f"the broker at {self._remote.address} was cancelled")
        if run is not None:
            run.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        _running.discard(self)

    @property
    def report(self) -> Report:
        """The counts and times of the present run: of each worker its host, its requests, when it was last seen.

        Raises
        ------
        BrokerClosed
            If there is none.
        """
        run = self._run
        if run is None:
            raise not_running("broker", is_over=self._cancelled)
        return run.report

    def leave_to_parent(self) -> None:
        """In a fork of the process that began it: nothing done here may disturb who asks there."""
        self._left_to_parent = self._cancelled = True
        self._turn = threading.Lock()  # the parent's may be held by a thread that does not exist here
        self._exchange = Exchange()
        if self._reception is not None:
            self._reception.leave_to_parent()
        self._thread = self._reception = self._gateway = self._run = None

    def _way(self) -> Way:
        if self._left_to_parent:
            raise BrokerClosed(ANOTHERS)
        if self._thread is None or self._cancelled:
            raise not_running("broker", is_over=self._cancelled)
        return self._exchange

    # -- the run, in a thread of its own ------------------------------------------------------------------------------

    def _answer(self) -> None:
        """Run, and run anew where a run fails, with the requests that come then."""
        try:
            while True:
                try:
                    self._answer_in_one_run()
                except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                    self._exchange.fail(pack_lost(error))
                if self._cancelled or not self._exchange.wait():
                    return
        finally:
            close_gateway(self._remote)
            if self._reception is not None:
                self._reception.close()

    def _answer_in_one_run(self) -> None:
        self._meet_gateway()
        last = stage(source(self._exchange.feed()), of_worker, of_worker, self._remote, self._retries)
        warm_up()
        seed = int.from_bytes(os.urandom(7), "big")
        run: Run[bytes] = Run(lay_out([last]), [last], lay_out, seed, inline=False, in_hub=True, progress=False)
        try:
            with run:
                with self._turn:
                    if self._cancelled:
                        return
                    self._run = run  # not before: what has not begun cannot be closed from elsewhere
                for _, answers in run.frames():
                    self._exchange.deliver(answers)
        finally:
            self._exchange.end_feed()
            with self._turn:
                self._run = None

    def _meet_gateway(self) -> None:
        """Listen, and take what clients ask, also where the gateway process is another than before."""
        gateway = gateway_of(self._remote)
        if gateway is self._gateway:
            return
        self._gateway = gateway
        ours, theirs = socket.socketpair()
        with theirs:
            gateway.serve(self._serve, theirs.fileno())
        if self._reception is not None:
            self._reception.close()
        self._reception = Reception(Connection(ours), self._exchange)


def _names(where: str, clients: object) -> tuple[str, ...]:
    if isinstance(clients, Iterable) and not isinstance(clients, str):
        found = tuple(clients)
        if all(isinstance(each, str) for each in found):
            return found
    raise PlanTypeError(f"{where}: clients must be a list of names of keys, got {clients!r}")


@atexit.register
def _cancel_all() -> None:
    for broker in list(_running):
        broker.cancel()


def _leave_to_parent() -> None:
    global _starting  # noqa: PLW0603 - the parent's may be held by a thread that does not exist here
    _starting = threading.Lock()
    for broker in list(_running):
        broker.leave_to_parent()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
