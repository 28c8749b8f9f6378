"""Which workers of stages with `workers="auto"` went where, in lines for people."""

from __future__ import annotations

from olympipe_like._model.stats import RunStats, WorkerMove
from olympipe_like._observe.text import one_line, percent, seconds

_SHOWN = 6  # lines; the latest
_LONGEST_NAME = 40  # columns


def lines_of_moves(run: RunStats) -> list[str]:
    """Return a line for each of the latest moves: when, how many, to whom, from whom, and how busy both were."""
    shown = run.moves[-_SHOWN:]
    if not shown:
        return []
    earlier = run.earlier_moves + len(run.moves) - len(shown)
    head = "Workers went where the time goes" + (f" ({earlier} times before that):" if earlier else ":")
    return [head, *(f"  after {seconds(move.at)}: {_line(move)}" for move in shown)]


def _line(move: WorkerMove) -> str:
    what = f"{move.workers} more for {_quoted(move.to)}, {percent(move.busy)} % busy"
    if move.giver is None or move.giver_busy is None:
        return what
    return f"{what}, from {_quoted(move.giver)}, {percent(move.giver_busy)} % busy"


def _quoted(name: str) -> str:
    return f"'{one_line(name, _LONGEST_NAME)}'"
