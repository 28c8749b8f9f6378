"""Slots that somebody looks at are not granted to anybody else, whoever dies and whatever is said when."""

from __future__ import annotations

import os
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olympipe_like._model.frame import NO_FRAME
from olympipe_like._model.identity import StageId
from olympipe_like._runtime import vault as vaults
from olympipe_like._runtime.peers import Peer
from olympipe_like._runtime.vault import Vault
from olympipe_like._transport import messages as wire
from olympipe_like._transport import store

STAGE = StageId(0)
LARGE = 1 << 20


def a_peer():
    return Peer(SimpleNamespace(send=lambda message, payload: None), lambda peer, message: None, lambda: None)


def put(vault, sender, nbytes=LARGE):
    """Return the frame that a sender puts into a new slot, and that slot."""
    slot = vault.grant_bytes(sender, nbytes)
    message = wire.Pulled(wire.Parcel((10, nbytes - 10), slot.offset), 1, (1,), None, ())
    return vault.frame(sender, STAGE, message, None), slot.offset


@pytest.fixture
def descriptor():
    made = store.create()
    yield made
    os.close(made)


@pytest.fixture
def vault(descriptor):
    return Vault(descriptor)


def test_a_frame_that_is_lent_is_handed_over_where_it_is(vault):
    reader = a_peer()
    frame, slot = put(vault, a_peer())

    parcel, _ = vault.hand(reader, frame, looks=True)

    assert (parcel.offset, parcel.lent) == (slot, True)
    assert vault.hand(reader, frame, looks=False)[0].lent is False
    assert vault.hand(reader, NO_FRAME, looks=True) == (None, None)


def test_a_slot_is_used_again_once_its_reader_looks_away(vault):
    sender, reader = a_peer(), a_peer()
    frame, slot = put(vault, sender)
    vault.hand(reader, frame, looks=True)
    vault.free(frame.payload)
    assert put(vault, sender)[1] != slot

    vault.hear(reader, wire.Returned((slot,)))

    assert put(vault, sender)[1] == slot


def test_a_reader_that_looks_away_first_does_not_take_the_slot_from_its_frame(vault):
    sender, reader = a_peer(), a_peer()
    frame, slot = put(vault, sender)
    vault.hand(reader, frame, looks=True)
    vault.hear(reader, wire.Returned((slot,)))
    assert put(vault, sender)[1] != slot

    vault.free(frame.payload)

    assert put(vault, sender)[1] == slot


def test_a_frame_that_went_to_one_reader_twice_is_returned_twice(vault):
    sender, reader = a_peer(), a_peer()
    frame, slot = put(vault, sender)
    vault.hand(reader, frame, looks=True)
    vault.hand(reader, frame, looks=True)
    vault.free(frame.payload)

    vault.hear(reader, wire.Returned((slot,)))
    assert put(vault, sender)[1] != slot
    vault.hear(reader, wire.Returned((slot,)))

    assert put(vault, sender)[1] == slot


def test_what_a_dead_reader_looked_at_comes_back(vault):
    sender, reader, other = a_peer(), a_peer(), a_peer()
    frame, slot = put(vault, sender)
    vault.hand(reader, frame, looks=True)
    vault.hand(other, frame, looks=True)
    vault.free(frame.payload)

    vault.take_back(reader)
    assert put(vault, sender)[1] != slot
    vault.take_back(other)

    assert put(vault, sender)[1] == slot


def test_what_the_child_of_a_reader_looks_at_stays_when_the_reader_is_dead(vault):
    sender, reader = a_peer(), a_peer()
    frame, slot = put(vault, sender)
    vault.hand(reader, frame, looks=True)

    vault.hear(reader, wire.Forks((slot,)))
    vault.hear(reader, wire.Forks((slot,)))
    vault.free(frame.payload)
    vault.hear(reader, wire.Returned((slot,)))
    vault.take_back(reader)

    assert put(vault, sender)[1] != slot


def test_readers_that_keep_too_much_are_given_copies_until_they_let_go(descriptor):
    vault = Vault(descriptor, 3 * LARGE)
    sender, reader = a_peer(), a_peer()
    slots = []
    for _ in range(3):
        frame, slot = put(vault, sender)
        assert vault.hand(reader, frame, looks=True)[0].lent
        vault.free(frame.payload)
        slots.append(slot)
    frame, _ = put(vault, sender)
    assert not vault.hand(reader, frame, looks=True)[0].lent

    vault.hear(reader, wire.Returned((slots[0],)))

    assert vault.hand(reader, frame, looks=True)[0].lent


def test_without_a_limit_of_the_run_readers_keep_a_fixed_amount(vault):
    sender, reader = a_peer(), a_peer()
    kept = 0
    while kept < 10 * vaults.VIEWED_BYTES:
        frame, _ = put(vault, sender, 4 * LARGE)
        if not vault.hand(reader, frame, looks=True)[0].lent:
            break
        vault.free(frame.payload)
        kept += 4 * LARGE

    assert kept == vaults.VIEWED_BYTES


def test_memory_that_is_looked_at_is_not_given_to_the_system(descriptor):
    vault = Vault(descriptor)
    sender, reader = a_peer(), a_peer()
    frame, slot = put(vault, sender)
    store.write(descriptor, slot, [b"x" * LARGE])
    vault.hand(reader, frame, looks=True)
    vault.free(frame.payload)

    frames = [put(vault, sender, store.KEPT_BYTES)[0] for _ in range(3)]
    for each in frames:
        vault.free(each.payload)

    assert bytes(store.read(descriptor, slot, [LARGE])[0]) == b"x" * LARGE


class Looking:
    """The hub's slots with readers that look, keep, let go, fork and die in any order.

    What was written to a slot stands for its bytes; who looks at it must see the same for as long as it looks.
    """

    def __init__(self, draw, limit):
        self.draw = draw
        self.limit = limit
        self.vault = Vault(None, limit)
        self.vault.memory = -1  # it grants, and nobody writes
        self.sender = a_peer()
        self.readers = [a_peer() for _ in range(3)]
        self.bytes = {}  # slot -> what was written there last
        self.frames = {}  # frame -> how many readers have it in hand
        self.looks = []  # reader, slot, what it sees
        self.unsaid = [[] for _ in self.readers]  # what each no longer looks at, and has not said
        self.stamp = 0

    def step(self):
        actions = [self.write]
        if self.frames:
            actions += [self.hand, self.hand, self.finish]
        if self.looks:
            actions += [self.let_go, self.let_go, self.fork]
        actions += [self.say, self.die]
        self.draw(st.sampled_from(actions))()
        for _, slot, seen in self.looks:
            assert self.bytes[slot] == seen, "memory changed under a view"

    def write(self):
        frame, slot = put(self.vault, self.sender, self.draw(st.sampled_from([LARGE, 3 * LARGE])))
        self.stamp += 1
        self.bytes[slot] = self.stamp
        self.frames[frame] = slot

    def hand(self):
        number = self.draw(st.integers(0, 2))
        frame = self.draw(st.sampled_from(sorted(self.frames, key=lambda each: each.payload)))
        parcel, _ = self.vault.hand(self.readers[number], frame, looks=True)
        if parcel.lent:
            self.looks.append((number, parcel.offset, self.bytes[parcel.offset]))

    def finish(self):
        frame = self.draw(st.sampled_from(sorted(self.frames, key=lambda each: each.payload)))
        del self.frames[frame]
        self.vault.free(frame.payload)

    def let_go(self):
        number, slot, _ = self.looks.pop(self.draw(st.integers(0, len(self.looks) - 1)))
        if number is not None:
            self.unsaid[number].append(slot)

    def say(self):
        number = self.draw(st.integers(0, 2))
        self.vault.hear(self.readers[number], wire.Returned(tuple(self.unsaid[number])))
        self.unsaid[number].clear()

    def fork(self):
        number = self.draw(st.integers(0, 2))
        mine = [look for look in self.looks if look[0] == number]
        self.vault.hear(self.readers[number], wire.Forks(tuple({slot for _, slot, _ in mine})))
        self.looks += [(None, slot, seen) for _, slot, seen in mine]

    def die(self):
        number = self.draw(st.integers(0, 2))
        self.vault.take_back(self.readers[number])
        self.looks = [look for look in self.looks if look[0] != number]
        self.unsaid[number].clear()
        self.readers[number] = a_peer()

    def end(self):
        for frame in list(self.frames):
            self.vault.free(frame.payload)
        for reader in self.readers:
            self.vault.take_back(reader)


@settings(deadline=None, max_examples=200)
@given(data=st.data(), limit=st.sampled_from([None, LARGE, 8 * LARGE]), steps=st.integers(1, 60))
def test_memory_never_changes_under_a_view_and_all_slots_come_back(data, limit, steps):
    game = Looking(data.draw, limit)

    for _ in range(steps):
        game.step()
    game.end()

    assert game.vault._slots.in_use == len(game.vault._forked)
    assert game.vault._kept_bytes == sum(game.vault._slots.size(slot) for slot in game.vault._forked)
    assert Counter(reader.lent.total() for reader in game.readers) == {0: 3}
