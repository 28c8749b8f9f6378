"""What every stage of a run has: input edges, output edges, an end. Knows neither workers nor merging."""

from __future__ import annotations

from abc import ABC, abstractmethod

from olympipe_like._model.frame import Frame
from olympipe_like._model.topology import StageSpec
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ledger import Ledger, Tally


class Stage(ABC):
    """One stage's state. `advance` does whatever can be done now and is called until nothing more can."""

    def __init__(self, spec: StageSpec, ledger: Ledger) -> None:
        self.spec = spec
        self.id = spec.id
        self.ledger = ledger
        self.inputs: list[Edge] = []
        self.outputs: list[Edge] = []
        self.tally = Tally(spec.ops)
        self.ended = False  # its last frame is out
        self.emitted = 0  # items, in all

    @abstractmethod
    def advance(self) -> None:
        """Do all that can be done now."""

    @property
    def awaits(self) -> bool:
        """Whether anything may come to it from outside: an answer, a frame, the consumer."""
        return False

    def give_way(self) -> bool:
        """Take what it would let wait, because the run stands still; say whether there was any."""
        return False

    # -- towards the children -----------------------------------------------------------------------------------------

    def may_emit(self, number: int, items: int = 1) -> bool:
        """Whether every child that wants the frame has room for it."""
        for edge in self.outputs:  # noqa: SIM110 - `all` takes twice as long, and this is asked for every frame
            if not edge.admits(number, items):
                return False
        return True

    def is_wanted(self, number: int) -> bool:
        """Whether any child wants the frame."""
        for edge in self.outputs:  # noqa: SIM110 - as above
            if edge.cut is None or number < edge.cut:
                return True
        return False

    def grant(self, number: int, items: int) -> None:
        """Reserve room for a frame at every child."""
        for edge in self.outputs:
            edge.grant(number, items)

    def withdraw(self, number: int) -> None:
        """Give back the room reserved for a frame that will not come."""
        for edge in self.outputs:
            edge.withdraw(number)

    def emit(self, number: int, frame: Frame) -> None:
        """Give a frame to every child that wants it; the payload is free if none does and nobody holds it."""
        self.emitted += frame.count
        is_wanted = False
        for edge in self.outputs:
            if edge.cut is None or number < edge.cut:
                is_wanted = True
                self.ledger.payloads.hold(frame)
                edge.put(number, frame)
                for sizer in edge.sizers:
                    sizer.observe_bytes(frame.nbytes, frame.span)
                self.ledger.mark(edge.child)
        if not is_wanted:
            self.ledger.payloads.discard(frame)

    def end(self, total: int) -> None:
        """Tell the children how many frames there are in all."""
        if not self.ended:
            self.ended = True
            for edge in self.outputs:
                edge.total = total
                self.ledger.mark(edge.child)

    # -- towards the parents ------------------------------------------------------------------------------------------

    def finish(self, edge: Edge, number: int, frame: Frame) -> None:
        """Be done with an input frame: its room is free, its payload is not needed here any more."""
        edge.finish(number)
        self.ledger.payloads.drop(frame)
        if edge.is_awaited:
            edge.is_awaited = False
            self.ledger.mark(edge.parent)

    def close(self, edge: Edge, cut: int = 0) -> None:
        """Want no more from an edge: nothing at all, or nothing from frame ``cut`` on."""
        if edge.wants(cut):
            for frame in edge.close(cut):
                self.ledger.payloads.drop(frame)
            self.ledger.mark(edge.parent)

    def close_inputs(self, cut: int = 0) -> None:
        """Want no more input: nothing at all, or nothing from frame ``cut`` on."""
        for edge in self.inputs:
            self.close(edge, cut)

    def end_if_unwanted(self, number: int) -> bool:
        """End, and want no more input, when no child wants any frame from ``number`` on; say whether that is so."""
        if not self.outputs or any(edge.wants(number) for edge in self.outputs):
            return False
        if not self.ended:
            self.ended = True
            self.close_inputs()
        return True


def part_of(frame: Frame, skip: int, count: int, *, keep_failure: bool) -> Frame:
    """Return the cut of a frame that holds ``count`` items after its first ``skip``."""
    return frame._replace(
        skip=frame.skip + skip,
        count=count,
        failure=frame.failure if keep_failure else None,
    )
