"""Repeat: the same plan over a source that is iterated again and again. Nothing is kept of the items.

The nodes are copied: their sources begin anew after each epoch, and what remembers is told to forget by then.
"""

from __future__ import annotations

from dataclasses import replace

from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node, gave_up_order, topological
from olympipe_like.errors import PlanError

# Those pass frames on unopened, or count items without looking where they come from: they know no epochs.
_WITHOUT_EPOCHS = (ops.Limit, ops.SkipFirst, ops.Concat, ops.GatherArrival, ops.Zip)


def repeated(where: str, leaf: Node, count: int | None) -> Node:
    """Return a node whose items are those of ``leaf``, ``count`` times, or without end.

    Raises
    ------
    PlanError
        If a source can be iterated only once, or a step above cannot tell epochs apart. A limit right behind a source,
        or the repeats of it, becomes the source's own.
    """
    made: dict[Node, Node] = {}
    nodes = topological([leaf])
    remembers = next((node for node in nodes if node.op.remembers), None)
    scrambled = gave_up_order(leaf)
    if remembers is not None and scrambled is not None:
        raise PlanError(
            f"{where}: epochs cannot be told apart behind {scrambled.label}, which gave up the order; "
            "keep the order there, or put the repeat in front of it"
        )
    for node in nodes:
        op, inputs = node.op, tuple(made[each] for each in node.inputs)
        source = inputs[0].op if inputs else None
        if isinstance(op, ops.Limit) and isinstance(source, ops.Source):
            limited = len(source.epochs) - 1  # the repeats in front of the limit: all but this one
            made[node] = Node(replace(source, limits=(*source.limits, (limited, op.amount))), (), inputs[0].site)
            continue
        if isinstance(op, _WITHOUT_EPOCHS):
            raise PlanError(
                f"{where}: cannot repeat what {node.label} gives, which does not know where an epoch ends; put the "
                "repeat in front of it (a limit may also stand right behind its source, or the repeats of it)"
            )
        if isinstance(op, ops.Source) and not op.can_repeat:
            raise PlanError(
                f"{where}: {node.label} is an iterator, and can be iterated only once; give Pipeline the list, or a "
                "function that makes the iterator"
            )
        made[node] = Node(replace(op, epochs=(count, *op.epochs)), inputs, node.site)
    return made[leaf]
