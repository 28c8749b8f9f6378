"""What Python's syntax makes of nodes."""

from __future__ import annotations

import operator
import threading
from typing import NamedTuple

import numpy as np
import pytest

import olympipe_like.graph as og
from olympipe_like import PlanError, PlanTypeError
from olympipe_like.graph import Graph, conditional, constant, control_dependencies, func_op, opmethod, placeholder
from tests.graph.functions import Scaler, halves

BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and_", "or_", "xor"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]


@pytest.fixture
def graph():
    with Graph() as graph:
        yield graph


@pytest.mark.parametrize("name", [*BINARY, *COMPARISONS])
def test_a_binary_operator_works_from_both_sides(graph, name):
    function = getattr(operator, name)
    x = placeholder("x")

    from_left, from_right, both = function(x, 3), function(13, x), function(x, x)

    assert graph([from_left, from_right, both], x=2) == (function(2, 3), function(13, 2), function(2, 2))


def test_the_other_operators_work(graph):
    x, m = placeholder("x"), placeholder("m")
    quotient, rest = divmod(x, 2)
    nodes = [-x, +x, abs(x), ~x, round(x), round(x, 1), pow(x, 2, 5), divmod(20, x), reversed(m), m @ m, [1, 2] @ m]

    found = graph([quotient, rest, *nodes], x=-7, m=np.array([1, 2]))

    assert found[:9] == (-4, 1, 7, -7, 7, 6, -7, -7, 4)
    assert found[9] == (-3, -1)
    assert list(found[10]) == [2, 1]
    assert found[11:] == (5, 5)


def test_attributes_items_slices_and_calls_are_nodes(graph):
    text = placeholder("text")

    found = graph([text.upper(), text[1:], text[:, ...][0], text.split(sep=",")[-1]], text=Indexable("ab,cd"))

    assert found == ("AB,CD", "b,cd", slice(None), "cd")


class Indexable(str):
    __slots__ = ()

    def __getitem__(self, key):
        return key if isinstance(key, tuple) else str(self)[key]


def test_arrays_leave_the_operator_to_the_node(graph):
    x = placeholder("x")
    array = np.arange(3)

    nodes = [array + x, x + array, np.float64(2) * x, array @ x, array == x]

    assert {type(node).__name__ for node in nodes} == {"Operation"}
    found = graph(nodes, x=array)
    assert [each.tolist() for each in found] == [[0, 2, 4], [0, 2, 4], [0, 2, 4], 5, [True] * 3]


def test_frames_leave_the_operator_to_the_node(graph):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([1, 2])

    summed = series + placeholder("x")

    assert type(summed).__name__ == "Operation"
    assert graph(summed, x=1).tolist() == [2, 3]


class Point(NamedTuple):
    x: int
    y: int


def test_nodes_within_lists_dicts_sets_slices_and_named_tuples_are_evaluated(graph):
    x = placeholder("x")

    nested = func_op(lambda *values: values, [x, (x,), {x: [x]}], {x}, slice(x, None), Point(x, 0), frozenset([x]))

    assert graph(nested, x=1) == ([1, (1,), {1: [1]}], {1}, slice(1, None), Point(1, 0), frozenset([1]))


def test_a_list_written_as_an_argument_is_new_each_time_and_a_constant_is_not(graph):
    def remember(item, items):
        items.append(item)
        return list(items)

    x = placeholder("x")
    fresh, kept = func_op(remember, x, []), func_op(remember, x, constant([]))

    assert [graph(fresh, x=each) for each in "ab"] == [["a"], ["b"]]
    assert [graph(kept, x=each) for each in "ab"] == [["a"], ["a", "b"]]


def test_a_node_of_known_length_can_be_unpacked(graph):
    first, *others = func_op(range, 3, length=3)

    assert graph([first, *others]) == (0, 1, 2)
    assert len(func_op(range, 3, length=3)) == 3
    with pytest.raises(TypeError, match=r"range_\d+.*test_operations\.py:\d+.*length="):
        _, _ = func_op(range, 3)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (lambda x: x and 1, "conditional"),
        (lambda x: not x, "not_"),
        (lambda x: 1 if x > 2 else 0, "conditional"),
        (lambda x: 3 in x, "contains"),
        (lambda x: f"{x}", "str_format"),
        ("{}".format, "str_format"),
    ],
)
def test_what_needs_a_value_at_once_is_refused_with_advice(graph, wrong, advice):
    with pytest.raises(TypeError, match=advice):
        wrong(placeholder("x"))


def test_a_node_describes_itself(graph):
    assert repr(placeholder("x")).startswith("<placeholder 'x' (test_operations.py:")


def test_looking_for_protocols_makes_no_nodes(graph):
    x = placeholder("x")

    for name in ("__array_interface__", "__deepcopy__", "_repr_html_", "_ipython_display_"):
        assert not hasattr(x, name)

    assert len(graph) == 1


# -- names, graphs --------------------------------------------------------------------------------------------------


def test_a_name_is_unique(graph):
    x = placeholder("x")
    y = (x + 1).set_name("y")

    assert y.name == "y"
    assert graph["y"] is y
    assert y.set_name("y") is y
    with pytest.raises(ValueError, match=r"cannot be named 'y'.*test_operations\.py"):
        placeholder("y")
    with pytest.raises(ValueError, match="cannot be named 'x'"):
        y.set_name("x")
    assert graph("y", x=1) == 2


def test_an_old_name_is_free_again(graph):
    x = placeholder("x")
    x.set_name("other")

    assert "x" not in graph
    assert placeholder("x").name == "x"
    assert sorted(graph.operations) == ["other", "x"]


def test_a_made_up_name_gives_way(graph):
    y = placeholder("x") + 1
    made_up = y.name
    z = placeholder(made_up)

    assert graph[made_up] is z
    assert graph[y.name] is y
    assert y.name != made_up


@pytest.mark.parametrize("name", ["", 3, b"x"])
def test_a_name_must_be_a_text(graph, name):
    with pytest.raises(PlanError, match="name must"):
        placeholder("x").set_name(name)


def test_a_missing_name_is_a_key_error_with_suggestions(graph):
    placeholder("filename")

    with pytest.raises(KeyError, match="no node 'filenam'; did you mean 'filename'"):
        graph["filenam"]
    with pytest.raises(ValueError, match="named are: filename"):
        graph("nothing_like_it")


def test_graphs_nest_and_each_thread_has_its_own():
    seen = {}

    def elsewhere():
        try:
            placeholder("x")
        except PlanError as error:
            seen["text"] = str(error)
        with Graph() as mine:
            seen["node"] = placeholder("x").graph is mine

    with Graph() as outer:
        with Graph() as inner, outer:
            a = placeholder("a")
        with inner:
            b = placeholder("b")
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        c = placeholder("c")

    assert (a.graph, b.graph, c.graph) == (outer, inner, outer)
    assert seen["node"] is True
    assert "inside 'with Graph() as graph:'" in seen["text"]


def test_many_threads_can_write_one_graph():
    graph = Graph()

    def write(number):
        with graph:
            for place in range(200):
                (placeholder(f"x{number}_{place}") + 1).set_name(f"y{number}_{place}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(graph) == len(graph.operations) == 1600
    assert graph("y3_7", x3_7=1) == 2


def test_nodes_of_two_graphs_do_not_mix():
    with Graph():
        a = placeholder("a")
    with Graph() as other:
        b = placeholder("b")

    with pytest.raises(ValueError, match=r"'[ab]'.*another graph"):
        _ = a + b
    with pytest.raises(ValueError, match="another graph"):
        other(a, a=1)


def test_nodes_can_be_added_outside_of_with():
    with Graph() as graph:
        x = placeholder("x")

    y = func_op(max, x, 3)

    assert graph(y + 1, x=5) == 6
    assert graph(constant(4, graph=graph)) == 4


def test_control_dependencies_come_first_also_nested(graph):
    seen = []
    first = func_op(seen.append, "first")
    second = func_op(seen.append, "second")
    with control_dependencies([first]):
        with control_dependencies([second]):
            both = func_op(seen.append, "both")
        one = func_op(seen.append, "one")
    func_op(seen.append, "never")

    graph(one)
    graph(both)
    graph(func_op(seen.append, "own", dependencies=[first]))

    assert seen == ["first", "one", "first", "second", "both", "first", "own"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dependencies": 3}, "dependencies must be a list of nodes, got 3"),
        ({"dependencies": [3]}, r"dependencies must be a list of nodes, got list \[3\]"),
        ({"graph": 3}, "graph must be a Graph, got 3"),
        ({"nmae": "y"}, "there is no option 'nmae'; there are dependencies, graph, length, name"),
    ],
)
def test_an_option_that_is_none_is_refused(graph, options, text):
    x = placeholder("x")

    with pytest.raises(PlanTypeError, match=rf"conditional \(test_operations\.py:\d+\): {text}"):
        conditional(x, 1, 2, **options)


@pytest.mark.parametrize("dependencies", [3, [3]])
def test_control_dependencies_must_be_a_list_of_nodes(graph, dependencies):
    text = r"control_dependencies \(test_operations\.py:\d+\): dependencies must be a list of nodes, got .*3"
    with pytest.raises(PlanTypeError, match=text), control_dependencies(dependencies):
        pytest.fail("it was entered")


# -- functions as nodes -----------------------------------------------------------------------------------------------


def test_opmethod_decorates_functions_and_methods(graph):
    left, right = halves(placeholder("x"))
    longer = Scaler(3).scaled(left, name="longer")

    assert graph([longer, right], x="abcd") == ("ababab", "cd")
    assert graph["longer"] is longer
    assert halves.__doc__ == "Return both halves of a text."


def test_opmethod_and_func_op_need_functions(graph):
    with pytest.raises(TypeError, match=r"opmethod \(test_operations"):
        opmethod(3)
    with pytest.raises(TypeError, match=r"func_op \(test_operations"):
        func_op(3)


def test_built_in_and_operator_functions_are_there_as_nodes(graph):
    x = placeholder("x")

    nodes = [og.list_(og.map_(str, x)), og.sorted_(x, reverse=True), og.len_(x), og.not_(x), og.itemgetter(0)(x)]

    assert graph(nodes, x=[1, 3, 2]) == (["1", "3", "2"], [3, 2, 1], 3, False, 1)
    assert {"zip_", "contains", "isinstance_", "Graph"} <= set(dir(og))
    for name in ("ValueError_", "nothing_", "_private"):
        assert not hasattr(og, name)
