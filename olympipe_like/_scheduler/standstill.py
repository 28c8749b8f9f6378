"""Finds parts of a run that wait for themselves, and lets one of their merges give way. Knows no time.

A merge holds back the legs that have come further than the one whose turn it is, and a `concat` those whose turn has
not come. Where sources meet in two merges that want opposite things, such as ``a.concat(b)`` beside ``a.gather(b)``,
all of them are held back in the end. Then nothing is in anybody's hands, no source may give, and no consumer has
anything: nothing will ever happen there. It is not guessed from the plan, but seen, and so costs memory only where it
happens.
"""

from __future__ import annotations

from collections.abc import Sequence

from olympipe_like._model.topology import Role
from olympipe_like._scheduler.stage import Stage


class Standstill:
    """Looks at the connected parts of a run that have merges."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.parts: list[tuple[list[Stage], list[Stage]]] = []  # their stages, and which of those merge
        for part in _connected(stages):
            merges = [stage for stage in part if len(stage.inputs) > 1]
            # First those that let a whole leg go on: that is done once, the others take what waits for the moment.
            merges.sort(key=lambda stage: stage.spec.role is not Role.CONCAT)
            if merges:
                self.parts.append((part, merges))

    def end_one(self) -> bool:
        """Let a merge of one part that stands still give way; say whether there was any."""
        for part, merges in self.parts:
            stands = not any(stage.awaits for stage in part)
            if stands and any(stage.give_way() for stage in merges):
                return True
        return False


def _connected(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Return the parts of a run that nothing joins, their stages in order."""
    part_of = {stage.id: stage.id for stage in stages}
    for stage in stages:
        for edge in stage.inputs:
            old, new = part_of[edge.parent], part_of[stage.id]
            part_of = {each: new if part == old else part for each, part in part_of.items()}
    return [[stage for stage in stages if part_of[stage.id] == part] for part in dict.fromkeys(part_of.values())]
