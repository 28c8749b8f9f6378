"""What a plan says of the numbers of items before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite

from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node


def demands(nodes: Sequence[Node], leaves: Sequence[Node]) -> dict[Node, int | None]:
    """Return how many items of each node can ever be used, None where no limit bounds it.

    Followed only through steps that turn one item into one: a limit behind a filter cannot know what it needs.
    """
    wanted: dict[Node, int | None] = {}
    asked: dict[Node, list[int | None]] = {node: [] for node in nodes}
    for leaf in leaves:
        asked[leaf].append(None)
    for node in reversed(nodes):
        answers = asked[node]
        need = None if None in answers or not answers else max(each for each in answers if each is not None)
        wanted[node] = need
        op = node.op
        for leg, above in enumerate(node.inputs):
            through: int | None
            if isinstance(op, ops.Limit):
                through = op.amount if need is None else min(need, op.amount)
            elif need is None or op.start is not None or (op.epochs and op.remembers):  # what begins anew leaves rests
                through = None
            elif isinstance(op, ops.Concat) and leg > 0:
                through = 0  # what earlier legs leave open is asked for when they have ended
            else:
                through = op.needs(need)
            asked[above].append(through)
    return wanted


def expected_counts(nodes: Sequence[Node]) -> dict[Node, int | None]:
    """Return how many items each node gives, where the source has a length and only 1:1 steps follow."""
    counts: dict[Node, int | None] = {}
    for node in nodes:
        op = node.op
        known = counts[node.inputs[0]] if len(node.inputs) == 1 else None
        if isinstance(op, ops.Source):
            counts[node] = _length_of(op)
        else:
            counts[node] = None if known is None or (op.epochs and op.remembers) else op.gives(known)
    return counts


def _length_of(source: ops.Source) -> int | None:
    if source.factory or source.begin is not None or not hasattr(source.datas, "__len__"):
        return None
    length: float = len(source.datas)
    for behind, count in enumerate(reversed(source.epochs)):
        length = min([length, *(amount for place, amount in source.limits if place == behind)])
        length *= inf if count is None else count
    return int(length) if isfinite(length) else None
