"""Kinds of numbers, so that a worker's number is never taken for a stage's."""

from __future__ import annotations

from typing import NewType

StageId = NewType("StageId", int)  # index of a stage in the run's layout, in topological order
WorkerId = NewType("WorkerId", int)  # unique in a run, never used again after the worker is gone
PayloadId = NewType("PayloadId", int)  # what stands for a frame's items where they must not be opened
FrameNumber = NewType("FrameNumber", int)  # position of a frame in its stream, from 0

NO_PAYLOAD = PayloadId(-1)  # a frame without items needs no payload

Path = tuple[int, ...]
"""Where an item comes from: (source position,), and one more number for each explode it went through."""

END: Path = (1 << 62,)
"""The path of what an operator emits only because its input ended; sorts after every item."""
