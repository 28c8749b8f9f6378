"""Shows a run while it goes on: bars, log lines, or a call of the user's own function.

Drawn by the caller's process only, from snapshots handed in; starts no thread and asks no clock: time is the
`elapsed` of the snapshots. Writes to standard error, never to standard output.
"""

from __future__ import annotations

import inspect
import logging
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TextIO

from olympipe_like._model.stats import RunStats
from olympipe_like._observe.bars import Bars
from olympipe_like._observe.lines import of_expected
from olympipe_like._observe.report import Report, handled
from olympipe_like._observe.screen import Surface, find_surface
from olympipe_like._observe.text import grouped, rate, seconds
from olympipe_like._observe.workers import hosts_in_words

_LOGGER = logging.getLogger("olympipe_like")

_BARS_EVERY = 0.2  # seconds; faster than this nobody reads
_FILE_EVERY = 2.0  # seconds; bars forced into a file stay there, every one of them
_CALLS_EVERY = 0.25  # seconds
_LOG_EVERY = 30.0  # seconds

ProgressOption = bool | Callable[[Report], object] | None


class Progress(ABC):
    """Shows a run while it goes on.

    Who runs the pipeline calls `update` about every `interval` seconds, once more when the run has ended
    (``finished``), and `close` in a ``finally``.
    """

    interval: float  # seconds between wanted updates; those that come sooner are dropped

    def __init__(self, interval: float, shown_at: float = -math.inf) -> None:
        self.interval = interval
        self._shown_at = shown_at  # seconds on the run's clock
        self._dropped: RunStats | None = None  # newer than what is shown
        self._ended = False

    @staticmethod
    def choose(option: ProgressOption) -> Progress | None:
        """Return what shows a run, or None if nothing shall.

        Parameters
        ----------
        option : bool or callable or None
            None: bars on a terminal or in a notebook, elsewhere a line in the log ("olympipe_like", INFO)
            every 30 s. True: bars wherever standard error leads. False: nothing. A callable is given a
            `Report` every 0.25 s and once at the end; what it raises is raised to the consumer.

        Raises
        ------
        TypeError
            If ``option`` is something else.
        """
        if option is False:
            return None
        if callable(option):
            if inspect.iscoroutinefunction(option):
                raise TypeError(f"progress must be a plain function: nobody would await {option!r}")
            return _Calls(option)
        if option is not None and option is not True:
            raise TypeError(f"progress must be None, True, False or a function of a report, got {option!r}")
        surface = find_surface()
        if surface is Surface.NOWHERE or (option is None and surface is Surface.FILE):
            return _LogLines()
        return _Bars(sys.stderr, surface)

    def update(self, stats: RunStats) -> None:
        """Show where the run stands, unless that was done a moment ago."""
        if self._ended:
            return
        if not stats.finished and stats.elapsed - self._shown_at < self.interval:
            self._dropped = stats
            return
        self._ended = stats.finished
        self._shown_at = stats.elapsed
        self._dropped = None
        self._show(stats)

    def close(self) -> None:
        """Leave the screen in order; never raises, may be called twice."""
        self._ended = True

    @abstractmethod
    def _show(self, stats: RunStats) -> None: ...


class _Calls(Progress):
    """Hands reports to the user's function."""

    def __init__(self, function: Callable[[Report], object]) -> None:
        super().__init__(_CALLS_EVERY)
        self._function = function

    def _show(self, stats: RunStats) -> None:
        self._function(Report(stats))


class _LogLines(Progress):
    """Writes a line to the log now and then; nothing about runs that are over before the first."""

    def __init__(self) -> None:
        super().__init__(_LOG_EVERY, shown_at=0.0)

    def _show(self, stats: RunStats) -> None:
        if stats.elapsed >= self.interval:
            _LOGGER.info("%s", _log_line(stats))


def _log_line(stats: RunStats) -> str:
    ends = dict.fromkeys([*stats.stages[:1], *stats.stages[-1:]])  # once, if they are the same
    counts = [f"{stage.name!r} {of_expected(stage)} items, {rate(handled(stage) / stats.elapsed)}/s" for stage in ends]
    failed = sum(stage.failed for stage in stats.stages)
    if failed:
        counts.append(f"{grouped(failed)} failed")
    head = "finished after" if stats.finished else "running for"
    hosts = f" Workers: {words}." if (words := hosts_in_words(stats.workers)) else ""
    return f"{head} {seconds(stats.elapsed)}: {'; '.join(counts)}. {Report(stats).verdict()}{hosts}"


class _Bars(Progress):
    """Draws a line for each stage."""

    def __init__(self, stream: TextIO, surface: Surface) -> None:
        super().__init__(_FILE_EVERY if surface is Surface.FILE else _BARS_EVERY)
        self._bars = Bars(stream, surface)

    def _show(self, stats: RunStats) -> None:
        self._bars.draw(stats)

    def close(self) -> None:
        """Leave the last state of every line on the screen, and the cursor below."""
        if self._dropped is not None:
            self._bars.draw(self._dropped)
            self._dropped = None
        self._bars.close(finished=self._ended)
        super().close()
