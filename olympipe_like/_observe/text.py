"""How numbers, names and columns are written.

Knows terminals' columns. Does not know stages.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def grouped(number: int) -> str:
    """Return a count with its thousands set apart: ``61 234``."""
    return f"{number:,}".replace(",", " ")


def rate(per_second: float) -> str:
    """Return a rate with three digits or more: ``1 204``, ``72.6``, ``0.50``."""
    if per_second >= 99.95:
        return grouped(round(per_second))
    return f"{per_second:.1f}" if per_second >= 9.995 else f"{per_second:.2f}"


def percent(share: float) -> int:
    """Return a share from 0 to 1 as whole percent."""
    return round(100 * share)


def seconds(duration: float) -> str:
    """Return a duration in the unit that suits its size: ``0.08 s``, ``12.4 s``, ``2 h 05 min``."""
    if duration < 59.95:
        return f"{duration:.2f} s" if duration < 9.995 else f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def one_line(name: str, width: int) -> str:
    """Return a name fit for one line of a terminal, at most ``width`` columns."""
    # Names are the user's: control characters in one would move the cursor.
    name = "".join(sign if sign.isprintable() else "?" for sign in name)
    if columns(name) <= width:
        return name
    while columns(name) > width - 1:
        name = name[:-1]
    return f"{name}~"


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; Chinese, Japanese and Korean signs take two."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def left(text: str, width: int) -> str:
    """Return a text set to the left of a column."""
    return text + " " * (width - columns(text))


def right(text: str, width: int) -> str:
    """Return a text set to the right of a column."""
    return " " * (width - columns(text)) + text


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose first column is text and the others are figures.

    >>> table([("stage", "in"), ("decode", "9")])
    ['stage   in', 'decode   9']
    """
    widths = [max(columns(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join([left(row[0], widths[0]), *map(right, row[1:], widths[1:])]).rstrip() for row in rows]
