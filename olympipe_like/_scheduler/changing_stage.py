"""Stages whose workers come and go while they run: not everyone who is lost has a successor."""

from __future__ import annotations

from olympipe_like._model.identity import WorkerId
from olympipe_like._scheduler.work import WorkStage


class ChangingStage(WorkStage):
    """A stage that may have fewer workers left than frames in hands.

    Where frames are answered in parts a worker rests with a later one until the earlier ones are through. If the
    worker of an earlier one is lost then, and nobody is started in its place, that frame waits for those that wait for
    it. So the last of them drops what it has begun and takes the earlier one.
    """

    def advance(self) -> None:
        """As everywhere, and see to it that the oldest frame finds a worker."""
        super().advance()
        worker = self._last_at_rest()
        if worker is not None:
            self.book()
            self._give_back([self.crew.drop_first(worker)])
            super().advance()

    def _tell_staff(self) -> None:
        """Let frames' sizes, and how many there may be of them in the beginning, follow the number of workers."""
        for edge in self.inputs:
            for sizer in edge.sizers:
                sizer.staffed(self.id, max(len(self.crew), 1))
            self.ledger.mark(edge.parent)

    def _last_at_rest(self) -> WorkerId | None:
        """Return the worker that rests with the latest frame, if all rest and an earlier one waits for any of them."""
        if self._release is None or self.ended or not self.crew.paused:
            return None
        number = self.inputs[0].next()
        if number is None or not self._may_start(number):
            return None
        if not self.crew.withheld <= self.crew.ready:
            return None  # somebody is about to come, and will take it
        resting = {self.crew.first(worker).key: worker for worker in self.crew.paused - self.crew.withheld}
        if not resting or min(resting) < number or len(resting) < len(self.crew) - len(self.crew.withheld):
            return None
        return resting[max(resting)]
