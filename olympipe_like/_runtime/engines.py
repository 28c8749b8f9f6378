"""What carries a run out, and those at work: ended at the program's exit, left to the parent in a fork of it."""

from __future__ import annotations

import atexit
import os
from collections import deque
from typing import Protocol

from olympipe_like._model.failure import Failure
from olympipe_like._model.identity import StageId
from olympipe_like._model.tallies import StageTally
from olympipe_like._runtime.local import Dropped, Waiting
from olympipe_like._transport.messages import Marked
from olympipe_like._worker.chunk import Chunk


class Engine(Protocol):
    """What carries a run out: in this process, or in a hub."""

    balanced: bool  # it has ended, and every item is accounted for
    left_to_parent: bool  # this process is a fork of the one it was begun in
    marks: deque[Marked]  # where streamers were

    def start(self) -> None: ...
    def next(self, timeout: float | None) -> tuple[StageId, Chunk] | Dropped | Failure | Waiting | None: ...
    def stop(self) -> None: ...
    def tallies(self) -> tuple[StageTally, ...]: ...
    def close(self) -> None: ...
    def leave_to_parent(self) -> None: ...


# Keeps what a run uses alive until the run is closed: when a forgotten iterator is collected in a cycle, Python
# finalizes the members in any order, and sockets must not go before the generator whose end says good-bye through them.
open_engines: set[Engine] = set()


@atexit.register
def _close_all() -> None:
    for engine in list(open_engines):
        try:
            engine.close()
        except KeyboardInterrupt:
            continue  # pressed again while the program ends: what is left ends when our sockets close with it
    open_engines.clear()


def _leave_to_parent() -> None:
    """In a fork of this process: its runs go on in the parent, and whoever ends here must not end them there."""
    for engine in open_engines:
        engine.leave_to_parent()
    open_engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
