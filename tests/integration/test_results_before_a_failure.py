"""Whatever chain an item fails in, what a loop of plain generators gives before it fails is given, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olympipe_like import Pipeline
from tests.integration.test_random_plans import relaxed

ITEMS = 300


class Fails(Exception):
    pass


def number_of(item):
    """Return the source's number that an item, or the first in a batch, began as."""
    while isinstance(item, list):
        item = item[0]
    return item


def kept(items, number):
    return (item for item in items if number_of(item) % number)


def batched(items, size):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def spread(items, function):
    for item in items:
        yield from function(item)


def failing_from(number):
    def fail(item):
        if number_of(item) >= number:
            raise Fails(number_of(item))
        return item

    return fail


def some(number):
    return lambda item: [item] * (number_of(item) % number)


def many(number):
    return lambda item: (item for _ in range(20 * number))


OPERATORS = {  # name -> what a pipeline and what plain generators do
    "task": (lambda pipe, n: pipe.task(lambda item: item, workers=2), lambda items, n: items),
    "filter": (lambda pipe, n: pipe.filter(lambda item: number_of(item) % n), kept),
    "batch": (lambda pipe, n: pipe.batch(n), batched),
    "unbatch": (lambda pipe, n: pipe.batch(n).unbatch(), lambda items, n: spread(batched(items, n), list)),
    "some": (lambda pipe, n: pipe.explode(some(n)), lambda items, n: spread(items, some(n))),
    "many": (lambda pipe, n: pipe.explode(many(n)), lambda items, n: spread(items, many(n))),
}
steps = st.tuples(st.sampled_from(sorted(OPERATORS)), st.integers(2, 7))


def most_given(chain):
    """Return how many items a chain makes of one, at most."""
    made = 1
    for kind, number in chain:
        made *= {"some": number, "many": 20 * number}.get(kind, 1)
    return made


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("executor", "examples"), [("thread", 100), ("process", 25), ("inline", 5)])
def test_all_results_before_a_failure_are_given(executor, examples):
    @settings(relaxed, max_examples=examples)
    @given(
        before=st.lists(steps, max_size=3),
        after=st.lists(steps, max_size=3),
        number=st.integers(0, ITEMS - 1),
        fuse=st.booleans(),
    )
    def check(before, after, number, fuse):
        if most_given(before + after) > 500:
            return
        pipe, items = Pipeline(range(ITEMS)), iter(range(ITEMS))
        for kind, size in before:
            pipe, items = OPERATORS[kind][0](pipe, size), OPERATORS[kind][1](items, size)
        pipe, items = pipe.task(failing_from(number)), map(failing_from(number), items)
        for kind, size in after:
            pipe, items = OPERATORS[kind][0](pipe, size), OPERATORS[kind][1](items, size)

        assert outcome(pipe.run(executor=executor, fuse=fuse, progress=False)) == outcome(items)

    check()


def outcome(items):
    """Return what comes, and whether it ended with the failure."""
    results = []
    try:
        results.extend(items)
    except Fails:
        return results, True
    return results, False
