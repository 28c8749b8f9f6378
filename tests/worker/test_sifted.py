"""What a filter leaves of a range of numbers: the same as an array of them, however it is looked at."""

import pickle
from array import array
from itertools import compress

from hypothesis import given
from hypothesis import strategies as st

from olympipe_like._remote import fields
from olympipe_like._worker.chunk import dense
from olympipe_like._worker.sifted import LEAST, Sifted, sift


@st.composite
def sifted(draw):
    """A range sifted by a mask, and the list it stands for."""
    start = draw(st.integers(-(2**40), 2**40))
    mask = draw(st.lists(st.booleans(), max_size=40))
    numbers = range(start, start + len(mask))
    kept = list(compress(numbers, mask))
    return Sifted(numbers, bytes(mask), len(kept)), kept


@given(sifted(), st.integers(-45, 45), st.integers(-45, 45))
def test_it_reads_as_the_list_of_what_was_kept(pair, one, other):
    column, kept = pair

    assert len(column) == len(kept)
    assert list(column[one:other]) == kept[one:other]
    assert list(column) == kept
    assert [column[index] for index in range(-len(kept), len(kept))] == kept * 2
    assert all(number in column for number in kept)
    assert [number for number in column._numbers if number in column] == kept


@given(sifted())
def test_it_travels_without_its_members(pair):
    column, kept = pair
    list(column)

    arrived = pickle.loads(pickle.dumps(column, protocol=5))

    assert arrived._kept is None
    assert list(arrived) == kept


@given(sifted())
def test_workers_of_other_machines_get_it_as_an_array(pair):
    column, kept = pair

    assert fields.unpack(fields.pack(column)) == array("q", kept)


def test_only_what_many_are_left_of_is_put_off():
    few, many = range(LEAST - 1), range(LEAST)

    assert sift(few, [True] * len(few), len(few)) == array("q", few)
    assert isinstance(sift(many, [True] * len(many), len(many)), Sifted)


def test_what_is_sifted_twice_keeps_its_numbers():
    chunk = dense(list(range(1000)), 5000)

    once = chunk.select([number % 2 == 0 for number in chunk.items])
    twice = once.select([number % 3 == 0 for number in once.items])

    assert twice.items == list(range(0, 1000, 6))
    assert twice.paths() == [(5000 + number,) for number in range(0, 1000, 6)]
