"""Messages come out as they went in, down to the types of what is in them."""

from __future__ import annotations

import pickle

import pytest

from olympipe_like._model.frame import OpCounts
from olympipe_like._model.identity import StageId, WorkerId
from olympipe_like._transport import messages as wire
from olympipe_like._transport.packing import pack, unpack

WORKER, STAGE = WorkerId(3), StageId(1)
SLOT = wire.SlotGrant(1 << 40, 1 << 20)
PARCEL = wire.Parcel((60, 4096), 1 << 33)
MESSAGES = [
    wire.Run(WORKER, 0, False, PARCEL, 0, 1, (1,), (17, 2), b"failure", 8, 0, SLOT, poison=((3, b"failure"),)),
    wire.Run(WORKER, 0, True, None, 0, 0, (), (), None, 8, 0, wire.NO_SLOT, replay=True),
    wire.Answered(WORKER, PARCEL, 1, (17,), None, (OpCounts(1, 1), OpCounts(1, 0, 1)), 1e-5, True, False, (5,)),
    wire.Answered(WORKER, None, 0, (17,), b"failure", (), 0.0, False, True, (), (b"record",), b"snapshot", 1 << 30),
    wire.Pulled(wire.Parcel((1,), None), 1, (1,), None, (7, 8)),
    wire.Pulled(None, 0, (1,), b"failure", ()),
    wire.Delivered(STAGE, PARCEL, 1, 2, (1,), None),
    wire.Consumed(STAGE),
    wire.Allow(100, 8, SLOT),
    wire.GoOn(WORKER, wire.NO_SLOT),
    wire.Stop(WORKER),
    wire.Ended(),
    wire.SinkEnded(STAGE),
]


def types_in(value):
    """Return a value's type, and those of what is in it."""
    return (type(value), *map(types_in, value)) if isinstance(value, tuple) else type(value)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_out_as_it_went_in(message):
    found = unpack(memoryview(pack(message)))

    assert found == message
    assert types_in(found) == types_in(message)


@pytest.mark.parametrize("message", MESSAGES[:10:3], ids=lambda message: type(message).__name__)
def test_what_comes_with_every_frame_names_no_class(message):
    assert b"olympipe_like" in pickle.dumps(message)
    assert b"olympipe_like" not in pack(message)
