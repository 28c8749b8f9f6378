"""What is fetched, what is given, and what is evaluated for it."""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict
from contextlib import contextmanager, suppress
from types import MappingProxyType

import pytest

from olympipe_like import EvaluationError, NodeNotFound, PlanError, PlanTypeError
from olympipe_like.graph import Graph, Profiler, conditional, constant, func_op, import_, placeholder, str_format, try_
from olympipe_like.graph.graph import MOST_PLANS


@pytest.fixture
def graph():
    with Graph() as graph:
        x = placeholder("x")
        y = (x + 1).set_name("y")
        z = (y * 2).set_name("z")
        (z - y).set_name("end")
    return graph


def test_fetches_may_be_nodes_names_and_nested(graph):
    y, z = graph["y"], graph["z"]

    assert graph("y", x=1) == 2
    assert graph(z, x=1) == 4
    assert graph(["y", z], x=1) == (2, 4)
    assert graph(("y",), x=1) == (2,)
    assert graph([], x=1) == ()
    assert graph({"a": "y", "b": [z, {"c": y}]}, x=1) == {"a": 2, "b": (4, {"c": 2})}
    assert graph.apply("y", x=1) == 2


def test_keys_of_fetches_are_given_back_as_they_are(graph):
    x, y = graph["x"], graph["y"]

    assert graph({x: "x", (y, 1): [y]}, x=[1], y=[2]) == {x: [1], (y, 1): ([2],)}


@pytest.mark.parametrize("fetches", [3, None, ["y", 3], {"a": object()}])
def test_fetches_of_another_kind_are_refused(graph, fetches):
    with pytest.raises(TypeError, match="fetches must be nodes, names"):
        graph(fetches, x=1)


def test_the_context_gets_every_value(graph):
    context = {"x": 1}

    graph("z", context)

    assert context == {"x": 1, graph["x"]: 1, graph["y"]: 2, graph["z"]: 4}


def test_a_context_can_be_continued_and_nothing_is_evaluated_again():
    calls = []
    with Graph() as graph:
        x = placeholder("x")
        y = func_op(lambda value: calls.append(value) or value, x, name="y")
        z = y + 1
    context = {"x": 1}

    assert graph(y, context) == 1
    assert graph(z, context) == 2

    assert calls == [1]


@pytest.mark.parametrize("kind", [dict, OrderedDict, lambda pairs: defaultdict(int, pairs)])
def test_values_may_be_given_by_node_or_name_for_any_node(graph, kind):
    x, y = graph["x"], graph["y"]

    assert graph("z", kind({x: 1})) == 4
    assert graph("z", kind({"y": 10})) == 20
    assert graph("z", kind({y: 10, x: "not used"})) == 20
    assert graph("end", kind({"z": 5}), y=1) == 4
    assert graph("z", z=7) == 7


def test_a_mapping_that_is_no_dict_is_left_alone(graph):
    context = MappingProxyType({"x": 1})

    assert graph("y", context) == 2
    assert dict(context) == {"x": 1}


def test_two_values_for_one_node_are_refused(graph):
    with pytest.raises(ValueError, match="'x' is given two values: in the context and by keyword"):
        graph("y", {"x": 1}, x=1)
    with pytest.raises(ValueError, match="'x' is given two values: by its name and as a node"):
        graph("y", {"x": 1, graph["x"]: 2})


def test_a_context_changed_by_name_after_an_apply_is_not_taken_for_the_old_one(graph):
    context = {"x": 1}
    graph("y", context)
    context["x"] = 2

    with pytest.raises(ValueError, match="two values"):
        graph("y", context)


def test_what_the_graph_does_not_have_is_refused(graph):
    with pytest.raises(NodeNotFound, match="no node 'w'"):
        graph("y", w=1)
    with pytest.raises(NodeNotFound, match="no node 'w'"):
        graph("w", x=1)
    with pytest.raises(TypeError, match="expected a node or its name, got int 3"):
        graph("y", {3: 1})
    with pytest.raises(PlanError, match="context must be a mapping"):
        graph("y", [1])


def test_a_missing_value_is_named_with_its_place(graph):
    with pytest.raises(ValueError, match=r"node 'x' \(test_apply\.py:\d+\).*no value is given") as caught:
        graph("z")
    assert isinstance(caught.value, EvaluationError)


def test_only_what_is_needed_is_evaluated():
    with Graph() as graph:
        x = placeholder("x")
        never = func_op(int, "no number")
        fine = x + 1
        also_never = never + fine

    assert graph(fine, x=1) == 2
    assert graph(also_never, {never: 1}, x=1) == 3


def test_each_node_is_evaluated_once():
    calls = []
    with Graph() as graph:
        shared = func_op(lambda: calls.append(1) or len(calls))
        total = shared + shared * conditional(shared, shared, 0) + try_(shared)

    assert graph([total, shared]) == (3, 1)
    assert graph(total) == 2 + 2 * 2 + 2


def test_nodes_are_evaluated_in_the_order_written():
    seen = []
    with Graph() as graph:
        first = func_op(seen.append, 1)
        second = func_op(seen.append, 2)
        third = func_op(seen.append, 3)

    graph([third, first, second])

    assert seen == [1, 2, 3]


def test_constants_are_the_same_object_unless_there_are_nodes_in_them():
    value = [1]
    with Graph() as graph:
        same = constant(value, name="same")
        mixed = constant([same, 2])

    assert graph("same") is value
    assert graph(mixed) == [[1], 2]


def test_a_module_is_imported_when_it_is_needed(tmp_path, monkeypatch):
    (tmp_path / "made_for_a_graph.py").write_text("value = 3")
    monkeypatch.syspath_prepend(tmp_path)
    with Graph() as graph:
        value = import_("made_for_a_graph").value
        relative = import_(".decoder", "json")

    assert "made_for_a_graph" not in sys.modules
    assert graph(value) == 3
    assert graph(relative).__name__ == "json.decoder"
    del sys.modules["made_for_a_graph"]


def test_texts_are_formatted():
    with Graph() as graph:
        text = str_format("{0:.1f} {name} {name!r}", placeholder("x"), name="n")

    assert graph(text, x=1.25) == "1.2 n 'n'"


def test_a_deep_graph_is_no_deeper_for_python():
    depth = 20 * sys.getrecursionlimit()
    with Graph() as graph:
        at = placeholder("x")
        for _ in range(depth):
            at = at + 1

    assert graph(at, x=0) == depth
    assert graph(at, x=0, callback=Profiler()) == depth
    assert len(graph.to_dot(at)) > depth


def test_deep_lazy_nodes_are_no_deeper_for_python():
    depth = 3 * sys.getrecursionlimit()
    with Graph() as graph:
        at = placeholder("x")
        for _ in range(depth):
            at = try_(conditional(at >= 0, at + 1, "negative"), [(KeyError, 0)])

    assert graph(at, x=0) == depth
    with pytest.raises(TypeError, match="'>=' not supported"):
        graph(at, x="a")


def test_plans_are_kept_for_a_bounded_number_of_questions(graph):
    for number in range(MOST_PLANS + 5):
        with graph:
            assert graph(graph["x"] + number, x=1) == 1 + number

    assert len(graph._plans) <= MOST_PLANS


# -- callbacks --------------------------------------------------------------------------------------------------------


def test_a_callback_is_entered_and_left_around_each_node(graph):
    seen = []

    @contextmanager
    def callback(node, values):
        seen.append(("before", node.name, node in values))
        yield
        seen.append(("after", node.name, values[node]))

    graph("z", {"y": 3}, callback=callback)
    graph("y", x=1, callback=callback)

    assert seen == [("before", "z", False), ("after", "z", 6), ("before", "y", False), ("after", "y", 2)]


def test_a_callback_spans_what_a_lazy_node_asks_for_and_sees_errors():
    seen = []

    @contextmanager
    def callback(node, values):
        seen.append(f"{node.name}(")
        try:
            yield
        except Exception as error:
            seen.append(type(error).__name__)
            raise
        finally:
            seen.append(")")

    with Graph() as graph:
        bad = func_op(int, "x", name="bad")
        good = func_op(int, "3", name="good")
        try_(bad, [(ValueError, good)], name="tried")
        func_op(int, "y", name="worse")

    graph("tried", callback=callback)
    with pytest.raises(ValueError, match="worse"):
        graph("worse", callback=callback)

    assert "".join(seen) == "tried(bad(ValueError)good())worse(ValueError)"


def test_a_callback_that_fails_is_an_error_at_its_node(graph):
    @contextmanager
    def callback(node, values):
        raise OSError(node.name)
        yield

    with pytest.raises(OSError, match="node 'y'"):
        graph("y", x=1, callback=callback)


def test_a_callback_may_raise_another_error_in_place_of_a_nodes_also_around_lazy_nodes():
    seen = []

    @contextmanager
    def callback(node, values):
        seen.append(f"{node.name}(")
        try:
            yield
        except ZeroDivisionError as error:
            raise LookupError(node.name) from error
        finally:
            seen.append(")")

    with Graph() as graph:
        inner = conditional(True, func_op(divmod, 1, 0, name="bad"), name="inner")
        outer = conditional(True, try_(inner, finally_=func_op(int, name="last"), name="tried"), name="outer")
        try_(outer, [(LookupError, "caught")], name="whole")

    assert graph("whole", callback=callback) == "caught"
    with pytest.raises(LookupError, match="node 'bad'"):
        graph("outer", callback=callback)
    assert "".join(seen) == "whole(outer(tried(inner(bad())last())))" + "outer(tried(inner(bad())last()))"


def test_a_callback_that_fails_when_it_leaves_a_lazy_node_is_an_error_at_that_node():
    @contextmanager
    def callback(node, values):
        try:
            yield
        except ZeroDivisionError:
            if node.name == "chosen":
                raise LookupError("on the way out") from None
            raise

    with Graph() as graph:
        conditional(True, func_op(divmod, 1, 0), name="chosen")
        try_(graph["chosen"], [(LookupError, "caught")], name="tried")

    assert graph("tried", callback=callback) == "caught"
    with pytest.raises(LookupError, match=r"node 'chosen' .* on the way out"):
        graph("chosen", callback=callback)


def test_a_callback_cannot_hide_an_error():
    with Graph() as graph:
        func_op(int, "x", name="bad")

    with pytest.raises(RuntimeError, match=r"node 'bad'.*callback hid an error"):
        graph("bad", callback=lambda node, values: suppress(ValueError))


def yields(node, values):
    yield


async def waits(node, values):
    pass


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        (lambda node, values: None, "callback must return a context manager, .*got NoneType None; .*nullcontext"),
        (yields, "callback must return a context manager, as contextlib.contextmanager makes one, got generator"),
        (lambda node: suppress(OSError), "callback must take a node and the values so far, got function"),
        (3, "callback must be a function, got 3"),
        (waits, "callback must be a plain function, got the async function"),
    ],
)
@pytest.mark.parametrize("asked", ["z", "tried"])
def test_what_is_no_callback_is_refused_at_the_apply_and_no_node_is_blamed(graph, callback, text, asked):
    with graph:
        try_(graph["z"], [(Exception, "caught")], name="tried")

    with pytest.raises(PlanTypeError, match=rf"^apply \(test_apply\.py:\d+\): {text}") as caught:
        graph(asked, x=1, callback=callback)

    assert not isinstance(caught.value, EvaluationError)


def test_a_callback_that_is_none_for_one_node_is_refused_though_a_try_is_around_that():
    left = []

    @contextmanager
    def spanning():
        try:
            yield
        finally:
            left.append("left")

    with Graph() as graph:
        tried = try_(func_op(int, 3, name="bad"), [(Exception, 0)], finally_=func_op(int, 4))

    with pytest.raises(PlanTypeError, match="callback must return a context manager"):
        graph(tried, callback=lambda node, values: None if node.name == "bad" else spanning())

    assert left == ["left", "left"]  # of the node in finally_, and of the try_


def test_a_type_error_of_the_callback_is_an_error_at_its_node(graph):
    def callback(node, values):
        return suppress(int("x", base="y"))

    with pytest.raises(TypeError, match="node 'y'") as caught:
        graph("y", x=1, callback=callback)

    assert isinstance(caught.value, EvaluationError)


def test_a_profiler_adds_up_without_what_is_inside():
    with Graph() as graph:
        x = placeholder("x")
        total = func_op(sum, func_op(range, x), name="total")
        outer = conditional(x, total, 0, name="outer")
    profiler = Profiler()

    for _ in range(3):
        graph(outer, x=100_000, callback=profiler)

    assert profiler.counts[total] == profiler.counts[outer] == 3
    assert profiler.times[total] > profiler.times[outer]  # whose time is without that of what it asks for
    assert list(profiler.get_slow_operations(1)) == [total]
    assert set(profiler.get_slow_operations()) == set(profiler.times)
    first, second = str(profiler).splitlines()[:2]
    assert first.split() == ["seconds", "share", "times", "node"]
    assert "total = sum(range(x))" in second
    assert "test_apply.py:" in second
