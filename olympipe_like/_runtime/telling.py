"""A frame and what is to be done with it, as the messages that go with its bytes."""

from __future__ import annotations

from olympipe_like._model.commands import Deliver, RunFrame
from olympipe_like._model.frame import NO_FRAME, Frame
from olympipe_like._transport import messages as wire


def frame_of(command: RunFrame) -> Frame:
    """Return the frame that a worker is given; at the end of a leg an empty one."""
    return command.frame if command.frame is not None else NO_FRAME


def run_of(
    command: RunFrame, parcel: wire.Parcel | None, slot: wire.SlotGrant, poison: tuple[tuple[int, bytes], ...]
) -> wire.Run:
    """Return what a worker is told. ``slot``: for its answer; ``poison``: items it must not run, and their failures."""
    frame = frame_of(command)
    return wire.Run(
        worker=command.worker,
        leg=command.leg,
        ended=command.frame is None,
        parcel=parcel,
        skip=frame.skip,
        length=frame.count,
        prefix=frame.prefix,
        upto=frame.upto,
        failure=packed(frame.failure) if frame.failure is not None else None,
        part_items=command.part_items,
        skip_items=command.skip_items,
        slot=slot,
        careful=command.careful,
        rehearsed=command.rehearsed,
        poison=poison,
        replay=command.replay,
    )


def delivered_of(command: Deliver, parcel: wire.Parcel | None) -> wire.Delivered:
    """Return what the caller is told."""
    frame = command.frame
    failure = packed(frame.failure) if frame.failure is not None else None
    return wire.Delivered(command.sink, parcel, frame.skip, frame.count, frame.prefix, failure)


def packed(record: object) -> bytes:
    """Return a record that the scheduler has passed on unopened: in a hub it is bytes."""
    assert isinstance(record, bytes)
    return record
