"""Arguments that nodes cannot have, and what hides in others."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque

import pytest

from olympipe_like import PlanError, PlanTypeError
from olympipe_like.graph import Graph, constant, func_op, placeholder


@pytest.fixture
def graph():
    with Graph() as graph:
        placeholder("x")
        yield graph


def test_an_argument_that_contains_itself_is_refused_and_may_be_a_constant(graph):
    tree = {"name": "root", "children": []}
    tree["children"].append({"parent": tree})

    with pytest.raises(
        PlanError, match=r"len \(test_arguments\.py:\d+\): a dict among its arguments contains itself; .* constant"
    ):
        func_op(len, tree)

    assert graph(constant(tree)) is tree
    assert graph(func_op(len, constant(tree))) == 2


def test_an_argument_that_is_nested_very_deep_is_refused_and_one_that_is_used_twice_is_not(graph):
    deep, shared = [], [graph["x"]]
    for _ in range(2000):
        deep = [deep]

    with pytest.raises(PlanError, match="nested more than 100 times"):
        func_op(len, deep)

    assert graph(func_op(list, (shared, {"again": shared})), x=1) == [[1], {"again": [1]}]


class Stack(list):
    """A list that may be more than its parts."""


@pytest.mark.parametrize(
    "holding",
    [lambda x: OrderedDict(key=x), lambda x: defaultdict(list, {"key": [1], x: 2}), lambda x: Stack([1, x])],
    ids=["OrderedDict", "defaultdict", "Stack"],
)
def test_a_node_in_a_container_that_is_not_looked_into_is_refused(graph, holding):
    held = holding(graph["x"])

    with pytest.raises(
        PlanError, match=rf"a node is in a {type(held).__name__}, which .* func_op\({type(held).__name__}"
    ):
        func_op(len, [held])

    assert graph(func_op(len, holding(1))) == len(held)


def test_a_node_that_is_the_value_of_another_is_an_error_and_not_a_result(graph):
    hidden = func_op(lambda found: found.popleft() + 1, deque([graph["x"]]), name="hidden")

    with pytest.raises(PlanTypeError, match=r"value of <function 'hidden' .*> is a node, <add .* is not looked into"):
        graph([hidden], x=1)
    for given in ({"context": {graph["x"]: hidden}}, {"x": hidden}):
        with pytest.raises(PlanTypeError, match=r"<placeholder 'x' .*> must be given a value, got the node <function"):
            graph("x", **given)
