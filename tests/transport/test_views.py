"""Frames looked at where they are: no copy, nothing to write to, and the end of the last look is noticed."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import weakref
from collections import deque
from pathlib import Path

import pytest

from olympipe_like._transport import store
from olympipe_like._transport.codec import decode, encode
from olympipe_like._transport.messages import SlotGrant
from olympipe_like._transport.store import SEGMENT_BYTES, Memory
from olympipe_like._transport.views import Views
from olympipe_like._worker.port import Port

np = pytest.importorskip("numpy")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here")

SLOT = SEGMENT_BYTES + (1 << 20)


@pytest.fixture
def memory():
    made = Memory(store.create())
    yield made
    made.close()


@pytest.fixture
def views(memory):
    return Views(memory)


def put(memory, *items, slot=SLOT):
    """Write items to a slot as workers do; return where they are."""
    port = Port(None, memory)
    port.accept(SlotGrant(slot, 1 << 24))
    parcel, inline = port.place(encode(list(items), ()))
    assert not inline
    return parcel


def take(views, parcel, begin=None):
    """Return items as a reader that looks at them gets them."""
    data, buffers = views.look(parcel.offset, parcel.lengths)
    return decode(data, buffers, begin, read_only=True)[0]


def address(array):
    return array.__array_interface__["data"][0]


def mapped_at(where):
    """Return permissions and name of the mapping that an address lies in."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions, *_, name = line.split(maxsplit=5)
        low, high = (int(each, 16) for each in span.split("-"))
        if low <= where < high:
            return permissions, name.strip()
    raise AssertionError(f"{where:#x} is not mapped")


LARGE = np.arange(50_000, dtype=np.float64)


def test_an_array_lies_in_shared_memory_and_cannot_be_written_to(memory, views):
    (got,) = take(views, put(memory, LARGE))

    assert (got == LARGE).all()
    assert not got.flags.owndata
    assert mapped_at(address(got)) == ("r--s", "/memfd:olympipe_like (deleted)")
    assert not got.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        got[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        got.flags.writeable = True


@pytest.mark.parametrize("begin", [None, lambda index: True], ids=["at once", "one by one"])
def test_a_small_array_inside_the_pickle_cannot_be_written_to_either(memory, views, begin):
    small = np.arange(3)

    got, _ = take(views, put(memory, small, LARGE), begin)

    assert (got == small).all()
    with pytest.raises(ValueError, match="read-only"):
        got[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        got.flags.writeable = True


def test_an_array_among_items_that_are_pickled_one_by_one_cannot_be_written_to(memory):
    array = np.arange(9000)

    data, *buffers = encode([array, array, lambda: 1], ())
    items, _ = decode(data, buffers, read_only=True)

    assert [each.flags.writeable for each in items[:2]] == [False, False]
    assert items[0] is not items[1]


class Plain:
    """Keeps an array."""

    def __init__(self, array):
        self.array = array


def test_items_of_the_users_classes_built_one_by_one_hold_views(memory, views):
    first, second = take(views, put(memory, Plain(LARGE), Plain(LARGE + 1)), lambda index: True)

    assert (second.array == LARGE + 1).all()
    assert not first.array.flags.owndata
    assert not first.array.flags.writeable


@pytest.mark.parametrize("name", [3 * "x", 64 * "x", 65 * "x", "x"])
def test_arrays_are_aligned_whatever_is_before_them(memory, views, name):
    one, _, two = take(views, put(memory, LARGE, name, LARGE + 1))

    assert address(one) % 64 == 0
    assert one.flags.aligned
    assert two.flags.aligned


def test_an_array_behind_an_odd_number_of_bytes_is_a_copy_that_is_aligned(memory, views):
    odd, after = take(views, put(memory, np.zeros(5001, np.uint8), LARGE))

    assert not odd.flags.owndata
    assert after.flags.owndata
    assert after.flags.aligned
    assert not after.flags.writeable
    assert (after == LARGE).all()


def test_a_slot_is_gone_with_the_last_view_of_it(memory, views):
    one, two = take(views, put(memory, LARGE, LARGE + 1))
    part = one.reshape(500, 100)[3::7, ::-1].T
    raw = memoryview(two)[5:6]
    assert views.slots() == (SLOT,)

    del one, two
    assert views.take_gone() == ()
    del part
    assert views.take_gone() == ()
    raw.release()

    assert views.take_gone() == (SLOT,)
    assert views.slots() == ()
    assert views.take_gone() == ()


def test_each_look_at_a_slot_is_gone_for_itself(memory, views):
    parcel = put(memory, LARGE)
    first, second = take(views, parcel), take(views, parcel)

    del first
    assert views.take_gone() == (SLOT,)
    del second

    assert views.take_gone() == (SLOT,)


def test_a_frame_without_arrays_is_gone_at_once(memory, views):
    parcel = put(memory, "x" * 70_000)

    assert views.look(parcel.offset, parcel.lengths) is None
    assert views.take_gone() == (SLOT,)


def test_memory_that_cannot_be_mapped_is_gone_at_once():
    memory = Memory(os.memfd_create("empty"))
    views = Views(memory)

    try:
        assert views.look(0, (10, 10)) is None
        assert views.take_gone() == (0,)
    finally:
        memory.close()


def test_views_of_pandas_are_watched_too(memory, views):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": LARGE, "b": LARGE * 2, "c": LARGE.astype(int)})

    (got,) = take(views, put(memory, frame))
    column = got["b"].iloc[3:5]

    pandas.testing.assert_frame_equal(got, frame)
    with pytest.raises(ValueError, match="read-only"):
        got["c"].to_numpy()[0] = 9
    del got
    gc.collect()
    assert views.take_gone() == ()
    del column
    gc.collect()
    assert views.take_gone() == (SLOT,)


BACK = deque()


class Revenant:
    """Looks at its array in a finalizer, in a cycle of garbage, and comes back to life."""

    def __init__(self, array):
        self.array = array
        self.me = self

    def __del__(self):
        BACK.append(self)


@pytest.mark.parametrize("of", [lambda array: array, memoryview], ids=["array", "memoryview"])
def test_a_finalizer_in_a_cycle_of_garbage_keeps_the_slot(memory, views, of):
    (array,) = take(views, put(memory, LARGE))
    revenant = Revenant(of(array))
    del array, revenant

    gc.collect()
    assert views.take_gone() == ()
    assert np.asarray(BACK[0].array)[7] == 7
    BACK.pop().me = None
    gc.collect()

    assert views.take_gone() == (SLOT,)


def test_a_thread_may_let_go(memory, views):
    held = take(views, put(memory, LARGE))

    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()

    assert views.take_gone() == (SLOT,)


def test_an_item_that_cannot_be_built_leaves_no_look_behind(memory, views):
    parcel = put(memory, LARGE)
    data, buffers = views.look(parcel.offset, parcel.lengths)

    with pytest.raises(Exception, match="0"):
        decode(b"\x80\x05.", buffers, read_only=True)
    del data, buffers
    gc.collect()

    assert views.take_gone() == (SLOT,)


@pytest.mark.parametrize(
    "array", [LARGE, np.asfortranarray(LARGE.reshape(500, 100)), LARGE[:0], LARGE[4:5].reshape(())]
)
def test_a_view_that_is_sent_on_arrives_writable_and_is_not_copied_for_that(array):
    array = array.view()
    array.flags.writeable = False

    data, *buffers = encode([array], ())
    sent_from = {np.frombuffer(buffer, np.uint8).__array_interface__["data"][0] for buffer in buffers}
    (got,), _ = decode(data, [bytearray(buffer) for buffer in buffers])

    assert got.flags.writeable
    assert (got.dtype, got.shape, got.flags.fnc) == (array.dtype, array.shape, array.flags.fnc)
    assert (got == array).all()
    assert sent_from <= {address(array)}


def test_bytes_of_a_view_that_are_on_their_way_keep_the_slot(memory, views):
    (view,) = take(views, put(memory, LARGE))
    _, buffer = encode([view], ())
    alive = weakref.ref(view)
    del view

    assert alive() is not None
    assert views.take_gone() == ()
    del buffer

    assert views.take_gone() == (SLOT,)


def test_who_writes_to_a_view_by_force_crashes_and_changes_nothing(memory, views):
    (view,) = take(views, put(memory, LARGE))

    child = os.fork()
    if not child:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.memset(address(view), 255, 8)
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGSEGV
    assert (view == LARGE).all()
