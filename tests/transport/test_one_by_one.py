"""Frames read one item after the other, and without some of them."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import pickle
from array import array
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like._transport import codec
from olympipe_like._transport.codec import DecodingError, decode, encode
from olympipe_like._worker.sifted import sift


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Point:
    x: int
    other: object


class Refuses:
    def __init__(self, inside: object) -> None:
        self.inside = inside

    def __setstate__(self, state: object) -> None:
        raise ValueError("never")


def read(items, left_out=()):
    """Return the items as they arrive, and which of them were asked about."""
    parts = encode(items, (range(len(items)),))
    asked = []

    def begin(index):
        asked.append(index)
        return index not in left_out

    made, rest = decode(bytes(parts[0]), [bytearray(part) for part in parts[1:]], begin)
    assert rest == (range(len(items)),)
    return made, asked


SHARED = Point(1, [2, 3])


def test_items_that_run_nobodys_code_are_built_at_once():
    items = [1, "two", (3, [4.0]), {"five": b"6"}, None, np.arange(3)]

    made, asked = read(items)

    assert asked == []
    assert made[:5] == items[:5]
    np.testing.assert_array_equal(made[5], items[5])


def test_each_item_with_code_of_its_own_is_announced_and_keeps_what_it_shares():
    made, asked = read([(SHARED, 1), (2, SHARED), Colour.BLUE])

    assert asked == [0, 1, 2]
    assert made == [(SHARED, 1), (2, SHARED), Colour.BLUE]
    assert made[0][0] is made[1][1]


def test_an_item_left_out_is_not_run_and_what_others_share_with_it_is_built_for_them():
    inside = (SHARED, np.ones(2000, "f4"), Colour.BLUE, dt.timezone.utc)
    items = [1, Refuses(inside), (SHARED, np.ones(3, "f4"), Colour.BLUE), [SHARED, inside[1]], dt.timezone.utc]

    made, asked = read(items, left_out={1})

    assert asked == [0, 1, 2, 3, 4]
    assert made[:2] == [1, None]
    assert made[2][0] == SHARED
    assert made[2][0] is made[3][0]
    assert (made[2][1].dtype, made[2][2], made[4]) == (np.dtype("f4"), Colour.BLUE, dt.timezone.utc)
    np.testing.assert_array_equal(made[3][1], inside[1])


def test_who_shares_the_part_that_refuses_refuses_too():
    refuses = Refuses(None)

    with pytest.raises(DecodingError) as caught:
        read([Point(1, refuses), Point(2, None), Point(3, refuses)], left_out={0})

    assert caught.value.index == 2
    assert caught.value.items == [None, Point(2, None)]


def test_an_item_that_contains_itself_can_be_left_out_or_not():
    within_list: list = []
    within_list.append(within_list)
    within_tuple: tuple = ([],)
    within_tuple[0].append(within_tuple)

    made, _ = read([Point(0, within_tuple), within_list, Point(1, within_tuple)], left_out={0})

    assert made[1][0] is made[1]
    assert made[2].other[0][0] is made[2].other


def test_lambdas_are_left_out_or_not_like_any_item():
    made, asked = read([lambda: 1, lambda: 2, lambda: 3], left_out={1})

    assert asked == [0, 1, 2]
    assert (made[0](), made[1], made[2]()) == (1, None, 3)


shared = st.sampled_from([SHARED, Point(2, Colour.RED), Colour.RED, np.dtype("i4"), ["in many"], ("in", ["many"])])
values = st.recursive(
    st.integers() | st.text(max_size=5) | st.binary(max_size=3) | st.none() | st.floats(allow_nan=False) | shared,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Point, st.integers(), inner)
    ),
    max_leaves=12,
)


@given(st.lists(values, min_size=1, max_size=1200), st.data())
def test_whatever_is_left_out_the_others_are_what_they_were(items, data):
    left_out = data.draw(st.sets(st.integers(0, len(items) - 1)))

    made, asked = read(items, left_out)

    expected = [None if asked and index in left_out else item for index, item in enumerate(items)]
    assert made == expected


@given(st.lists(values, max_size=20), st.lists(values, max_size=20), values)
def test_the_item_that_cannot_be_rebuilt_is_found_among_any_others(before, after, inside):
    parts = encode([*before, Refuses(inside), *after], None)

    with pytest.raises(DecodingError) as caught:
        decode(bytes(parts[0]), parts[1:])

    assert caught.value.index == len(before)
    assert caught.value.items == before
    assert isinstance(caught.value.__cause__, ValueError)


@given(st.data())
def test_bytes_that_are_no_pickle_of_ours_are_said_to_be_one(data):
    good = encode([{"a": 1}, (2, 3)], (range(2),))[0]
    # One byte more would make pickle's own memo a billion places long, which takes it half a minute and 20 GB.
    other = st.integers(0, 255).filter(lambda byte: byte != pickle.LONG_BINPUT[0])
    places = data.draw(st.dictionaries(st.integers(0, len(good) - 1), other, min_size=1, max_size=3))
    broken = bytes(places.get(place, byte) for place, byte in enumerate(good))

    with contextlib.suppress(DecodingError):
        decode(broken, [])


def test_what_a_filter_left_is_read_without_being_taken_apart(monkeypatch):
    numbers = sift(range(100), [True] * 100, 100)
    monkeypatch.setattr(codec, "Builder", None)

    items, (column,) = decode(encode(list(range(100)), (numbers,))[0], [], lambda _: True)

    assert items == list(column) == list(range(100))


COLUMNS = {
    "range": range(4, 7),
    "empty range": range(0),
    "array": array("q", [5, -1, 9]),
    "tuple": (1, 2, 3),
    "sifted": sift(range(200), [True, False] * 100, 100),
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("items", [["a", "b"], [lambda: 1, 2]], ids=["together", "one by one"])
def test_the_numbers_that_go_with_items_come_out_as_they_went_in(items, column):
    sent = COLUMNS[column], range(3)

    _, found = decode(bytes(encode(items, sent)[0]), [])

    assert [list(each) for each in found] == [list(each) for each in sent]
