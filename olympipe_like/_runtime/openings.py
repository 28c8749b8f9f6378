"""Workers that are asked for and not started yet, and what they are to be told once they are."""

from __future__ import annotations

from itertools import islice

from olympipe_like._model.commands import RestoreWorker, RunFrame, StartWorker
from olympipe_like._model.identity import StageId, WorkerId

AT_A_TIME = 4
"""Workers that are started before the others are heard again, once each stage has its first. After each fork the hub's
memory is copied again, page by page, as it works on: with 32 workers 500 sleeps of 10 ms took 380 ms if it heard the
others after every fork, 340 if after all of them, and take 350 like this."""


class Openings:
    """Lets the hub start some processes at a time and hear the others in between.

    A process takes some milliseconds to start. If all were started at once the first would wait for the last one until
    it is given anything, and the caller for the first result.
    """

    def __init__(self) -> None:
        self.asked: dict[WorkerId, StartWorker] = {}
        self._held: dict[WorkerId, list[RunFrame | RestoreWorker]] = {}
        self._begun: set[StageId] = set()  # stages that have, or had, a worker

    def __bool__(self) -> bool:
        return bool(self.asked)

    def add(self, command: StartWorker) -> None:
        """Take note of a worker that is to be started."""
        self.asked[command.worker] = command
        self._held[command.worker] = []

    def hold(self, command: RunFrame | RestoreWorker) -> bool:
        """Keep what a worker is told if it has not been started; say whether that is so."""
        held = self._held.get(command.worker)
        if held is None:
            return False
        held.append(command)
        return True

    def drop(self, worker: WorkerId) -> bool:
        """Forget a worker that has not been started and is not wanted any more; say whether that is so."""
        self._held.pop(worker, None)
        return self.asked.pop(worker, None) is not None

    def take(self) -> list[tuple[StartWorker, list[RunFrame | RestoreWorker]]]:
        """Return who is to be started next, and what each is to be told.

        The first worker of each stage, then all in the order in which they were asked for: nobody waits for others that
        are replaced all the time.
        """
        firsts: dict[StageId, StartWorker] = {}
        for command in self.asked.values():
            if command.stage not in self._begun:
                firsts.setdefault(command.stage, command)
        self._begun.update(firsts)
        commands = list(firsts.values()) or list(islice(self.asked.values(), AT_A_TIME))
        return [(self.asked.pop(command.worker), self._held.pop(command.worker)) for command in commands]
