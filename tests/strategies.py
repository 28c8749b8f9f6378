"""Random plans: directed acyclic graphs of the operators, as data for `reference` and as pipelines for the library."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import strategies as st

from olympipe_like import Pipeline
from tests import functions as f
from tests.reference import Node, Plan, outcomes

MOST_OPERATORS = 12
MOST_ITEMS = 60  # operators that multiply items get no more than this to work on

# Functions that workers find by name, and others that can travel only by value.
TASKS = [f.increment, f.describe, f.nothing, f.drop_thirds, lambda x: (x, "…"), lambda x: f.size(x) * 2]
ASYNC_TASKS = [(f.increment, f.increment_later), (f.drop_thirds, f.drop_thirds_later)]
PREDICATES = [f.is_even, f.is_rare, lambda x: f.size(x) > 2, lambda x: [0][: f.size(x) % 4], lambda x: "yes"]
EXPLODERS = [f.twice, f.some, f.letters, lambda x: range(f.size(x) % 3)]
SPLITTERS = [(f.both_or_one, 2), (f.three_ways, 3), (lambda x: (None, x), 2)]
SCANS = [(0, f.running_count), ((), f.what_was_before)]
KEYS = [f.size, f.describe]
REDUCTIONS = [(0, f.count_one), ((), f.remember), ("", lambda item, text: f.describe(item) + text[:20])]

values = st.one_of(
    st.integers(-3, 12),
    st.text("aé\n", max_size=3),
    st.none(),
    st.tuples(st.integers(0, 3), st.none() | st.text("b", max_size=1)),
)


@st.composite
def plans(draw: Callable, *, unordered: bool = False, repeated: bool = False) -> Plan:
    """Draw a plan of up to three sources and twelve operators.

    Nodes are used again and again, so broadcasts and diamonds are common. With ``unordered`` stages may give up
    their order, and only operators are drawn whose results do not depend on it, but for their order. With
    ``repeated`` only operators are drawn that know epochs, and what is wanted are epochs of what they give.
    """
    nodes = draw(st.lists(sources(), min_size=1, max_size=3))
    usable = list(range(len(nodes)))  # a split or partition is used only through its legs
    for _ in range(draw(st.integers(1, MOST_OPERATORS))):
        made = outcomes(nodes)
        # The newest nodes are as likely as all others together: longer chains.
        inputs = [draw(st.just(usable[-1]) | st.sampled_from(usable)) for _ in range(3)]
        operator = draw(_operator(inputs, made, unordered=unordered, repeats=_can_repeat(nodes, inputs[0])))
        if operator is None or (repeated and not _can_repeat([*nodes, operator], len(nodes))):
            continue
        nodes.append(operator)
        if operator.kind in {"split", "partition"}:
            parent = len(nodes) - 1
            for leg in sorted(draw(st.sets(st.sampled_from(range(dict(operator.options)["n"])), min_size=1))):
                usable.append(len(nodes))
                nodes.append(Node(f"leg_of_{operator.kind}", (parent,), (leg,)))
        else:
            usable.append(len(nodes) - 1)
    used = {number for node in nodes for number in node.inputs}
    leaves = [number for number in usable if number not in used]
    if repeated:
        epochs = draw(st.integers(2, 3))
        leaves = [leaf for leaf in leaves if _can_repeat(nodes, leaf)]
        nodes += [Node("repeat", (leaf,), (epochs,)) for leaf in leaves]
        first = len(nodes) - len(leaves)
        return Plan(tuple(nodes), tuple(range(first, len(nodes))))
    wanted = draw(st.just(leaves) | st.lists(st.sampled_from(usable), min_size=1, max_size=4))
    return Plan(tuple(nodes), tuple(wanted))


def _can_repeat(nodes: list[Node], number: int) -> bool:
    """Whether a node may be repeated, and gives the same each time."""
    node = nodes[number]
    if node.kind == "source":
        return dict(node.options)["form"] != "generator"
    above = node
    while above.kind in {"limit", "repeat"}:
        above = nodes[above.inputs[0]]
    if node.kind in {"limit", "skip", "zip", "concat", "shuffle"} and above.kind != "source":
        return False
    return all(_can_repeat(nodes, each) for each in node.inputs)


@st.composite
def sources(draw: Callable) -> Node:
    """Draw a source: its values, and the form in which the library gets them."""
    form = draw(st.sampled_from(sorted(SOURCE_FORMS)))
    content = draw(st.integers(8, 25).map(lambda n: list(range(n))) | st.lists(values, max_size=14))
    return Node("source", (), (content,), (("form", form),))


SOURCE_FORMS = {
    "async iterable": lambda values: Pipeline(f.AsyncValues(values)),
    "function": lambda values: Pipeline(f.replay, values, times=1),
    "generator": lambda values: Pipeline(value for value in values),
    "list": Pipeline,
    "partial": lambda values: Pipeline(partial(f.replay, values)),
    "tuple": lambda values: Pipeline(tuple(values)),
}


@st.composite
def _operator(draw: Callable, inputs: list[int], made: list, *, unordered: bool, repeats: bool) -> Node | None:
    """Draw an operator for these inputs; None if the one drawn does not fit them."""
    kinds = ["gather", "explode", "explode", "task", "task", "filter", "tap", "split", "partition"]
    if not unordered:
        kinds += ["batch", "batch", "unbatch", "unbatch", "reduce", "limit", "skip", "zip", "concat"]
        kinds += ["scan", "window", "bucket", "shuffle", "sample", "unique", "shard", "repeat", "repeat", "align"]
    kind = draw(st.sampled_from(kinds))
    several = tuple(inputs[: draw(st.integers(2, 3))])
    single = (inputs[0],)
    ordered = not unordered or draw(st.booleans())
    few = sum(len(made[number]) for number in several) <= MOST_ITEMS
    match kind:
        case "task" if draw(st.integers(0, 3)) == 0:
            plain, function = draw(st.sampled_from(ASYNC_TASKS))
            options = (("function", function), *draw(_stage_options(["async"], ordered=ordered)))
            return Node(kind, single, (plain,), options)
        case "task":
            return Node(kind, single, (draw(st.sampled_from(TASKS)),), draw(_stage_options(ordered=ordered)))
        case "filter":
            keep = draw(st.none() | st.sampled_from(PREDICATES))
            return Node(kind, single, (keep,), draw(_stage_options(ordered=ordered)))
        case "explode" if few:
            return Node(kind, single, (draw(st.sampled_from(EXPLODERS)),), draw(_stage_options(ordered=ordered)))
        case "tap":
            return Node(kind, single, (f.describe,))
        case "split":
            function, n = draw(st.sampled_from(SPLITTERS))
            return Node(kind, single, (function,), (("n", n),))
        case "partition":
            return Node(kind, single, (draw(st.sampled_from(PREDICATES)),), (("n", 2),))
        case "batch":
            rest = draw(st.sampled_from(["keep", "drop", "pad"]))
            return Node(kind, single, (draw(st.integers(1, 5)), rest, draw(st.sampled_from([None, 0, "pad"]))))
        case "unbatch" if few and all(isinstance(value, (list, tuple, str)) for _, value in made[inputs[0]]):
            return Node(kind, single)
        case "reduce":
            return Node(kind, single, draw(st.sampled_from(REDUCTIONS)))
        case "scan":
            return Node(kind, single, draw(st.sampled_from(SCANS)))
        case "window":
            return Node(kind, single, (draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.booleans())))
        case "bucket":
            limits = draw(st.sampled_from([(2, None), (4, None), (None, 9), (3, 20)]))
            return Node(kind, single, (f.size, draw(st.sampled_from([(), (4,), (0, 5, 9)])), *limits))
        case "shuffle":
            return Node(kind, single, (draw(st.none() | st.integers(1, 20)), draw(st.integers(0, 3))))
        case "sample":
            return Node(kind, single, (draw(st.sampled_from([0, 1])),))
        case "unique":
            return Node(kind, single, (draw(st.sampled_from(KEYS)),))
        case "shard":
            world = draw(st.integers(1, 4))
            even = draw(st.sampled_from(["uneven", "drop", "pad"]))
            return Node(kind, single, (draw(st.integers(0, world - 1)), world, even))
        case "repeat" if repeats and few:
            return Node(kind, single, (draw(st.integers(1, 3)),))
        case "align" if few:
            return Node(draw(st.sampled_from(["align", "align_filled"])), several)
        case "limit" | "skip":
            return Node(kind, single, (draw(st.integers(0, 10)),))
        case "zip":
            equally_long = len({len(made[number]) for number in several}) == 1
            return Node(kind, several, (), (("strict", equally_long and draw(st.booleans())),))
        case "gather" if few:
            # By source order it would be refused where a leg has given that up.
            return Node(kind, several, (), (("ordered", not unordered),))
        case "concat" if few:
            return Node(kind, several)
        case _:
            return None


@st.composite
def _stage_options(
    draw: Callable, executors: tuple[str, ...] = ("process", "process", "thread", "inline"), *, ordered: bool
) -> tuple[tuple[str, object], ...]:
    """Draw how a stage runs."""
    executor = draw(st.sampled_from(executors))
    return (
        ("executor", executor),
        ("workers", 1 if executor == "inline" else draw(st.integers(1, 3))),
        ("queue_size", draw(st.none() | st.integers(1, 8))),
        ("ordered", ordered),
    )


def build(plan: Plan, executor: str | None = None) -> list[Pipeline]:
    """Return the wanted pipelines of a plan; ``executor`` replaces what its stages of plain functions ask for."""
    made: list = []
    for node in plan.nodes:
        options = dict(node.options)
        if executor is not None and options.get("executor") in {"process", "thread", "inline"}:
            options["executor"] = executor
        made.append(_build_node(node, [made[number] for number in node.inputs], options))
    return [made[number] for number in plan.wanted]


def _build_node(node: Node, inputs: list, options: dict) -> Pipeline | tuple[Pipeline, ...]:
    """Make one call of the public interface."""
    match node.kind, node.arguments:
        case "source", (values,):
            return SOURCE_FORMS[options["form"]](values)
        case "task", (function,):
            return inputs[0].task(options.pop("function", function), **options)
        case "batch", (size, "pad", pad):
            return inputs[0].batch(size, pad=pad)
        case "batch", (size, rest, _):
            return inputs[0].batch(size, rest == "keep")
        case "align_filled", ():
            return inputs[0].align(*inputs[1:], missing="missing")
        case "split", (function,):
            return inputs[0].split(function, n=options["n"])
        case "partition", (predicate,):
            return inputs[0].partition(predicate)
        case "leg_of_split" | "leg_of_partition", (number,):
            return inputs[0][number]
        case kind, arguments:
            return getattr(inputs[0], kind)(*inputs[1:], *arguments, **options)
