"""Plans that are to be resumed: whether they can be, how they are told from others, where they begin.

Knows no run: `_runtime.bookmark` finds the place that a plan is to be resumed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import NamedTuple

from olympipe_like._model.identity import Path
from olympipe_like._model.start import BEGINNING, SourceStart, Start
from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node, topological
from olympipe_like.errors import PlanError

_UNTOLD = {"name", "placement", "epochs", "start", "begin", "datas", "factory", "can_repeat", "args", "kwargs"}


class Restart(NamedTuple):
    """Where all of a run begins: what its steps had taken, and where its sources are."""

    steps: Mapping[int, Start]  # by the step's number in `numbered`; those that are not in it begin with the stream
    sources: Mapping[int, Path]  # the first item to be given: its epoch, and its number there


def numbered(leaf: Node) -> dict[int, Node]:
    """Return the nodes of a plan, inputs first. The numbers do not depend on how the plan is carried out."""
    steps = [node for node in topological([leaf]) if not isinstance(node.op, ops.Fuse)]
    return dict(enumerate(steps))


def refuse_unless_exact(what: str, leaves: Sequence[Node]) -> None:
    """Refuse a plan that would not give the same items again.

    Raises
    ------
    PlanError
        If so.
    """
    if len(leaves) > 1:
        raise PlanError(
            f"{what}: a run with several results has no one place where its consumer is; run them one by one"
        )
    for node in topological(leaves):
        reason = _why_not(node.op)
        if reason:
            raise PlanError(f"{what}: {node.label} {reason}")


def _why_not(op: ops.Operator) -> str:
    if isinstance(op, ops.GatherArrival):
        return "gives items in any order, so nobody knows which come next; give gather(ordered=True)"
    if not op.placement.ordered and op.runs_user_code:
        return "has ordered=False, so nobody knows which items come next; keep the order there"
    if not isinstance(op, ops.Source):
        return ""
    if not op.can_repeat:
        return (
            "is an iterator, whose items can be had only once; give Pipeline the list, or a function that makes the "
            "iterator"
        )
    if isinstance(op.datas, set | frozenset):
        return "is a set, whose order another program does not know; give sorted(...)"
    if isinstance(op.datas, ops.Restartable) and not op.datas.own_process:
        return "is steered while it runs, and the state would not know how; use its own state_dict() in a loop"
    if any(isinstance(each, ops.Restartable) for each in [*op.args, *op.kwargs.values()]):
        return "is a function over a streamer, which would begin elsewhere; give Pipeline a Streamer of the two"
    return ""


# -- how a plan is told from others ----------------------------------------------------------------------------------


def outline(leaf: Node) -> list[str]:
    """Return a line for each step: what must be the same where a state is loaded."""
    numbers = {node: number for number, node in numbered(leaf).items()}
    lines = []
    for node, number in numbers.items():
        inputs = [numbers[unmarked(each)] for each in node.inputs]
        line = _line(node.op)
        lines.append(line if inputs in ([], [number - 1]) else f"{line} of {', '.join(map(str, inputs))}")
    return lines


def unmarked(node: Node) -> Node:
    """Return the step itself, where a mark of `fuse` stands behind it."""
    while isinstance(node.op, ops.Fuse):
        (node,) = node.inputs
    return node


def _line(op: ops.Operator) -> str:
    words = [op.kind] if op.name == op.kind else [op.kind, op.name]
    for field in fields(op):
        value = getattr(op, field.name)
        if field.name in _UNTOLD or value == field.default or not _is_plain(value):
            continue
        words.append(f"{field.name}={value}")
    if isinstance(op, ops.Source) and not op.factory and hasattr(op.datas, "__len__"):
        words.append(f"of {len(op.datas)}")
    if op.epochs:
        words.append("repeated " + " and ".join("for ever" if each is None else str(each) for each in op.epochs))
    return " ".join(words)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def refuse_other_plan(what: str, leaf: Node, saved: Sequence[str]) -> None:
    """Refuse a state whose plan is not this one.

    Raises
    ------
    PlanError
        That says which step differs.
    """
    own = outline(leaf)
    if own == list(saved):
        return
    for number, (here, there) in enumerate(zip(own, saved, strict=False)):
        if here != there:
            raise PlanError(f"{what}: the state is of another pipeline: step {number} is {here!r} here, was {there!r}")
    raise PlanError(f"{what}: the state is of another pipeline: it had {len(saved)} steps, this one has {len(own)}")


# -- where a plan begins ---------------------------------------------------------------------------------------------


def resumed(leaf: Node, restart: Restart, begun: Mapping[int, Path]) -> Node:
    """Return the plan that begins there. ``begun``: where the streamers are that know a place of their own."""
    numbers = {node: number for number, node in numbered(leaf).items()}
    made: dict[Node, Node] = {}
    for node in topological([leaf]):
        inputs = tuple(made[each] for each in node.inputs)
        op = node.op if isinstance(node.op, ops.Fuse) else _begun(node.op, numbers[node], restart, begun)
        made[node] = Node(op, inputs, node.site)
    return made[leaf]


def _begun(op: ops.Operator, number: int, restart: Restart, begun: Mapping[int, Path]) -> ops.Operator:
    if isinstance(op, ops.Source):
        beginning = (0,) * (len(op.epochs) + 1)
        first = restart.sources.get(number, beginning)
        # How many items of an epoch of epochs are gone is known only to one that begins with it.
        depth = min((len(op.epochs) - behind for behind, _ in op.limits), default=len(op.epochs))
        at = begun.get(number, (*first[:depth], *beginning[depth:]))
        return op if first == at == beginning else replace(op, begin=SourceStart(first, at))
    start = restart.steps.get(number, BEGINNING)
    if start == BEGINNING:
        return op
    if isinstance(op, ops.Limit | ops.SkipFirst):
        return replace(op, amount=max(op.amount - start.taken, 0))
    return replace(op, start=start)
