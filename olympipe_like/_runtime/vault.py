"""The hub's payloads: bytes it was sent inline, slots of shared memory it granted. It opens neither."""

from __future__ import annotations

import os

from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import NO_PAYLOAD, PayloadId, StageId
from olympipe_like._runtime.peers import Peer
from olympipe_like._transport import messages as wire
from olympipe_like._transport.store import INLINE_BYTES, Slots

SLOTS_AHEAD = 3  # that a source holds while it is granted one more, for the frames it makes before the hub comes round

_FORGET = 0.9  # how much of a stage's largest recent frame is still expected of the next
_SPARE = 1.1  # room for a frame a little larger than the last


class Vault:
    """Keeps payloads until the scheduler frees them."""

    def __init__(self, memory: int | None) -> None:
        self.memory = memory
        self._slots = Slots(memory)
        self._payloads: dict[PayloadId, tuple[wire.Parcel, bytearray | None]] = {}
        self._next = 0
        self._recent: dict[StageId, float] = {}  # bytes of a stage's largest recent frame

    def frame(
        self, peer: Peer, stage: StageId, message: wire.Answered | wire.Pulled, payload: bytearray | None
    ) -> Frame:
        """Return the header of a frame that has come, and keep its payload."""
        for offset in message.returned:
            peer.slots.discard(offset)
            self._slots.give_back(offset)
        parcel = message.parcel
        identity, nbytes = NO_PAYLOAD, 0
        if parcel is not None:
            if parcel.offset is not None:
                peer.slots.discard(parcel.offset)
            nbytes = sum(parcel.lengths)
            identity = PayloadId(self._next)
            self._next += 1
            self._payloads[identity] = (parcel, payload)
        self._recent[stage] = max(nbytes, self._recent.get(stage, 0.0) * _FORGET)
        return Frame(
            count=message.length,
            span=message.length,
            upto=message.upto,
            payload=identity,
            nbytes=nbytes,
            failure=message.failure,
        )

    def open(self, frame: Frame) -> tuple[wire.Parcel | None, bytearray | None]:
        """Return where a frame's bytes are, and those that must go with the message."""
        return self._payloads[frame.payload] if frame.payload != NO_PAYLOAD else (None, None)

    def free(self, payload: PayloadId) -> None:
        """Forget a payload."""
        parcel, _ = self._payloads.pop(payload)
        if parcel.offset is not None:
            self._slots.give_back(parcel.offset)

    def grant(self, peer: Peer, stage: StageId, in_hand: int) -> wire.SlotGrant:
        """Return a slot for a stage's next frame where those of late were too large to travel inline."""
        recent = self._recent.get(stage, 0.0)
        if recent <= INLINE_BYTES or len(peer.slots) > in_hand:
            return wire.NO_SLOT
        return self.grant_bytes(peer, int(recent * _SPARE))

    def grant_bytes(self, peer: Peer, nbytes: int) -> wire.SlotGrant:
        """Return a slot of this size, or none if there is no shared memory."""
        if self.memory is None:
            return wire.NO_SLOT
        offset, size = self._slots.take(nbytes)
        peer.slots.add(offset)
        return wire.SlotGrant(offset, size)

    def take_back(self, peer: Peer) -> None:
        """Take back what was granted to a peer that is dead."""
        for offset in peer.slots:
            self._slots.give_back(offset)
        peer.slots.clear()

    def close(self) -> None:
        """Give the memory back."""
        if self.memory is not None:
            os.close(self.memory)
