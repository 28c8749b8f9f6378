from __future__ import annotations

import pickle
from collections import Counter
from itertools import islice
from math import sqrt

import numpy as np
import pytest

from olympipe_like import DataError, PlanError
from olympipe_like.sampling import Streamer, buffer_stream, cache, keras_tuples, tuples
from tests.sampling.streams import Watched, labelled, thrown


def samples(count, shape=()):
    for n in range(count):
        yield {"X": np.full(shape, n, dtype=np.float32), "Y": np.array(n % 3)}


# -- buffer_stream -------------------------------------------------------------------------------------


def test_a_buffer_stacks_items_along_a_new_first_axis_field_by_field():
    batches = list(buffer_stream(Streamer(samples, 25, (4, 5)), 10))

    assert [batch["X"].shape for batch in batches] == [(10, 4, 5), (10, 4, 5)]
    assert batches[0]["X"].dtype == np.float32
    assert batches[1]["X"][:, 0, 0].tolist() == list(range(10, 20))
    assert batches[1]["Y"].tolist() == [n % 3 for n in range(10, 20)]


def test_a_partial_buffer_is_given_if_asked_for():
    assert [len(batch["X"]) for batch in buffer_stream(Streamer(samples, 25), 10, partial=True)] == [10, 10, 5]
    assert [len(batch["X"]) for batch in buffer_stream(Streamer(samples, 20), 10, partial=True)] == [10, 10]


@pytest.mark.parametrize(("axis", "shape"), [(0, (6, 2, 3)), (1, (2, 6, 3)), (-1, (2, 2, 9)), (None, (3, 2, 2, 3))])
def test_an_axis_concatenates_instead(axis, shape):
    (batch,) = buffer_stream([{"X": np.zeros((2, 2, 3))}] * 3, 3, axis=axis)

    assert batch["X"].shape == shape


def test_buffers_take_arrays_numbers_and_tuples_too():
    assert [array.tolist() for array in buffer_stream(range(4), 2)] == [[0, 1], [2, 3]]
    (pair,) = buffer_stream([(1, np.zeros(2)), (2, np.ones(2))], 2)
    assert (pair[0].tolist(), pair[1].shape) == ([1, 2], (2, 2))


def test_a_buffered_stream_can_be_iterated_again_and_wrapped_and_sent():
    stream = Streamer(buffer_stream(Streamer(samples, 6), 2))
    other = Streamer(buffer_stream, Streamer(samples, 6), 2)

    for each in (stream, other, pickle.loads(pickle.dumps(stream))):
        assert [len(list(each)) for _ in range(2)] == [3, 3]


def test_a_buffer_pulls_no_more_than_it_needs():
    watched = Watched()

    assert len(list(tuples(buffer_stream(map(dict, []), 2), "X"))) == 0
    assert next(iter(buffer_stream(watched.streamer("x", 9), 4, partial=True))).tolist() == ["x0", "x1", "x2", "x3"]
    assert watched.pulled == 4


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([{"X": 1}, {"X": 1, "Y": 2}], r"same keys: item 0 has \['X'\], item 1 \['X', 'Y'\]"),
        ([{"X": 1}, 5], "item 1 is a int"),
        ([{"X": np.zeros(2)}, {"X": np.zeros(3)}], r"values of 'X' do not fit together: shapes \(2,\), \(3,\)"),
        ([(1, 2), (1, 2, 3)], "as many fields: item 0 is a tuple of 2, item 1 is a tuple of 3"),
        ([(1, 2), 3], "item 1 is a int"),
        ([np.zeros(2), np.zeros((2, 2))], "the items do not fit together"),
    ],
)
def test_items_that_do_not_fit_together_are_a_data_error(items, text):
    with pytest.raises(DataError, match=text):
        list(buffer_stream(items, 2))


def test_a_wrong_axis_is_a_data_error():
    with pytest.raises(DataError, match="out of bounds"):
        list(buffer_stream([{"X": np.zeros(2)}] * 2, 2, axis=3))


# -- tuples, keras_tuples ------------------------------------------------------------------------------


def test_tuples_are_the_values_of_some_keys_in_their_order():
    assert list(tuples([{"X": 1, "Y": 2, "Z": 3}], "Z", "X")) == [(3, 1)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "pair"),
    [
        ("X", "Y", (1, 2)),
        ("X", None, (1, None)),
        (None, "Y", (None, 2)),
        (["X", "Z"], "Y", ([1, 3], 2)),
        ("X", ("Y",), (1, [2])),
    ],
)
def test_keras_tuples_are_pairs_of_inputs_and_outputs(inputs, outputs, pair):
    assert list(keras_tuples([{"X": 1, "Y": 2, "Z": 3}], inputs, outputs)) == [pair]


def test_a_key_that_is_missing_is_named():
    for stream in (tuples([{"X": 1}], "Y"), keras_tuples([{"X": 1}], outputs=["Y"])):
        with pytest.raises(KeyError, match=r"^an item has no key 'Y': it is the keys \['X'\]"):
            list(stream)
    with pytest.raises(DataError, match="it is a int"):
        list(tuples([3], "Y"))


def test_no_keys_are_refused():
    with pytest.raises(PlanError, match=r"tuples \(test_maps.py:\d+\): say which keys"):
        tuples([{}])
    with pytest.raises(PlanError, match=r"keras_tuples \(test_maps.py:\d+\): say which keys"):
        keras_tuples([{}])
    with pytest.raises(PlanError, match="a key must be a text, got 3"):
        tuples([{}], 3)


def test_maps_can_be_iterated_again_and_chained_and_sent():
    stream = tuples(buffer_stream(Streamer(samples, 4), 2), "Y", "X")

    for each in (stream, pickle.loads(pickle.dumps(stream))):
        assert [[y.tolist() for y, _ in each] for _ in range(2)] == [[[0, 1], [2, 0]]] * 2


@pytest.mark.parametrize(
    "make", [lambda s: tuples(s, "X"), lambda s: keras_tuples(s, "X"), lambda s: buffer_stream(s, 1)]
)
def test_a_map_of_an_iterator_can_be_read_once_and_says_so_the_second_time(make):
    stream = make(iter([{"X": 1}]))

    assert len(list(stream)) == 1
    with pytest.raises(PlanError, match="was read already"):
        list(stream)


# -- cache ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prob", [0.1, 0.5, 0.9])
def test_the_cache_takes_a_new_item_as_often_as_said(prob):
    watched = Watched()

    given = list(cache(watched.streamer("x"), 10, prob, random_state=1).iterate(20_010))

    assert len(given) == 20_010
    fresh = watched.pulled - 10
    assert abs(fresh - prob * 20_000) < 3 * sqrt(prob * (1 - prob) * 20_000)


def test_the_first_items_come_in_order_and_all_come_at_least_once():
    given = list(cache(Streamer(labelled, "", 500), 20, 0.3, random_state=2))

    assert given[:20] == [str(n) for n in range(20)]
    assert set(given) == {str(n) for n in range(500)}
    counts = Counter(given)
    assert np.mean([counts[str(n)] for n in range(400)]) == pytest.approx(1 / 0.3, rel=0.15)


def test_with_probability_1_the_cache_gives_every_item_once():
    assert list(cache("abcdef", 2, 1.0, random_state=1)) == list("abcdef")


def test_a_cached_stream_ends_with_its_source():
    assert list(cache([], 3)) == []
    assert list(cache("ab", 3)) == ["a", "b"]


def test_the_cache_draws_by_its_seed_and_differently_in_each_iteration():
    first, second = cache(Streamer(thrown), 5, random_state=3), cache(Streamer(thrown), 5, random_state=3)

    epochs = [list(first.iterate(50)) for _ in range(2)]
    assert epochs == [list(second.iterate(50)) for _ in range(2)]
    assert epochs[0] != epochs[1]


def test_a_cache_reads_an_iterator_too():
    assert len(list(islice(cache(iter(range(10**9)), 5, 0.01, random_state=1), 1000))) == 1000


@pytest.mark.parametrize("prob", [0, -0.1, 1.1, "x", True])
def test_a_wrong_probability_is_refused(prob):
    with pytest.raises(PlanError, match=r"cache \(test_maps.py:\d+\): prob must be"):
        cache("ab", 2, prob)
