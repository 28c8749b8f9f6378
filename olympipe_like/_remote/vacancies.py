"""The remote stages of all runs: how many workers each has, who is promised to it, how long it has been without any."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from olympipe_like._model.identity import StageId
from olympipe_like._remote.address import from_elsewhere
from olympipe_like._remote.guests import Guest
from olympipe_like._remote.run_link import RunLink, StageNeed, Worker
from olympipe_like._transport.remote_messages import Came, Hopeless, Noted

WAIT_SECONDS = 5.0  # without enough workers, before that is said


class Vacancy:
    """A stage that takes any number of workers."""

    def __init__(self, link: RunLink, stage: StageId, need: StageNeed, at: float) -> None:
        self.link = link
        self.stage = stage
        self.need = need
        self.workers: set[Worker] = set()
        self.promised: deque[Guest] = deque()  # reserved for it
        self._owed = 0  # workers that the hub was told of, and has not asked for yet
        self.closed = False  # it has ended
        self.refused: set[bytes] = set()  # sessions that cannot work for it
        self._opened = False  # it has had min_workers at once
        self._lost = 0  # workers lost since it had any
        self._why = ""
        self._short_since: float | None = at
        self._has_said = False

    @property
    def load(self) -> int:
        """How many workers it has, or will have."""
        return len(self.workers) + len(self.promised)

    @property
    def place(self) -> str:
        """What it is called."""
        label = self.need.label
        return f"stage {label.number}/{label.of} {label.name!r}"

    def promise(self, guest: Guest) -> None:
        """Reserve one of a machine's workers."""
        guest.reserved += 1
        self.promised.append(guest)
        self._opened = self._opened or self.load >= self.need.remote.min_workers
        while self._opened and self._owed < len(self.promised):
            self._owed += 1
            self.link.tell(Came(self.stage))

    def take(self) -> Guest | None:
        """Return the machine for a worker that the hub starts now; None if it has gone meanwhile."""
        self._owed -= 1
        if not self.promised:
            return None
        guest = self.promised.popleft()
        guest.reserved -= 1
        return guest

    def close(self) -> None:
        """Want nobody any more."""
        self.closed = True
        for guest in self.promised:
            guest.reserved -= 1
        self.promised.clear()

    def forget(self, guest: Guest) -> None:
        """Expect nothing more from a machine that has gone; a hub that asks for what it was promised is told then."""
        self.promised = deque(each for each in self.promised if each is not guest)

    def lost(self, why: str) -> None:
        """Note that a worker is gone."""
        self._lost += 1
        self._why = why

    def look(self, now: float, others: int) -> None:
        """Say what is missing, once it has been missing for some time; ``others`` workers are at other stages."""
        remote = self.need.remote
        if self.closed or (self._opened and self.load):
            self._short_since = None
            self._has_said = False
            if self.load and self.workers:
                self._lost = 0
            return
        if self._short_since is None:
            self._short_since = now
        short = now - self._short_since
        if short >= WAIT_SECONDS and not self._has_said:
            self._has_said = True
            self._tell(Noted(logging.WARNING, self._complaint(others), self.stage))
        if self._opened and not remote.local_workers and short >= remote.reconnect_for:
            self.closed = True
            self._tell(Hopeless(self.stage, self._obituary()))

    def _tell(self, message: object) -> None:
        self.link.tell(message)

    def _complaint(self, others: int) -> str:
        remote = self.need.remote
        there = f"{self.load} of min_workers={remote.min_workers} are there"
        if others:
            there += f", and {others} at work for other stages or runs, which give none up before they end"
        text = f"{self.place} waits for remote workers: {there}; start some with: {self._how_to_start_some()}"
        if self._opened:
            text = f"{self.place} has no remote worker left{self._last_words()}; it waits for one to come"
        if remote.local_workers:
            text += f" (its {remote.local_workers} local ones go on)"
        return text

    def _how_to_start_some(self) -> str:
        address = from_elsewhere(self.need.remote.address)
        if self.need.remote.own_target:
            return f"olympipe_like.requests.Worker(target, {address!r}, keys=FOLDER).process_requests()"
        return f"olympipe-like worker {address} --keys FOLDER"

    def _obituary(self) -> str:
        return (
            f"lost all {max(self._lost, 1)} remote workers{self._last_words()}, "
            f"and none came within reconnect_for={self.need.remote.reconnect_for:g} s"
        )

    def _last_words(self) -> str:
        return f" ({self._why})" if self._why else ""


class Vacancies:
    """All of them, and who gets the next free worker."""

    def __init__(self) -> None:
        self._of: dict[tuple[RunLink, StageId], Vacancy] = {}

    def __getitem__(self, key: tuple[RunLink, StageId]) -> Vacancy:
        return self._of[key]

    def add(self, link: RunLink, at: float) -> None:
        """Take note of a run's remote stages."""
        for stage, need in link.needs.items():
            self._of[link, stage] = Vacancy(link, stage, need, at)

    def remove(self, link: RunLink) -> None:
        """Forget a run."""
        for stage in link.needs:
            self._of.pop((link, stage)).close()

    def fill(self, guests: Callable[[], list[Guest]]) -> None:
        """Promise every idle worker to the stage that has fewest."""
        for guest in guests():
            while guest.idle > 0:
                token = guest.session.token
                fit = [each for each in self._of.values() if not each.closed and token not in each.refused]
                if not fit:
                    break
                min(fit, key=lambda each: each.load).promise(guest)

    def gone(self, guest: Guest) -> None:
        """Forget what a machine was promised for."""
        for each in self._of.values():
            each.forget(guest)

    def look(self, now: float) -> None:
        """Let each stage say what it misses."""
        at_work = sum(each.load for each in self._of.values())
        for each in list(self._of.values()):
            each.look(now, at_work - each.load)
