"""Nodes that evaluate only what they turn out to need."""

from __future__ import annotations

import threading

import pytest

from olympipe_like import PlanTypeError
from olympipe_like.graph import Graph, assert_, conditional, func_op, lazy_constant, placeholder, try_


@pytest.fixture
def seen():
    return []


@pytest.fixture
def step(seen):
    """Return what makes nodes that say when they are evaluated; of an exception that they fail."""

    def run(name, result):
        seen.append(name)
        if isinstance(result, BaseException):
            raise result
        return result

    return lambda name, result=None: func_op(run, name, result)


# -- conditional ----------------------------------------------------------------------------------------------------


def test_only_the_chosen_branch_is_evaluated(step, seen):
    with Graph() as graph:
        x = placeholder("x")
        chosen = conditional(x, [step("yes"), x], step("no"))
        without = conditional(x, 1)

    assert graph(chosen, x=1) == [None, 1]
    assert graph(chosen, x=0) is None
    assert seen == ["yes", "no"]
    assert graph(without, x=0) is None


def test_a_value_given_for_a_lazy_node_is_used(step, seen):
    with Graph() as graph:
        chosen = conditional(step("predicate"), 1, 2)
        tried = try_(step("tried"))

    assert graph([chosen + 1, tried], {chosen: 10, tried: 5}) == (11, 5)
    assert seen == []


def test_dependencies_of_a_lazy_node_come_first(step, seen):
    with Graph() as graph:
        last = step("branch")
        before = step("before")
        chosen = conditional(step("predicate", 1), last, dependencies=[before])

    graph(chosen)

    assert seen == ["before", "predicate", "branch"]


def test_a_predicate_without_a_truth_value_is_an_error_of_the_conditional():
    import numpy as np

    with Graph() as graph:
        conditional(placeholder("x"), 1, 2, name="chosen")

    with pytest.raises(ValueError, match=r"node 'chosen' .*ambiguous.*x = array|ndarray"):
        graph("chosen", x=np.arange(2))


# -- try_ -----------------------------------------------------------------------------------------------------------


def test_the_first_clause_that_matches_gives_the_value(step, seen):
    with Graph() as graph:
        tried = try_(
            step("bad", KeyError("k")),
            [(ValueError, step("value")), ((OSError, LookupError), step("lookup", 5)), (KeyError, step("key"))],
        )

    assert graph(tried + 1) == 6
    assert seen == ["bad", "lookup"]


def test_without_a_matching_clause_the_error_goes_on_and_finally_is_evaluated(step, seen):
    with Graph() as graph:
        tried = try_(step("bad", KeyError("k")), [(ValueError, 1)], step("finally"))
        outer = try_(tried, [(KeyError, "caught outside")])

    assert graph(outer) == "caught outside"
    assert seen == ["bad", "finally"]
    with pytest.raises(KeyError, match="k"):
        graph(tried)


def test_finally_is_evaluated_after_success_and_its_value_is_not_used(step, seen):
    with Graph() as graph:
        tried = try_(step("good", 1), finally_=step("finally", 2))

    assert graph(tried) == 1
    assert seen == ["good", "finally"]


def test_an_error_of_a_clause_or_of_finally_goes_on(step, seen):
    with Graph() as graph:
        clause = try_(step("bad", KeyError()), [(KeyError, step("worse", OSError("worse")))], step("finally"))
        last = try_(step("good"), finally_=step("last", OSError("last")))

    with pytest.raises(OSError, match="worse"):
        graph(clause)
    with pytest.raises(OSError, match="last"):
        graph(last)
    assert seen == ["bad", "worse", "finally", "good", "last"]


def test_what_fails_deep_behind_is_caught_and_what_was_found_is_kept(step):
    with Graph() as graph:
        good = step("good", 1)
        tried = try_(good + step("bad", ZeroDivisionError()) * 2, [(ArithmeticError, good)])
    context = {}

    assert graph(tried, context) == 1
    assert context[good] == 1


def test_a_node_that_two_ask_for_fails_once(step, seen):
    with Graph() as graph:
        bad = step("bad", ValueError())
        one, two = try_(bad, [(ValueError, 1)]), try_(bad + 1, [(ValueError, 2)])

    assert graph([one, two]) == (1, 2)
    assert seen == ["bad"]


def test_the_signs_of_the_language_can_be_caught(step):
    with Graph() as graph:
        ended = try_(step("ended", StopIteration()), [(StopIteration, "ended")])
        left = try_(step("left", SystemExit()), [(SystemExit, "left")])

    assert graph([ended, left]) == ("ended", "left")


def test_ctrl_c_is_not_changed_and_finally_is_evaluated(step, seen):
    with Graph() as graph:
        tried = try_(step("bad", KeyboardInterrupt()), [(Exception, 1)], step("finally"))

    with pytest.raises(KeyboardInterrupt) as caught:
        graph(tried)
    assert type(caught.value) is KeyboardInterrupt
    assert seen == ["bad", "finally"]


def test_clauses_need_exception_types():
    with Graph(), pytest.raises(TypeError, match=r"try_ \(test_lazy\.py:\d+\): except_ needs exception types, got 3"):
        try_(placeholder("x"), [(3, 1)])


@pytest.mark.parametrize(
    "clauses", [3, "ab", [3], {ValueError: 1}, (ValueError, 1), [(ValueError,)], [(ValueError, 1, 2)]]
)
def test_clauses_must_be_pairs(clauses):
    with Graph(), pytest.raises(PlanTypeError, match=r"try_ \(test_lazy\.py:\d+\): except_ must be a list of pairs"):
        try_(placeholder("x"), clauses)


def test_a_node_is_no_list_of_clauses():
    with Graph():
        x = placeholder("x")
        with pytest.raises(PlanTypeError, match=r"except_ must be a list of pairs, .*got Operation"):
            try_(x, x)


# -- assert_ --------------------------------------------------------------------------------------------------------


def test_an_assertion_has_a_value_or_fails_with_its_message():
    with Graph() as graph:
        x = placeholder("x")
        checked = assert_(x > 0, "x is %d, %s", x, "100% wrong", value=x)
        plain = assert_(x > 0, "100% plain")
        silent = assert_(x > 0)

    assert graph(checked, x=2) == 2
    assert graph([plain, silent], x=2) == (None, None)
    for node, text in [(checked, "x is -1, 100% wrong"), (plain, "100% plain"), (silent, "the condition is false")]:
        with pytest.raises(AssertionError, match=text):
            graph(node, x=-1)


# -- lazy_constant --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [3, None])
def test_a_lazy_constant_is_made_once_whatever_it_is(value):
    calls = []
    with Graph() as graph:
        lazy = lazy_constant(lambda: calls.append(1) or value, name="lazy")

    assert calls == []
    assert [graph("lazy"), graph(lazy)] == [value, value]
    assert calls == [1]


def test_a_lazy_constant_is_made_once_for_many_threads():
    calls, results = [], []
    begun = threading.Event()

    def make():
        calls.append(1)
        begun.wait(5)
        return object()

    with Graph() as graph:
        lazy = lazy_constant(make)

    threads = [threading.Thread(target=lambda: results.append(graph(lazy))) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join()

    assert calls == [1]
    assert len(set(map(id, results))) == 1


def test_a_lazy_constant_that_fails_is_tried_again():
    answers = iter([ValueError("not yet"), "there"])

    def make():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Graph() as graph:
        lazy = lazy_constant(make)

    with pytest.raises(ValueError, match="not yet"):
        graph(lazy)
    assert graph(lazy) == "there"


def test_a_lazy_constant_that_needs_itself_is_an_error_not_a_hang():
    with Graph() as graph:
        lazy_constant(lambda: graph("lazy"), name="lazy")

    with pytest.raises(RecursionError):
        graph("lazy")


def test_a_lazy_constant_needs_a_function():
    with Graph(), pytest.raises(TypeError, match="lazy_constant"):
        lazy_constant(3)
