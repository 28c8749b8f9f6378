"""A frame and what is to be done with it, as the messages that go with its bytes."""

from __future__ import annotations

from olympipe_like._model.commands import Deliver, RunFrame
from olympipe_like._model.frame import Frame
from olympipe_like._transport import messages as wire


def run_of(
    command: RunFrame,
    frame: Frame,
    parcel: wire.Parcel | None,
    slot: wire.SlotGrant,
    poison: tuple[tuple[int, bytes], ...],
) -> wire.Run:
    """Return what a worker is told.

    ``frame``: its frame, an empty one at the end of a leg; ``slot``: for its answer; ``poison``: items it must not run,
    and their failures.
    """
    worker, _, leg, given, part_items, skip_items, careful, rehearsed, _, replay = command
    count, _, upto, _, _, skip, prefix, failed = frame
    failure = packed(failed) if failed is not None else None
    # By place: by name takes twice as long, and this is done for every frame.
    return wire.Run(
        worker, leg, given is None, parcel, skip, count, prefix, upto, failure,
        part_items, skip_items, slot, careful, rehearsed, poison, replay,
    )  # fmt: skip


def delivered_of(command: Deliver, parcel: wire.Parcel | None) -> wire.Delivered:
    """Return what the caller is told."""
    frame = command.frame
    failure = packed(frame.failure) if frame.failure is not None else None
    return wire.Delivered(command.sink, parcel, frame.skip, frame.count, frame.prefix, failure)


def packed(record: object) -> bytes:
    """Return a record that the scheduler has passed on unopened: in a hub it is bytes."""
    assert isinstance(record, bytes)
    return record
