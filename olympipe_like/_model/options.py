"""How a stage runs, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ExecutorName = Literal["process", "thread", "async", "inline"]
EXECUTORS: tuple[ExecutorName, ...] = ("process", "thread", "async", "inline")


class Skip:
    """The type of `SKIP`: "no item here", where None is an ordinary value."""

    def __repr__(self) -> str:
        return "SKIP"

    def __reduce__(self) -> str:
        return "SKIP"  # the one object of this module: `is` holds in every process

    def __bool__(self) -> bool:
        return False


SKIP = Skip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a stage runs and how much of it at once."""

    executor: ExecutorName = "process"
    workers: int = 1
    ordered: bool = True
    queue_size: int | None = None
