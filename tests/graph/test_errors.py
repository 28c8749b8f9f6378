"""An error says which node failed, where it was written and what it was given, and is what was raised."""

from __future__ import annotations

import os
import pickle
import traceback

import pytest

from olympipe_like import EvaluationError, PipelineError
from olympipe_like.graph import Graph, func_op, placeholder
from tests.graph.functions import TwoArguments, fail_with_two


def failing(function, **values):
    """Return the error of a node that calls a function."""
    with Graph() as graph:
        func_op(function, **{name: placeholder(name) for name in values}, name="failing")
    try:
        graph("failing", **values)
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


def raiser(error):
    def fail(**_):
        raise error

    return fail


def test_the_text_names_node_place_expression_inputs_and_what_was_raised():
    with Graph() as graph:
        x = placeholder("x")
        scaled = (x * 2).set_name("scaled")
        (scaled / placeholder("by") + 1).set_name("result")

    with pytest.raises(ZeroDivisionError) as caught:
        graph("result", x=3, by=0)

    error = caught.value
    assert isinstance(error, EvaluationError)
    assert isinstance(error, PipelineError)
    line = test_the_text_names_node_place_expression_inputs_and_what_was_raised.__code__.co_firstlineno + 4
    assert str(error) == (
        f"node 'truediv_3' (test_errors.py:{line}): scaled / by: ZeroDivisionError: division by zero  "
        "[scaled = 6, by = 0]"
    )
    assert (error.node, error.site, error.inputs) == ("truediv_3", f"test_errors.py:{line}", {"scaled": "6", "by": "0"})
    assert type(error.__cause__) is ZeroDivisionError


def test_nodes_without_a_name_are_written_out():
    with Graph() as graph:
        x = placeholder("x")
        (x.strip().upper()[5] + "!").set_name("result")

    with pytest.raises(IndexError, match=r"x\.strip\(\)\.upper\(\)\[5\]: IndexError: .*  \[upper_4 = 'A'\]"):
        graph("result", x=" a ")


def test_the_users_own_traceback_is_there():
    def deep_inside(x):
        raise LookupError("here")

    text = "".join(traceback.format_exception(failing(deep_inside, x=1)))

    assert "in deep_inside" in text
    assert 'raise LookupError("here")' in text


def test_attributes_and_arguments_are_those_of_the_original():
    error = failing(os.stat, path="/no/such/file")
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename) == (2, "/no/such/file")

    error = failing(raiser(KeyError("k", 2)))
    assert error.args == ("k", 2)
    error = failing(fail_with_two, value=1)
    assert isinstance(error, TwoArguments)
    assert error.one == 1
    error = failing(raiser(UnicodeDecodeError("utf-8", b"x", 0, 1, "why")))
    assert (error.encoding, error.start, error.reason) == ("utf-8", 0, "why")
    error = failing(raiser(ImportError("no", name="mod")))
    assert error.name == "mod"


class Both(KeyError, ValueError):
    pass


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error", [Both("x"), Unprintable(), PipelineError("x"), EvaluationError("n", "s", "e", {}, "w")]
)
def test_any_exception_of_a_user_is_caught_as_what_it_is(error):
    found = failing(raiser(error))

    assert isinstance(found, (type(error), EvaluationError))
    assert isinstance(found, type(error))
    assert "failing" in str(found)


def test_the_end_of_an_iterator_is_a_plain_evaluation_error():
    error = failing(raiser(StopIteration(3)))

    assert type(error) is EvaluationError
    assert not isinstance(error, StopIteration)
    assert isinstance(error.__cause__, StopIteration)


def test_a_type_that_cannot_be_combined_is_raised_as_it_is_and_its_cause_says_where():
    class Final(Exception):
        def __init_subclass__(cls):
            raise TypeError("final")

    error = failing(raiser(Final("x")))

    assert type(error) is Final
    assert isinstance(error.__cause__, EvaluationError)
    assert "node 'failing'" in str(error.__cause__)


def test_a_graph_within_a_graph_names_both_nodes():
    with Graph() as inner:
        func_op(int, "x", name="inner")

    error = failing(lambda: inner("inner"))

    assert isinstance(error, ValueError)
    assert "'failing'" in str(error)
    assert "'inner'" in str(error)


@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError(2, "no", "name"), StopIteration(1), KeyError("k")]
)
def test_an_error_travels(error):
    found = failing(raiser(error))

    copy = pickle.loads(pickle.dumps(found))

    assert type(copy) is type(found)
    assert str(copy) == str(found)
    assert copy.args == found.args
    assert vars(copy) == vars(found)


def test_an_error_travels_even_where_the_original_cannot():
    found = failing(fail_with_two, value=1)

    copy = pickle.loads(pickle.dumps(found))

    assert isinstance(copy, TwoArguments)
    assert isinstance(copy, EvaluationError)
    assert str(copy) == str(found)
    assert copy.__cause__ is None


def test_only_so_many_inputs_are_shown_and_each_is_cut():
    error = failing(lambda **_: 1 / 0, **{f"x{number}": "long " * 100 for number in range(10)})

    assert len(error.inputs) == 6
    assert max(map(len, error.inputs.values())) <= 60
