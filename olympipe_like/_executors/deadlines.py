"""Which workers have been at one item for too long. Knows clocks and cells, and ends nobody."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.identity import WorkerId
from olympipe_like._transport.progress_cell import ProgressCell


class Deadline(NamedTuple):
    """One worker's limit."""

    cell: ProgressCell
    seconds: float  # an item may take


class Deadlines:
    """The workers whose items may take only so long.

    Nothing tells the hub that an item begins: it reads each busy worker's cell, at the latest once in the time an item
    may take.
    """

    def __init__(self) -> None:
        self._watched: dict[WorkerId, Deadline] = {}
        self._busy: set[WorkerId] = set()

    def watch(self, worker: WorkerId, cell: ProgressCell, seconds: float) -> None:
        """Add a worker."""
        self._watched[worker] = Deadline(cell, seconds)

    def forget(self, worker: WorkerId) -> None:
        """A worker is gone, or about to be."""
        self._watched.pop(worker, None)
        self._busy.discard(worker)

    def set_busy(self, worker: WorkerId, *, busy: bool) -> None:
        """Note whether a worker has anything in hand."""
        if worker in self._watched:
            (self._busy.add if busy else self._busy.discard)(worker)

    def overdue(self, now: float) -> list[tuple[WorkerId, tuple[int, float]]]:
        """Return who has been at an item for too long, and at which, since when."""
        found = []
        for worker in self._busy:
            cell, seconds = self._watched[worker]
            at = cell.read()
            if at is not None and now - at[1] >= seconds:
                found.append((worker, at))
        return found

    def next_look(self, now: float) -> float | None:
        """Return when to look again (`monotonic`, seconds), None if nobody is busy."""
        times = []
        for worker in self._busy:
            cell, seconds = self._watched[worker]
            at = cell.read()
            times.append((now if at is None else min(at[1], now)) + seconds)  # of one that rests: later than now
        return min(times, default=None)
