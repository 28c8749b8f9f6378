"""A stream that is stopped anywhere and begun again elsewhere gives exactly what it would have given."""

from __future__ import annotations

import json
import pickle
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olympipe_like import Pipeline, PlanError
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


KINDS = {
    "ShuffledMux of 2 streams": lambda: ShuffledMux(["ab", "cd"]),
    "ShuffledMux of 1 stream": lambda: ShuffledMux(["ab"]),
    "StochasticMux of 2 streams": lambda: StochasticMux(["ab", "cd"], 2, 3),
    "RoundRobinMux of 2 streams": lambda: RoundRobinMux(["ab", "cd"]),
    "ChainMux": lambda: ChainMux(["ab", "cd"]),
    "Mix of 2 streams": lambda: mix(["ab", "cd"]),
    "cache": lambda: cache("abcd", 2),
    "buffer_stream": lambda: buffer_stream([1, 2, 3, 4], 2),
    "Streamer": lambda: Streamer("abcd"),
}


def state_of(stream, count=1):
    list(islice(stream, count))
    return json.loads(json.dumps(stream.state_dict()))


@pytest.mark.parametrize("made", KINDS)
@pytest.mark.parametrize("loads", KINDS)
def test_a_state_of_another_kind_of_stream_is_refused_where_it_is_loaded(made, loads):
    state, other = state_of(KINDS[made]()), KINDS[loads]()
    if made == loads:
        other.load_state_dict(state)
        assert len(list(islice(other, 1))) == 1
        return

    text = rf"^load_state_dict \(test_state\.py:\d+\): this state is of a {made}, not of a {loads}; load it into what"
    with pytest.raises(PlanError, match=text):
        other.load_state_dict(state)
    with pytest.raises(PlanError, match=text):
        other.iterate().load_state_dict(state)

    assert len(list(islice(other, 1))) == 1  # as if nothing had been loaded


@pytest.mark.parametrize("around", [Streamer, lambda stream: tuples(stream, "x")])
def test_what_only_passes_on_a_stream_has_states_of_its_kind(around):
    state = state_of(around(ShuffledMux([[{"x": 1}], [{"x": 2}]])))

    with pytest.raises(PlanError, match="this state is of a ShuffledMux of 2 streams, not of a ChainMux"):
        around(ChainMux(["ab", "cd"])).load_state_dict(state)


@pytest.mark.parametrize("source", [lambda: ["ab", "cd"], lambda: RoundRobinMux(["ab", "cd"]), lambda: Bookmarked(3)])
def test_a_state_of_another_kind_than_what_a_function_makes_is_refused_at_the_first_item(source):
    other = Streamer(source)
    other.load_state_dict(state_of(ShuffledMux(["ab", "cd"])))

    with pytest.raises(
        PlanError, match=r"of a ShuffledMux of 2 streams, not of a (Streamer|RoundRobinMux of 2 streams);"
    ):
        next(iter(other))


def test_a_stream_of_another_kind_within_a_mux_is_refused_when_it_is_drawn_from():
    other = ChainMux([cache("abc", 2)])
    other.load_state_dict(state_of(ChainMux([ShuffledMux(["abc"])])))

    with pytest.raises(PlanError, match="this state is of a ShuffledMux of 1 stream, not of a cache"):
        next(iter(other))


@pytest.mark.parametrize(("made", "loads"), [("exhaustive", "with_replacement"), ("single_active", "exhaustive")])
def test_a_state_of_a_mux_that_ends_is_none_of_one_that_does_not(made, loads):
    other = StochasticMux(["ab", "cd"], 1, 3, mode=loads)
    other.load_state_dict(state_of(StochasticMux(["ab", "cd"], 1, 3, mode=made)))

    with pytest.raises(PlanError, match=f'of a mux with (mode="exhaustive"|another mode), not with mode="{loads}"'):
        next(iter(other))


@pytest.mark.parametrize("made", [kind for kind in KINDS if not kind.startswith("Mix")])
def test_a_mix_replays_no_other_kind_of_stream(made):
    state = state_of(KINDS[made]())

    with pytest.raises(
        PlanError, match=rf"^replay \(test_state\.py:\d+\): this state is of a {made}, not of a Mix of 2"
    ):
        mix(["ab", "cd"]).replay(state)


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


@pytest.mark.parametrize("change", [{"epoch": "1"}, {"epoch": -1}, {"pass": None}, {"entropy": 3}, {"given": None}])
def test_a_state_that_was_changed_is_refused(change):
    with pytest.raises(PlanError, match=r"a part of what state_dict\(\) returned, or was changed"):
        Streamer("ab").load_state_dict({**Streamer("ab").with_seed(1).state_dict(), **change})


def test_a_state_of_a_run_is_refused():
    stream = ShuffledMux(["ab", "cd"])
    with Pipeline(stream).run(executor="inline") as run:
        state = run.state_dict()

    with pytest.raises(
        PlanError, match="this state is of a run of a pipeline; give it to load_state_dict of such a run"
    ):
        stream.load_state_dict(state)


def test_a_state_of_another_version_is_refused():
    with pytest.raises(PlanError, match="the state is of version 99"):
        Streamer("ab").load_state_dict({**Streamer("ab").state_dict(), "version": 99})
