"""Stages that pass frames on without opening them: limit, skip, concat, gather(ordered=False)."""

from __future__ import annotations

from olympipe_like._model.frame import Frame, OpCounts
from olympipe_like._model.topology import Role, StageSpec
from olympipe_like._scheduler.edge import Edge
from olympipe_like._scheduler.ledger import Ledger
from olympipe_like._scheduler.stage import Stage, part_of


class RouteStage(Stage):
    """Takes frames in turn and numbers them anew; costs no worker and no copy."""

    def __init__(self, spec: StageSpec, ledger: Ledger) -> None:
        super().__init__(spec, ledger)
        self._number = 0  # of the next frame out
        self.left = spec.amount  # LIMIT: items still to pass; SKIP: items still to drop

    @property
    def current_leg(self) -> Edge | None:
        """CONCAT: the leg whose turn it is."""
        return next((edge for edge in self.inputs if not edge.exhausted), None)

    def give_way(self) -> bool:
        """Let the later legs of a concat wait here in any number."""
        waiting = [edge for edge in self.inputs if not (edge.exhausted or edge.unbounded)]
        if self.ended or self.spec.role is not Role.CONCAT or len(waiting) < 2:
            return False
        for edge in waiting[1:]:
            edge.unbounded = True
            self.ledger.mark(edge.parent)
        return True

    def advance(self) -> None:
        """Pass on whatever is in turn and has room."""
        if self.end_if_unwanted(self._number) or self.ended:
            return
        if self.spec.role is Role.LIMIT and self.left == 0:
            self.close_inputs()
            self.end(self._number)
            return
        while (edge := self._ready_leg()) is not None and self.may_emit(self._number):
            number = edge.next()
            assert number is not None
            frame = edge.take(number)
            self._pass_on(frame, edge.leg)
            self.finish(edge, number, frame)
        if all(edge.exhausted for edge in self.inputs):
            self.end(self._number)

    def _ready_leg(self) -> Edge | None:
        if self.spec.role is Role.CONCAT:
            leg = self.current_leg
            return leg if leg is not None and leg.next() is not None else None
        ready = [edge for edge in self.inputs if edge.next() is not None]
        # The leg that has been served least: a busy leg must not starve a quiet one.
        return min(ready, key=lambda edge: edge.taken) if ready else None

    def _pass_on(self, frame: Frame, leg: int) -> None:
        out = frame
        if self.spec.role is Role.CONCAT:
            out = frame._replace(prefix=(leg, *frame.prefix), upto=(leg, *frame.upto))
        elif self.spec.role is Role.LIMIT:
            count = min(frame.count, self.left)
            self.left -= count
            # A failure after the last item wanted never happens, as in a lazy generator.
            out = part_of(frame, 0, count, keep_failure=self.left > 0)
        elif self.spec.role is Role.SKIP:
            dropped = min(frame.count, self.left)
            self.left -= dropped
            out = part_of(frame, dropped, frame.count - dropped, keep_failure=True)
        self.tally.add((OpCounts(frame.count, out.count, frame.count - out.count),))
        self.emit(self._number, out)
        self._number += 1
        if out.failure is not None or (self.spec.role is Role.LIMIT and self.left == 0):
            self.close_inputs()
            self.end(self._number)
