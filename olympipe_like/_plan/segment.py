"""What one stage's workers are given of a plan: operators, how they are named, and what the run asks of them."""

from __future__ import annotations

from typing import NamedTuple

from olympipe_like._model.identity import StageId
from olympipe_like._model.options import ExecutorName
from olympipe_like._plan import operators as ops


class Label(NamedTuple):
    """How a step is named to people."""

    name: str
    kind: str
    number: int  # which stage of the plan, from 1
    of: int


class Segment(NamedTuple):
    """Operators that one worker applies to a frame, one after the other. Travels to the worker."""

    stage: StageId
    ops: tuple[ops.Operator, ...]
    labels: tuple[Label, ...]
    legs: int
    main: int = 0  # which of them the stage is named after
    executor: ExecutorName = "process"
    keeps: bool = False  # failed items go into their records
    seed: int = 0  # of the run: for steps that draw and were given none, and functions of items
    travels: bool = False  # its results are pickled: they go to another process
    keys: tuple[str, ...] = ()  # for each operator, what tells its random numbers from those of others
    seeds_generators: bool = False  # workers that are processes seed `random` and `numpy.random` for each item
    looks: bool = False  # arrays come as views that cannot be written to
    parted: tuple[int, ...] = ()  # operators to which items of one path may come in different frames

    @property
    def label(self) -> Label:
        """How the whole is named."""
        own = [label for label, op in zip(self.labels, self.ops, strict=True) if op.runs_user_code]
        return own[0]._replace(name=" + ".join(each.name for each in own)) if len(own) > 1 else self.labels[self.main]

    @property
    def last(self) -> int:
        """Which of them the results are blamed on: the last one with a function of the user's."""
        own = (index for index, op in enumerate(self.ops) if op.runs_user_code)
        return max(own, default=self.main)
