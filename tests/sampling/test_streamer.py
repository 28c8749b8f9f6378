from __future__ import annotations

import itertools
import pickle
from functools import partial

import pytest

from olympipe_like import PlanError, PlanTypeError
from olympipe_like.sampling import Streamer
from tests.sampling.streams import Watched, counted, doubled, endless, labelled, thrown


def test_a_streamer_gives_its_items_each_time_it_is_iterated():
    stream = Streamer(labelled, "a", count=3)

    assert list(stream) == list(stream.iterate()) == list(stream()) == ["a0", "a1", "a2"]


@pytest.mark.parametrize("iterable", ["abc", ["a", "b", "c"], {"a": 1, "b": 2, "c": 3}, Streamer("abc")])
def test_any_iterable_is_a_stream(iterable):
    assert list(Streamer(iterable)) == ["a", "b", "c"]


@pytest.mark.parametrize("function", [range, partial(range, 0), lambda n: list(range(n)), lambda n: iter(range(n))])
def test_any_function_of_an_iterable_is_a_stream(function):
    stream = Streamer(function, 3)

    assert list(stream) == list(stream) == [0, 1, 2]


def test_iterations_at_the_same_time_do_not_know_of_each_other():
    stream = Streamer(labelled, "a", 3)
    one, other = stream.iterate(), stream.cycle()

    assert [next(one), next(other), next(other)] == ["a0", "a0", "a1"]
    assert list(one) == ["a1", "a2"]
    assert [next(other), next(other)] == ["a2", "a0"]


@pytest.mark.parametrize("most", [0, 1, 5])
def test_no_more_is_pulled_than_is_given(most):
    watched = Watched()

    assert list(watched.streamer().iterate(most)) == ["x"] * most
    assert watched.pulled == most
    assert watched.open == 0


def test_a_stream_that_nobody_asks_is_not_opened():
    watched = Watched()

    iteration = watched.streamer().iterate()

    assert watched.opened == 0
    assert next(iteration) == "x"
    assert watched.opened == 1


def test_a_loop_that_is_left_closes_the_source():
    watched = Watched()

    for _ in watched.streamer():
        break

    assert (watched.pulled, watched.open) == (1, 0)


def test_cycle_begins_anew_until_it_has_given_enough():
    assert list(Streamer("ab").cycle(max_iter=5)) == list(Streamer("ab")(5, cycle=True)) == list("ababa")


def test_a_cycle_of_an_empty_stream_ends():
    assert list(Streamer([]).cycle()) == []


def test_a_cycle_of_a_stream_that_dries_up_ends():
    left = [["a"], ["b"]]
    stream = Streamer(lambda: left.pop(0) if left else [])

    assert list(stream.cycle()) == ["a", "b"]


def test_a_finished_iteration_stays_finished():
    for iteration in (Streamer("a").iterate(), Streamer("a").cycle(1), Streamer("").cycle()):
        list(iteration)

        assert list(iteration) == []


def test_what_a_source_raises_is_raised():
    def broken():
        yield 1
        raise OSError("gone")

    iteration = Streamer(broken).iterate()

    assert next(iteration) == 1
    with pytest.raises(OSError, match="gone"):
        next(iteration)


@pytest.mark.parametrize("most", [-1, 2.5, True, "3"])
def test_a_wrong_max_iter_is_refused(most):
    with pytest.raises(PlanError, match=rf"Streamer\('ab'\) \(test_streamer.py:\d+\): max_iter must be .*{most}"):
        Streamer("ab").iterate(most)


@pytest.mark.parametrize("source", [iter("ab"), (letter for letter in "ab"), Streamer("ab").iterate()])
def test_an_iterator_is_refused_and_the_way_out_named(source):
    with pytest.raises(PlanTypeError, match=r"test_streamer.py:\d+.*is an iterator.*give the function that makes it"):
        Streamer(source)


async def later():
    yield 1


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (
            lambda: None,
            r"Streamer\(<lambda>\): the function must return an iterable, or yield; it returned NoneType None$",
        ),
        (lambda: 3, "it returned 3$"),
        (later, r"Streamer\(later\): .* it returned async_generator .*; a stream is not asynchronous"),
    ],
)
def test_a_function_that_gives_no_items_is_named(function, text):
    with pytest.raises(PlanTypeError, match=text):
        list(Streamer(function))


def test_what_is_no_source_is_refused():
    with pytest.raises(PlanTypeError, match="neither a function nor an iterable: 3"):
        Streamer(3)
    with pytest.raises(PlanTypeError, match="arguments are for a function"):
        Streamer([1, 2], 3)


def test_a_streamer_can_be_sent_elsewhere_also_while_it_is_iterated():
    stream = Streamer(labelled, "a", 3)
    iteration = iter(stream)
    next(iteration)

    assert list(pickle.loads(pickle.dumps(stream))) == ["a0", "a1", "a2"]


def test_a_streamable_function_returns_a_streamer_that_can_be_sent_elsewhere():
    numbers = counted(3, start=5)

    assert isinstance(numbers, Streamer)
    assert list(numbers) == list(pickle.loads(pickle.dumps(numbers))) == [5, 6, 7]
    assert counted.__name__ == "counted"
    assert repr(numbers) == "Streamer(counted, 3, 5)"


def test_a_source_that_declares_rng_gives_the_same_for_the_same_seed_and_another_in_each_iteration():
    first, second = Streamer(thrown, count=20).with_seed(4), Streamer(thrown, count=20).with_seed(4)

    epochs = [list(first) for _ in range(3)]

    assert epochs == [list(second) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] != list(Streamer(thrown, count=20).with_seed(5))


def test_a_source_that_is_given_an_rng_keeps_it():
    class Always:
        def integers(self, most):
            return 7

    assert list(Streamer(thrown, Always(), 2)) == list(Streamer(thrown, rng=Always(), count=2)) == [7, 7]


def test_without_a_seed_no_two_iterations_are_alike():
    assert list(Streamer(thrown, count=9)) != list(Streamer(thrown, count=9))


def test_rounds_of_a_cycle_and_iterations_are_all_different():
    stream = Streamer(thrown, count=8).with_seed(1)

    rounds = list(stream.cycle(24))

    epochs = [tuple(rounds[at : at + 8]) for at in (0, 8, 16)] + [tuple(stream) for _ in range(2)]
    assert len(set(epochs)) == 5
    assert epochs[0] == tuple(Streamer(thrown, count=8).with_seed(1))


def test_a_streamer_given_to_a_source_follows_the_seed_of_the_iteration():
    inner = Streamer(thrown, count=5)
    outer = Streamer(doubled, inner).with_seed(2)

    assert list(outer) != list(outer)
    assert list(outer.with_seed(2)) == list(Streamer(doubled, Streamer(thrown, count=5)).with_seed(2))
    assert list(Streamer(doubled, stream=inner).with_seed(2)) == list(Streamer(doubled, stream=inner).with_seed(2))


def in_turn(streams, rng):
    streams = streams["all"] if isinstance(streams, dict) else streams
    for group in zip(*streams, strict=True):
        yield from (item + int(rng.integers(2)) for item in group)


@pytest.mark.parametrize(
    "holding", [list, tuple, lambda streams: {"all": (list(streams))}], ids=["list", "tuple", "dict"]
)
def test_streamers_in_a_list_tuple_or_dict_given_to_a_source_follow_its_seed_too(holding):
    def made():
        one = Streamer(thrown, count=9)
        return Streamer(in_turn, holding([one, one])).with_seed(5)

    stream = made()
    first = list(stream)
    iteration = stream.iterate(7)
    second = list(iteration)
    again = made()
    again.load_state_dict(made_at(made, 4))

    assert first == list(made())
    assert first[::2] != first[1::2]
    assert first[:7] != second
    assert list(again) == first[4:]


def made_at(made, count):
    """Return the state of a stream that has given so many items."""
    iteration = made().iterate()
    for _ in range(count):
        next(iteration)
    return iteration.state_dict()


def test_an_argument_without_streamers_is_passed_as_it_is():
    large = [[1, 2], {"a": (3,)}]
    large.append(large)

    (given,) = Streamer(lambda value: [value], large)

    assert given is large


def test_the_repr_names_function_and_arguments():
    assert repr(Streamer(labelled, "clicks.npz", 16)) == "Streamer(labelled, 'clicks.npz', 16)"
    assert repr(Streamer(endless, label="x" * 300)).endswith("...xxxxxxxxxxxxxxxxxx')")


def test_a_stream_of_a_million_items_is_given_without_being_held():
    assert sum(1 for _ in Streamer(itertools.repeat, None, 1_000_000)) == 1_000_000
