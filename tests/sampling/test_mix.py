"""Mixes whose weights the consumer changes."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from math import sqrt

import pytest

from olympipe_like import PlanError, PlanTypeError
from olympipe_like.sampling import RoundRobinMux, Streamer, mix
from tests.sampling.streams import endless, labelled, thrown


def letters(names):
    return {name: Streamer(endless, name) for name in names}


def take(iteration, count):
    return [next(iteration) for _ in range(count)]


def assert_share(items, name, share):
    assert abs(items.count(name) - share * len(items)) < 3 * sqrt(share * (1 - share) * len(items))


def test_a_mix_draws_by_its_weights():
    items = list(mix(letters("ab"), {"b": 0.1, "a": 0.9}, random_state=1).iterate(10_000))

    assert_share(items, "a", 0.9)


def test_weights_set_while_it_runs_hold_from_the_next_item_on():
    mixed = mix(letters("abc"), [1, 1, 0], random_state=1)
    iteration = iter(mixed)

    before = take(iteration, 1000)
    mixed.set_weights({"a": 0, "b": 0, "c": 1})
    only_c = take(iteration, 1000)
    mixed.set_weights([3, 0, 1])
    after = take(iteration, 4000)

    assert Counter(before).keys() == {"a", "b"}
    assert Counter(only_c).keys() == {"c"}
    assert_share(after, "a", 0.75)


def test_feedback_draws_more_from_streams_with_larger_values():
    mixed = mix(letters("ab"), random_state=1)
    iteration = iter(mixed)
    take(iteration, 10)

    mixed.feedback("a", 3.0)
    mixed.feedback(1, 1.0)

    assert mixed.current_weights == {"a": 0.75, "b": 0.25}
    assert_share(take(iteration, 4000), "a", 0.75)


def test_feedback_is_smoothed_and_never_starves_a_stream():
    mixed = mix(letters("ab"), random_state=1)
    for _ in range(200):
        mixed.feedback("a", 0.0)
        mixed.feedback("b", 1.0)
    starved = mixed.current_weights["a"]
    mixed.feedback("a", 1.0)

    assert starved == pytest.approx(0.1 / 2.1, rel=0.01)
    assert starved < mixed.current_weights["a"] < 0.2


def test_feedback_may_be_as_large_as_numbers_get():
    mixed = mix({"a": "x", "b": "y"})
    for name in ("a", "b", "a"):
        mixed.feedback(name, 1.7e308)

    assert mixed.current_weights == pytest.approx({"a": 0.5, "b": 0.5})


def test_feedback_of_nothing_but_zeros_changes_nothing():
    mixed = mix(letters("ab"), [3, 1])
    mixed.feedback("a", 0)
    mixed.feedback("b", 0)

    assert mixed.current_weights == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize(
    ("stop", "check"),
    [
        ("first", lambda items: items.count("b") == 2 and items.count("a") < 50),
        ("all", lambda items: items.count("b") == 2 and items.count("a") == 50),
        ("all_restart", lambda items: items.count("b") > 10 and items.count("a") == 50),
        ("never", lambda items: len(items) == 1000),
    ],
)
def test_stop_says_when_the_items_end(stop, check):
    mixed = mix([["a"] * 50, ["b"] * 2, []], [1, 1, 1] if stop != "first" else [1, 1, 0], stop=stop, random_state=1)

    assert check(list(mixed.iterate(1000)))


@pytest.mark.parametrize("stop", ["first", "all", "all_restart", "never"])
def test_a_mix_of_empty_streams_ends(stop):
    assert list(mix([[], []], stop=stop)) == list(mix([[], []], stop=stop).cycle()) == []


def test_a_mix_ends_when_nothing_is_left_that_may_be_drawn():
    assert list(mix(["aa", "bb"], [1, 0])) == ["a", "a"]


def test_items_come_with_the_names_of_their_streams_if_asked_for():
    named = mix({"one": "aa", "two": "bb"}, with_names=True, random_state=1)

    assert sorted(named) == [("one", "a"), ("one", "a"), ("two", "b"), ("two", "b")]
    assert sorted(mix(["a", "b"], with_names=True)) == [(0, "a"), (1, "b")]


def learn(mixed, iteration, count):
    """Take items as a model would, and change the weights by what comes."""
    taken = []
    for number in range(count):
        item = next(iteration)
        taken.append(item)
        if number % 7 == 3:
            mixed.feedback(item[0], 1 + len(taken) % 5)
        if number % 50 == 20:
            mixed.set_weights([1 + number % 3, 1, 2])
    return taken


def labelled_mix(**options):
    streams = {name: Streamer(labelled, name, 400) for name in "abc"}
    return mix(streams, random_state=5, **options)


@pytest.mark.parametrize("cut", [0, 1, 64, 200])
def test_a_mix_goes_on_from_its_state_with_the_weights_it_had(cut):
    mixed = labelled_mix()
    iteration = iter(mixed)
    learn(mixed, iteration, cut)
    state = json.loads(json.dumps(mixed.state_dict()))
    weights = mixed.current_weights

    other = labelled_mix()
    other.load_state_dict(state)

    rest = take(iteration, 300)
    assert take(iter(other), 300) == rest
    if cut:
        assert other.current_weights == weights


def test_weights_set_after_a_state_was_loaded_are_kept():
    mixed = labelled_mix()
    take(iter(mixed), 10)

    other = labelled_mix()
    other.load_state_dict(mixed.state_dict())
    other.set_weights([0, 0, 1])

    assert {item[0] for item in other.iterate(60)} == {"c"}


def test_a_mix_replays_what_it_gave_without_the_model_that_changed_it():
    mixed = labelled_mix()
    iteration = iter(mixed)
    given = learn(mixed, iteration, 300)
    state = json.loads(json.dumps(mixed.state_dict()))

    other = labelled_mix()
    other.replay(state)
    again = iter(other)
    first = take(again, 150)
    other.set_weights([0, 0, 1])  # does not matter before it has come to where it was
    middle = json.loads(json.dumps(other.state_dict()))
    rest = take(again, 150)

    assert first + rest == given
    assert {item[0] for item in take(again, 50)} == {"c"}
    third = labelled_mix()
    third.load_state_dict(middle)
    assert take(iter(third), 150) == rest


def test_the_history_has_an_entry_for_each_change_that_items_were_drawn_by():
    mixed = mix(letters("ab"), random_state=1)
    iteration = iter(mixed)
    take(iteration, 5)
    mixed.set_weights([1, 3])
    mixed.set_weights([3, 1])
    take(iteration, 5)

    assert mixed.state_dict()["pass"]["state"]["history"] == [[0, [0.5, 0.5]], [5, [0.75, 0.25]]]


def test_a_mix_within_a_mux_hears_of_its_weights():
    inner = mix(letters("ab"), [1, 0])
    iteration = iter(RoundRobinMux([inner, Streamer(endless, "-")]))
    take(iteration, 10)

    inner.set_weights([0, 1])

    assert take(iteration, 6) == ["b", "-", "b", "-", "b", "-"]


def test_a_mix_can_be_sent_elsewhere():
    mixed = mix([Streamer(thrown), Streamer(thrown)], [3, 1], random_state=2)

    assert list(pickle.loads(pickle.dumps(mixed)).iterate(30)) == list(mixed.iterate(30))


def test_wrong_arguments_are_refused_where_they_are_written():
    mixed = mix(letters("ab"))
    with pytest.raises(PlanError, match=r"mix \(test_mix.py:\d+\): the streams are \['a', 'b'\], and weights are of"):
        mixed.set_weights({"a": 1})
    with pytest.raises(PlanError, match="there are 2 streams and 1 weights"):
        mixed.set_weights([1])
    with pytest.raises(PlanError, match="all weights are 0"):
        mixed.set_weights([0, 0])
    for name in ("c", 2, -1, True):
        with pytest.raises(PlanError, match=rf"feedback \(test_mix.py:\d+\): no stream {name!r}"):
            mixed.feedback(name, 1)
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(PlanError, match="value must be >= 0 and finite"):
            mixed.feedback("a", value)
    with pytest.raises(PlanTypeError, match="value must be a number, got 'x'"):
        mixed.feedback("a", "x")
    with pytest.raises(PlanError, match="stop must be one of"):
        mix("ab", stop="soon")
    with pytest.raises(PlanError, match="had given nothing, or had ended"):
        mixed.replay(mixed.state_dict())
