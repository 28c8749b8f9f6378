"""Random graphs mean what the same expressions mean in plain Python, and evaluate nothing twice and nothing unasked."""

from __future__ import annotations

import operator
import pickle
from collections import Counter
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from olympipe_like.graph import Graph, conditional, constant, func_op, opmethod, placeholder, str_format, try_

BINARY = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.lt, operator.eq]
UNARY = [operator.neg, abs, operator.invert]
values = st.integers(-3, 5) | st.sampled_from(["a", "bc", ""]) | st.tuples(st.integers(0, 2), st.integers(0, 2))


def pair(first, second):
    return first, second


def size_of(value, *, bonus=0):
    return len(repr(value)) + bonus


@st.composite
def programs(draw):
    """Draw a list of lines, each of which may use those before it."""
    lines = [("placeholder",), ("constant", draw(values))]
    for _ in range(draw(st.integers(1, 14))):
        line = st.integers(0, len(lines) - 1)
        lines.append(
            draw(
                st.one_of(
                    st.tuples(st.just("constant"), values),
                    st.tuples(st.just("binary"), st.sampled_from(BINARY), line, line),
                    st.tuples(st.just("reflected"), st.sampled_from(BINARY[:5]), values.filter(is_number), line),
                    st.tuples(st.just("unary"), st.sampled_from(UNARY), line),
                    st.tuples(st.just("item"), line, line),
                    st.tuples(st.just("slice"), line, line),
                    st.tuples(st.just("call"), line, line),
                    st.tuples(st.just("nested"), line, line),
                    st.tuples(st.just("format"), line, line),
                    st.tuples(st.just("if"), line, line, line),
                    st.tuples(st.just("try"), line, line),
                )
            )
        )
    return lines


def is_number(value):
    return isinstance(value, int)


def build(lines):
    """Return the lines as a graph and its nodes."""
    nodes = []
    with Graph() as graph:
        for line in lines:
            nodes.append(write(nodes, *line))
    return graph, nodes


def write(nodes, kind, *parts):
    if kind == "placeholder":
        return placeholder("x")
    if kind == "constant":
        return constant(*parts)
    if kind == "reflected":
        function, value, line = parts
        return function(value, nodes[line])
    if kind in ("binary", "unary"):
        return parts[0](*(nodes[line] for line in parts[1:]))
    first, second, *third = (nodes[line] for line in parts)
    if kind == "item":
        return first[second]
    if kind == "slice":
        return first[second:]
    if kind == "call":
        return func_op(size_of, first, bonus=second)
    if kind == "nested":
        return opmethod(pair)([first, {"k": (second, 1)}], second)
    if kind == "format":
        return str_format("{} {b}", first, b=second)
    if kind == "if":
        return conditional(first, second, *third)
    return try_(first, [(Exception, second)])


class Plain:
    """What the lines mean, by recursion; each line once."""

    def __init__(self, lines, given):
        self.lines, self.known, self.counts = lines, dict(given), Counter()

    def value(self, line):
        if line not in self.known:
            self.counts[line] += 1
            try:
                self.known[line] = self.work_out(*self.lines[line])
            except Exception as error:
                self.known[line] = error
        if isinstance(self.known[line], Exception):
            raise self.known[line]
        return self.known[line]

    def work_out(self, kind, *parts):
        if kind == "constant":
            return parts[0]
        if kind == "reflected":
            return parts[0](parts[1], self.value(parts[2]))
        if kind in ("binary", "unary"):
            return parts[0](*[self.value(line) for line in parts[1:]])
        if kind == "if":
            return self.value(parts[1] if self.value(parts[0]) else parts[2])
        if kind == "try":
            try:
                return self.value(parts[0])
            except Exception:
                return self.value(parts[1])
        first, second = (self.value(line) for line in parts)
        if kind == "item":
            return first[second]
        if kind == "slice":
            return first[second:]
        if kind == "call":
            return size_of(first, bonus=second)
        if kind == "nested":
            return [first, {"k": (second, 1)}], second
        return f"{first} {second}"


class Counted:
    def __init__(self):
        self.counts = Counter()

    @contextmanager
    def __call__(self, node, _):
        self.counts[node] += 1
        yield


def result_of(function):
    try:
        return "value", function()
    except Exception as error:
        return "error", error


@settings(max_examples=120, deadline=None)
@given(lines=programs(), x=values, data=st.data())
def test_a_graph_gives_what_the_same_expressions_give_in_plain_python(lines, x, data):
    graph, nodes = build(lines)
    fetched = data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=1, max_size=3))
    given_lines = {0: x, **data.draw(st.dictionaries(st.integers(1, len(lines) - 1), values, max_size=2))}
    plain, counted = Plain(lines, given_lines), Counted()

    context = {nodes[line]: value for line, value in given_lines.items()}
    kind, found = result_of(lambda: graph([nodes[line] for line in fetched], context, callback=counted))
    expected_kind, expected = result_of(lambda: tuple([plain.value(line) for line in fetched]))

    assert kind == expected_kind, (found, expected)
    assert max(counted.counts.values(), default=1) == 1
    if kind == "value":
        assert repr(found) == repr(expected)
        for line, node in enumerate(nodes):
            if node in context:
                assert repr(context[node]) == repr(plain.value(line))
    else:
        raised = {type(each) for each in plain.known.values() if isinstance(each, Exception)}
        every = Plain(lines, given_lines)  # another line may have failed first, but it must be one that fails
        raised |= {type(result_of(lambda line=line: every.value(line))[1]) for line in range(len(lines))}
        assert any(isinstance(found, each) for each in raised)


@settings(max_examples=50, deadline=None)
@given(lines=programs(), x=values)
def test_without_failures_exactly_the_lines_that_are_needed_are_evaluated(lines, x):
    graph, nodes = build(lines)
    plain, counted = Plain(lines, {0: x}), Counted()

    expected_kind, _ = result_of(lambda: plain.value(len(lines) - 1))
    failed = any(isinstance(each, Exception) for each in plain.known.values())
    result_of(lambda: graph(nodes[-1], x=x, callback=counted))

    if expected_kind == "value" and not failed:
        assert counted.counts == Counter({nodes[line]: 1 for line in plain.counts})


@settings(max_examples=50, deadline=None)
@given(lines=programs(), x=values)
def test_with_and_without_a_callback_and_as_a_copy_a_graph_gives_the_same(lines, x):
    graph, nodes = build(lines)
    copy = pickle.loads(pickle.dumps(graph))
    name = nodes[-1].name

    results = [
        result_of(lambda: graph(name, x=x)),
        result_of(lambda: graph(name, x=x, callback=Counted())),
        result_of(lambda: copy(name, x=x)),
        result_of(lambda: copy(name, {"x": x})),
    ]

    assert len({repr((kind, str(value), type(value).__mro__[1:])) for kind, value in results}) == 1
