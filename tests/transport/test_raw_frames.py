"""Frames of arrays and large bytes arrive as they were sent, whatever tuples and dicts they are parts of."""

from __future__ import annotations

import enum
import pickle
import sys
from itertools import combinations
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olympipe_like import Pipeline
from olympipe_like._transport import raw_frames
from olympipe_like._transport.codec import DecodingError, decode, encode

numpy = pytest.importorskip("numpy")

TYPES = ["u1", "?", "i2", "i8", "f2", "f4", "f8", "c8", ">i4", "M8[s]", "U3"]


def travelled(items, *, read_only=False):
    """Return items that were sent and received, and the numbers that went with them."""
    data, *buffers = encode(items, (range(len(items)),))
    return decode(bytes(data), [bytearray(buffer) for buffer in buffers], read_only=read_only)


def is_raw(items):
    """Return whether a frame needs no pickle of its arrays and bytes."""
    return raw_frames.is_one(encode(items, (range(len(items)),))[0])


def arrays_in(item):
    """Yield the arrays that an item is made of."""
    if isinstance(item, numpy.ndarray):
        yield item
    elif isinstance(item, tuple):
        for part in item:
            yield from arrays_in(part)
    elif isinstance(item, dict):
        yield from arrays_in(tuple(item.values()))


def assert_same(found, sent):
    """Check that two items are alike, down to types, shapes and the order of keys."""
    assert type(found) is type(sent)
    if isinstance(sent, numpy.ndarray):
        assert (found.dtype, found.shape) == (sent.dtype, sent.shape)
        assert found.tobytes() == sent.tobytes()
    elif isinstance(sent, tuple):
        assert len(found) == len(sent)
        for each in zip(found, sent, strict=True):
            assert_same(*each)
    elif isinstance(sent, dict):
        assert list(found) == list(sent)
        assert_same(tuple(found.values()), tuple(sent.values()))
    else:
        assert found == sent


ANY_TYPE = st.sampled_from(TYPES)


@st.composite
def arrays(draw, types=ANY_TYPE):
    shape = tuple(draw(st.lists(st.integers(0, 40), max_size=3)))
    made = (numpy.arange(numpy.prod(shape, dtype=int)) % 100).astype(draw(types)).reshape(shape)
    change = draw(st.sampled_from(["", "", "", "T", "::2", "read-only"]))
    if change == "T":
        made = made.T
    elif change == "::2" and shape:
        made = made[::2]
    elif change == "read-only":
        made.flags.writeable = False
    return made


@st.composite
def frames(draw):
    """Items of one form, or nearly."""
    kind = st.sampled_from(TYPES).map(st.just)
    values = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.booleans(), st.floats(allow_nan=False))
    sizes = st.integers(0, 9000)
    blobs = sizes.map(bytes) | sizes.map(bytearray) | sizes.map(bytes)
    leaf = st.one_of(
        kind.map(lambda types: arrays(types=types)),
        st.just(arrays()),
        st.just(blobs),
        st.just(values),
        st.just(st.integers().map(lambda number: numpy.int64(number % 1000))),
        st.just(st.lists(st.integers(), max_size=2)),
    )
    names = st.sampled_from(["image", "label", "mask"])

    def made_of(inner):
        tuples = st.lists(inner, max_size=3).map(lambda parts: st.tuples(*parts))
        return tuples | st.dictionaries(names, inner, max_size=3).map(st.fixed_dictionaries)

    form = draw(st.recursive(leaf, made_of, max_leaves=4))
    items = draw(st.lists(form, min_size=1, max_size=6))
    if draw(st.integers(0, 9)) == 0:
        items.append(draw(st.one_of(values, st.sampled_from(items))))
    return items


@given(frames(), st.booleans())
def test_items_arrive_as_they_were_sent(items, read_only):
    found, (numbers,) = travelled(items, read_only=read_only)

    assert list(numbers) == list(range(len(items)))
    assert len(found) == len(items)
    for each in zip(found, items, strict=True):
        assert_same(*each)
    for array in arrays_in(tuple(found)):
        assert array.flags.aligned
        if array.dtype.kind in "biufc":  # of others numpy offers no bytes to look at
            assert array.flags.writeable is not read_only


@given(frames())
def test_no_array_that_arrives_shares_its_memory_with_another(items):
    found, _ = travelled(items)
    made = list(arrays_in(tuple(found)))

    assert not any(numpy.shares_memory(one, other) for one, other in combinations(made, 2))


SMALL, LARGE = numpy.arange(12.0).reshape(3, 4), numpy.arange(6000.0)
FORMS = {
    "small": [SMALL, SMALL + 1],
    "of different sizes": [SMALL, SMALL[:1]],
    "large": [LARGE, LARGE[1:]],
    "one": [SMALL],
    "with labels": [(LARGE, 1, "cat"), (LARGE + 1, numpy.float32(2), None)],
    "named": [{"image": LARGE, "boxes": SMALL, "id": 7}, {"image": LARGE + 1, "boxes": SMALL + 1, "id": None}],
    "nested": [(SMALL, {"mask": (LARGE, b"raw")}), (SMALL + 1, {"mask": (LARGE + 1, b"")})],
    "bytes": [bytes(5000), bytes(9000)],
    "a few of them short": [bytes(5000), b"short", bytes(9000)],
    "bytes and where they are from": [("a.jpg", bytes(5000)), ("b.jpg", bytes(9000))],
    "bytearrays": [bytearray(5000), bytearray(9000)],
    "bytes beside arrays": [{"raw": bytes(5000), "image": LARGE}, {"raw": bytes(9000), "image": LARGE + 1}],
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_of_one_form_need_no_pickle_of_arrays_and_bytes(form):
    items = FORMS[form]

    assert is_raw(items)
    for each in zip(travelled(items)[0], items, strict=True):
        assert_same(*each)


class Named(NamedTuple):
    """A tuple of the user's."""

    image: object
    label: int


class Picture(numpy.ndarray):
    """An array of the user's."""


class Key(str, enum.Enum):
    """A string of the user's."""

    IMAGE = "image"


class Digest(bytes):
    """Bytes of the user's."""


BLOB = bytes(9000)
SHARED = {"camera": 1}
OTHERS = {
    "with metadata": [numpy.zeros(3, numpy.dtype("f8", metadata={"unit": "m"}))],
    "keys that are only equal": [{"image": SMALL}, {Key.IMAGE: SMALL + 1}],
    "with more parts than are looked at": [(SMALL, *range(raw_frames.MOST_PARTS))],
    "deeper than is looked at": [((((SMALL,),),),)],
    "a dict in two places": [{"image": SMALL, "taken": SHARED, "sent": SHARED}],
    "no array": [(1, 2)],
    "one among others": [SMALL, 1],
    "small and large": [SMALL, LARGE],
    "two types": [SMALL, SMALL.astype("f4")],
    "without axes": [numpy.array(1.0)],
    "empty": [SMALL[:0]],
    "objects": [numpy.array([{}, None], dtype=object)],
    "other byte order": [SMALL.astype(">f8")],
    "an array of the user's type": [SMALL.view(Picture)],
    "Fortran order": [numpy.asfortranarray(SMALL)],
    "a tuple of the user's type": [Named(SMALL, 1), Named(SMALL + 1, 2)],
    "beside a list": [(SMALL, [])],
    "tuples of two lengths": [(SMALL,), (SMALL + 1, 1)],
    "dicts with other keys": [{"a": SMALL}, {"b": SMALL + 1}],
    "the same twice": [LARGE, LARGE],
    "the same twice in one": [(LARGE, LARGE)],
    "short bytes": [b"a", b"b"],
    "mostly short bytes": [bytes(5000), b"b"],
    "an empty one among large ones": [bytes(9000), b""],
    "short bytearrays": [bytearray(1)],
    "the same bytes twice": [BLOB, BLOB],
    "the same bytes with each": [(0, BLOB), (1, BLOB)],
    "bytes and bytearrays": [bytes(9000), bytearray(9000)],
    "bytes of the user's type": [Digest(9000)],
}


@pytest.mark.parametrize("form", OTHERS)
def test_what_else_there_is_is_pickled(form):
    items = OTHERS[form]

    assert not is_raw(items)
    found, _ = travelled(items)
    assert str(found) == str(items)
    assert type(found[0]) is type(items[0])


def test_two_parts_that_are_one_array_stay_one():
    ((one, other),), _ = travelled([(LARGE, LARGE)])

    assert one is other


def test_the_same_bytes_in_many_items_are_sent_once():
    parts = encode([(number, BLOB) for number in range(100)], ())

    assert sum(memoryview(part).nbytes for part in parts) < 2 * len(BLOB)


def test_bytes_need_no_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)  # to import it is an error

    assert is_raw([BLOB])
    assert travelled([BLOB])[0] == [BLOB]


def test_two_parts_that_are_one_dict_stay_one():
    ((image, one, other),), _ = travelled([(LARGE, SHARED, SHARED)])

    assert (image == LARGE).all()
    assert one is other


def test_keys_keep_their_type():
    found, _ = travelled([{"image": SMALL}, {Key.IMAGE: SMALL + 1}])

    assert [type(next(iter(each))) for each in found] == [str, Key]


def test_metadata_of_types_is_kept():
    noted = numpy.dtype("f8", metadata={"unit": "m"})

    found, _ = travelled([SMALL, numpy.zeros((3, 4), noted)])

    assert [each.dtype.metadata for each in found] == [None, {"unit": "m"}]


def test_tuples_that_share_their_parts_are_not_looked_through_again_and_again():
    item = (1, 2)
    for _ in range(60):  # 2 to the power of 60 places
        item = (item, item)

    ((found,), _) = travelled([item])

    assert len(found) == 2


def test_a_small_array_keeps_no_other_alive():
    found, _ = travelled([SMALL + number for number in range(100)])

    assert len(found[3].base) == SMALL.nbytes


def test_an_array_that_was_sent_read_only_arrives_writable():
    sent = SMALL.copy()
    sent.flags.writeable = False

    ((found,), _) = travelled([sent])

    found[0, 0] = 5


def test_a_read_only_array_cannot_be_made_writable():
    (found,), _ = travelled([SMALL], read_only=True)

    with pytest.raises(ValueError, match="WRITEABLE"):
        found.flags.writeable = True


@pytest.mark.parametrize("change", [lambda data: data[:-3], lambda data: b"A" + pickle.dumps((None, ("no",), 1))])
def test_bytes_that_are_no_such_frame_are_said_to_be_none(change):
    data, *buffers = encode([SMALL], ())

    with pytest.raises(DecodingError):
        decode(change(bytes(data)), buffers)


@pytest.mark.parametrize("executor", ["process", "thread"])
def test_arrays_and_what_goes_with_them_pass_through_stages_in_order(executor):
    def scale(pair):
        image, label = pair
        image *= 2  # in place: it is the stage's own
        return {"image": image, "label": label}

    pipe = Pipeline((numpy.full((8, 8), number), number) for number in range(500))
    pipe = pipe.task(scale, executor=executor, workers=2).filter(lambda each: each["label"] % 3, executor=executor)
    results = pipe.wait_for_result()

    assert [each["label"] for each in results] == [number for number in range(500) if number % 3]
    assert all((each["image"] == 2 * each["label"]).all() for each in results)
