"""Random plans for simulated runs, drawn as the nodes that the layout is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from olympipe_like._model.options import SKIP, Placement
from olympipe_like._plan.graph import Node, gave_up_order
from tests.scheduler import nodes as n

MOST_STEPS = 7
MOST_ITEMS = 40  # steps that multiply items get no more than this


def size(value: object) -> int:
    return value if isinstance(value, int) else len(repr(value))


def same(value):
    return value


def text(value):
    return repr(value)[:9]


def drop_thirds(value):
    return SKIP if size(value) % 3 == 0 else value


def is_even(value):
    return size(value) % 2 == 0


def is_rare(value):
    return size(value) % 5 == 4


def none_at_all(value):
    return False


def twice(value):
    return [value, (value,)]


def up_to_three(value):
    return [value] * (size(value) % 4)


def breaks_at_sevens(value):
    if size(value) % 7 == 6:
        raise ValueError(value)
    return value


def breaks_half_way(value):
    yield value
    if size(value) % 6 == 5:
        raise ValueError(value)
    yield value


def count(item, total):
    return total + 1


def remember(item, seen):
    return (*seen, text(item))


@dataclass(frozen=True, repr=False)
class Drawn:
    """A plan, and what lay_out is told beside it."""

    leaves: tuple[Node, ...]
    queue_size: int | None

    def __repr__(self) -> str:
        return show(self)

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(show(self))


@st.composite
def plans(draw: Callable, *, unordered: bool = False, breaks: bool = False, autos: bool = False) -> Drawn:
    """Draw a plan of one to three sources and a few steps.

    ``unordered``: stages may give up their order, and only steps are drawn whose results do not depend on it.
    ``breaks``: functions may raise; then there is no zip, where it may depend on timing which leg is first to end.
    ``autos``: stages may share workers.
    """
    usable = [n.source(range(draw(st.integers(0, 12))), f"source{i}") for i in range(draw(st.integers(1, 3)))]
    made = {node: n.evaluate([node])[node].items for node in usable}
    kinds = ["task", "task", "keep", "explode", "partition", "gather", "gather"]
    kinds += ["arrivals"] if unordered else ["batch", "batch", "unbatch", "fold", "limit", "skip", "concat"]
    kinds += [] if unordered or breaks else ["zip"]
    for number in range(draw(st.integers(1, MOST_STEPS))):
        kind = draw(st.sampled_from(kinds))
        legs = [draw(st.just(usable[-1]) | st.sampled_from(usable)) for _ in range(draw(st.integers(2, 3)))]
        new = _step(draw, kind, f"{kind}{number}", legs, made, unordered=unordered, breaks=breaks, autos=autos)
        made |= {node: n.evaluate([node])[node].items for node in new}
        usable += new
    used = {each for node in usable for each in n.topological([node]) if each is not node}
    leaves = [node for node in usable if node not in used]
    leaves += draw(st.lists(st.sampled_from(usable), max_size=1))
    return Drawn(tuple(leaves), draw(st.none() | st.integers(1, 4)))


def _step(draw, kind, name, legs, made, *, unordered, breaks, autos):
    above = legs[0]
    few = sum(len(made[leg]) for leg in legs) <= MOST_ITEMS
    # Where one item came twice and was exploded then, positions go back; a merge by position has no meaning there.
    rising = all(in_order(made[leg]) for leg in legs)
    where = {
        "workers": draw(st.integers(1, 3)),
        "auto": autos and draw(st.booleans()),
        "ordered": not (unordered and draw(st.booleans())),
        "queue_size": draw(st.none() | st.integers(1, 3)),
    }
    where["workers"] = 1 if where["auto"] else where["workers"]
    match kind:
        case "task":
            functions = [same, text, drop_thirds] + [breaks_at_sevens] * breaks
            return [n.task(above, draw(st.sampled_from(functions)), name, **where)]
        case "keep":
            return [n.keep(above, draw(st.sampled_from([is_even, is_rare, none_at_all])), name, **where)]
        case "explode" if few:
            functions = [twice, up_to_three] + [breaks_half_way] * breaks
            return [n.explode(above, draw(st.sampled_from(functions)), name, **where)]
        case "partition":
            return list(n.partition(above, draw(st.sampled_from([is_even, is_rare])), name, **where))
        case "batch":
            return [n.batch(above, draw(st.integers(1, 4)), draw(st.sampled_from(["keep", "drop", "pad"])), name)]
        case "unbatch" if few:
            return [n.unbatch(n.batch(above, draw(st.integers(1, 4)), name=f"{name}.batch"), name)]
        case "fold":
            initial, reducer = draw(st.sampled_from([(0, count), ((), remember)]))
            return [n.fold(above, initial, reducer, name)]
        case "limit":
            return [n.limit(above, draw(st.integers(0, 10)), name)]
        case "skip":
            return [n.skip(above, draw(st.integers(0, 5)), name)]
        case "gather" if few and rising and all(gave_up_order(leg) is None for leg in legs):
            return [n.gather(*legs, name=name)]
        case "arrivals" if few:
            return [n.arrivals(*legs, name=name)]
        case "zip":
            return [n.pair(*legs, name=name)]
        case "concat" if few:
            return [n.concat(*legs, name=name)]
        case _:
            return []


def in_order(items: list) -> bool:
    paths = [path for path, _ in items]
    return paths == sorted(paths)


def show(drawn: Drawn) -> str:
    """Return the plan in a line for each node, for whoever reads a failure."""
    order = n.topological(drawn.leaves)
    numbers = {node: number for number, node in enumerate(order)}
    lines = [f"queue_size={drawn.queue_size}, leaves {[numbers[leaf] for leaf in drawn.leaves]}"]
    for node in order:
        hidden = {"name", "placement", "args", "kwargs", "factory"}
        said = [f"{k}={getattr(v, '__name__', v)}" for k, v in vars(node.op).items() if k not in hidden]
        usual = Placement()
        place = node.op.placement
        said += [
            f"{k}={getattr(place, k)}"
            for k in ("workers", "auto", "ordered", "queue_size")
            if getattr(place, k) != getattr(usual, k)
        ]
        lines.append(
            f"  {numbers[node]} {node.op.name} of {[numbers[each] for each in node.inputs]}: {', '.join(said)}"
        )
    return "\n".join(lines)
