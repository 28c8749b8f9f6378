"""What a run tells about an item that failed and was set aside."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, repr=False)
class FailedItem:
    """An item that a stage gave up on, and why.

    Attributes
    ----------
    item : object
        The item that the stage was given, as it was when the function failed; None if it cannot be pickled.
    position : tuple of int
        Number of the source item, from 0; ``(5, 2)`` is the third item made of source item 5. Of a batch, or the
        result of a reduce, that of its last member; empty if there was none.
    stage, place : str
        The stage's name, and which stage of how many: ``'2/3'``.
    error : BaseException or None
        The exception; None if it cannot be rebuilt here, or if there was none (a worker that died).
    error_type, text : str
        The exception's type by name, and its text, which may be empty. These are always there.
    traceback : str
        The traceback where it happened.
    attempts : int
        How often it was tried, >= 1.
    worker : str
        Which worker, with its process id.
    seed : int or None
        What the item's random numbers followed from: a function with a parameter ``rng`` was given
        ``numpy.random.default_rng(seed)``. None for stages that have none for each item, such as `reduce`.
    """

    item: Any
    position: tuple[int, ...]
    stage: str
    place: str
    error: BaseException | None
    error_type: str
    text: str
    traceback: str
    attempts: int
    worker: str
    seed: int | None = None

    def __repr__(self) -> str:
        what = ": ".join(filter(None, (self.error_type, self.text)))
        tries = f", {self.attempts} attempts" if self.attempts > 1 else ""
        where = ".".join(map(str, self.position))
        # A user's repr may raise, be long, or have several lines.
        item, what = (" ".join(text.split())[:160] for text in (_short(self.item), what))
        return f"<FailedItem {where}: {item} at stage {self.place} {self.stage!r}: {what}{tries}>"


def _short(item: object) -> str:
    try:
        return reprlib.repr(item)
    except Exception:  # noqa: BLE001 - a user's __repr__
        return f"<{type(item).__qualname__} whose repr fails>"
