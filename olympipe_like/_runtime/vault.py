"""The hub's payloads: bytes it was sent inline, slots of shared memory it granted. It opens neither.

A slot is held by the payload in it, and by everyone it is lent to. It is granted again when nobody holds it.
"""

from __future__ import annotations

import os

from olympipe_like._model.frame import Frame
from olympipe_like._model.identity import NO_PAYLOAD, PayloadId, StageId
from olympipe_like._runtime.peers import Peer
from olympipe_like._transport import messages as wire
from olympipe_like._transport.store import INLINE_BYTES, Slots

SLOTS_AHEAD = 3  # that a source holds while it is granted one more, for the frames it makes before the hub comes round

VIEWED_BYTES = 64 << 20
"""Above so many bytes in slots that nobody needs but who looks at them, further frames are copied out instead."""

_FORGET = 0.9  # how much of a stage's largest recent frame is still expected of the next
_SPARE = 1.1  # room for a frame a little larger than the last


class Vault:
    """Keeps payloads until the scheduler frees them."""

    def __init__(self, memory: int | None, limit: int | None = None) -> None:
        self.memory = memory
        self._most_kept = min(VIEWED_BYTES, limit) if limit is not None else VIEWED_BYTES
        self._kept: dict[int, int] = {}  # slot that is only looked at any more -> its size
        self._kept_bytes = 0
        self._forked: set[int] = set()  # slots that children of workers may look at: held until the run ends
        self._slots = Slots(memory)
        self._payloads: dict[PayloadId, tuple[wire.Parcel, bytearray | None]] = {}
        self._next = 0
        self._recent: dict[StageId, float] = {}  # bytes of a stage's largest recent frame

    def frame(
        self, peer: Peer, stage: StageId, message: wire.Answered | wire.Pulled, payload: bytearray | None
    ) -> Frame:
        """Return the header of a frame that has come, and keep its payload."""
        if message.returned:
            self._take(peer, message.returned)
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
        return Frame(message.length, message.length, message.upto, identity, nbytes, 0, (), message.failure)

    def open(self, frame: Frame) -> tuple[wire.Parcel | None, bytearray | None]:
        """Return where a frame's bytes are, and those that must go with the message."""
        return self._payloads[frame.payload] if frame.payload != NO_PAYLOAD else (None, None)

    def hand(self, peer: Peer, frame: Frame, *, looks: bool) -> tuple[wire.Parcel | None, bytearray | None]:
        """As `open`, for a peer; ``looks``: it is lent what is in shared memory, unless too much is looked at already.

        What is lent is held from now on until the peer returns it or is dead. So nothing that is under way can let a
        slot be used again while somebody looks at it.
        """
        if frame.payload == NO_PAYLOAD:
            return None, None
        parcel, payload = self._payloads[frame.payload]
        if not looks or parcel.offset is None or self._kept_bytes >= self._most_kept:
            return parcel, payload
        self._slots.share(parcel.offset)
        peer.lent[parcel.offset] += 1
        return parcel._replace(lent=True), payload

    def hear(self, peer: Peer, message: wire.NeedSlot | wire.Returned | wire.Forks) -> None:
        """Do what a peer says about slots."""
        if isinstance(message, wire.NeedSlot):
            peer.send(self.grant_bytes(peer, message.nbytes))
        elif isinstance(message, wire.Returned):
            self._take(peer, message.slots)
        else:
            for offset in set(message.slots) - self._forked:
                self._forked.add(offset)
                self._slots.share(offset)

    def _take(self, peer: Peer, slots: tuple[int, ...]) -> None:
        """Take back slots that were granted or lent to a peer; none is both at a time."""
        for offset in slots:
            if peer.lent[offset] > 1:
                peer.lent[offset] -= 1
            else:
                del peer.lent[offset]
                peer.slots.discard(offset)
            self._give_back(offset)

    def _give_back(self, offset: int) -> None:
        if self._slots.give_back(offset):
            self._kept_bytes -= self._kept.pop(offset, 0)

    def free(self, payload: PayloadId) -> None:
        """Forget a payload."""
        parcel, _ = self._payloads.pop(payload)
        if parcel.offset is not None and not self._slots.give_back(parcel.offset):
            self._kept[parcel.offset] = self._slots.size(parcel.offset)
            self._kept_bytes += self._kept[parcel.offset]

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
        for offset in (*peer.slots, *peer.lent.elements()):
            self._give_back(offset)
        peer.slots.clear()
        peer.lent.clear()

    def close(self) -> None:
        """Give the memory back."""
        if self.memory is not None:
            os.close(self.memory)
