"""Fusion: which stages shall share their workers because the user said so, and which of those can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olympipe_like._model.options import Placement
from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node, topological


def without_marks(leaves: Sequence[Node]) -> tuple[list[Node], set[Node]]:
    """Return the plan without the marks that `fuse` left in it, and the nodes that shall join the stage above them."""
    made: dict[Node, Node] = {}
    fused: set[Node] = set()
    ends: set[Node] = set()  # what stands right before a mark; a later mark begins behind it
    for node in topological(leaves):
        inputs = tuple(made[each] for each in node.inputs)
        if isinstance(node.op, ops.Fuse):
            (made[node],) = inputs
            fused.update(_chain(inputs[0], ends))
            ends.add(inputs[0])
        else:
            made[node] = node if inputs == node.inputs else Node(node.op, inputs, node.site)
    return [made[leaf] for leaf in leaves], fused


def content_with_views(operators: Sequence[ops.Operator]) -> bool:
    """Whether steps that share a worker want no arrays of their own: one said so, and all that show them to others."""
    return not all(op.placement.copy for op in operators) and not any(
        op.placement.copy for op in operators if op.shows_items
    )


def _chain(node: Node, ends: set[Node]) -> Iterator[Node]:
    while len(node.inputs) == 1 and node.inputs[0] not in ends:
        yield node
        node = node.inputs[0]


def may_share(above: Placement, below: Placement) -> bool:
    """Whether one worker can stand for both without any difference but speed.

    Coroutines wait for many items at once, workers of other machines are many and few by turns, and a limit to the time
    or the items of a worker is one stage's.
    """
    one, other = above.policy, below.policy
    return (
        (above.executor, above.workers, above.auto, above.ordered)
        == (below.executor, below.workers, below.auto, below.ordered)
        and above.executor not in ("async", "remote")
        and one.timeout is None
        and other.timeout is None
        and (one.worker_retries, one.max_items, one.max_rss) == (other.worker_retries, other.max_items, other.max_rss)
    )
