"""Draws the lines of a display with tqdm.

Knows tqdm's ways and works around those that need it. Does not know what the lines say, or when to draw.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from typing import Any, Protocol, TextIO

from olympipe_like._model.stats import RunStats
from olympipe_like._observe.lines import Line, Speed, fold, lay_out, line_of_workers
from olympipe_like._observe.screen import Screen, Surface


class Bars:
    """Draws one line for each stage with tqdm, in the stages' order."""

    def __init__(self, stream: TextIO, surface: Surface) -> None:
        self._screen = Screen(stream, surface)
        self._bars: list[_Bar] = []
        self._shown: tuple[range, ...] = ()  # the stages on each line: one, or several folded together
        self._speeds: tuple[Speed, ...] = ()
        self._above = 0  # lines of others

    def draw(self, stats: RunStats) -> None:
        """Bring every line up to date."""
        if not self._bars:
            self._speeds = tuple(Speed() for _ in stats.stages)
            self._shown = fold(len(stats.stages), self._room(len(stats.stages)))
        speeds = [speed.update(stage, stats) for speed, stage in zip(self._speeds, stats.stages, strict=True)]
        size = None if _draws_widgets() else self._screen.size()
        lines = lay_out(stats, speeds, self._shown, size and size.columns)
        workers = line_of_workers(stats, size and size.columns)
        if workers is not None and (len(self._bars) > len(lines) or len(lines) < self._room(len(lines) + 1)):
            lines.append(workers)  # once it is there it stays: those who have come do not become unknown
        if not self._bars:
            self._above = self._lines_above()
        for bar, line in zip(self._bars, lines, strict=False):
            bar.draw(line, size)
        for at in range(len(self._bars), len(lines)):
            self._bars.append(_bar_class()(lines[at], self._screen, self._above + at, size))
        self._screen.show()

    def close(self, *, finished: bool) -> None:
        """Leave the lines as they are on the screen, and the cursor below; may be called twice."""
        bars, self._bars = self._bars, []
        # Closing a bar prints it for good where the first one stood; what stood below would show through.
        for bar in bars if self._screen.surface is Surface.TERMINAL else ():
            bar.clear()
        for bar in bars:
            bar.end(finished=finished)
        self._screen.show()

    def _room(self, stages: int) -> int:
        """Return how many lines there are for this many stages."""
        if _draws_widgets() or self._screen.surface is Surface.FILE:
            return stages
        if self._screen.surface is Surface.NOTEBOOK:
            return 1  # text in a notebook, where the cursor cannot go up
        # The last line stays free: a line feed there would scroll the bars away from their places.
        return max(self._screen.size().lines - self._lines_above() - 1, 1)

    def _lines_above(self) -> int:
        """Return how many lines other bars of this process take: the user's own, those of other runs."""
        if _draws_widgets():
            return 0
        taken: int = _bar_class().lines_taken()
        return taken


class _Bar(Protocol):
    """What we ask of a bar of tqdm's."""

    def draw(self, line: Line, size: os.terminal_size | None) -> None: ...
    def clear(self) -> None: ...
    def end(self, *, finished: bool) -> None: ...


@functools.cache
def _bar_class() -> type[Any]:
    """Return the class of our bars; tqdm is imported here, by runs that show bars."""
    from tqdm import std

    with warnings.catch_warnings():
        # In a notebook without ipywidgets it warns and draws text, which we are prepared for.
        warnings.simplefilter("ignore", std.TqdmWarning)
        from tqdm.auto import tqdm

    base: Any = tqdm
    notebook = sys.modules.get("tqdm.notebook")
    if notebook is not None and notebook.IProgress is None:
        base = std.tqdm  # older ones take widgets all the same, and fail when the first is drawn

    class StageBar(base):  # type: ignore[misc]  # what tqdm.auto gives is known only here
        """One line: its words come from `lay_out`, its bar from tqdm."""

        monitor_interval = 0  # tqdm's monitor is a thread, and a process with threads cannot fork safely
        if not hasattr(base, "_lock"):
            # The default lock has a part for other processes, and making that may start a process of its own.
            # No other process draws our bars: the part that other threads' bars hold as well is enough.
            _lock = vars(std)["TqdmDefaultWriteLock"].th_lock

        def __init__(self, line: Line, file: Screen, position: int, size: os.terminal_size | None) -> None:
            self._line = line  # before the rest: tqdm draws when it is made
            within = {} if size is None else {"ncols": size.columns, "nrows": size.lines}
            form = "{head}{bar}" if line.folded else "{head}|{bar}|{tail}"
            super().__init__(
                total=line.total, initial=line.done, file=file, position=position, bar_format=form, **within
            )

        @property
        def format_dict(self) -> dict[str, Any]:
            return {**super().format_dict, "head": self._line.head, "tail": self._line.tail}

        @classmethod
        def lines_taken(cls) -> int:
            return max((abs(bar.pos) + 1 for bar in list(cls._instances) if hasattr(bar, "pos")), default=0)

        def draw(self, line: Line, size: os.terminal_size | None) -> None:
            self._line = line
            if size is not None:
                self.ncols, self.nrows = size
            elif line.total is not None and line.total != self.total:
                self.reset(line.total)  # a widget learns its total only so
            self.n: int = line.done
            self.total: int | None = line.total
            self.refresh()

        def end(self, *, finished: bool) -> None:
            if finished and _draws_widgets():
                self.total = None  # short of its total a widget turns red, yet limit() is no failure
            self.close()

    return StageBar


def _draws_widgets() -> bool:
    """Whether bars are widgets of a notebook and not lines of text."""
    bar_class = _bar_class()  # imports tqdm.notebook, if it is to be used
    notebook = sys.modules.get("tqdm.notebook")
    return notebook is not None and issubclass(bar_class, notebook.tqdm_notebook)
