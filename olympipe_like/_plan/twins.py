"""Twins: items of one path, as the legs of a gather give them. Which steps may meet such, and how they come there."""

from __future__ import annotations

from collections.abc import Iterable

from olympipe_like._model.options import SKIP
from olympipe_like._plan import operators as ops
from olympipe_like._plan import reshaping
from olympipe_like._plan.graph import Node

_GATHERS_PLACES = (ops.Gather, ops.Align)
"""All items of a place go out together, however they came."""

_TAKES_APART = (ops.Explode, ops.Unbatch, ops.Zip, ops.GatherArrival)
"""Of the items of a place some may go out, and others later: when, is a matter of parts, frames and other legs."""

_GIVES_AT_END = (ops.Batch, ops.Reduce, reshaping.Window, reshaping.Bucket, reshaping.Shard)
"""Some give something because their input has ended."""


def without_twins(nodes: Iterable[Node]) -> dict[Node, bool]:
    """Return for each node (inputs first in ``nodes``) whether no two items it gives have the same path."""
    found: dict[Node, bool] = {}
    for node in nodes:
        op = node.op
        above = all(found[each] for each in node.inputs)
        several = isinstance(op, ops.Gather | ops.GatherArrival | reshaping.Bucket) or (
            isinstance(op, ops.Align) and op.missing is not SKIP
        )
        partial = isinstance(op, reshaping.Window) and op.partial
        found[node] = isinstance(op, reshaping.Shuffle | ops.Reduce) or (above and not several and not partial)
    return found


def side_by_side(nodes: Iterable[Node]) -> dict[Node, bool]:
    """Return for each node (inputs first in ``nodes``) whether twins that it gives are always in one frame.

    Then it is the same in each run which of them are next to each other. Else it depends on the size of frames, and on
    when they came.
    """
    nodes = list(nodes)
    unique = without_twins(nodes)
    ended: dict[Node, bool] = {}  # whether an item may be there because an input above has ended
    found: dict[Node, bool] = {}
    for node in nodes:
        op = node.op
        ended_above = any(ended[each] for each in node.inputs)
        # A shuffle puts a number in front: what is given for the end of its output has another path than any item.
        ended[node] = isinstance(op, _GIVES_AT_END) or (ended_above and not isinstance(op, reshaping.Shuffle))
        keeps_back = isinstance(op, reshaping.Shard) and op.even == "drop"
        # What such a step makes of an item for an end, and what it gives for its own, has that same path.
        twice = isinstance(op, _GIVES_AT_END) and ended_above
        apart = isinstance(op, _TAKES_APART) or keeps_back or twice
        found[node] = (
            unique[node] or isinstance(op, _GATHERS_PLACES) or (not apart and all(found[each] for each in node.inputs))
        )
    return found
