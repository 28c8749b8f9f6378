"""The life of a worker process: load the segment, answer frames until told to stop."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import traceback
from collections.abc import Mapping
from time import perf_counter
from typing import Any, NamedTuple, NoReturn

from olympipe_like._model.failure import SOME_READING, Failure
from olympipe_like._model.identity import Path, WorkerId
from olympipe_like._plan.operators import Source
from olympipe_like._plan.segment import Label, Segment
from olympipe_like._transport.buffers import Buffer
from olympipe_like._transport.callables import install_main, unpack
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.messages import Answered, Broken, Drop, GoOn, Ready, Restore, Run, Stop
from olympipe_like._transport.progress_cell import ProgressCell
from olympipe_like._transport.store import Memory
from olympipe_like._worker import output
from olympipe_like._worker.blame import blame, text_of
from olympipe_like._worker.chunk import Chunk
from olympipe_like._worker.feed import Feeder, in_epochs
from olympipe_like._worker.port import NotBuilt, Port, SourcePort, Unreadable, unpack_chunk
from olympipe_like._worker.program import Answer, Program
from olympipe_like._worker.sending import encode_chunk
from olympipe_like._worker.startup import Surroundings, prepare, resident_bytes
from olympipe_like._worker.watch import SEVERAL_SECONDS, Reading

_NONE: Mapping[int, Failure] = {}


class WorkerOrder(NamedTuple):
    """All that a worker process is told at its start."""

    worker: WorkerId
    slot: int  # which of its stage's workers it is, from 0
    label: Label  # the stage's
    senders: tuple[Label, ...]  # for each leg, the step whose results come in
    shipment: bytes  # the pickled Shipment of its segment, or of its source
    classes: Mapping[str, bytes]  # the caller's classes of __main__, for items
    surroundings: Surroundings
    parent: int  # process id of the hub
    memory: int | None  # descriptor of the run's shared memory
    cell: ProgressCell | None = None  # shared with the hub
    tells_rss: bool = False  # how much memory it holds goes with every answer
    stacks: int | None = None  # descriptor to write the stacks of all threads to when asked by signal
    host: str = ""  # the machine, where it is not the caller's
    refers: bool = False  # whom it answers can be told that a frame's items are those it was given

    @property
    def title(self) -> str:
        """How people are told which worker it was."""
        on = f" on {self.host}" if self.host else ""
        return f"worker {self.label.number}.{self.slot}{on}, pid {os.getpid()}"


def main(order: WorkerOrder, sock: socket.socket) -> NoReturn:
    """Live the worker's life; never returns."""
    code = 1
    try:
        prepare(order.parent, order.surroundings, order.stacks)
        # A child that the user's function forks is not the worker: if it comes back from that function it ends here.
        os.register_at_fork(after_in_child=sock.close)
        port = Port(Connection(sock), Memory(order.memory) if order.memory is not None else None)
        output.begin(port.connection, order.label.name, order.title, order.surroundings.levels)
        try:
            _live(order, port)
        except (EOFError, OSError):
            code = 0 if _is_orphan(port) else 1
            if code:
                raise
        code = 0
    except BaseException:  # noqa: BLE001 - ours; nobody above prints it, and the hub only sees the exit code
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                pass  # closed by the user's code, or by whoever read it
        # Not sys.exit: what the hub had registered to run at its exit is not this process's business.
        os._exit(code)


def _is_orphan(port: Port) -> bool:
    """Whether the hub is gone, so that nobody is left to tell anything."""
    try:
        while port.connection.poll() is not None:
            pass  # what it said before
    except (EOFError, OSError):
        return True
    return False


def _live(order: WorkerOrder, port: Port) -> None:
    install_main()
    try:
        loaded = unpack(pickle.loads(order.shipment), order.classes)
        if isinstance(loaded, Source):
            _feed(order, port, loaded)
            return
        assert isinstance(loaded, Segment)
        if loaded.looks:
            port.open_views()
        program = Program(loaded, order.slot, order.title, order.cell, alone=True)
    except BaseException as error:  # noqa: BLE001 - the user's modules and classes may raise anything
        _break(order, port, error, "could not start")
        return
    port.connection.send(Ready(order.worker))
    serve(order, port, program)
    try:
        program.close()
    except BaseException as error:  # noqa: BLE001 - as above
        _break(order, port, error, "could not close")


def _break(order: WorkerOrder, port: Port, error: BaseException, what: str) -> None:
    failure: Failure = blame(error, order.label, order.title, what=f"{what}: {text_of(error)}")
    port.connection.send(Broken(order.worker, failure.pack()))


def _feed(order: WorkerOrder, port: Port, source: Source) -> None:
    def make() -> Any:
        return source.datas(*source.args, **source.kwargs)

    Feeder(in_epochs(source, make), order.label, SourcePort(port, order.label, order.title), order.title).run()


def serve(order: WorkerOrder, port: Port, program: Program) -> None:
    """Answer frames until told to stop.

    Raises
    ------
    EOFError, OSError
        If the other side is gone.
    """
    while True:
        message, payload = port.receive()
        if isinstance(message, Stop):
            return
        if isinstance(message, Restore):
            program.restore(message.snapshot)
            continue
        assert isinstance(message, Run)
        if not _answer(order, port, program, message, payload):
            return


def _answer(order: WorkerOrder, port: Port, program: Program, message: Run, payload: bytearray | None) -> bool:
    """Send the answer to one frame, part by part; say whether to go on."""
    began = perf_counter()
    chunk, unread = None, _NONE
    poison = _NONE
    if message.poison:
        poison = {ordinal: Failure.unpack(failure) for ordinal, failure in message.poison}
    weight = sum(message.parcel.lengths) if message.parcel is not None else 0
    if not message.ended:
        chunk, unread = _read(order, port, message, payload, poison)
    if message.slot.size:
        port.accept(message.slot)
    answers = program.run(
        chunk,
        message.leg,
        message.part_items,
        careful=message.careful,
        rehearsed=message.rehearsed,
        poison=poison,
        unread=unread,
    )
    del chunk
    skip = message.skip_items
    if message.replay:
        upto: Path = ()
        for answer in answers:
            upto = answer.chunk.upto
            del answer
        program.heard_again(weight)
        seconds = perf_counter() - began
        heard = Answered(order.worker, None, 0, upto, None, (), seconds, False, False, port.returned())
        port.connection.send(heard)
        return True
    for answer in answers:
        more = answer.more
        snapshot = program.snapshot(weight) if program.remembers and not more else None
        reply, inline, skipped = _pack(order, port, program, message, answer, snapshot, began, skip)
        skip -= skipped
        # Now the last views of the frame end, but those that the user's code keeps: the answer can give its slot back.
        del answer
        if not more:
            answers.close()
        if returned := port.returned():
            reply = reply._replace(returned=returned)
        port.connection.send(reply, inline)
        if more:
            # What follows belongs to this answer: no other frame is given to a worker that holds a generator.
            heard, _ = port.receive()
            if isinstance(heard, Stop):
                return False
            if isinstance(heard, Drop):
                return True
            assert isinstance(heard, GoOn)
            port.accept(heard.slot)
        began = perf_counter()
    return True


def _read(
    order: WorkerOrder,
    port: Port,
    message: Run,
    payload: bytearray | None,
    poison: Mapping[int, Failure],
) -> tuple[Chunk, Mapping[int, Failure]]:
    """Return the items of a frame; of those that cost too many workers, by index, the failures to be told instead."""
    reading, each = None, None
    if poison or message.rehearsed:
        reading = Reading(order.cell, range(message.skip, message.skip + message.length), poison)
        if message.rehearsed or reading.unread:  # a replay has poison and is not suspect
            each = reading.each
    if each is None and order.cell is not None:
        order.cell.enter(SOME_READING, later=SEVERAL_SECONDS if message.length > 1 else 0.0)
    cut = (message.skip, message.length, message.prefix)
    try:
        chunk = unpack_chunk(message.parcel, payload, port.memory, cut, message.upto, message.failure, each, port.views)
    except Unreadable as error:
        chunk = error.blame(order.senders[message.leg], order.title)
    if order.cell is not None:
        order.cell.leave()
    if reading is None or not reading.unread:
        return chunk, _NONE
    unread = {index: failure for index, failure in reading.unread.items() if index < len(chunk.items)}
    for index in unread:
        chunk.items[index] = NotBuilt()
    return chunk, unread


def _pack(
    order: WorkerOrder,
    port: Port,
    program: Program,
    message: Run,
    answer: Answer,
    snapshot: bytes | None,
    began: float,
    skip: int,
) -> tuple[Answered, list[Buffer], int]:
    """Return an answer without its first ``skip`` items: the message, what goes behind it, how many were left out."""
    answer, parts = program.encode(answer)
    chunk = answer.chunk
    skipped = min(skip, len(chunk.items))
    if skipped:
        # Only now: who was told of them before counted what could be sent.
        rest = chunk.view(skipped, len(chunk.items) - skipped, ())
        chunk, parts = encode_chunk(rest, order.label, order.title)
    whole = not answer.more and not skipped and chunk.failure is None and chunk.upto == message.upto
    parcel = message.parcel
    same = parcel is not None and parcel.lent and whole and order.refers and port.holds(parcel, parts)
    parcel, inline = port.place(parts) if parts and not same else (None, [])
    failure = chunk.failure.pack() if chunk.failure is not None else None
    reply = Answered(
        order.worker,
        parcel,
        len(chunk.items),
        chunk.upto,
        failure,
        answer.counts,
        perf_counter() - began,
        answer.more,
        answer.done,
        (),
        tuple([record.pack() for record in answer.records]),
        snapshot,
        resident_bytes() if order.tells_rss else 0,
        same,
    )
    return reply, inline, skipped
