"""Random plans give exactly what the reference gives, however they run."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from olympipe_like import Pipeline
from tests.reference import evaluate
from tests.strategies import build, plans

relaxed = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    # Not `explain`: it traces every line, and a traced interpreter that is asked for its stacks may crash.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


def multisets(results: list[list[object]]) -> list[Counter[str]]:
    return [Counter(map(repr, values)) for values in results]


@pytest.mark.timeout(120)
@settings(relaxed, max_examples=400)
@given(plan=plans())
def test_in_the_callers_process(plan):
    expected = evaluate(plan)

    everything = Pipeline.wait_for_all_results(build(plan), executor="inline")
    with build(plan)[0].run(executor="inline") as run:
        one_by_one = list(run)

    assert everything == expected
    assert one_by_one == expected[0]


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=100)
@given(plan=plans())
def test_with_threads(plan):
    expected = evaluate(plan)

    everything = Pipeline.wait_for_all_results(build(plan, executor="thread"))
    one_by_one = list(build(plan, executor="thread")[-1])

    assert everything == expected
    assert one_by_one == expected[-1]


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=40)
@given(plan=plans())
def test_with_processes(plan):
    expected = evaluate(plan)

    everything = Pipeline.wait_for_all_results(build(plan, executor="process"))
    one_by_one = list(build(plan, executor="process")[0])

    assert everything == expected
    assert one_by_one == expected[0]


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=40)
@given(plan=plans())
def test_with_processes_threads_and_inline_stages_in_one_plan(plan):
    expected = evaluate(plan)

    everything = Pipeline.wait_for_all_results(build(plan))
    one_by_one = list(build(plan)[-1])

    assert everything == expected
    assert one_by_one == expected[-1]


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=200)
@given(plan=plans(repeated=True))
def test_epochs_in_the_callers_process(plan):
    assert Pipeline.wait_for_all_results(build(plan), executor="inline") == evaluate(plan)


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=40)
@given(plan=plans(repeated=True))
def test_epochs_with_processes(plan):
    assert Pipeline.wait_for_all_results(build(plan, executor="process")) == evaluate(plan)


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=40)
@given(plan=plans(unordered=True))
def test_stages_that_give_up_their_order_lose_nothing_else_with_threads(plan):
    expected = multisets(evaluate(plan))

    everything = Pipeline.wait_for_all_results(build(plan, executor="thread"))

    assert multisets(everything) == expected


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=20)
@given(plan=plans(unordered=True))
def test_stages_that_give_up_their_order_lose_nothing_else_with_processes(plan):
    expected = multisets(evaluate(plan))

    everything = Pipeline.wait_for_all_results(build(plan, executor="process"))

    assert multisets(everything) == expected
