"""Stages that merge: they hold legs back, and give way where the run would stand still for it."""

from __future__ import annotations

from olympipe_like._scheduler.work import WorkStage


class MergeStage(WorkStage):
    """A stage of several inputs whose one worker takes the leg in turn."""

    def give_way(self) -> bool:
        """Take what waits now, whose turn it is or not; say whether any of it could be taken."""
        before = self._taken
        if not self.ended:
            self._legs.ahead = sum(len(edge.waiting) for edge in self.inputs)
            self.advance()
        if self._taken == before:
            self._legs.ahead = 0
        return self._taken > before
