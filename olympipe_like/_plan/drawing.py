"""The plan as text: for people, runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from olympipe_like._model.topology import Role
from olympipe_like._plan.graph import Node
from olympipe_like._plan.layout import LaidStage, Layout, lay_out
from olympipe_like._plan.operators import Source


def one_line(node: Node) -> str:
    """Return the chain that ends in a node, merges shown by their first leg.

    Only the last few steps of a long chain.
    """
    steps = []
    at: Node | None = node
    while at is not None:
        extra = f" +{len(at.inputs) - 1} legs" if len(at.inputs) > 1 else ""
        count = "auto" if at.op.placement.auto else at.op.placement.workers
        workers = "" if count == 1 else f" x{count}"
        kind = "" if at.op.kind in ("source", at.op.name) else f"{at.op.kind} "
        steps.append(f"{kind}{at.op.name}{workers}{extra}")
        at = at.inputs[0] if at.inputs else None
    steps.reverse()
    shown = steps if len(steps) <= 8 else [steps[0], "...", *steps[-6:]]
    return " -> ".join(shown)


def explain(leaves: Sequence[Node]) -> str:
    """Return the stages a run of these leaves would have: workers, windows, what is fused, who reads whom."""
    layout = lay_out(leaves)
    names = {stage.spec.id: _name(stage, layout) for stage in layout.stages}
    width = max(len(name) for name in names.values())
    steps = sum(len(stage.labels) for stage in layout.stages if stage.spec.role is not Role.SINK)
    lines = [f"{steps} steps in {len(layout.stages)} stages:"]
    for stage in layout.stages:
        spec = stage.spec
        inputs = ", ".join(names[each] for each in spec.inputs)
        lines.append(f"  {names[spec.id]:<{width}}  {_where(stage)}{f'  <- {inputs}' if inputs else ''}")
    return "\n".join(lines)


def _name(stage: LaidStage, layout: Layout) -> str:
    text = " + ".join(label.name for label in stage.labels)
    if stage.spec.role is Role.SINK and len(layout.sinks) > 1:
        text += f" {layout.sinks.index(stage.spec.id) + 1}"
    return text


def _where(stage: LaidStage) -> str:
    spec, placement = stage.spec, stage.placement
    window = f"queue of {spec.queue_size}" if spec.queue_size is not None else "default queue"
    if stage.source is not None:
        return ("own process" if stage.source.factory else "iterated in the caller") + _epochs(stage.source)
    if spec.role is Role.SINK:
        return f"the caller, {window}"
    if placement is None:
        return f"{spec.role.value}, routed without a worker"
    if placement.remote is not None:
        local = f" and {placement.workers} here" if placement.workers else ""
        order = "ordered" if placement.ordered else "as completed"
        return f"remote workers at {placement.remote.address}{local}, {order}, {window}"
    unit = {"remote": "", "process": "process", "thread": "thread", "async": "coroutine", "inline": "call"}[
        placement.executor
    ]
    count = f"{placement.workers} {unit}{'' if placement.workers == 1 else 'es' if unit == 'process' else 's'}"
    if placement.auto:
        count = "auto: 1 process or more"
    return f"{count}, {'ordered' if placement.ordered else 'as completed'}, {window}"


def _epochs(source: Source) -> str:
    if not source.epochs:
        return ""
    # What is within an epoch that is limited matters less than the limit.
    behind = max((place for place, _ in source.limits), default=0)
    amounts = [amount for place, amount in source.limits if place == behind]
    most = f" of {min(amounts)} items at most" if amounts else ""
    epochs = source.epochs[: len(source.epochs) - behind]
    if None in epochs:
        return f", again and again{most}"
    return f", {prod(each for each in epochs if each is not None)} epochs{most}"
