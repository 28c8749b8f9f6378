"""A run that is stopped anywhere and begun again gives exactly what it would have given, and repeats little for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from functools import partial
from itertools import islice
from math import log

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from olympipe_like import SKIP, Pipeline, PlanError
from olympipe_like.sampling import ChainMux, ShuffledMux, StochasticMux, Streamer, mix
from tests import functions as f
from tests.drawing import draw, draw_globally, is_lucky, mixed, some, some_globally
from tests.reference import Plan, evaluate
from tests.sampling.streams import labelled
from tests.strategies import build, plans

relaxed = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
cuts = st.lists(st.integers(0, 60), min_size=1, max_size=3)


def states_of(pipe, **options):
    """Return all items of a run, and its state before each of them and behind the last."""
    items, states = [], []
    with pipe.run(**options) as run:
        states.append(run.state_dict())
        for item in run:
            items.append(item)
            states.append(run.state_dict())
    return items, json.loads(json.dumps(states))


def rest_from(pipe, state, **options):
    with pipe.run(**options) as run:
        run.load_state_dict(state)
        return list(run)


# -- random plans ----------------------------------------------------------------------------------------------------

LENGTH = 70


def exhaustive_mux():
    streams = [Streamer(labelled, name, LENGTH // 4) for name in "abcd"]
    return StochasticMux(streams, 2, None, mode="exhaustive", random_state=3)


SOURCES = {
    "list": lambda: Pipeline(list(range(LENGTH))),
    "range": lambda: Pipeline(range(LENGTH)),
    "function": lambda: Pipeline(f.replay, list(range(LENGTH))),
    "streamer": lambda: Pipeline(Streamer(f.replay, list(range(LENGTH)))),
    "cycled streamer": lambda: Pipeline(Streamer(f.replay, list(range(LENGTH // 3))), LENGTH, cycle=True),
    "mux": lambda: Pipeline(exhaustive_mux()),
    "cycled list": lambda: Pipeline(list(range(LENGTH // 3))).cycle(LENGTH // 2),
    "cycled function": lambda: Pipeline(f.replay, list(range(LENGTH // 3))).cycle(LENGTH // 2),
    "cycled mux": lambda: Pipeline(exhaustive_mux()).limit(LENGTH // 3).cycle(LENGTH // 2),
}
# What a chain is made of: each takes a pipeline and a number of workers.
STEPS = {
    "task": lambda pipe, workers: pipe.task(f.describe, workers=workers),
    "dropping task": lambda pipe, workers: pipe.task(f.drop_thirds, workers=workers),
    "filter": lambda pipe, workers: pipe.filter(f.is_even, workers=workers),
    "explode": lambda pipe, workers: pipe.explode(f.some, workers=workers),
    "twice": lambda pipe, workers: pipe.explode(f.twice, workers=workers),
    "batch": lambda pipe, _: pipe.batch(3),
    "unbatched": lambda pipe, _: pipe.batch(4).unbatch(),
    "full batches": lambda pipe, _: pipe.batch(4, drop_last=True),
    "sliding window": lambda pipe, _: pipe.window(5, step=2, partial=True),
    "window with gaps": lambda pipe, _: pipe.window(2, step=5),
    "shuffle": lambda pipe, _: pipe.shuffle(4),
    "seeded shuffle": lambda pipe, _: pipe.shuffle(3, seed=1),
    "whole shuffle": lambda pipe, _: pipe.shuffle(None),
    "seeded whole shuffle": lambda pipe, _: pipe.shuffle(None, seed=1),
    "sample": lambda pipe, _: pipe.sample(0.7),
    "shard": lambda pipe, _: pipe.shard(1, 3),
    "even shard": lambda pipe, _: pipe.shard(1, 2, even="drop"),
    "padded shard": lambda pipe, _: pipe.shard(1, 2, even="pad"),
    "unique": lambda pipe, _: pipe.unique(f.size),
    "scan": lambda pipe, _: pipe.scan(0, f.running_count),
    "bucket": lambda pipe, _: pipe.bucket(f.size, [4], batch_size=3),
    "skip": lambda pipe, _: pipe.skip(3),
    "limit": lambda pipe, _: pipe.limit(40),
    "repeat": lambda pipe, _: pipe.repeat(2),
    "drawing task": lambda pipe, workers: pipe.task(draw, workers=workers),
    "drawing filter": lambda pipe, workers: pipe.filter(is_lucky, workers=workers),
    "drawing explode": lambda pipe, workers: pipe.explode(some, workers=workers),
    "drawing batch": lambda pipe, _: pipe.batch(3, collate=mixed),
    "fan out": lambda pipe, workers: pipe.fan_out(f.describe, f.size, workers=workers),
    "gather": lambda pipe, workers: pipe.filter(f.is_even, workers=workers).gather(pipe.filter(f.is_rare)),
}


def chain(source, steps, workers):
    pipe = SOURCES[source]()
    for step in steps:
        pipe = STEPS[step](pipe, workers)
    return pipe


def buildable(source, steps):
    try:
        chain(source, steps, 1)
    except PlanError:  # a limit that cannot be repeated, and the like
        return False
    return True


sources = st.sampled_from(sorted(SOURCES))
steps = st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5)
seeded = st.integers(0, 9)


def same_seed(pipe, run_seed):
    """Return a state before the first item by which a pipeline draws the same in each test."""
    with pipe.run(executor="inline") as run:
        state = run.state_dict()
    return {**state, "seed": hex(run_seed)}


def check_chain(source, steps, cuts, executors, *, workers=(1, 2, 3, 1)):
    assume(buildable(source, steps))
    first = same_seed(chain(source, steps, 1), 5)
    whole = rest_from(chain(source, steps, 1), first, executor="inline")
    state, taken = first, []
    for cut, executor, count in zip([*sorted(cuts), None], executors, workers, strict=False):
        with chain(source, steps, count).run(executor=executor) as run:
            run.load_state_dict(json.loads(json.dumps(state)))
            taken += islice(run, None if cut is None else max(min(cut, len(whole)) - len(taken), 0))
            state = run.state_dict() if cut is not None else None
    assert taken == whole


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=200)
@given(source=sources, steps=steps, cuts=cuts)
def test_random_chains_go_on_where_they_were(source, steps, cuts):
    check_chain(source, steps, cuts, ["inline"] * (len(cuts) + 1))


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=15)
@given(source=sources, steps=steps, cuts=cuts)
def test_random_chains_go_on_with_other_workers_and_executors(source, steps, cuts):
    check_chain(source, steps, cuts, [None, "thread", None, None][: len(cuts) + 1])


@pytest.mark.timeout(180)
@settings(relaxed, max_examples=150)
@given(plan=plans() | plans(repeated=True), cuts=cuts)
def test_random_graphs_go_on_where_they_were(plan, cuts):
    plan = Plan(plan.nodes, plan.wanted[:1])
    assume(all(dict(node.options).get("form") != "generator" for node in plan.nodes))
    (expected,) = evaluate(plan)
    state, taken = None, []

    for cut in [*sorted(cuts), None]:
        with build(plan)[0].run(executor="inline") as run:
            if state is not None:
                run.load_state_dict(json.loads(json.dumps(state)))
            taken += islice(run, None if cut is None else max(min(cut, len(expected)) - len(taken), 0))
            state = run.state_dict() if cut is not None else None

    assert taken == expected


# -- any place -------------------------------------------------------------------------------------------------------


def training(workers):
    shuffled = Pipeline(range(90)).task(f.increment, workers=workers).filter(f.is_even).shuffle(5)
    return shuffled.explode(f.twice, workers=workers).batch(4).repeat(2)


@pytest.mark.parametrize("options", [{"executor": "inline"}, {}], ids=["inline", "processes"])
def test_every_place_of_a_run_is_one_to_go_on_from(options):
    items, states = states_of(training(1), **options)

    for place in range(0, len(states), 1 if options else 11):
        assert rest_from(training(2), states[place], **options) == items[place:]


def test_a_gather_of_what_explode_made_of_items_of_one_place_goes_on_in_the_order_it_had():
    numbers = Pipeline(range(9)).task(lambda number: (number,))
    parts = numbers.gather(numbers).explode(halves).explode(halves).filter(lambda part: part[1] == 0)
    pipe = parts.gather(parts.task(f.describe))
    items, states = states_of(pipe, executor="inline")

    assert [rest_from(pipe, state, executor="inline") for state in states] == [items[n:] for n in range(len(states))]


def halves(item):
    return [(*item, 0), (*item, 1)]


def shuffled_whole(workers, seed):
    shuffled = Pipeline(range(20)).task(f.increment, workers=workers).shuffle(None, seed=seed)
    return shuffled.explode(f.twice, workers=workers).batch(3).repeat(2)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("executor", ["inline", "thread", None])
def test_every_place_of_epochs_shuffled_whole_is_one_to_go_on_from(executor, seed):
    items, states = states_of(shuffled_whole(1, seed), executor=executor)

    for place in range(0, len(states), 1 if executor == "inline" else 9):
        assert rest_from(shuffled_whole(2, seed), states[place], executor=executor) == items[place:]


def test_an_epoch_shuffled_whole_that_was_taken_to_its_end_gives_no_more():
    pipe = Pipeline(range(5)).shuffle(None, seed=3)
    items, states = states_of(pipe, executor="inline")

    assert [rest_from(pipe, state, executor="inline") for state in states] == [items[n:] for n in range(6)]


def test_ends_that_are_made_of_ends_are_places_to_go_on_from():
    pipe = Pipeline(range(10)).batch(4).unbatch().batch(3)
    items, states = states_of(pipe, executor="inline")

    assert items[-2:] == [[6, 7, 8], [9]]
    assert [rest_from(pipe, state, executor="inline") for state in states[:-1]] == [items[n:] for n in range(4)]
    assert rest_from(pipe, states[-1], executor="inline") == []


def test_items_on_their_way_do_not_count_only_those_taken():
    with Pipeline(range(10_000)).task(f.increment).run() as run:
        taken = list(islice(run, 5))
        state = run.state_dict()
        then = next(iter(run))

    assert (taken[-1], state["given"], then) == (5, 5, 6)
    assert next(iter(rest_from(Pipeline(range(10_000)).task(f.increment), state))) == 6


def test_places_within_a_large_frame_count_one_by_one():
    pipe = Pipeline(range(200_000)).batch(3)
    with pipe.run() as run:
        items = list(islice(run, 41_234))
        state = run.state_dict()

    assert len(items) == state["given"]
    assert rest_from(pipe, state)[:2] == [[123_702, 123_703, 123_704], [123_705, 123_706, 123_707]]


def test_async_loops_count_what_they_took():
    async def take(count):
        with Pipeline(range(50)).task(f.increment, executor="thread").run() as run:
            async for _ in run:
                count -= 1
                if not count:
                    break
            return run.state_dict()

    state = asyncio.run(take(7))

    assert rest_from(Pipeline(range(50)).task(f.increment), state) == list(range(8, 51))


def test_a_state_may_be_asked_for_after_the_run():
    with Pipeline(range(9)).run() as run:
        taken = list(islice(run, 4))

    assert taken + rest_from(Pipeline(range(9)), run.state_dict()) == list(range(9))


def test_a_run_that_failed_goes_on_with_the_item_that_failed(tmp_path):
    mended = tmp_path / "mended"

    def fragile(item):
        if item == 5 and not mended.exists():
            raise ValueError("not yet")
        return item

    pipe = Pipeline(range(9)).task(fragile)
    with pipe.run() as run:
        taken = list(islice(run, 5))
        with pytest.raises(ValueError, match="not yet"):
            next(iter(run))
    mended.touch()

    assert taken + rest_from(pipe, run.state_dict()) == list(range(9))


def test_a_run_goes_on_though_its_workers_are_killed(tmp_path):
    def dangerous(item):
        flag = tmp_path / str(item)
        if item in (57, 61, 83) and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    def plan(function):
        # The shuffle rides along with the task: what its gates know is in the snapshot of that worker.
        return Pipeline(range(100)).task(function, worker_retries=5).shuffle(6, seed=1).batch(4)

    items, states = states_of(plan(f.increment), executor="inline")
    state = {**states[12], "plan": [line.replace("increment", "dangerous") for line in states[12]["plan"]]}

    rest = rest_from(plan(dangerous), state)

    assert [[item + 1 for item in batch] for batch in rest] == items[12:]


# -- epochs ----------------------------------------------------------------------------------------------------------


def test_at_the_end_of_a_run_the_state_is_the_next_epoch_of_its_streamer():
    whole = exhaustive_mux()
    epochs = [list(whole) for _ in range(2)]
    _, states = states_of(Pipeline(exhaustive_mux()).task(f.increment))
    with Pipeline(exhaustive_mux()).task(f.increment).run() as run:
        first = list(run)
        state = run.state_dict()

    assert [first, rest_from(Pipeline(exhaustive_mux()).task(f.increment), state)] == epochs
    assert rest_from(Pipeline(exhaustive_mux()).task(f.increment), states[-1]) == []


def test_epochs_that_follow_each_other_are_shuffled_in_other_orders_and_always_the_same():
    def epochs(state):
        for _ in range(3):
            with Pipeline(range(50)).shuffle(50).run(executor="inline") as run:
                run.load_state_dict(state)
                yield list(run)
                state = run.state_dict()

    begin = same_seed(Pipeline(range(50)).shuffle(50), 3)
    made = list(epochs(begin))

    assert len({tuple(epoch) for epoch in made}) == 3
    assert all(sorted(epoch) == list(range(50)) for epoch in made)
    assert made == list(epochs(begin))


def test_a_state_of_the_last_batch_of_an_epoch_goes_on_with_the_next():
    pipe = Pipeline(range(7)).batch(3).repeat(3)
    items, states = states_of(pipe, executor="inline")

    assert items[2] == [6]
    assert rest_from(pipe, states[3], executor="inline") == items[3:]


@pytest.mark.parametrize("source", ["range", "function", "mux"])
@pytest.mark.parametrize("options", [{"executor": "inline"}, {}], ids=["inline", "processes"])
def test_every_place_of_a_cycle_that_is_repeated_is_one_to_go_on_from(source, options):
    def pipe():
        return SOURCES[source]().cycle(LENGTH * 3 // 2).task(f.increment).shuffle(4).batch(30).repeat(3).limit(11)

    items, states = states_of(pipe(), **options)

    assert [len(batch) for batch in items] == [30, 30, 30, 15] * 2 + [30] * 3
    for place in range(0, len(states), 1 if options else 3):
        assert rest_from(pipe(), states[place], **options) == items[place:]


# -- random numbers --------------------------------------------------------------------------------------------------


def drawing(workers):
    drawn = Pipeline(range(60)).task(draw, workers).filter(is_lucky).explode(some, workers).shuffle(4)
    return drawn.task(draw_globally, workers).explode(some_globally).sample(0.8).batch(3, collate=mixed).repeat(2)


@pytest.mark.parametrize("options", [{"executor": "inline"}, {}], ids=["inline", "processes"])
def test_a_run_with_a_seed_draws_on_as_it_would_have_wherever_it_was_left(options):
    items, states = states_of(drawing(2), seed=5)

    assert len(items) > 40
    for place in range(0, len(states), 5 if options else 31):
        assert rest_from(drawing(1), states[place], **options) == items[place:]
        assert rest_from(drawing(1), states[place], seed=5, **options) == items[place:]


def test_so_does_the_epoch_that_another_run_begins():
    def epochs(cut):
        state, taken = None, []
        for left in (None, cut, None):
            with drawing(2).run(seed=1 << 70) as run:
                if state is not None:
                    run.load_state_dict(json.loads(json.dumps(state)))
                taken += islice(run, left)
                state = run.state_dict()
        return taken

    whole = epochs(None)  # three epochs
    left = epochs(7)  # two of them: the second one in two runs

    assert left == whole[: len(left)]
    first = drawing(1).wait_for_result(seed=1 << 70)
    assert whole[: len(first)] == first != whole[len(first) : 2 * len(first)]


def test_the_seed_of_a_run_that_goes_on_is_that_of_its_epoch():
    pipe = Pipeline(range(9)).task(draw)
    with pipe.run(seed=5) as run:
        taken = list(islice(run, 3))
        middle = run.state_dict()
        taken += run
        end = run.state_dict()
    with pipe.run() as again, pipe.run() as following:
        again.load_state_dict(middle)
        following.load_state_dict(end)
        items = list(following)

    assert run.seed == again.seed == 5 != following.seed
    assert items == pipe.wait_for_result(seed=following.seed) != taken


def test_a_run_that_was_given_no_seed_leaves_the_generators_alone_when_it_goes_on():
    seeded, free = (
        states_of(Pipeline(range(9)).task(draw_globally), executor="inline", **given)[1][0]
        for given in ({"seed": 5}, {})
    )
    pipe = Pipeline(range(9)).task(draw_globally)

    assert rest_from(pipe, seeded, executor="inline") == rest_from(pipe, seeded, executor="inline")
    assert rest_from(pipe, free, executor="inline") != rest_from(pipe, free, executor="inline")


def test_another_seed_than_that_of_the_state_is_refused():
    pipe = Pipeline(range(9)).task(draw)
    state = states_of(pipe, seed=5)[1][3]

    with pipe.run(seed=6) as run:
        with pytest.raises(PlanError, match=r"the state is of a run with seed=5, and this one was given seed=6; leave"):
            run.load_state_dict(state)
        assert list(run) == pipe.wait_for_result(seed=6)


@pytest.mark.parametrize("options", [{"executor": "inline"}, {}], ids=["inline", "processes"])
def test_a_stream_that_follows_the_seed_of_a_run_goes_on_so_in_this_epoch_and_the_next(options):
    def pipe():
        return Pipeline(ShuffledMux(["abcd", "efgh"]), 20).task(draw)

    items, states = states_of(pipe(), seed=5, **options)
    with pipe().run(seed=5, **options) as run:
        assert list(run) == items
        end = run.state_dict()

    for place in range(0, len(states), 1 if options else 7):
        assert rest_from(pipe(), states[place], **options) == items[place:]
    following = rest_from(pipe(), end, **options)
    assert following == rest_from(pipe(), end, seed=5, **options) != items
    assert [item for item, _ in following] != [item for item, _ in items]


def test_what_is_drawn_for_parts_of_items_of_one_place_is_the_same_when_the_run_goes_on():
    """The first frames of a run are small, so that such parts, of one place too, come in several."""
    numbers = Pipeline(range(12))
    pipe = numbers.gather(numbers).explode(lambda number: [number]).task(draw)
    items, states = states_of(pipe, executor="inline", seed=5)

    assert [rest_from(pipe, state, executor="inline") for state in states] == [items[n:] for n in range(len(states))]


def test_what_twins_of_a_gather_draw_is_the_same_when_the_run_goes_on():
    numbers = Pipeline(range(12))
    pipe = numbers.gather(numbers.task(f.increment)).task(draw, 2).shuffle(3).task(draw)
    items, states = states_of(pipe, executor="inline", seed=5)

    assert [rest_from(pipe, state, executor="inline") for state in states] == [items[n:] for n in range(len(states))]


# -- what it costs ---------------------------------------------------------------------------------------------------


class Counted:
    """A data set whose items are counted when they are read."""

    def __init__(self, length):
        self.length = length
        self.read = []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        self.read.append(index)
        return index


def calls_after(build, place):
    """Return which items of a data set are read, and which of them a function is called with, behind a place."""
    data, called = Counted(20_000), []

    def expensive(item):
        called.append(item)
        return item

    with build(data, expensive).run(executor="inline") as run:
        taken = list(islice(run, place))
        state = run.state_dict()
    data.read.clear()
    called.clear()
    with build(data, expensive).run(executor="inline") as run:
        run.load_state_dict(state)
        following = next(iter(run))
    return data.read, called, taken, following


def test_a_plain_chain_reads_nothing_again():
    read, called, _, following = calls_after(lambda data, fn: Pipeline(data).task(fn).batch(10), 1000)

    assert following == list(range(10_000, 10_010))
    assert read[0] == called[0] == 10_000


def test_functions_behind_a_shuffle_are_not_called_again():
    read, called, taken, following = calls_after(lambda data, fn: Pipeline(data).shuffle(100).task(fn).batch(10), 1000)

    assert called[:10] == following
    assert not {item for batch in taken for item in batch} & set(called)
    assert 10_100 - read[0] < 100 * (log(100) + 8)  # the oldest item held, and a buffer's size more


def test_functions_before_a_shuffle_are_called_again_for_some_buffers():
    read, called, _, _ = calls_after(
        lambda data, fn: Pipeline(data).task(fn).filter(f.is_even).shuffle(100).batch(10), 500
    )

    assert called[0] == read[0]
    assert 0 < called.index(10_000) < 2 * 100 * (log(100) + 8)


def test_what_depends_on_all_items_reads_all_but_calls_nothing_behind_it():
    read, called, _, following = calls_after(lambda data, fn: Pipeline(data).unique().task(fn), 300)

    assert read[:3] == [0, 1, 2]
    assert called == [following] == [300]


def test_a_window_reads_what_it_overlaps():
    read, _, _, following = calls_after(lambda data, fn: Pipeline(data).task(fn).window(10, 2), 200)

    assert following == list(range(400, 410))
    assert read[0] == 400


def test_only_the_epoch_at_hand_is_read_again():
    def build(data, fn):
        data.length = 100
        return Pipeline(data).task(fn).unique().batch(10).repeat()

    read, called, _, _ = calls_after(build, 1234)

    assert len(read) == len(called) == 50


def test_a_state_that_follows_a_state_costs_no_more():
    def build(data, fn):
        return Pipeline(data).task(fn).filter(f.is_even).shuffle(100).batch(10)

    data, called, state, times = Counted(20_000), [], None, 15
    for _ in range(times):
        with build(data, called.append).run(executor="inline") as run:
            if state is not None:
                run.load_state_dict(state)
            assert len(list(islice(run, 10))) == 10
            state = run.state_dict()

    assert len(called) < times * 2 * 100 * (log(100) + 10)


def test_a_mux_is_not_drawn_from_its_beginning(tmp_path):
    log_file = tmp_path / "opened"

    def rows(name):
        with log_file.open("a") as file:
            file.write(name)
        for number in range(50):
            time.sleep(0.003)  # so that there is time to say where it is
            yield f"{name}{number}"

    def pipe():
        return Pipeline(ChainMux([Streamer(rows, name) for name in "abcdef"])).task(f.describe)

    with pipe().run(queue_size=2) as run:
        items = list(islice(run, 299))
        state = run.state_dict()
    log_file.unlink()

    assert rest_from(pipe(), state) == ["'f49'"]
    assert len(items) == 299
    assert "a" not in log_file.read_text()


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: Pipeline(range(5000)).task(f.increment).batch(8), 400),
        (lambda: Pipeline(range(5000)).task(f.increment).shuffle(1000).batch(8).repeat(), 600),
        (lambda: Pipeline(exhaustive_mux()).task(f.increment).shuffle(10).window(4, 2).batch(2).repeat(), 1200),
    ],
)
def test_a_state_is_small(make, limit):
    with make().run(executor="inline") as run:
        list(islice(run, 400))
        state = run.state_dict()

    assert len(json.dumps(state)) < limit


# -- refusals --------------------------------------------------------------------------------------------------------


def unordered():
    return Pipeline(range(3)).task(f.increment, workers=2, ordered=False)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (unordered, r"stage 'increment' \(.*\) has ordered=False, so nobody knows which items come next"),
        (lambda: Pipeline([1]).gather(Pipeline([2]), ordered=False), "gives items in any order"),
        (lambda: Pipeline(iter([1])), r"stage 'list_iterator' \(.*\) is an iterator, whose items can be had only once"),
        (lambda: Pipeline({"a", "b"}), r"is a set, whose order another program does not know; give sorted"),
        (lambda: Pipeline(mix(["a", "b"])), "is steered while it runs"),
        (lambda: Pipeline(list, Streamer("ab")), "is a function over a streamer, which would begin elsewhere"),
    ],
)
def test_a_plan_that_would_not_give_the_same_is_refused_when_the_state_is_asked_for(make, text):
    with make().run(executor="inline") as run:
        next(iter(run))
        with pytest.raises(PlanError, match=rf"state_dict \(.*test_resuming.py:\d+\): .*{text}"):
            run.state_dict()


def test_a_run_that_was_asked_to_stop_has_no_state():
    with Pipeline(range(100)).batch(3).run(executor="inline") as run:
        next(iter(run))
        run.stop()
        with pytest.raises(PlanError, match="ask for the state before, or leave the loop instead"):
            run.state_dict()


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (lambda: Pipeline(range(8)).batch(3), r"step 0 is 'source range of 8' here, was 'source range of 9'"),
        (lambda: Pipeline(range(9)).batch(4), r"step 1 is 'batch size=4' here, was 'batch size=3'"),
        (lambda: Pipeline(range(9)).window(3), r"step 1 is 'window size=3' here, was 'batch size=3'"),
        (lambda: Pipeline(range(9)).batch(3).repeat(2), r"step 0 is 'source range of 9 repeated 2' here"),
        (lambda: Pipeline(range(9)).batch(3).task(len), r"it had 2 steps, this one has 3"),
    ],
)
def test_a_state_of_another_pipeline_is_refused(other, text):
    _, states = states_of(Pipeline(range(9)).batch(3), executor="inline")

    with pytest.raises(PlanError, match=rf"load_state_dict \(.*test_resuming.py:\d+\): the state is of .*{text}"):
        other().run().load_state_dict(states[1])


def test_workers_executors_and_fuse_make_no_other_pipeline():
    def pipe(workers):
        # Without seeds: what they draw must not depend on which steps share a worker.
        return Pipeline(range(99)).task(f.increment, workers=workers).shuffle(4).sample(0.8).task(f.describe).batch(2)

    items, states = states_of(pipe(1), executor="inline")

    assert rest_from(pipe(3).fuse(), states[12], fuse=True) == items[12:]
    assert rest_from(pipe(1), states[12]) == items[12:]


@pytest.mark.parametrize("state", [{}, 3, None, {"version": 1}, Streamer("ab").state_dict()])
def test_what_is_no_state_of_a_run_is_refused(state):
    with pytest.raises(PlanError, match="this is not what state_dict"):
        Pipeline([1]).run().load_state_dict(state)


def test_a_state_of_another_version_is_refused():
    _, states = states_of(Pipeline([1]), executor="inline")

    with pytest.raises(PlanError, match="the state is of version 9"):
        Pipeline([1]).run().load_state_dict({**states[0], "version": 9})


@pytest.mark.parametrize(
    "damage",
    [
        {"plan": None},
        {"seed": "x"},
        {"epoch": None},
        {"given": [3]},
        {"place": [1]},
        {"place": [["0"], 1]},
        {"steps": []},
        {"steps": {"1": None}},
        {"steps": {"1": {"taken": 1.5}}},
        {"sources": {"0": 3}},
        {"sources": {"0": {"first": "4"}}},
        {"sources": {"0": {"first": [None]}}},
    ],
)
def test_a_damaged_state_is_refused_where_it_is_loaded(damage):
    pipe = Pipeline(range(9)).shuffle(3)
    _, states = states_of(pipe, executor="inline")

    with pytest.raises(PlanError, match=r"^load_state_dict \(test_resuming.py:\d+\): the state is damaged \("):
        pipe.run().load_state_dict({**states[4], **damage})


@pytest.mark.parametrize("part", ["epoch", "given", "steps", "sources"])
def test_a_state_of_which_a_part_is_missing_is_refused(part):
    pipe = Pipeline(range(9)).shuffle(3)
    _, states = states_of(pipe, executor="inline")

    with pytest.raises(PlanError, match=part):
        pipe.run().load_state_dict({name: value for name, value in states[4].items() if name != part})


def test_a_state_comes_too_late_once_an_item_was_taken():
    _, states = states_of(Pipeline([1, 2]), executor="inline")

    with Pipeline([1, 2]).run(executor="inline") as run:
        next(iter(run))
        with pytest.raises(PlanError, match="the run has given items already"):
            run.load_state_dict(states[1])


def test_a_source_that_gives_fewer_items_than_before_is_refused():
    def pipe(length):
        return Pipeline(partial(f.replay, list(range(length))), name="numbers")

    _, states = states_of(pipe(9), executor="inline")

    with pytest.raises(PlanError, match="the source ended before the 8 items it gave before"):
        rest_from(pipe(3), states[8])


def test_skipped_items_are_not_counted_as_given():
    pipe = Pipeline(range(20)).task(lambda item: SKIP if item % 3 else item)
    items, states = states_of(pipe, executor="inline")

    assert [rest_from(pipe, state, executor="inline") for state in states] == [items[n:] for n in range(len(items) + 1)]
