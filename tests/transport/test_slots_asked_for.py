"""Who sends large frames has slots before it needs them, and takes no slot that is too small."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from olympipe_like import Pipeline
from olympipe_like._plan.segment import Label
from olympipe_like._transport import store
from olympipe_like._transport.connection import Connection
from olympipe_like._transport.messages import Allow, NeedSlot, SlotGrant
from olympipe_like._worker.chunk import dense
from olympipe_like._worker.port import Port, SourcePort

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here")

LARGE = 1 << 18


@pytest.fixture
def memory():
    made = store.Memory(store.create())
    yield made
    made.close()


@pytest.fixture
def ends():
    """Give a worker's and the hub's end of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(ours), Connection(theirs)


def test_slots_that_were_granted_are_used_before_any_is_asked_for(ends, memory):
    port = Port(ends[0], memory)
    port.accept(SlotGrant(0, LARGE))
    port.accept(SlotGrant(LARGE, LARGE))

    placed = [port.place([bytes(LARGE)])[0].offset for _ in range(2)]

    assert placed == [0, LARGE]
    assert ends[1].poll() is None
    assert port.returned() == ()


def test_slots_that_are_too_small_go_back_and_another_is_asked_for(ends, memory):
    port = Port(ends[0], memory)
    port.accept(SlotGrant(0, LARGE))

    def answer():
        asked, _ = ends[1].receive()
        assert asked == NeedSlot(2 * LARGE)
        ends[1].send(SlotGrant(LARGE, LARGE))  # on its way already when it was asked for
        ends[1].send(SlotGrant(8 * LARGE, 2 * LARGE))

    hub = threading.Thread(target=answer)
    hub.start()
    parcel, inline = port.place([bytes(2 * LARGE)])
    hub.join()

    assert (parcel.offset, inline) == (8 * LARGE, [])
    assert port.returned() == (0, LARGE)


def test_a_source_uses_the_slots_it_was_granted_unasked(ends, memory):
    port = SourcePort(Port(ends[0], memory), Label("numbers", "source", 0, 1), "")
    ends[1].send(Allow(2, 1, SlotGrant(0, 2 * LARGE)))
    ends[1].send(SlotGrant(2 * LARGE, 2 * LARGE))

    assert port.wait(0) == (2, 1)
    for number in range(2):
        port.send(dense([bytes(LARGE)], number))

    sent = [ends[1].receive()[0] for _ in range(2)]
    assert [message.parcel.offset for message in sent] == [0, 2 * LARGE]


@pytest.mark.timeout(60)
def test_a_thread_stage_may_ask_for_a_slot_while_its_next_frame_comes():
    items = [bytes([n]) * (1 << 20) for n in range(12)]

    results = Pipeline(items).task(bytes.upper, executor="thread").task(len).wait_for_result()

    assert results == [1 << 20] * 12
