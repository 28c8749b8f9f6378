"""Slots of shared memory: used again while warm, given back to the system beyond that."""

from __future__ import annotations

import os

import pytest

from olympipe_like._transport import store


@pytest.fixture
def memory():
    descriptor = store.create()
    yield descriptor
    os.close(descriptor)


def held(memory):
    return os.fstat(memory).st_blocks * 512


def test_the_slot_given_back_last_is_used_first(memory):
    slots = store.Slots(memory)
    one, two = slots.take(1 << 20), slots.take(1 << 20)
    slots.give_back(one[0])
    slots.give_back(two[0])

    assert slots.take(1 << 20) == two
    assert slots.take(1 << 20) == one
    assert slots.in_use == 2


def test_free_slots_keep_no_more_memory_than_they_may(memory):
    slots = store.Slots(memory)
    taken = [slots.take(3 << 20) for _ in range(20)]
    for offset, _ in taken:
        store.write(memory, offset, [bytes(3 << 20)])
    assert held(memory) == 60 << 20

    for offset, _ in taken:
        slots.give_back(offset)

    assert held(memory) <= store.KEPT_BYTES
    again = [slots.take(3 << 20) for _ in range(20)]
    assert sorted(again) == sorted(taken)
    for offset, _ in again:
        store.write(memory, offset, [b"x" * (3 << 20)])
        assert bytes(store.read(memory, offset, [3 << 20])[0]) == b"x" * (3 << 20)


def test_a_slot_larger_than_that_is_given_back_at_once(memory):
    slots = store.Slots(memory)
    small, _ = slots.take(1 << 17)
    large, size = slots.take(store.KEPT_BYTES + 1)
    store.write(memory, small, [b"s" * (1 << 17)])
    store.write(memory, large, [bytes(store.KEPT_BYTES)])

    slots.give_back(large)

    assert held(memory) == 1 << 17
    assert bytes(store.read(memory, small, [1 << 17])[0]) == b"s" * (1 << 17)
    assert slots.take(store.KEPT_BYTES + 1) == (large, size)


def test_a_slot_that_was_never_written_is_given_back_like_any(memory):
    slots = store.Slots(memory)
    offset, _ = slots.take(store.KEPT_BYTES + 1)

    slots.give_back(offset)

    assert held(memory) == 0
    assert slots.in_use == 0
