"""What a worker may say, and when. A message that is well formed and makes no sense ends its machine's session.

So nothing that an allowed machine says can break the hub, or its books: what is let through here is what a worker of
our own would have said.
"""

from __future__ import annotations

from collections import deque

from olympipe_like._model.topology import StageSpec
from olympipe_like._remote.envelope import ProtocolError
from olympipe_like._remote.speech import Ended, Says
from olympipe_like._transport import messages as wire

_ONCE = frozenset({Says.STARTED, Says.READY, Says.BROKEN, Says.REFUSED, Says.ENDED})


class Conduct:
    """One worker's life so far.

    Parameters
    ----------
    spec : StageSpec
        Its stage.
    timeout : float or None
        Seconds that one of its items may take.
    """

    def __init__(self, spec: StageSpec, timeout: float | None) -> None:
        self._spec = spec
        self._has_timeout = timeout is not None
        self._frames: deque[tuple[int, wire.Run]] = deque()  # those it has, with their numbers
        self._last = 0
        self._said: set[Says] = set()
        self.stopping = False

    @property
    def has_frames(self) -> bool:
        """Whether it has something to answer."""
        return bool(self._frames)

    def given(self, run: wire.Run) -> int:
        """Take note of a frame that it is given; return the frame's number."""
        self._last += 1
        self._frames.append((self._last, run._replace(parcel=None)))
        return self._last

    def drops(self) -> int:
        """Take note that it is to forget the frame it is at; return the frame's number."""
        number, _ = self._frames.popleft()
        return number

    def says(self, what: Says) -> None:
        """Take note of a message that is said once in a life.

        Raises
        ------
        ProtocolError
            If it was said before, or cannot come now.
        """
        if what not in _ONCE:
            return
        if what in self._said:
            raise ProtocolError(f"{what.name} for the second time")
        if Says.READY in self._said and (what is Says.REFUSED or (what is Says.BROKEN and not self.stopping)):
            raise ProtocolError(f"{what.name} after {Says.READY.name}")
        self._said.add(what)

    def answers(self, number: int, answer: wire.Answered) -> None:
        """Take note of an answer to a frame, or of a part of one.

        Raises
        ------
        ProtocolError
            If it has no such frame, or the answer is none to it.
        """
        if Says.READY not in self._said:
            raise ProtocolError("an answer before it was ready")
        if not self._frames or self._frames[0][0] != number:
            raise ProtocolError(f"an answer to frame {number}, which it has not or has answered before")
        _, run = self._frames[0]
        counts = answer.counts
        if len(counts) != self._spec.ops:
            raise ProtocolError(f"counts of {len(counts)} operators, and there are {self._spec.ops}")
        if answer.done:
            raise ProtocolError("the end of a stage that does not end by itself")
        if not self._spec.parts:
            if answer.more or answer.length > run.length or answer.upto != run.upto:
                raise ProtocolError("an answer to another frame than it was given")
            taken, given = counts[0].items_in, counts[-1].items_out
            if taken > run.length or (answer.failure is None and (taken, given) != (run.length, answer.length)):
                raise ProtocolError("counts that are not those of its answer")
        elif not answer.upto or answer.upto[: len(run.upto)] > run.upto:  # within an item the path is longer
            raise ProtocolError("a part that goes beyond its frame")
        if not answer.more:
            self._frames.popleft()

    def ends(self, ended: Ended) -> None:
        """Take note of its end.

        Raises
        ------
        ProtocolError
            If it cannot have ended so.
        """
        if (ended.timed_out or ended.excused) and not self._has_timeout:
            raise ProtocolError("an item that took too long, and none can")
        if ended.ordinal is not None and ended.ordinal < 0:
            raise ProtocolError("an item with a number below 0")
