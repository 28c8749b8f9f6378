"""Arrays of any layout travel beside the pickle and arrive equal, whole and writable."""

from __future__ import annotations

import pytest

from olympipe_like._transport.codec import decode, encode

numpy = pytest.importorskip("numpy")

WHOLE = numpy.arange(60_000, dtype=numpy.float64).reshape(200, 300)
READ_ONLY = WHOLE.copy()
READ_ONLY.flags.writeable = False
LAYOUTS = {
    "C order": WHOLE,
    "Fortran order": numpy.asfortranarray(WHOLE),
    "every other column": WHOLE[:, ::2],
    "backwards": WHOLE[::-1],
    "axes exchanged": WHOLE.reshape(20, 30, 100).transpose(1, 0, 2),
    "one row many times": numpy.broadcast_to(WHOLE[0], (100, 300)),
    "read-only": READ_ONLY,
    "records": numpy.zeros(3000, [("name", "U4"), ("value", "f8")])[::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_travels_beside_the_pickle_and_arrives_writable(layout):
    array = LAYOUTS[layout]

    data, *buffers = encode([array], ())
    (got,), _ = decode(data, [bytearray(buffer) for buffer in buffers])

    assert [memoryview(buffer).nbytes for buffer in buffers] == [array.nbytes]
    assert memoryview(data).nbytes < 1000
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    assert (got == array).all()
    assert got.flags.writeable


INSIDE = {
    "objects": numpy.array([None, "text", 3, {"a": 1}] * 2000, dtype=object)[::2],
    "dates": WHOLE.astype("datetime64[s]")[::2],  # numpy offers no buffer of these
}


@pytest.mark.parametrize("kind", INSIDE)
def test_an_array_without_a_buffer_arrives_too(kind):
    array = INSIDE[kind]

    data, *buffers = encode([array], ())
    (got,), _ = decode(data, buffers)

    assert got.tolist() == array.tolist()
    assert got.flags.writeable
