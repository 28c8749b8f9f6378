"""Shared memory: what is written is read, by whatever way, and lack of room is an error."""

from __future__ import annotations

import os
from itertools import pairwise
from mmap import MADV_REMOVE, mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like._transport import store
from olympipe_like._transport.codec import decode, encode
from olympipe_like._transport.store import SEGMENT_BYTES, Memory, Slots

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here")

PARTS = [b"pickle", bytes(range(256)) * 1000, b"", bytearray(b"x") * 70_001]


@pytest.fixture
def descriptor():
    made = store.create()
    yield made
    os.close(made)


def roundtrip(descriptor, offset=SEGMENT_BYTES + (1 << 20)):
    """Return what one process writes as another reads it."""
    Memory(descriptor).write(offset, PARTS)
    return [bytes(part) for part in Memory(descriptor).read(offset, [len(part) for part in PARTS])]


def test_what_one_process_writes_another_reads(descriptor):
    assert roundtrip(descriptor) == PARTS


def test_memory_that_cannot_be_mapped_is_read_and_written():
    descriptor = os.memfd_create("empty")  # its size is 0, so nothing of it can be mapped

    try:
        assert roundtrip(descriptor) == PARTS
    finally:
        os.close(descriptor)


def test_a_frame_larger_than_a_mapping_is_read_and_written(descriptor, monkeypatch):
    monkeypatch.setattr(store, "SEGMENT_BYTES", 1 << 18)

    assert roundtrip(descriptor, offset=1 << 18) == PARTS


def test_mapped_and_unmapped_memory_is_the_same(descriptor):
    Memory(descriptor).write(1 << 20, PARTS)
    store.write(descriptor, 2 << 20, PARTS)
    lengths = [len(part) for part in PARTS]

    assert store.read(descriptor, 1 << 20, lengths) == PARTS
    assert Memory(descriptor).read(2 << 20, lengths) == PARTS


def test_on_an_older_kernel_it_is_written_by_calls(descriptor, monkeypatch):
    monkeypatch.setattr(store, "_MADV_POPULATE_READ", 9999)
    monkeypatch.setattr(store, "_MADV_POPULATE_WRITE", 9999)

    assert roundtrip(descriptor) == PARTS


class Full(mmap):
    """A mapping for which there is no memory left."""

    def madvise(self, option, *_):
        if option == store._MADV_POPULATE_WRITE:
            raise OSError(14, "Bad address")


def test_memory_that_cannot_be_set_aside_is_an_error_before_anything_is_touched(descriptor, monkeypatch):
    monkeypatch.setattr(store, "mmap", Full)
    memory = Memory(descriptor)

    with pytest.raises(OSError, match="Bad address"):
        memory.write(0, PARTS)

    assert os.fstat(descriptor).st_blocks == 0


def test_a_slot_given_to_the_system_meanwhile_has_memory_set_aside_again(descriptor):
    memory = Memory(descriptor)
    memory.write(0, PARTS)
    blocks = os.fstat(descriptor).st_blocks
    with mmap(descriptor, 1 << 20) as view:
        view.madvise(MADV_REMOVE)

    memory.write(0, PARTS)

    assert os.fstat(descriptor).st_blocks == blocks
    assert memory.read(0, [len(part) for part in PARTS]) == PARTS


ITEMS = [bytes(range(256)) * 1000, bytearray(range(256)) * 1000, {"a list keeps pickle at it": [b"x" * 70_000]}]


@pytest.mark.parametrize("item", ITEMS, ids=["bytes", "bytearray", "in a list"])
def test_what_a_reader_keeps_is_its_own(descriptor, item):
    memory = Memory(descriptor)
    parts = encode([item], ())
    lengths = [memoryview(part).nbytes for part in parts]
    memory.write(0, parts)

    data, *buffers = memory.read(0, lengths)
    (got,), _ = decode(data, buffers, borrowed=True)
    memory.write(0, [bytes(sum(lengths))])

    assert got == item


def test_a_longer_frame_may_follow_in_a_slot(descriptor):
    writer, reader = Memory(descriptor), Memory(descriptor)
    for length in (10, 5000, 4096, 300_000, 1):
        writer.write(0, [b"a" * length])

        assert bytes(reader.read(0, [length])[0]) == b"a" * length


def test_nobody_can_cut_it_off_under_those_who_have_mapped_it(descriptor):
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)


def test_closed_memory_is_an_error_and_not_a_crash():
    memory = Memory(store.create())
    memory.write(0, PARTS)
    memory.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        memory.write(0, PARTS)


@given(sizes=st.lists(st.integers(1, 3 * SEGMENT_BYTES), max_size=30))
def test_no_slot_crosses_a_mapping_that_could_hold_it(sizes):
    slots = Slots(None)

    for nbytes in sizes:
        offset, size = slots.take(nbytes)

        assert size >= nbytes
        assert offset % SEGMENT_BYTES + size <= SEGMENT_BYTES or size > SEGMENT_BYTES


@given(sizes=st.lists(st.integers(1, 1 << 22), max_size=30))
def test_slots_do_not_overlap(sizes):
    slots = Slots(None)

    taken = sorted(slots.take(nbytes) for nbytes in sizes)

    assert all(first + size <= second for (first, size), (second, _) in pairwise(taken))
