"""When a run counts as standing still, and for how long each worker has had its frame. Pure: times are given to it."""

from __future__ import annotations

from dataclasses import dataclass

from olympipe_like._model.identity import WorkerId
from olympipe_like._scheduler.standing import WaitsFor

STALL_SECONDS = 60.0
"""After so long without any event a run says that it stands still: longer than an ordinary item of an ordinary stage
takes, short enough that whoever watches the log has not given up yet."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """That a run stands still."""

    seconds: float  # for how long
    fatal: bool  # the run is to fail


class StallWatch:
    """Says when to look whether a run stands still, and whether it does.

    Who is waited for changes with events only, so one look after each silence is enough; until something moves again
    there is nothing to look for, and an idle run is not woken.

    Parameters
    ----------
    timeout : float or None
        The run's ``stall_timeout`` in seconds; > 0. With it a silent source counts as standing still, too.
    warn_after : float
        Seconds after which it is said that the run stands still, if it does not fail before; > 0.
    """

    def __init__(self, timeout: float | None, warn_after: float) -> None:
        self._timeout = timeout
        self._moved = 0.0
        self._steps: tuple[float, ...] = (warn_after,) if timeout is None else (timeout,)
        if timeout is not None and timeout > warn_after:
            self._steps = (warn_after, timeout)
        self._next = 0  # the first of them that has not been looked at since something moved

    @property
    def moved_at(self) -> float:
        """When something moved last."""
        return self._moved

    @property
    def longest(self) -> float:
        """Seconds after which a silent run has been looked at for the last time."""
        return self._steps[-1]

    @property
    def can_wait(self) -> bool:
        """Whether nothing that happens can bring the next look forward: no silence was looked at."""
        return self._next == 0

    @property
    def due(self) -> float | None:
        """When to look next; None: not before something moves."""
        return self._moved + self._steps[self._next] if self._next < len(self._steps) else None

    def moved(self, at: float) -> None:
        """Note that something moved."""
        self._moved = at
        self._next = 0

    def look(self, at: float, waits_for: WaitsFor) -> Verdict | None:
        """Return whether the run stands still; the same silence is reported once (and once more when it is fatal)."""
        due = self.due
        if due is None or at < due:
            return None
        while self._next < len(self._steps) and at >= self._moved + self._steps[self._next]:
            fatal = self._steps[self._next] == self._timeout
            self._next += 1
        match waits_for:
            case WaitsFor.CONSUMER:
                return None
            case WaitsFor.SOURCE if not fatal:
                return None  # a quiet camera
            case _:
                return Verdict(at - self._moved, fatal)


class Holding:
    """Since when each worker has had the frame it is at."""

    def __init__(self) -> None:
        self._frames: dict[WorkerId, int] = {}
        self._since: dict[WorkerId, float] = {}

    def gave(self, worker: WorkerId, at: float) -> None:
        """Note that a worker was given one more frame."""
        frames = self._frames.get(worker, 0)
        self._frames[worker] = frames + 1
        if not frames:
            self._since[worker] = at

    def answered(self, worker: WorkerId, at: float, *, more: bool) -> None:
        """Note an answer, or a part of one; then the worker goes on with that frame, or with its next."""
        if not more:
            self._frames[worker] = self._frames.get(worker, 1) - 1
        self._since[worker] = at

    def lost(self, worker: WorkerId) -> None:
        """Forget a worker."""
        self._frames.pop(worker, None)
        self._since.pop(worker, None)

    def since(self, worker: WorkerId) -> float | None:
        """Return the time, None if the worker was never given a frame."""
        return self._since.get(worker)
