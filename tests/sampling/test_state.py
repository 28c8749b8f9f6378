"""A stream that is stopped anywhere and begun again elsewhere gives exactly what it would have given."""

from __future__ import annotations

import json
import pickle
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olympipe_like import PlanError
from olympipe_like.sampling import (
    ChainMux,
    RoundRobinMux,
    ShuffledMux,
    StochasticMux,
    Streamer,
    buffer_stream,
    cache,
    mix,
    tuples,
)
from tests.sampling.streams import Bookmarked, Watched, doubled, labelled, thrown


def as_dict(number):
    return {"x": number}


# A tree of streams as a function that makes it, as often as wanted: the second one is where it goes on.
def leaves():
    return st.one_of(
        st.integers(0, 5).map(lambda n: lambda: [f"l{k}" for k in range(n)]),
        st.integers(0, 5).map(lambda n: lambda: Streamer(labelled, "g", n)),
        st.integers(0, 5).map(lambda n: lambda: Streamer(thrown, count=n)),
        st.integers(0, 5).map(lambda n: lambda: Streamer(Bookmarked, n)),
    )


def muxes(children):
    lists = st.lists(children, min_size=1, max_size=4)
    rates = st.sampled_from([None, 1, 2, 3.5, 20])
    weights = st.booleans()

    def stochastic(made, n_active, rate, weighted, mode, prune, dist):
        rate = rate if rate is None or dist != "constant" else int(rate)
        weights = list(range(1, len(made) + 1)) if weighted else None
        return lambda: StochasticMux([make() for make in made], n_active, rate, weights, mode, prune, dist)

    def shuffled(made, weighted, seed):
        weights = list(range(1, len(made) + 1)) if weighted else None
        return lambda: ShuffledMux([make() for make in made], weights, seed)

    def mixed(made, weighted, stop):
        weights = list(range(1, len(made) + 1)) if weighted else None
        return lambda: mix([make() for make in made], weights, stop=stop)

    return st.one_of(
        st.builds(
            stochastic,
            lists,
            st.integers(1, 5),
            rates,
            weights,
            st.sampled_from(["with_replacement", "single_active", "exhaustive"]),
            st.booleans(),
            st.sampled_from(["constant", "poisson", "binomial"]),
        ),
        st.builds(shuffled, lists, weights, st.sampled_from([None, 3])),
        st.builds(mixed, lists, weights, st.sampled_from(["first", "all", "all_restart", "never"])),
        st.builds(
            lambda made, mode: lambda: RoundRobinMux([make() for make in made], mode),
            lists,
            st.sampled_from(["exhaustive", "cycle", "permuted_cycle"]),
        ),
        st.builds(
            lambda made, mode: lambda: ChainMux((make() for make in made), mode),
            lists,
            st.sampled_from(["exhaustive", "cycle"]),
        ),
        st.builds(lambda make, size: lambda: cache(make(), size, 0.4), children, st.integers(1, 4)),
        st.builds(lambda make: lambda: Streamer(doubled, Streamer(make())), children),
        st.builds(
            lambda make: lambda: tuples(Streamer(each_as_dict, Streamer(make())), "x"),
            children,
        ),
    )


def each_as_dict(stream):
    for item in stream:
        yield {"x": item}


trees = st.recursive(leaves(), muxes, max_leaves=8)


@settings(max_examples=250, deadline=None)
@given(tree=trees, seed=st.integers(0, 99), most=st.integers(0, 40), cuts=st.lists(st.integers(0, 40), max_size=3))
def test_going_on_from_a_state_gives_exactly_what_would_have_come(tree, seed, most, cuts):
    def stream():
        return Streamer(tree()).with_seed(seed)

    whole = list(stream().cycle(most))
    state, taken = None, []

    for cut in sorted(cuts):
        part = stream()
        if state is not None:
            part.load_state_dict(json.loads(json.dumps(state)))
        iteration = part.cycle(most)
        taken += islice(iteration, max(0, min(cut, len(whole)) - len(taken)))
        state = part.state_dict()
    last = stream()
    if state is not None:
        last.load_state_dict(state)
    taken += last.cycle(most)

    assert taken == whole


def test_a_state_is_small_and_counts_what_was_given():
    streams = [Streamer(labelled, str(n), 50) for n in range(30_000)]
    mux = StochasticMux(streams, 100, 8, mode="exhaustive", random_state=1)
    iteration = mux.iterate()
    list(islice(iteration, 5000))

    state = mux.state_dict()

    assert state == iteration.state_dict()
    assert (state["epoch"], state["given"]) == (0, 5000)
    assert len(json.dumps(state)) < 10_000


def test_a_source_with_a_state_of_its_own_is_not_read_again():
    stream = Streamer(Bookmarked, 1000)
    iteration = stream.iterate()
    list(islice(iteration, 900))
    Bookmarked.made = 0

    other = Streamer(Bookmarked, 1000)
    other.load_state_dict(stream.state_dict())

    assert next(iter(other)) == "item 900"
    assert Bookmarked.made == 1


def test_a_source_that_has_lost_its_state_is_refused():
    stream = Streamer(Bookmarked, 9)
    list(islice(stream, 3))
    other = Streamer(labelled, "a", 9)
    other.load_state_dict(stream.state_dict())

    with pytest.raises(PlanError, match="had a state of its own when this state was written, and has none now"):
        list(other)


def test_only_streams_that_are_open_are_read_again():
    watched = Watched()

    def mux():
        return ChainMux([watched.streamer("a", 100), watched.streamer("b", 100)])

    first = mux()
    list(islice(first, 150))
    before = watched.pulled
    other = mux()
    other.load_state_dict(first.state_dict())

    assert next(iter(other)) == "b50"
    assert watched.pulled - before == 51


def test_a_loop_that_was_left_leaves_its_state():
    mux = ShuffledMux([Streamer(labelled, "a", 9), Streamer(labelled, "b", 9)], random_state=1)
    expected = list(ShuffledMux([Streamer(labelled, "a", 9), Streamer(labelled, "b", 9)], random_state=1).iterate(30))

    for number, _ in enumerate(mux):
        if number == 9:
            break
    other = pickle.loads(pickle.dumps(mux))
    other.load_state_dict(mux.state_dict())

    assert list(other.iterate(30)) == expected[10:]


def epochs(mux, count):
    return [list(mux) for _ in range(count)]


def exhaustive():
    streams = [Streamer(labelled, name, 5) for name in "abcd"]
    return StochasticMux(streams, 2, None, mode="exhaustive", random_state=3)


def test_the_state_at_the_end_of_an_epoch_goes_on_with_the_next():
    expected = epochs(exhaustive(), 3)
    mux = exhaustive()
    list(mux)

    other = exhaustive()
    other.load_state_dict(mux.state_dict())

    assert epochs(other, 2) == expected[1:]


def test_the_epoch_after_one_that_was_taken_up_is_the_next():
    expected = epochs(exhaustive(), 3)
    mux = exhaustive()
    list(mux)
    list(islice(mux, 7))

    other = exhaustive()
    other.load_state_dict(mux.state_dict())

    assert epochs(other, 2) == [expected[1][7:], expected[2]]


def test_the_state_before_the_first_item_is_the_beginning():
    expected = epochs(exhaustive(), 1)
    other = exhaustive()
    other.load_state_dict(exhaustive().state_dict())

    assert epochs(other, 1) == expected


def test_a_state_that_was_loaded_is_the_state_until_it_is_used():
    mux = exhaustive()
    list(islice(mux, 7))
    state = mux.state_dict()

    other = exhaustive()
    other.load_state_dict(state)
    assert other.state_dict() == state
    iteration = iter(other)
    assert json.dumps(iteration.state_dict()) == json.dumps(state)
    assert len(list(iteration)) == 13


def test_max_iter_counts_what_was_given_before():
    mux = exhaustive()
    list(islice(mux.iterate(10), 4))

    other = exhaustive()
    other.load_state_dict(mux.state_dict())

    assert len(list(other.iterate(10))) == 6


def test_a_stream_without_a_seed_goes_on_by_the_seed_it_had():
    def mux():
        return ShuffledMux([Streamer(thrown), Streamer(thrown)])

    first = mux()
    iteration = iter(first)
    list(islice(iteration, 30))
    other = mux()
    other.load_state_dict(first.state_dict())

    assert list(other.iterate(60)) == list(islice(iteration, 30))


def test_buffers_go_on_between_two_of_them():
    def stream():
        return buffer_stream(ShuffledMux([Streamer(thrown), Streamer(thrown)], random_state=1), 7)

    first = stream()
    iteration = iter(first)
    list(islice(iteration, 3))
    other = stream()
    other.load_state_dict(first.state_dict())

    assert [each.tolist() for each in islice(other, 4)] == [each.tolist() for each in islice(iteration, 4)]


@pytest.mark.parametrize(
    ("made", "loads"),
    [
        (lambda: ShuffledMux(["ab", "cd"]), lambda: ShuffledMux(["ab", "cd", "ef"])),
        (lambda: ShuffledMux(["ab", "cd"]), lambda: RoundRobinMux(["ab", "cd"])),
        (lambda: RoundRobinMux(["ab", "cd"]), lambda: ChainMux(["ab", "cd"])),
        (lambda: ChainMux(["ab", "cd"]), lambda: ShuffledMux(["ab", "cd"])),
    ],
)
def test_a_state_of_another_mux_is_refused(made, loads):
    mux = made()
    list(islice(mux, 1))
    other = loads()
    other.load_state_dict(mux.state_dict())

    with pytest.raises(PlanError, match=r"this state is of a \w+Mux"):
        list(other)


def test_a_source_that_gives_less_than_before_is_refused():
    stream = Streamer(labelled, "a", 9)
    list(islice(stream, 8))
    shorter = Streamer(labelled, "a", 3)
    shorter.load_state_dict(stream.state_dict())

    with pytest.raises(PlanError, match=r"Streamer\(labelled, 'a', 3\) ended before the 8 items it gave before"):
        list(shorter)


@pytest.mark.parametrize("state", [{}, 3, None, {"epoch": 1}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(PlanError, match="this is not what state_dict"):
        Streamer("ab").load_state_dict(state)


def test_a_state_of_another_version_is_refused():
    with pytest.raises(PlanError, match="the state is of version 99"):
        Streamer("ab").load_state_dict({**Streamer("ab").state_dict(), "version": 99})
