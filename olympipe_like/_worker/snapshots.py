"""What a stage with memory remembers, as bytes for its successor, and when it is worth the cost to write them."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, cast

from olympipe_like._transport.codec import EncodingError, decode_item, encode_item
from olympipe_like._worker.steps import Step

FRAMES = 16
"""Frames between snapshots that cost something. The hub keeps them, to be run again by a successor."""

SHARE = 10
"""Work between two snapshots is at least so many times what the last one cost."""

MOST_BYTES = 32 << 20
MOST_FRAMES = 1024
"""What the hub keeps at most until there is a snapshot, whatever it costs."""

CANNOT_BE_KEPT = b""


class Snapshots:
    """One worker's."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._frames = 0
        self._nbytes = 0
        self._since = perf_counter()
        self._cost = 0.0
        self._impossible = False

    def after(self, nbytes: int, open_legs: int) -> bytes | None:
        """Return a snapshot if one is due after a frame of so many bytes."""
        if self._impossible:
            return CANNOT_BE_KEPT
        self.heard(nbytes)
        if not self._is_due():
            return None
        began = perf_counter()
        try:
            data = encode_item((open_legs, [step.state() for step in self._steps]))
        except EncodingError:
            self._impossible = True
            return CANNOT_BE_KEPT
        self._frames = self._nbytes = 0
        self._since = perf_counter()
        self._cost = self._since - began
        return data

    def heard(self, nbytes: int) -> None:
        """Count a frame, one that a predecessor answered too: the hub keeps it until there is a snapshot."""
        self._frames += 1
        self._nbytes += nbytes

    def _is_due(self) -> bool:
        if not any(step.held for step in self._steps):
            return True  # next to nothing to write
        if self._nbytes >= MOST_BYTES or self._frames >= MOST_FRAMES:
            return True
        return self._frames >= FRAMES and perf_counter() - self._since >= SHARE * self._cost

    def restore(self, data: bytes) -> int:
        """Make the steps remember what a snapshot holds; return the number of open legs."""
        open_legs, states = cast("tuple[int, list[Any]]", decode_item(data, {}))
        for step, state in zip(self._steps, states, strict=True):
            step.restore(state)
        return open_legs
