"""A run with a hub, the caller's side: ships the segments, feeds the sources that live here, takes the results."""

from __future__ import annotations

import pickle
import select
import socket
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Literal

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import StageId
from olympipe_like._model.options import NO_LIMITS, ExecutorName, Limits
from olympipe_like._model.tallies import StageTally
from olympipe_like._plan.call_site import levels_to_caller
from olympipe_like._plan.layout import LaidStage, Layout
from olympipe_like._plan.segment import Segment
from olympipe_like._runtime import hub_client, stall
from olympipe_like._runtime.host import Host
from olympipe_like._runtime.local import MOST_MARKS, WAITING, Dropped, Waiting, executor_here
from olympipe_like._runtime.local_stall import own_stacks, report
from olympipe_like._runtime.log_records import hand_over
from olympipe_like._runtime.orders import HubStage, RunOrder
from olympipe_like._runtime.preloading import to_preload
from olympipe_like._runtime.remote_stages import RemoteStages
from olympipe_like._runtime.sources import for_one_run, maker_of
from olympipe_like._runtime.stall_text import with_stacks
from olympipe_like._transport import messages as wire
from olympipe_like._transport import store
from olympipe_like._transport.callables import ShippingError, look_anew, pack, pack_main_classes
from olympipe_like._transport.connection import Connection, Message
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.feed import Feeder
from olympipe_like._worker.port import Port, SourcePort, Unreadable, unpack_chunk
from olympipe_like._worker.startup import Surroundings
from olympipe_like.errors import InternalError, PipelineExecutionError, PlanTypeError

STATUS_SECONDS = 0.2  # how long a hub may take to say how the run stands
JOIN_SECONDS = 0.25  # how long a feeding thread is waited for; one that waits inside the user's source is left behind


class HubRun:
    """One run in a hub process."""

    def __init__(self, layout: Layout, status_interval: float | None, limits: Limits = NO_LIMITS) -> None:
        self._layout = layout
        self._labels = {stage.spec.id: stage.labels[0] for stage in layout.stages}
        self._senders = {stage.spec.id: stage.senders for stage in layout.stages}
        self._hosted: dict[StageId, ExecutorName] = {}
        self._segments: dict[StageId, Segment] = {}
        self._makers: dict[StageId, Callable[[], Any]] = {}
        self._remotes = RemoteStages()
        look_anew()
        stages = [self._for_hub(stage) for stage in layout.stages]
        self._order = RunOrder(
            stages=tuple(stages),
            classes=pack_main_classes(),
            surroundings=Surroundings.here(),
            status_interval=status_interval,
            preload=to_preload([stage.shipment for stage in stages if stage.shipment is not None]),
            limits=limits,
            descriptors=0,  # known when it begins
            has_memory=False,  # known when it begins, too
            has_host=bool(self._hosted),
            gateways=len(self._remotes),
            stall_timeout=limits.stall_timeout,
            stall_warning=stall.STALL_SECONDS,
        )
        self._hub: hub_client.Hub | None = None
        self._memory: store.Memory | None = None
        self._no_memory = ""  # why there is none
        self._was_warned = False  # that large items go another way
        self._results: Connection | None = None
        self._host: Host | None = None
        self._feeds: list[tuple[Connection, threading.Thread]] = []
        self._in_hand: StageId | None = None
        self._tallies: tuple[StageTally, ...] = ()
        self._has_begun = False
        self._over = False
        self._is_given_back = False
        self.balanced = False  # the books are closed, and agree
        self.left_to_parent = False
        self.marks: deque[wire.Marked] = deque(maxlen=MOST_MARKS)  # where sources were, until somebody takes them
        self._heard_all = False  # the hub has said its last: who reads on meets a closed connection
        self._early: deque[Message] = deque()  # came while something else was waited for
        self._reading = threading.Lock()
        self._news = threading.Condition()
        self._heard = 0  # reports on the run's state so far
        self._closing = threading.Lock()

    def _for_hub(self, stage: LaidStage) -> HubStage:
        label, spec = stage.label, stage.spec
        shipment = timeout = None
        gateway = None
        runs: Literal["process", "hosted", "caller", "remote", "nowhere"] = "nowhere"
        if stage.source is not None and stage.source.factory:
            runs, shipment = "process", _ship(for_one_run(stage.source), f"source {label.name!r}", FOR_SOURCES)
        elif stage.source is not None:
            runs = "caller"
            self._makers[spec.id] = maker_of(stage.source)
        elif stage.segment is not None and stage.placement is not None:
            segment = stage.segment._replace(travels=True)
            if stage.placement.executor in ("process", "remote"):
                timeout = stage.placement.policy.timeout
                runs, shipment = "process", _ship(segment, f"stage {label.number}/{label.of} {label.name!r}")
                if stage.placement.remote is not None:
                    runs, gateway = "remote", self._remotes.add(stage, stage.placement.remote, shipment)
            else:
                runs = "hosted"
                self._hosted[spec.id] = executor_here(stage.placement, inline=False)
                self._segments[spec.id] = segment
        looks = stage.segment is not None and stage.segment.looks
        return HubStage(spec, label, runs, stage.senders, timeout, shipment, gateway, looks)

    @property
    def shipped(self) -> dict[StageId, bytes]:
        """The segments of process stages, as their workers get them."""
        stages = self._order.stages
        return {each.spec.id: each.shipment for each in stages if each.shipment is not None}

    @property
    def classes(self) -> Mapping[str, bytes]:
        """The caller's classes of ``__main__``, as the workers get them."""
        return self._order.classes

    # -- the consumer's side ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        theirs: list[socket.socket] = []
        try:
            try:
                self._memory = store.Memory(store.create())
            except OSError as error:
                self._no_memory = f"memfd_create: {error}"
            theirs += self._remotes.join(self._order, self._memory.descriptor if self._memory is not None else None)
            self._hub = hub_client.acquire()  # after what may be refused: a hub that never begins is never idle again
            descriptors = [self._memory.descriptor] if self._memory is not None else []
            self._results = _pair(theirs)
            if self._hosted:
                self._host = Host(_pair(theirs), self._memory, self._segments, self._hosted, self._senders)
            for source, make in self._makers.items():
                connection = _pair(theirs)
                label = self._labels[source]
                feeder = Feeder(make, label, SourcePort(Port(connection, self._memory), label, ""), "")
                thread = threading.Thread(target=feeder.run, name=f"olympipe-source-{label.name}", daemon=True)
                self._feeds.append((connection, thread))
            descriptors += [each.fileno() for each in theirs]
            order = self._order._replace(has_memory=self._memory is not None, descriptors=len(descriptors))
            self._hub.begin(order, descriptors)
            self._has_begun = True
        finally:
            for each in theirs:
                each.close()
        if self._host is not None:
            self._host.start()
        for _, thread in self._feeds:
            thread.start()

    def next(self, timeout: float | None) -> tuple[StageId, Chunk] | Dropped | Failure | Waiting | None:
        """Return the next frame of results, a failure outside the items' order, or None at the end."""
        if self._in_hand is not None:
            sink, self._in_hand = self._in_hand, None
            self._tell(wire.Consumed(sink))
        with self._reading:
            received = self._early.popleft() if self._early else self._receive(timeout)
        if received is None or isinstance(received, Waiting):
            return received
        message, payload = received
        if isinstance(message, wire.Delivered):
            self._in_hand = message.sink
            return message.sink, self._chunk(message, payload)
        if isinstance(message, wire.Dropped):
            return Dropped(tuple(Failure.unpack(record) for record in message.records))
        if isinstance(message, wire.Stalled):
            return self._stalled(message)
        assert isinstance(message, wire.Finished)
        self.balanced = message.balanced
        return Failure.unpack(message.failure) if message.failure is not None else None

    def _receive(self, timeout: float | None) -> Message | Waiting | None:
        """Return the next message about results; news of the run's state is noted on the way."""
        results = self._results
        if results is None or self._over:
            return None
        until = monotonic() + timeout if timeout is not None else None
        while True:
            try:
                received = results.poll()
                if received is None:
                    if until is not None and not _readable(results, until - monotonic()):
                        return WAITING
                    received = results.receive()
            except (EOFError, OSError):
                if self._was_closed():
                    return None
                reason = self._hub.refusal() if self._hub is not None else None
                if reason is not None:
                    raise PipelineExecutionError(f"the run could not begin: {reason}") from None
                raise InternalError("the hub process ended; its last words, if any, are on stderr") from None
            if isinstance(received[0], wire.Status):
                with self._news:
                    self._tallies = received[0].tallies
                    self._heard += 1
                    self._news.notify_all()
                if until is not None:  # wait no longer; but many may have come while nobody read, with results behind
                    until = 0.0
            elif isinstance(received[0], wire.Stalled) and not received[0].fatal:
                self._stalled(received[0])
            elif isinstance(received[0], wire.Logged):
                hand_over(received[0])
                if until is not None and monotonic() >= until:
                    return WAITING
            elif isinstance(received[0], wire.MemoryShort):
                self._warn_of_memory(received[0])
            elif isinstance(received[0], wire.Marked):
                self.marks.append(received[0])
            elif not isinstance(received[0], wire.SinkEnded):
                if isinstance(received[0], wire.Finished):
                    self._heard_all, self._tallies = True, received[0].tallies
                return received

    def _stalled(self, message: wire.Stalled) -> Failure | None:
        """Tell of a run that stands still, and what its workers in this process are doing."""
        executors = self._host.executors.values() if self._host is not None else ()
        stacks = own_stacks(executors, [thread for _, thread in self._feeds])
        return report(with_stacks(message.text, stacks), fatal=message.fatal)

    def _was_closed(self) -> bool:
        return self._over  # by another thread, meanwhile

    def _warn_of_memory(self, message: wire.MemoryShort) -> None:
        """Say once for the run that it is slower than it might be: each of its workers finds out for itself."""
        if not self._was_warned:
            self._was_warned = True
            warnings.warn(
                f"no shared memory ({message.reason or self._no_memory}): large items of this run travel through "
                "sockets, which is slower; the results are the same",
                RuntimeWarning,
                stacklevel=levels_to_caller(),
            )

    def _chunk(self, message: wire.Delivered, payload: bytearray | None) -> Chunk:
        cut = (message.skip, message.length, message.prefix)
        try:
            return unpack_chunk(message.parcel, payload, self._memory, cut, (), message.failure)
        except Unreadable as error:
            return error.blame(self._senders[message.sink][0], "the caller")

    def _tell(self, message: object) -> None:
        try:
            if self._results is not None:
                # With no lock but its own: a signal handler may stop the run while its thread is in here.
                self._results.send(message)
        except OSError:
            pass  # the hub is gone, which the next receive reports

    def stop(self) -> None:
        """Ask the sources for no more."""
        self._tell(wire.StopSources())

    def tallies(self) -> tuple[StageTally, ...]:
        """Return every stage's counts, asked for while the run goes on; from any thread."""
        if self._over or self._heard_all or not self._has_begun:
            return self._tallies
        heard = self._heard
        self._tell(wire.AskStatus())
        if self._reading.acquire(blocking=False):
            # Nobody else reads: the answer is behind the results that are on their way, and those are kept.
            try:
                until = monotonic() + STATUS_SECONDS
                while self._heard == heard and monotonic() < until and not self._heard_all:
                    received = self._receive(until - monotonic())
                    if received is None:
                        break
                    if not isinstance(received, Waiting):
                        self._early.append(received)
            finally:
                self._reading.release()
        else:
            with self._news:
                self._news.wait_for(lambda: self._heard != heard, STATUS_SECONDS)
        return self._tallies

    def close(self) -> None:
        """End the run, if it has not ended, and give everything back."""
        with self._closing:
            if self._is_given_back:
                return
            try:
                self.tallies()  # for the report; nobody can be asked later
            except InternalError:
                pass  # the hub is dead, which whoever waits for results is told; here everything is given back
            finally:  # Ctrl-C, pressed again: the workers must end all the same
                self._over = True
                self._give_back()

    def leave_to_parent(self) -> None:
        """In a fork of the caller: close its copies of the descriptors, without a word to anybody."""
        self.left_to_parent = self._over = self._is_given_back = True
        self._closing = threading.Lock()  # the parent's may be held by a thread that does not exist here
        for connection in (self._results, *(connection for connection, _ in self._feeds)):
            if connection is not None:
                connection.close()
        if self._host is not None:
            self._host.leave_to_parent()
        if self._hub is not None:
            self._hub.leave_to_parent()
        if self._memory is not None:
            self._memory.close()
        self._results = self._memory = None

    def _give_back(self) -> None:
        if self._results is not None:
            self._results.shut_down()
        for connection, _ in self._feeds:
            connection.shut_down()
        if self._host is not None:
            self._host.close()
        for connection, thread in self._feeds:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(JOIN_SECONDS)
            connection.close()
        hub, self._hub = self._hub, None
        try:
            if hub is not None and self._has_begun:
                hub_client.release(hub)
            elif hub is not None:
                hub.end(kill=True)  # it would never say that it is idle again
        finally:
            if self._results is not None:
                self._results.close()
            memory, self._memory = self._memory, None
            if memory is not None:
                memory.close()
        self._is_given_back = True


def _pair(theirs: list[socket.socket]) -> Connection:
    ours, other = socket.socketpair()
    theirs.append(other)
    return Connection(ours)


def _readable(connection: Connection, seconds: float) -> bool:
    waiting = select.poll()  # not `select.select`, which refuses descriptors from 1024 on
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(max(seconds, 0) * 1000))


FOR_STAGES = 'Make it inside the function or with class_task, or give the stage executor="thread"'
FOR_SOURCES = "Make it inside the function that makes the items, or give the pipeline an iterator, which is read here"


def _ship(what: object, place: str, advice: str = FOR_STAGES) -> bytes:
    try:
        return pickle.dumps(pack(what), protocol=5)
    except ShippingError as error:
        raise PlanTypeError(f"{place} cannot be sent to its workers: {error}. {advice}") from error
