"""Graphs and what is made of them go to other processes."""

from __future__ import annotations

import copy
import pickle
import sys
import threading

import cloudpickle
import dill
import pytest

import olympipe_like.graph as og
from olympipe_like import Pipeline
from olympipe_like.graph import Graph, control_dependencies, func_op, graph_function, lazy_constant, placeholder
from olympipe_like.graph.ready_made import names
from tests.graph import functions as f

PICKLERS = [pickle, dill, cloudpickle]


@pytest.mark.parametrize("module", PICKLERS)
def test_a_graph_can_be_pickled_with_what_is_made_of_it(module):
    graph = f.item_graph()
    function = graph_function(graph, {"all": "all", "root": "root"}, "x")

    copied, node, run = module.loads(module.dumps((graph, graph["all"], function)))

    assert node.graph is copied is run.graph
    assert copied("all", x=4) == graph("all", x=4) == (2.0, "table", "4", 12, "large", 0.25, 4)
    assert run(0) == function(0)
    assert run.__name__ == "all, root"
    assert [each.name for each in copied] == [each.name for each in graph]
    with copied:
        assert copied(node[0] + 1, x=4) == 3


def test_a_deep_graph_can_be_pickled():
    with Graph() as graph:
        at = placeholder("x")
        for _ in range(5 * sys.getrecursionlimit()):
            at = at + 1

    assert pickle.loads(pickle.dumps(graph))(at.name, x=0) == 5 * sys.getrecursionlimit()


def test_a_node_alone_brings_its_graph():
    x = f.item_graph()["root"]

    found = pickle.loads(pickle.dumps(x))

    assert found.graph(found, x=4) == 2.0
    assert copy.copy(x) is x
    assert copy.deepcopy(x).graph is not x.graph


def test_a_function_that_holds_a_node_of_its_graph_travels():
    with Graph() as graph:
        x = placeholder("x")
        func_op(lambda value: (value, x.name), x, name="named")

    copied = cloudpickle.loads(cloudpickle.dumps(graph))

    assert copied("named", x=1) == (1, "x")


def test_dependencies_travel():
    with Graph() as graph:
        first = func_op(len, 3)
        with control_dependencies([first]):
            func_op(int, 3, name="last")

    with pytest.raises(TypeError, match="has no len"):
        pickle.loads(pickle.dumps(graph))("last")


def test_copies_of_a_graph_share_lazy_constants_in_one_process():
    with Graph() as graph:
        lazy_constant(f.make_table, name="table")
    f.MADE.clear()

    copies = [pickle.loads(pickle.dumps(graph)) for _ in range(3)]
    tables = [each("table") for each in (graph, *copies)]

    assert len(f.MADE) == 1
    assert len({id(table) for table in tables}) == 1


def test_a_graph_can_be_applied_by_many_threads():
    graph = f.item_graph()
    found, threads = [], []

    def work(start):
        found.append([graph("all", x=value)[3] for value in range(start, start + 200)])

    for start in range(4):
        threads.append(threading.Thread(target=work, args=(start,)))
        threads[-1].start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [[3 * value for value in range(start, start + 200)] for start in range(4)]


# -- as a function of an item ---------------------------------------------------------------------------------------


@pytest.fixture
def area():
    with Graph() as graph:
        (placeholder("width") * placeholder("height")).set_name("area")
    return graph


def test_an_item_may_be_one_value_several_or_a_mapping(area):
    with area:
        (area["width"] + 1).set_name("wider")

    assert graph_function(area, "wider", "width")(2) == 3
    assert graph_function(area, area["wider"], area["width"])(2) == 3
    assert graph_function(area, "area", ["width", area["height"]])((2, 3)) == 6
    assert graph_function(area, ["area"], dict)({"width": 2, "height": 3}) == (6,)
    assert graph_function(area, "area", lambda side: {"width": side, area["height"]: side})(3) == 9
    assert graph_function(area, "area", "area")(5) == 5


def test_the_only_placeholder_needs_no_naming(area):
    assert graph_function(f.item_graph(), "root")(9) == 3.0
    with pytest.raises(ValueError, match=r"say with inputs= .*'width', 'height'"):
        graph_function(area, "area")


def test_what_would_get_no_value_is_refused_where_it_is_written(area):
    with pytest.raises(ValueError, match=r"graph_function \(test_travelling\.py:\d+\): 'height' would get no value"):
        graph_function(area, "area", "width")
    with pytest.raises(KeyError, match="no node 'depth'"):
        graph_function(area, "area", "depth")
    with pytest.raises(KeyError, match="no node 'volume'"):
        graph_function(area, "volume", dict)
    with pytest.raises(TypeError, match="inputs must be"):
        graph_function(area, "area", 3)
    with pytest.raises(TypeError, match="graph must be a Graph"):
        graph_function({}, "area")


def test_items_of_another_form_are_errors(area):
    with pytest.raises(ValueError, match="more than 2 values"):
        graph_function(area, "area", ["width", "height"])((1, 2, 3))
    with pytest.raises(TypeError, match="inputs must return a mapping"):
        graph_function(area, "area", lambda item: [item])(1)


# -- in pipelines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_a_graph_is_a_task_for_any_executor(executor):
    graph = f.item_graph()

    found = Pipeline(range(20)).task(graph_function(graph, "all", "x"), executor=executor).wait_for_result()

    assert found == [graph("all", x=value) for value in range(20)]


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_an_error_in_a_pipeline_names_item_and_node_and_is_what_was_raised(executor):
    with Graph() as graph:
        (1 / placeholder("x")).set_name("inverse")
    pipe = Pipeline([2, 0]).task(graph_function(graph, "inverse"), executor=executor)

    with pytest.raises(ZeroDivisionError) as caught:
        pipe.wait_for_result()

    assert "'inverse'" in str(caught.value)
    assert "item 1: 0" in str(caught.value)
    assert "test_travelling.py:" in str(caught.value)
    assert type(caught.value.__cause__).__name__ == "EvaluationError[ZeroDivisionError]"
    assert caught.value.__cause__.node == "inverse"


def test_a_graph_of_a_script_runs_in_workers(script):
    out = script("""
        import os
        from olympipe_like import Pipeline
        from olympipe_like.graph import Graph, func_op, graph_function, import_, lazy_constant, opmethod, placeholder

        class Point:
            def __init__(self, x):
                self.x = x

        @opmethod(length=2)
        def both(value):
            return Point(value), value

        def load():
            return os.getpid()

        with Graph() as graph:
            x = placeholder("x")
            point, same = both(x)
            process = lazy_constant(load)
            root = import_("math").sqrt(same).set_name("root")
            func_op(lambda point, process: (point.x, process), point, process, name="pair")

        function = graph_function(graph, ["root", "pair"])
        found = Pipeline([1, 4]).task(function, workers=2).wait_for_result()
        pairs = [pair for _, pair in found]
        print([root for root, _ in found], [x for x, _ in pairs], os.getpid() in [process for _, process in pairs])
    """)

    assert out.strip() == "[1.0, 2.0] [1, 4] False"


@pytest.mark.parametrize("name", names())
def test_every_ready_made_function_can_be_pickled(name):
    made = getattr(og, name)

    assert pickle.loads(pickle.dumps(made)).evaluated is made.evaluated


def test_built_in_classes_work_in_the_nodes_of_a_pipeline():
    with Graph() as graph:
        words = placeholder("words")
        og.list_(og.zip_(og.map_(len, words), og.reversed_(words))).set_name("pairs")

    assert Pipeline([["a", "to"]]).graph_task(graph, "pairs", "words").wait_for_result() == [[(1, "to"), (2, "a")]]
