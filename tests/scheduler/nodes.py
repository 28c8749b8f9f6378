"""Plans for simulated runs: short ways to write a graph, and what it must deliver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from olympipe_like._model.options import Placement
from olympipe_like._plan import operators as ops
from olympipe_like._plan.graph import Node, topological
from tests import reference

SITE = "test.py:1"


def source(values: Sequence[object] | Callable[[], object], name: str = "numbers") -> Node:
    return Node(ops.Source(name=name, datas=values), (), SITE)


def task(above: Node, function: Callable = lambda value: value, name: str = "task", **where: object) -> Node:
    return Node(ops.Task(name=name, function=function, placement=Placement(**where)), (above,), SITE)


def keep(above: Node, function: Callable, name: str = "keep", **where: object) -> Node:
    return Node(ops.Filter(name=name, function=function, placement=Placement(**where)), (above,), SITE)


def explode(above: Node, function: Callable, name: str = "explode", **where: object) -> Node:
    return Node(ops.Explode(name=name, function=function, placement=Placement(**where)), (above,), SITE)


def batch(above: Node, size: int, last: str = "keep", name: str = "batch") -> Node:
    return Node(ops.Batch(name=name, size=size, last=last, pad="pad"), (above,), SITE)


def unbatch(above: Node, name: str = "unbatch") -> Node:
    return Node(ops.Unbatch(name=name), (above,), SITE)


def fold(above: Node, initial: object, reducer: Callable, name: str = "fold", **where: object) -> Node:
    return Node(ops.Reduce(name=name, initial=initial, reducer=reducer, placement=Placement(**where)), (above,), SITE)


def partition(above: Node, predicate: Callable, name: str = "partition", **where: object) -> tuple[Node, Node]:
    both = Node(ops.Partition(name=name, function=predicate, placement=Placement(**where)), (above,), SITE)
    legs = [Node(ops.Leg(name=f"{name}.{leg}", leg=leg, drops_none=False), (both,), SITE) for leg in (0, 1)]
    return legs[0], legs[1]


def limit(above: Node, amount: int, name: str = "limit") -> Node:
    return Node(ops.Limit(name=name, amount=amount), (above,), SITE)


def skip(above: Node, amount: int, name: str = "skip") -> Node:
    return Node(ops.SkipFirst(name=name, amount=amount), (above,), SITE)


def gather(*legs: Node, name: str = "gather") -> Node:
    return Node(ops.Gather(name=name), legs, SITE)


def arrivals(*legs: Node, name: str = "arrivals") -> Node:
    return Node(ops.GatherArrival(name=name), legs, SITE)


def pair(*legs: Node, name: str = "zip") -> Node:
    return Node(ops.Zip(name=name, strict=False), legs, SITE)


def concat(*legs: Node, name: str = "concat") -> Node:
    return Node(ops.Concat(name=name), legs, SITE)


# -- what a plan must deliver -----------------------------------------------------------------------------------------


class Ambiguous(Exception):
    """More than one result would be right."""


@dataclass(frozen=True)
class Outcome:
    """What a node gives: items (with their paths), and where its first failed item is, if any."""

    items: reference.Items
    failed_at: reference.Path | None = None


def outcomes(
    leaves: Sequence[Node], given: Mapping[Node, tuple[int, bool]] | None = None
) -> list[tuple[list[object], bool]]:
    """Return each leaf's values and whether a failure follows them.

    ``given`` says for a source how many items it gave, and whether it broke then; without it it gave all.
    """
    found = evaluate(leaves, given)
    return [([value for _, value in found[leaf].items], found[leaf].failed_at is not None) for leaf in leaves]


def evaluate(leaves: Sequence[Node], given: Mapping[Node, tuple[int, bool]] | None = None) -> dict[Node, Outcome]:
    """Return what every node above these leaves gives."""
    found: dict[Node, Outcome] = {}
    for node in topological(leaves):
        if isinstance(node.op, ops.Source):
            count, breaks = (given or {}).get(node, (len(node.op.datas), False))
            items = reference.source(islice(node.op.datas, count))
            found[node] = Outcome(items, (count,) if breaks else None)
        else:
            found[node] = _outcome(node.op, [found[each] for each in node.inputs])
    return found


def _outcome(op: ops.Operator, legs: list[Outcome]) -> Outcome:
    above = legs[0]
    items, failed_at = above.items, above.failed_at
    match op:
        case ops.Task() | ops.Filter() | ops.Explode() | ops.Unbatch() | ops.Tap() | ops.Partition() | ops.Leg():
            return _one_by_one(op, above)
        case ops.Batch():
            rest = "drop" if failed_at else op.last
            return Outcome(list(reference.batch(items, op.size, rest, op.pad)), failed_at)
        case ops.Reduce():
            return Outcome([] if failed_at else reference.reduce_(items, op.initial, op.reducer), failed_at)
        case ops.Limit():
            return Outcome(items[: op.amount], failed_at if len(items) < op.amount else None)
        case ops.SkipFirst():
            return Outcome(items[op.amount :], failed_at)
        case ops.Concat():
            before = next((number for number, leg in enumerate(legs) if leg.failed_at is not None), len(legs))
            joined = reference.concat(*(leg.items for leg in legs[: before + 1]))
            return Outcome(joined, (before, *legs[before].failed_at) if before < len(legs) else None)
        case ops.Gather():
            places = [leg.failed_at for leg in legs if leg.failed_at is not None]
            merged = list(reference.gather(*(leg.items for leg in legs)))
            if not places:
                return Outcome(merged)
            return Outcome([item for item in merged if item[0] < min(places)], min(places))
        case ops.GatherArrival():
            return Outcome(list(chain.from_iterable(leg.items for leg in legs)))
        case ops.Zip():
            shortest = min(len(leg.items) for leg in legs)
            ends = [leg.failed_at for leg in legs if len(leg.items) == shortest]
            if any(ends) and not all(ends):
                raise Ambiguous("one leg fails where another ends")
            return Outcome(reference.zip_(*(leg.items for leg in legs)), next((each for each in ends if each), None))
    raise AssertionError(f"no meaning of {op!r}")


def _one_by_one(op: ops.Operator, above: Outcome) -> Outcome:
    made: reference.Items = []
    for path, value in above.items:
        try:
            match op:
                case ops.Task():
                    made += reference.task([(path, value)], op.function)
                case ops.Filter():
                    made += reference.filter_([(path, value)], op.function)
                case ops.Explode():
                    for ordinal, part in enumerate(op.function(value)):
                        made.append(((*path, ordinal), part))
                case ops.Unbatch():
                    made += reference.explode([(path, value)], None)
                case ops.Tap():
                    made.append((path, value))
                case ops.Partition():
                    made += reference.partition([(path, value)], op.function)
                case ops.Leg():
                    made += reference.leg_of_partition([(path, value)], op.leg)
        except ValueError:
            return Outcome(made, (*made[-1][0], 0) if made and made[-1][0] > path else path)
    return Outcome(made, above.failed_at)
