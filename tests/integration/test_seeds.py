"""One seed gives the same random numbers, whoever draws them, in what frame, and how often."""

from __future__ import annotations

import functools
import os
import random
import statistics
import sys
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from olympipe_like import Pipeline, PlanError, Retry, StageFailed
from olympipe_like._plan.parameters import wants_rng
from tests.drawing import (
    Caller,
    Dying,
    Noise,
    draw,
    draw_by_name,
    draw_globally,
    draw_later,
    is_lucky,
    mixed,
    some,
    some_globally,
    two_ways,
)

pytestmark = pytest.mark.timeout(60)

relaxed = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
NUMBERS = Pipeline(range(40))
STEPS = {
    "task": lambda pipe, **where: pipe.task(draw, **where),
    "task, by name": lambda pipe, **where: pipe.task(draw_by_name, **where),
    "task, object with transform": lambda pipe, **where: pipe.task(Noise(), **where),
    "task, callable object": lambda pipe, **where: pipe.task(Caller(), **where),
    "class_task, by name": lambda pipe, **where: pipe.class_task(Noise, "transform", **where),
    "class_task, function": lambda pipe, **where: pipe.class_task(Noise, Noise.transform, [3.0], **where),
    "filter": lambda pipe, **where: pipe.filter(is_lucky, **where),
    "explode": lambda pipe, **where: pipe.explode(some, **where),
    "batch": lambda pipe, **where: pipe.task(draw, **where).batch(7, collate=mixed),
    "fan_out": lambda pipe, **where: pipe.fan_out(draw, draw, **where),
}


def mixed_globally(members):
    random.shuffle(members)
    return *members, float(np.random.random())  # noqa: NPY002 - what is tested


def several(pipe, **where):
    """Return what steps give that have several legs, or none."""
    where.pop("workers", None)
    seen, drawn = pipe.split(two_ways, n=2, **where)
    yes, no = pipe.partition(is_lucky, **where)
    return Pipeline.wait_for_all_results([seen, drawn, yes, no], seed=5)


# -- a function that asks for them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_an_items_numbers_are_the_same_for_any_workers_anywhere(step):
    expected = STEPS[step](NUMBERS).wait_for_result(executor="inline", seed=5)

    for executor in ("process", "thread"):
        for workers in (1, 3):
            pipe = STEPS[step](NUMBERS, workers=workers, executor=executor)
            assert pipe.wait_for_result(seed=5) == expected
            assert pipe.wait_for_result(seed=5, queue_size=1) == expected
    assert expected != STEPS[step](NUMBERS).wait_for_result(executor="inline", seed=6)


def test_so_are_those_of_steps_with_several_legs():
    expected = several(NUMBERS, executor="inline")

    assert several(NUMBERS, executor="process") == several(NUMBERS, executor="thread") == expected
    assert sorted(expected[2] + expected[3]) == list(range(40))


def test_so_are_those_of_coroutines():
    expected = NUMBERS.task(draw_later).wait_for_result(executor="inline", seed=5)

    for workers in (1, 20):
        assert NUMBERS.task(draw_later, workers=workers).wait_for_result(seed=5) == expected
    assert NUMBERS.task(draw_later, executor="process").wait_for_result(seed=5) == expected


def test_a_tap_and_the_steps_of_a_list_are_given_them_too(capfd):
    seen = []

    NUMBERS.tap(lambda item, rng: seen.append(rng.random()), executor="thread").wait_for_completion(seed=5)
    steps = [("noise", 2, Noise()), ("more", 2, [{"scale": 1.0}, {"scale": 1.0}], Noise())]
    first, again = (
        Pipeline.from_steps(range(40), steps, 8, use_processes=use, joiner=list).wait_for_result(seed=5)
        for use in (True, False)
    )

    assert len(set(seen)) == 40
    assert first == again
    assert len({row[-1] for row in first[0]}) == 5


_STEP = st.sampled_from(["task", "class_task, by name", "filter", "explode"])
_WHERE = st.fixed_dictionaries(
    {"workers": st.integers(1, 3), "executor": st.sampled_from(["process", "thread"])},
    optional={"queue_size": st.sampled_from([1, 3])},
)


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=25)
@given(
    steps=st.lists(st.tuples(_STEP, _WHERE), min_size=1, max_size=4),
    seed=st.integers(0, 1 << 70),
    fuse=st.booleans(),
    epochs=st.integers(1, 2),
    shuffled=st.booleans(),
)
def test_a_chain_of_drawing_steps_gives_the_same_however_it_runs(steps, seed, fuse, epochs, shuffled):
    inline = chain = Pipeline(range(30))
    for step, where in steps:
        inline, chain = STEPS[step](inline), STEPS[step](chain, **where)
    if shuffled:
        inline, chain = inline.shuffle(10).sample(0.8), chain.shuffle(10).sample(0.8)

    expected = inline.repeat(epochs).wait_for_result(executor="inline", seed=seed)

    assert chain.repeat(epochs).wait_for_result(seed=seed, fuse=fuse) == expected


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=12)
@given(
    deadly=st.sets(st.integers(0, 29), max_size=3),
    workers=st.integers(1, 3),
    fuse=st.booleans(),
)
def test_it_does_so_when_workers_die_having_drawn(tmp_path_factory, deadly, workers, fuse):
    folder = tmp_path_factory.mktemp("deaths")
    expected = Pipeline(range(30)).task(draw, name="a").explode(some).task(draw, name="b")

    pipe = Pipeline(range(30)).task(Dying(draw, folder / "a", deadly), workers, name="a").explode(some, workers=workers)
    result = pipe.task(Dying(draw, folder / "b", deadly), workers, name="b").wait_for_result(seed=5, fuse=fuse)

    assert result == expected.wait_for_result(executor="inline", seed=5)
    assert {f"a-{item}" for item in deadly} <= {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("executor", ["process", "thread", "inline"])
def test_a_retry_draws_what_the_try_before_it_drew(executor):
    tries: dict[int, list[float]] = {}

    def flaky(item, rng):
        seen = tries.setdefault(item, [])
        seen.append(rng.random())
        if len(seen) < 3:
            raise ConnectionError
        return seen

    results = NUMBERS.task(flaky, retries=Retry(times=2, wait=0)).wait_for_result(executor=executor)

    assert all(len(seen) == 3 and len(set(seen)) == 1 for seen in results)
    assert len({seen[0] for seen in results}) == 40


async def flaky_later(item, rng, seen={}):  # noqa: B006 - remembers from one try to the next
    seen.setdefault(item, []).append(rng.random())
    if len(seen[item]) < 2:
        raise ConnectionError
    return seen[item]


def test_so_does_a_coroutines():
    results = NUMBERS.task(flaky_later, 5, retries=Retry(times=1, wait=0)).wait_for_result()

    assert all(len(seen) == 2 and len(set(seen)) == 1 for seen in results)


def test_workers_that_are_replaced_draw_on_as_those_before_them():
    expected = NUMBERS.task(draw).wait_for_result(executor="inline", seed=5)

    assert NUMBERS.task(draw, max_items_per_worker=3).wait_for_result(seed=5) == expected


# -- which numbers they are ------------------------------------------------------------------------------------------


def test_what_a_seed_stands_for_never_changes():
    """Not with a new version either: people compare results with those of last year."""
    failing = Pipeline(range(2)).task(divide, name="divide", on_error="collect").repeat(2)

    with failing.run(executor="inline", seed=1) as run:
        list(run)

    assert {failed.position: failed.seed for failed in run.failures} == {
        (0, 0): 163920365708017403909429625708393253619,
        (1, 0): 96615580431834609927797241512650996296,
    }
    assert Pipeline(range(9)).shuffle(4).wait_for_result(executor="inline", seed=1) == [0, 4, 5, 3, 6, 7, 2, 8, 1]


def divide(item, rng):
    return rng.random() / item


def test_each_run_without_a_seed_draws_others_and_says_how_to_have_them_again():
    with NUMBERS.task(draw).shuffle(5).run() as run:
        first = list(run)

    assert NUMBERS.task(draw).shuffle(5).wait_for_result() != first
    assert NUMBERS.task(draw).shuffle(5).wait_for_result(seed=run.seed) == first


def test_each_epoch_draws_others_under_one_seed():
    first = NUMBERS.task(draw).repeat(2).wait_for_result(seed=5)

    assert first == NUMBERS.task(draw, workers=2).repeat(2).wait_for_result(seed=5)
    assert [item for item, _ in first[:40]] == [item for item, _ in first[40:]]
    assert not {drawn for _, drawn in first[:40]} & {drawn for _, drawn in first[40:]}


def test_two_stages_with_one_function_draw_apart():
    results = NUMBERS.task(draw).task(draw).wait_for_result(executor="inline", seed=5)

    assert all(one != other for (_, one), other in results)
    assert all(one[1] != other[1] for one, other in NUMBERS.fan_out(draw, draw).wait_for_result(seed=5))


def test_a_stage_draws_the_same_behind_a_new_one_beside_others_and_fused():
    alone = NUMBERS.task(draw, name="noise").wait_for_result(seed=5)
    behind = NUMBERS.task(lambda item: item).batch(7).unbatch().task(draw, name="noise")

    assert [drawn for _, drawn in behind.wait_for_result(seed=5, executor="thread")] != []
    noisy = NUMBERS.debug(every=1000).tap(str).task(draw, name="noise")
    beside = NUMBERS.task(draw, name="other")
    assert noisy.wait_for_result(seed=5) == alone
    assert noisy.wait_for_result(seed=5, fuse=True) == alone
    assert Pipeline.wait_for_all_results([beside, noisy], seed=5)[1] == alone


def test_items_of_one_place_that_a_gather_brought_together_draw_apart():
    both = NUMBERS.gather(NUMBERS)

    expected = both.task(draw).wait_for_result(executor="inline", seed=5)

    assert len({drawn for _, drawn in expected}) == 80
    for workers in (1, 3):
        assert both.task(draw, workers).wait_for_result(seed=5, queue_size=workers) == expected


def slowly_by_turns(item):
    time.sleep(0.001 * (item % 3))
    return item


BOTH = NUMBERS.gather(NUMBERS)
# Streams whose items of one place come in one frame or in several, as time and sizes have it.
PARTED = {
    "parts of an explode": BOTH.explode(lambda item: [slowly_by_turns(item)]),
    "items of an unbatch": NUMBERS.batch(1).gather(NUMBERS.batch(1)).unbatch(),
    "pairs whose other leg is late": BOTH.zip(Pipeline(range(80)).task(slowly_by_turns)),
    "the last of a round, which must be known to be whole": NUMBERS.gather(*[NUMBERS] * 4).shard(0, 2, even="drop"),
    "what is given for the end, and for an end before": NUMBERS.batch(3).task(tuple).window(2, partial=True),
    "legs as they come": NUMBERS.gather(NUMBERS.task(slowly_by_turns), ordered=False),
}


@pytest.mark.parametrize("kind", PARTED)
def test_items_of_one_place_that_may_come_apart_draw_alike(kind):
    pipe = PARTED[kind].task(lambda item, rng: (str(item), rng.random()))
    ways = [{"executor": "inline"}, {}, {"fuse": True}, {"queue_size": 1}]

    results = [pipe.wait_for_result(seed=5, **options) for options in ways]

    if "legs" in kind:
        results = list(map(sorted, results))
    assert results == [results[0]] * 4
    assert len({drawn for _, drawn in results[0]}) < len(results[0])


def test_what_is_drawn_behind_a_gather_does_not_depend_on_whether_an_epoch_ended_in_a_frame():
    few = Pipeline(range(7))
    parts = few.gather(few).explode(lambda item: [item, item])
    windows = parts.window(2, partial=True)  # one more for each end, and the place of the others steps back
    pipe = windows.gather(windows.task(tuple)).task(draw).repeat(12)

    expected = pipe.wait_for_result(seed=5, executor="inline")

    for options in ({"executor": "inline", "queue_size": 1}, {}, {"queue_size": 1}):
        assert pipe.wait_for_result(seed=5, **options) == expected


def test_the_numbers_of_items_are_even_and_have_nothing_to_do_with_each_other():
    size = 4000
    drawn = Pipeline(range(size)).task(lambda _, rng: rng.random()).wait_for_result(executor="inline", seed=3)

    sigma = (1 / 12 / size) ** 0.5
    assert abs(statistics.fmean(drawn) - 0.5) < 3 * sigma
    assert abs(statistics.correlation(drawn[1:], drawn[:-1])) < 3 / size**0.5
    counts = np.histogram(drawn, 20, (0, 1))[0]
    assert ((counts - size / 20) ** 2 / (size / 20)).sum() < 43.8  # chi square with 19 degrees of freedom, p = 0.001


# -- items that fail -------------------------------------------------------------------------------------------------


class Unlucky:
    """Raises what it drew."""

    def fail(self, item, rng):
        raise ValueError(item, rng.random())


def unlucky(item, rng):
    return Unlucky().fail(item, rng)


async def unlucky_later(item, rng):
    return unlucky(item, rng)


def unlucky_part(item, rng):
    yield rng.random()
    yield unlucky(item, rng)


FAILING = {
    "task": lambda pipe: pipe.task(unlucky, on_error="collect"),
    "async": lambda pipe: pipe.task(unlucky_later, on_error="collect"),
    "class_task": lambda pipe: pipe.class_task(Unlucky, "fail", on_error="collect"),
    "filter": lambda pipe: pipe.filter(unlucky, on_error="collect"),
    "tap": lambda pipe: pipe.tap(unlucky, on_error="collect"),
    "split": lambda pipe: pipe.split(unlucky, n=2, on_error="collect")[0],
    "partition": lambda pipe: pipe.partition(unlucky, on_error="collect")[0],
}


@pytest.mark.parametrize("step", FAILING)
def test_an_item_that_fails_says_what_its_numbers_followed_from(step):
    with FAILING[step](Pipeline(range(4))).run() as run:
        assert list(run) == []

    assert [failed.error.args for failed in run.failures] == [
        (item, np.random.default_rng(run.failures[item].seed).random()) for item in range(4)
    ]
    assert len({failed.seed for failed in run.failures}) == 4


def test_so_does_one_that_fails_after_it_has_given_something():
    with Pipeline(range(3)).explode(unlucky_part, on_error="collect").run() as run:
        given = list(run)

    for number, failed in zip(given, run.failures, strict=True):
        rng = np.random.default_rng(failed.seed)
        assert (number, failed.error.args[1]) == (rng.random(), rng.random())


def draw_what_cannot_be_sent(item, rng):
    return rng.random(), (each for each in ())


def draw_and_die(item, rng):
    raise SystemExit(rng.random()) if item else os._exit(1)


def test_so_do_one_whose_result_cannot_be_sent_and_one_that_kills_its_workers():
    pipe = Pipeline(range(2)).task(draw_what_cannot_be_sent, on_error="collect", name="a")
    with pipe.run(seed=1) as run:
        assert list(run) == []
    with Pipeline(range(2)).task(draw_and_die, on_error="collect", worker_retries=0, name="a").run(seed=1) as other:
        assert list(other) == []

    assert [failed.seed for failed in run.failures] == [failed.seed for failed in other.failures]
    assert np.random.default_rng(other.failures[1].seed).random() == other.failures[1].error.code


def unlucky_batch(members, rng):
    return unlucky(members, rng)


def test_so_does_a_batch():
    pipe = Pipeline(range(4)).batch(2, collate=unlucky_batch, on_error="collect").repeat(2)
    with pipe.run() as run:
        assert list(run) == []

    assert [failed.error.args[1] for failed in run.failures] == [
        np.random.default_rng(failed.seed).random() for failed in run.failures
    ]
    assert len({failed.seed for failed in run.failures}) == 4


# -- who asks for them -----------------------------------------------------------------------------------------------


def passes_on(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def gives_one(function):
    @functools.wraps(function)
    def inner(item):
        return function(item, rng=None)

    return inner


def only_by_place(item, rng, /):
    return item, rng


def all_of_them(*items, rng):
    return items, rng


@pytest.mark.parametrize(
    ("function", "asks"),
    [
        (draw, True),
        (draw_by_name, True),
        (all_of_them, True),
        (lambda item, rng=None: item, True),
        (Noise().transform, True),
        (Caller(), True),
        (Noise(), False),
        (partial(draw), True),
        (passes_on(draw), True),
        (functools.lru_cache(draw), True),
        (lambda rng: rng, False),  # that is the item
        (partial(draw, rng=random.Random(1)), False),  # has one of its own
        (partial(draw, 1), False),  # the item is to be the rng
        (gives_one(draw), False),
        (only_by_place, False),
        (lambda item, **others: item, False),
        (int, False),
        (str.upper, False),
        (np.sqrt, False),
        (None, False),
    ],
)
def test_a_function_asks_by_a_parameter_behind_the_item(function, asks):
    assert wants_rng(function, 1) is asks


def test_what_a_partial_has_given_already_stays():
    own = partial(draw_by_name, rng=random.Random(1))

    assert Pipeline([7]).task(own).wait_for_result(executor="inline") == [(7, random.Random(1).random())]


def test_without_numpy_a_function_that_asks_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy.random", None)
    monkeypatch.setitem(sys.modules, "numpy", None)

    with pytest.raises(StageFailed, match=r"a function with a parameter rng needs numpy: pip install"):
        NUMBERS.task(draw).wait_for_result(executor="inline")


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises((PlanError, TypeError), match=r"seed must be"):
        NUMBERS.wait_for_result(seed=seed)


# -- random and numpy.random -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "function"), [("task", draw_globally), ("explode", some_globally)])
def test_the_global_generators_follow_the_seed_in_processes_and_inline(step, function):
    expected = getattr(NUMBERS, step)(function).wait_for_result(executor="inline", seed=5)

    assert len({number for row in expected for number in row[1:]}) == 2 * len(expected)  # nor do both draw alike
    for workers in (1, 3):
        pipe = getattr(NUMBERS, step)(function, workers=workers)
        assert pipe.wait_for_result(seed=5) == expected
        assert pipe.wait_for_result(seed=5, queue_size=1) == expected


def test_a_collate_function_draws_by_its_batch():
    pipe = Pipeline(range(40)).task(draw_globally, workers=2).batch(6, collate=mixed_globally).repeat(2)

    expected = pipe.wait_for_result(executor="inline", seed=5)

    assert pipe.wait_for_result(seed=5) == expected
    assert pipe.wait_for_result(seed=5, fuse=True, queue_size=1) == expected
    assert len({batch[-1] for batch in expected}) == 14


def slowly(item):
    for _ in range(6):
        time.sleep(0.0011)  # longer than what a part waits for
        yield item, random.random(), float(np.random.random())  # noqa: NPY002 - what is tested


def test_what_is_drawn_behind_an_explode_does_not_change_what_it_draws():
    pipe = Pipeline(range(3)).explode(slowly).task(draw_globally).filter(lambda _: random.random() < 0.9)

    expected = pipe.wait_for_result(executor="inline", seed=5)

    assert pipe.wait_for_result(seed=5) == expected
    assert pipe.wait_for_result(seed=5, fuse=True) == expected


def test_a_retry_seeds_them_again():
    pipe = Pipeline(range(5)).task(flaky_globally, retries=Retry(times=1, wait=0))

    assert all(one == other for one, other in pipe.wait_for_result(seed=5))


def flaky_globally(item, seen={}):  # noqa: B006 - remembers from one try to the next
    seen.setdefault(item, []).append((random.random(), float(np.random.random())))  # noqa: NPY002 - what is tested
    if len(seen[item]) < 2:
        raise ConnectionError
    return seen[item]


class Weights:
    def __init__(self):
        self.weights = random.random(), float(np.random.random())  # noqa: NPY002 - what is tested

    def use(self, item):
        return self.weights


def test_what_a_constructor_draws_is_the_same_in_each_worker():
    results = NUMBERS.class_task(Weights, "use", workers=3).wait_for_result(seed=5, queue_size=3)

    assert set(results) == set(NUMBERS.class_task(Weights, "use").wait_for_result(seed=5, executor="inline"))
    assert len(set(results)) == 1


@pytest.mark.parametrize("executor", ["inline", "thread", "process"])
def test_the_callers_own_generators_are_left_as_they_were(executor):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - what is tested
    before, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002

    NUMBERS.class_task(Weights, "use").explode(lambda pair: pair).task(draw).wait_for_result(
        executor="inline" if executor == "inline" else None, seed=5
    )
    NUMBERS.task(draw, executor=executor).wait_for_result(seed=5)

    assert random.getstate() == before
    assert all(np.array_equal(one, other) for one, other in zip(numpys, np.random.get_state(), strict=True))  # noqa: NPY002


def test_without_a_seed_nothing_is_seeded_and_workers_draw_apart():
    one, other = (NUMBERS.task(draw_globally, workers=2).wait_for_result(queue_size=2) for _ in range(2))

    assert len({row[1:] for row in one + other}) == 80
