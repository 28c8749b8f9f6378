"""Items of classes that cannot be imported bring them along once, and do without what is not theirs."""

from __future__ import annotations

import dataclasses
import gc

import pytest

from olympipe_like._transport import callables, marks
from olympipe_like._transport.codec import DecodingError, decode, decode_item, encode, encode_item


def row_class():
    @dataclasses.dataclass
    class Row:
        number: int

        def doubled(self):
            return 2 * self.number

    return Row


def explode():
    raise OSError("no such library here")


class Bomb:
    """Cannot be built where it arrives."""

    def __reduce__(self):
        return explode, ()


def bomb_class():
    class Armed:
        bomb = Bomb()

    return Armed


@pytest.fixture
def elsewhere(monkeypatch):
    """Make this process one that has met no class yet, when called."""

    def go():
        monkeypatch.setattr(marks, "_classes", {})
        monkeypatch.setattr(marks, "_marks", {})

    return go


def received(parts, begin=None):
    return decode(bytes(parts[0]), [bytearray(part) for part in parts[1:]], begin)[0]


def test_a_class_travels_once_with_all_items_of_a_frame():
    row_of = row_class()
    alone = len(encode([row_of(0)], ())[0])

    (many,) = encode([row_of(number) for number in range(100)], ())

    assert alone > 1000
    assert len(many) < alone + 100 * 400


@pytest.mark.parametrize("frame", ["first", "later"])
def test_all_items_are_of_one_class_where_nobody_knows_it(elsewhere, frame):
    row_of = row_class()
    items = [row_of(number) for number in range(5)]
    if frame == "later":
        encode(items, ())
    parts = encode(items, ())

    elsewhere()
    rows = received(parts)

    assert [row.doubled() for row in rows] == [0, 2, 4, 6, 8]
    assert len({type(row) for row in rows}) == 1
    assert type(rows[0]) is not row_of


def test_an_item_that_is_left_out_takes_no_class_from_the_others(elsewhere):
    row_of = row_class()
    parts = encode([row_of(number) for number in range(3)], ())

    elsewhere()
    rows = received(parts, lambda index: index != 0)

    assert rows[0] is None
    assert [row.number for row in rows[1:]] == [1, 2]


@pytest.mark.parametrize("frame", ["first", "later"])
def test_a_class_that_cannot_be_built_fails_its_own_items_only(elsewhere, frame):
    row_of, armed = row_class(), bomb_class()
    items = [row_of(1), armed(), row_of(3), armed()]
    if frame == "later":
        encode(items, ())
    parts = encode(items, ())

    elsewhere()
    with pytest.raises(DecodingError) as caught:
        received(parts)
    rows = received(parts, lambda index: index in {0, 2})

    assert caught.value.index == 1
    assert "no such library" in str(caught.value.__cause__)
    assert [row.number for row in caught.value.items] == [1]
    assert [rows[0].number, rows[2].number] == [1, 3]


def test_an_item_by_itself_brings_all_of_its_class(elsewhere):
    row_of = row_class()
    encode([row_of(1), row_of(2)], ())

    blob = encode_item(row_of(7))
    elsewhere()

    assert decode_item(blob, {}).doubled() == 14


def test_a_class_is_forgotten_when_it_dies():
    gc.collect()
    before = len(callables._packed)
    row_of = row_class()
    encode([row_of(1), row_of(2)], ())
    assert len(callables._packed) == before + 1

    del row_of
    gc.collect()

    assert len(callables._packed) == before
