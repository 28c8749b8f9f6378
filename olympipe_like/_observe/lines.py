"""What the lines of a display say: which stages have one, and what of them fits into it.

Knows columns. Does not know tqdm, terminals or when to draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from olympipe_like._model.stats import RunStats, StageStats
from olympipe_like._observe.bottleneck import ENDS, Limit, find_bottleneck, shares
from olympipe_like._observe.report import handled
from olympipe_like._observe.text import columns, grouped, left, one_line, percent, rate, right
from olympipe_like._observe.workers import hosts_in_words

_SMALLEST_BAR = 8  # columns; what else is said gives way to it
_LONGEST_NAME = 24  # columns
_SPEED_OVER = 3.0  # seconds: what a line's rate looks back on, so that it neither jumps nor lags
_JUDGE_AFTER = 1.0  # seconds; before, the bottleneck would jump from line to line

_WIDEST = 200  # columns, where nobody knows how many there are

_MARK, _ARROW = "<- bottleneck", "<-"
_HEAD = ("name", "workers")
# What stands behind the bar, the fullest that has room.
_TAILS = (
    ("in", "out", "rate", "queue", "busy", "mark"),
    ("in", "out", "rate", "queue", "busy", "arrow"),
    ("in", "out", "rate", "queue", "arrow"),
    ("in", "out", "rate", "arrow"),
    ("in", "out", "arrow"),
    ("in",),
    (),
)
_ALIGN: dict[str, Callable[[str, int], str]] = {
    "name": left,
    "workers": right,
    "in": right,
    "out": left,
    "rate": right,
    "queue": left,
    "busy": right,
    "mark": left,
    "arrow": left,
}


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of the display says; the bar stands between head and tail."""

    head: str
    tail: str = ""
    done: int = 0  # items
    total: int | None = None  # items; None: not known
    folded: bool = False  # several stages for want of room: no bar


def fold(stages: int, room: int) -> tuple[range, ...]:
    """Return which stages each line shows: all of them one by one, or the first and last ones.

    Parameters
    ----------
    stages, room : int
        How many stages and how many lines there are; ``room`` >= 1.

    Returns
    -------
    tuple of range
        Of indices, one range for each line; at most one range holds several, those folded together.

    Examples
    --------
    >>> fold(3, room=24)
    (range(0, 1), range(1, 2), range(2, 3))
    >>> fold(40, room=4)
    (range(0, 1), range(1, 38), range(38, 39), range(39, 40))
    """
    if stages <= room:
        return tuple(range(at, at + 1) for at in range(stages))
    if room <= 2:  # no room to tell of those left out
        return tuple(range(at, at + 1) for at in range(stages - room, stages))
    first = (room - 1) // 2
    last = stages - (room - 1 - first)
    singles = [range(at, at + 1) for at in [*range(first), *range(last, stages)]]
    return (*singles[:first], range(first, last), *singles[first:])


def lay_out(stats: RunStats, speeds: Sequence[float], shown: Sequence[range], width: int | None) -> list[Line]:
    """Return the lines of a display, their columns one below the other.

    Parameters
    ----------
    stats : RunStats
        Where the run stands.
    speeds : sequence of float
        Items per second of each stage.
    shown : sequence of range
        Which stages each line shows, as `fold` returns it.
    width : int or None
        Columns of the terminal; what does not fit beside a small bar is left out. None: all is said.
    """
    limiting = _limiting(stats)
    longest = _LONGEST_NAME if width is None else max(min(_LONGEST_NAME, width // 3), 4)
    table = {
        index: _cells(stats.stages[index], stats.elapsed, speeds[index], longest, limits=index == limiting)
        for index in (line[0] for line in shown if len(line) == 1)
    }
    # The mark keeps its place free, so that the bars do not change their length when it comes and goes.
    widths = {"mark": len(_MARK), "arrow": len(_ARROW)}
    for name in _ALIGN:
        widths[name] = max([widths.get(name, 0), *(columns(cells[name]) for cells in table.values())])
    taken = _width(_HEAD, widths) + len("||") + _SMALLEST_BAR
    tail = next((names for names in _TAILS if width is None or taken + _width(names, widths) <= width), _TAILS[-1])
    return [
        _fold_line(stats.stages, line, limiting)
        if len(line) > 1
        else Line(
            head=_joined(_HEAD, table[line[0]], widths)[1:],
            tail=_joined(tail, table[line[0]], widths)[:-1],
            done=handled(stats.stages[line[0]]),
            total=_total(stats.stages[line[0]]),
        )
        for line in shown
    ]


def line_of_workers(stats: RunStats, width: int | None) -> Line | None:
    """Return the line below the stages that says which machines work, if others may."""
    if not stats.workers:
        return None
    words = hosts_in_words(stats.workers) or "none"
    return Line(one_line(f"workers: {words}", width or _WIDEST), folded=True)


def _cells(stage: StageStats, elapsed: float, speed: float, longest: int, *, limits: bool) -> dict[str, str]:
    """Return what the columns say of a stage."""
    share = shares(stage, elapsed)
    return {
        "name": one_line(stage.name, longest),
        "workers": f"{stage.workers}w" if stage.workers else "",
        "in": of_expected(stage),
        "out": "" if stage.kind in ENDS else f"-> {grouped(stage.items_out)}",
        "rate": f"{rate(speed)}/s",
        "queue": f"queue {grouped(stage.waiting)}/{grouped(stage.capacity)}" if stage.capacity else "",
        "busy": f"{percent(share.busy)} % busy" if share else "",
        "mark": _MARK if limits else "",
        "arrow": _ARROW if limits else "",
    }


def _joined(names: Sequence[str], cells: dict[str, str], widths: dict[str, int]) -> str:
    """Return the cells set in their columns, a space around each; columns without a word are left out."""
    return "".join(f" {_ALIGN[name](cells[name], widths[name])} " for name in names if widths[name])


def _width(names: Sequence[str], widths: dict[str, int]) -> int:
    """Return how many columns `_joined` takes, without the space at the line's edge."""
    return max(sum(widths[name] + 2 for name in names if widths[name]) - 1, 0)


def _fold_line(stages: Sequence[StageStats], line: range, limiting: int | None) -> Line:
    """Return the line that stands for several stages."""
    head = f"... {len(line)} more stages"
    if limiting is not None and limiting in line:
        head += f", the bottleneck '{one_line(stages[limiting].name, _LONGEST_NAME)}' among them"
    return Line(head, folded=True)


def _limiting(stats: RunStats) -> int | None:
    """Return the index of the row to mark as the bottleneck, if the run is old enough to tell."""
    verdict = find_bottleneck(stats)
    ripe = stats.finished or stats.elapsed >= _JUDGE_AFTER
    return verdict.index if ripe and verdict.limit is not Limit.NONE else None


def _total(stage: StageStats) -> int | None:
    """Return how many items the stage will have taken, if known; a source may have lied about its length."""
    return None if stage.expected is None or handled(stage) > stage.expected else stage.expected


def of_expected(stage: StageStats) -> str:
    """Return how many items a stage has handled, and of how many if that is known."""
    total = _total(stage)
    return grouped(handled(stage)) if total is None else f"{grouped(handled(stage))}/{grouped(total)}"


class Speed:
    """A stage's rate of late, from its counts at the updates."""

    def __init__(self) -> None:
        self._count = 0
        self._elapsed = 0.0
        self._rate: float | None = None  # items per second

    def update(self, stage: StageStats, stats: RunStats) -> float:
        """Return the rate with these figures taken in; over the whole run when it has ended."""
        count, elapsed = handled(stage), stats.elapsed
        if stats.finished:
            return count / elapsed if elapsed > 0 else 0.0
        passed = elapsed - self._elapsed
        if passed > 0:
            latest = (count - self._count) / passed
            weight = 1 - math.exp(-passed / _SPEED_OVER)
            self._rate = latest if self._rate is None else self._rate + weight * (latest - self._rate)
            self._count, self._elapsed = count, elapsed
        return self._rate or 0.0
