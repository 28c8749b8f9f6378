"""The DAG: a node is an operator with its inputs; a plan is the nodes above some leaves. Knows no run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from olympipe_like._plan import operators as ops
from olympipe_like._plan.operators import Operator
from olympipe_like._plan.reshaping import Shuffle


@dataclass(frozen=True, eq=False)
class Node:
    """One operator applied to its inputs. Two nodes are the same only if they are one object: reuse is a branch."""

    op: Operator
    inputs: tuple[Node, ...]
    site: str  # where the user wrote it

    @property
    def label(self) -> str:
        """How errors about the plan name it."""
        return f"stage {self.op.name!r} ({self.site})"


def topological(leaves: Sequence[Node]) -> list[Node]:
    """Return every node the leaves need, inputs first, each once. Iterative: chains may be long."""
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(leaf, False) for leaf in reversed(leaves)]
    while stack:
        node, expanded = stack.pop()
        if node in done:
            continue
        if expanded:
            done.add(node)
            order.append(node)
        else:
            stack.append((node, True))
            stack.extend((each, False) for each in reversed(node.inputs))
    return order


def sources_of(nodes: Sequence[Node]) -> dict[Node, frozenset[Node]]:
    """Return for each node (inputs first in ``nodes``) the sources above it."""
    found: dict[Node, frozenset[Node]] = {}
    for node in nodes:
        own = frozenset([node]) if isinstance(node.op, ops.Source) else frozenset()
        found[node] = own.union(*(found[each] for each in node.inputs))
    return found


def clocks_of(nodes: Sequence[Node]) -> dict[Node, Node]:
    """Return for each node the node whose frames it keeps step with.

    Legs with one clock deliver the same stretch of the source at about the same time, so that a merge of them needs
    to hold no more than the windows do.
    """
    clock: dict[Node, Node] = {}
    for node in nodes:
        starts_anew = isinstance(node.op, ops.Source | ops.Concat | ops.GatherArrival | ops.Zip | Shuffle)
        clocks = {clock[each] for each in node.inputs}
        clock[node] = node if starts_anew or len(clocks) != 1 else clocks.pop()
    return clock


def keys_of(nodes: Sequence[Node]) -> dict[Node, str]:
    """Return for each node what tells its random numbers from those of others: name, and which of that name it is.

    Not its number, nor where it runs: then a stage would draw other numbers behind a new one, or fused with another.
    """
    seen: Counter[str] = Counter()
    found: dict[Node, str] = {}
    for node in nodes:
        found[node] = f"{node.op.name}/{seen[node.op.name]}"
        seen[node.op.name] += 1
    return found


def gave_up_order(node: Node) -> Node | None:
    """Return the nearest node above (or at) this one after which items are no longer in source order, if any.

    Stages with ``ordered=False`` alone do not lose it: their frames still carry their numbers. What makes new frames
    of frames that come in any order does.
    """
    scrambled: dict[Node, Node | None] = {}
    loose: dict[Node, Node | None] = {}  # frames come in any order, their numbers still tell it
    for each in topological([node]):
        above = next((scrambled[i] for i in each.inputs if scrambled[i] is not None), None)
        loose_above = next((loose[i] for i in each.inputs if loose[i] is not None), None)
        if isinstance(each.op, ops.GatherArrival):
            scrambled[each], loose[each] = each, None
            continue
        if isinstance(each.op, ops.Gather | ops.Align):
            loose_above = None  # takes its legs by number
        renumbers = each.op.remembers or each.op.multiplies or isinstance(each.op, ops.ROUTED)
        own = each if not each.op.placement.ordered and not isinstance(each.op, ops.ROUTED) else None
        if renumbers:
            scrambled[each] = above or loose_above or (own if each.op.multiplies else None)
            loose[each] = None
        else:
            scrambled[each] = above
            loose[each] = loose_above or own
    return scrambled[node]
