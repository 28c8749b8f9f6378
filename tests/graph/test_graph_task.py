"""A graph as a stage of a pipeline."""

from __future__ import annotations

import pytest

from olympipe_like import Pipeline, PlanError
from olympipe_like.graph import Graph, conditional, graph_function, placeholder
from tests.graph import functions as f


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_each_item_becomes_what_is_fetched(executor):
    graph = f.item_graph()

    found = Pipeline(range(20)).graph_task(graph, ["root", "all"], "x", workers=2, executor=executor).wait_for_result()

    assert found == [graph(["root", "all"], x=value) for value in range(20)]


def test_options_are_those_of_a_task():
    with Graph() as graph:
        placeholder("x")
        (1 / placeholder("y")).set_name("inverse")
    pipe = Pipeline([{"y": 2}, {"y": 0}]).graph_task(
        graph, "inverse", dict, executor="thread", on_error="skip", name="i"
    )

    assert pipe.wait_for_result() == [0.5]
    assert "i" in pipe.explain().split()


def test_the_stage_is_called_as_what_it_fetches_and_errors_name_both():
    with Graph() as graph:
        x = placeholder("x")
        conditional(x < 3, x, x / 0, name="safe")
    pipe = Pipeline(range(5)).graph_task(graph, "safe")

    with pytest.raises(
        ZeroDivisionError, match=r"stage 1/1 'safe'.*node 'truediv_\d+' \(test_graph_task\.py:\d+\)"
    ) as caught:
        pipe.wait_for_result(executor="inline")
    assert caught.value.position == "item 3"


def test_a_stage_that_fetches_many_nodes_or_none_has_a_short_name():
    with Graph() as graph:
        nodes = [placeholder(name) for name in "abcdef"]

    assert graph_function(graph, nodes, dict).__name__ == "a, b, c, 3 more"
    assert graph_function(graph, nodes[:4], dict).__name__ == "a, b, c, d"
    assert graph_function(graph, [], dict).__name__ == "graph"


def test_what_is_wrong_is_refused_where_it_is_written():
    with pytest.raises(KeyError, match="no node 'rot'; did you mean 'root'"):
        Pipeline([1]).graph_task(f.item_graph(), "rot", "x")
    with pytest.raises(ValueError, match=r"graph_function \(test_graph_task\.py:\d+\): 'x' would get no value"):
        Pipeline([1]).graph_task(f.item_graph(), "root", "table")
    with pytest.raises(TypeError, match=r"unknown option .colour."):
        Pipeline([1]).graph_task(f.item_graph(), "root", "x", colour=1)


@pytest.mark.parametrize(
    ("inputs", "item", "text"),
    [
        (["x"], "ab", r"inputs are 1 nodes \('x'\), and the item has more than 1 values; where an item is itself"),
        (["x", "y"], (1,), r"inputs are 2 nodes \('x', 'y'\), and the item has 1 values$"),
        (["x", "y"], range(10**12), r"and the item has more than 2 values$"),
    ],
)
def test_an_item_of_another_number_of_values_than_inputs_says_so(inputs, item, text):
    with Graph() as graph:
        for name in inputs:
            placeholder(name)

    with pytest.raises(ValueError, match=text):
        graph_function(graph, inputs, inputs)(item)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"x": 1, "y": 2}, r"^inputs are 2 nodes \('x', 'y'\), and the item is of type dict, .* give inputs=dict"),
        ({1, 2}, r"the item is of type set, which has no order"),
        (5, r"the item is of type int, which is one value; .* give that node and no list"),
    ],
)
def test_an_item_whose_values_have_no_places_is_refused_where_inputs_are_several(item, text):
    with Graph() as graph:
        names = [placeholder("x").name, placeholder("y").name]

    with pytest.raises(TypeError, match=text):
        graph_function(graph, names, names)(item)


def test_one_node_cannot_be_two_inputs():
    with Graph() as graph:
        x = placeholder("x")

    with pytest.raises(
        PlanError, match=r"graph_function \(test_graph_task\.py:\d+\): a node is among .* twice: 'x', 'x'"
    ):
        graph_function(graph, "x", ["x", x])
